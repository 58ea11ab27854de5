"""Promises about the rows: one more kind is one row, and every row is complete."""

from __future__ import annotations

import pytest

from chaosfw.sandbox.apiserver import discovery, openapi, scope, table
from chaosfw.sandbox.apiserver.admission import Admission
from chaosfw.sandbox.apiserver.store import Store
from chaosfw.sandbox.apiserver.verbs import Verbs
from chaosfw.sandbox.kinds.registry import BUILT_IN, Registry
from chaosfw.sandbox.kinds.row import AGE, NAME, Column, Kind, text

SHELF = Kind(
    kind="Shelf",
    plural="shelves",
    group="store.example",
    namespaced=False,
    short=("sh",),
    columns=(NAME, Column("Books", text("spec.books"), type="integer"), AGE),
    custom=True,
)
STORED = [row for row in BUILT_IN if "list" in row.verbs]


def test_one_more_kind_is_one_row() -> None:
    """Stored, selected, shown, discovered and documented, without another line of code."""
    registry = Registry((*BUILT_IN, SHELF))
    store = Store()
    verbs = Verbs(store, registry, Admission(store, service_cidr="10.96.0.0/16"))

    verbs.create(SHELF, "", {"metadata": {"name": "one", "labels": {"a": "b"}}, "spec": {"books": 3}})
    page = verbs.page(scope.scope(SHELF, labels="a=b", fields="metadata.name=one"))
    shown = table.many(SHELF, page.entries, table.Form("table"), {})
    served = discovery.resource_list(registry, "store.example", "v1")
    document = openapi.Documents(registry).document("apis/store.example/v1")

    assert b'"cells":["one",3,' in shown
    assert served is not None
    assert [entry["name"] for entry in served["resources"]] == ["shelves", "shelves/status"]
    assert document is not None
    assert b"/apis/store.example/v1/shelves/{name}" in document


@pytest.mark.parametrize("row", STORED, ids=lambda row: row.resource)
def test_every_row_has_a_published_type_and_shows_an_empty_object(row: Kind) -> None:
    """Cells must not stumble over what is not there yet."""
    bare = {"metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}}

    cells = [column.cell(bare, 0.0) for column in row.columns]

    assert row.type is not None
    assert len(cells) == len(row.columns)
    assert "x" in cells


@pytest.mark.parametrize("row", BUILT_IN, ids=lambda row: f"{row.resource}.{row.version}")
def test_defaults_settle(row: Kind) -> None:
    """Defaulting what has its defaults changes nothing, or every write would."""
    obj = {"metadata": {"name": "x"}, "spec": {}}
    row.defaults(obj)
    before = repr(obj)

    row.defaults(obj)

    assert repr(obj) == before


def test_addresses_and_names_are_unique() -> None:
    addresses = [(row.group, row.version, row.plural) for row in BUILT_IN]
    kinds = [(row.group, row.version, row.kind) for row in BUILT_IN]

    assert len(set(addresses)) == len(addresses)
    assert len(set(kinds)) == len(kinds)
