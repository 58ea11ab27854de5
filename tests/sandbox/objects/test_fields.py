"""
Fields as sets of paths, and the merge of server-side apply: pure, so small. What the real API server makes of them, the random calls of
:mod:`tests.sandbox.apiserver.test_differential` ask.
"""

from __future__ import annotations

from typing import Any

import pytest

from chaosfw.sandbox.schema import fields

POD: fields.Schema = {"$ref": "io.k8s.api.core.v1.PodSpec"}
ITEMS: fields.Schema = {
    "type": "object",
    "properties": {
        "by": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["n"],
            "items": {"type": "object", "properties": {"n": {"type": "string"}, "v": {"type": "integer"}}},
        },
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "whole": {"type": "array", "items": {"type": "string"}},
        "one": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "string"}}},
    },
}


def named(*names: str) -> list[dict[str, Any]]:
    return [{"n": name} for name in names]


def test_the_wire_form_goes_there_and_back() -> None:
    paths = {("f:a",), ("f:a", "f:b"), ("f:a", 'k:{"n":"x"}', "f:v"), ("f:set", 'v:"y"')}

    tree = fields.encode(paths)

    assert tree == {"f:a": {".": {}, "f:b": {}, 'k:{"n":"x"}': {"f:v": {}}}, "f:set": {'v:"y"': {}}}
    assert fields.decode(tree) == paths


def test_a_port_without_a_protocol_is_known_by_tcp() -> None:
    value = {"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}
    assert ("f:containers", 'k:{"name":"a"}', "f:ports", 'k:{"containerPort":80,"protocol":"TCP"}') in fields.of(value, POD)


def test_lists_and_maps_have_one_owner_where_the_schema_says_so() -> None:
    value = {"whole": ["a"], "one": {"a": "x"}, "set": ["s"], "by": [{"n": "x", "v": 1}]}
    assert fields.of(value, ITEMS) == {
        ("f:whole",),
        ("f:one",),
        ("f:set", 'v:"s"'),
        ("f:by", 'k:{"n":"x"}'),
        ("f:by", 'k:{"n":"x"}', "f:n"),
        ("f:by", 'k:{"n":"x"}', "f:v"),
    }


def test_a_comparison_tells_what_is_new_what_differs_and_what_is_gone() -> None:
    old = {"by": [{"n": "x", "v": 1}, {"n": "y"}], "whole": ["a"]}
    new = {"by": [{"n": "x", "v": 2}], "whole": ["b"], "set": ["s"]}

    found = fields.compare(old, new, ITEMS)

    assert found.modified == {("f:by", 'k:{"n":"x"}', "f:v"), ("f:whole",)}
    assert found.added == {("f:set",), ("f:set", 'v:"s"')}
    assert found.removed == {("f:by", 'k:{"n":"y"}'), ("f:by", 'k:{"n":"y"}', "f:n")}
    assert fields.compare(new, new, ITEMS) == fields.Comparison()


@pytest.mark.parametrize(
    ("live", "config", "merged"),
    [
        ("abc", "b", "abc"),
        ("abc", "ca", "bca"),
        ("abc", "xa", "xabc"),
        ("abc", "ax", "abcx"),
        ("", "ab", "ab"),
        ("abcd", "dxb", "acdxb"),
    ],
)
def test_applied_items_keep_the_applied_order(live: str, config: str, merged: str) -> None:
    found = fields.merged({"by": named(*live)}, {"by": named(*config)}, ITEMS)
    assert "".join(item["n"] for item in found["by"]) == merged


def test_removal_takes_items_by_their_keys_and_leaves_the_rest() -> None:
    value = {"by": [{"n": "x", "v": 1}, {"n": "y", "v": 2}], "set": ["s", "t"], "whole": ["a"]}
    gone = {("f:by", 'k:{"n":"x"}'), ("f:by", 'k:{"n":"y"}', "f:v"), ("f:set", 'v:"t"'), ("f:whole",)}
    assert fields.without(value, gone, ITEMS) == {"by": [{"n": "y"}], "set": ["s"]}


def test_what_can_not_be_applied_is_told_in_words() -> None:
    assert fields.misfits({"by": named("x", "x")}, ITEMS) == ['.by: duplicate entries for key [n="x"]']
    assert fields.misfits({"by": [{"v": 1}]}, ITEMS) == [
        '.by: element 0: associative list with keys has an element that omits all key fields ["n"] '
        "(and doesn't have default values for any key fields)"
    ]
    assert fields.misfits({"wholly": 1}, ITEMS) == [".wholly: field not declared in schema"]
    assert fields.misfits({"whole": "a"}, ITEMS) == [".whole: expected list, got a"]


def test_paths_are_shown_as_people_write_them() -> None:
    assert fields.shown(("f:spec", 'k:{"containerPort":80,"protocol":"TCP"}', "f:name")) == '.spec[containerPort=80,protocol="TCP"].name'
    assert fields.shown(("f:metadata", "f:finalizers", 'v:"x.io/y"')) == '.metadata.finalizers[="x.io/y"]'
