"""
CustomResourceDefinitions: their own row, and the row each of them makes at run time.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds import structural
from chaosfw.sandbox.kinds.row import AGE, NAME, SCALE, Cause, Column, Kind, invalid, items, read, required, text
from chaosfw.sandbox.objects import moments
from chaosfw.timing import SYSTEM

_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
"""In the order in which custom kinds tell them."""
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""Holds a definition until its objects are gone."""
_INDEX = re.compile(r"\[(\d+)\]")


def _defaults(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    names.setdefault("singular", names.get("kind", "").lower())
    names.setdefault("listKind", f"{names.get('kind', '')}List")
    spec.setdefault("conversion", {"strategy": "None"})


def _validate(new: Object, old: Object | None) -> list[Cause]:
    spec, name = new["spec"], new["metadata"]["name"]
    wanted = f"{read(spec, 'names.plural', '')}.{spec.get('group', '')}"
    causes = [] if name == wanted else [invalid("metadata.name", name, f'must be spec.names.plural+"."+spec.group ({wanted})')]
    for index, version in enumerate(items(new, "spec.versions")):
        if not read(version, "schema.openAPIV3Schema"):
            causes.append(required(f"spec.versions[{index}].schema.openAPIV3Schema"))
    return causes


def _born(obj: Object) -> None:
    stored = [version["name"] for version in items(obj, "spec.versions") if version.get("storage")]
    obj["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}


def established(obj: Object) -> Object:
    """The status of a definition by which its kind is served."""
    made = obj["metadata"].get("creationTimestamp", "")
    conditions = [
        _condition("NamesAccepted", "NoConflicts", "no conflicts found", made),
        _condition("Established", "InitialNamesAccepted", "the initial names have been accepted", made),
    ]
    return {"acceptedNames": obj["spec"]["names"], "conditions": conditions}


def end(obj: Object) -> None:
    """Of one that is deleted: first its objects go."""
    if CLEANUP not in (held := obj["metadata"].get("finalizers", [])):
        obj["metadata"]["finalizers"] = [*held, CLEANUP]
    told = read(obj, "status.conditions") or []
    if not any(one["type"] == "Terminating" for one in told):
        why = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        condition = _condition("Terminating", "InstanceDeletionPending", why, moments.stamp(SYSTEM.wall_ns()))
        obj["status"] = {**obj.get("status", {}), "conditions": [*told, condition]}


def is_served(obj: Object) -> bool:
    return any(one.get("type") == "Established" and one.get("status") == "True" for one in items(obj, "status.conditions"))


def _condition(kind: str, reason: str, message: str, at: str) -> Object:
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": at}


def rows(definition: Object) -> list[Kind]:
    """The rows of a definition: one for each served version, all over one store (that of the first)."""
    spec, names = definition["spec"], definition["spec"]["names"]
    return [
        Kind(
            kind=names["kind"],
            plural=names["plural"],
            group=spec["group"],
            version=version["name"],
            namespaced=spec.get("scope") == "Namespaced",
            short=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            verbs=_VERBS,
            columns=_columns(version),
            has_status="status" in (version.get("subresources") or {}),
            has_generation=True,
            subresources=(SCALE,) if "scale" in (version.get("subresources") or {}) else (),
            custom=True,
            prune=partial(structural.pruned, schema=_schema(version)),
            defaults=partial(structural.fill, schema=_schema(version)),
            validate=partial(_conforms, schema=_schema(version)),
            strategic=False,
            schema=_schema(version),
            listKind=names.get("listKind", ""),
        )
        for version in spec["versions"]
        if version.get("served", True)
    ]


def _schema(version: Object) -> Object:
    found: Object = read(version, "schema.openAPIV3Schema") or {}
    return found


def _conforms(new: Object, old: Object | None, *, schema: Object) -> list[Cause]:
    return structural.check(new, schema)


def _columns(version: Object) -> tuple[Column, ...]:
    declared = version.get("additionalPrinterColumns")
    if not declared:
        return (NAME, AGE)
    return (NAME, *(_column(column) for column in declared))


def _column(column: Object) -> Column:
    path = _INDEX.sub(r".\1", column["jsonPath"].strip("{}")).lstrip(".")

    def cell(obj: Object, now: float) -> Any:
        value = _walk(obj, path)
        if column["type"] == "date":
            return moments.age(value, now) if value else "<none>"
        return value if column["type"] in ("integer", "number") else "" if value is None else str(value)

    return Column(column["name"], cell, type=column["type"], wide=bool(column.get("priority")))


def _walk(obj: Any, path: str) -> Any:
    here = obj
    for part in path.split("."):
        if isinstance(here, list) and part.isdigit() and int(part) < len(here):
            here = here[int(part)]
        elif isinstance(here, dict):
            here = here.get(part)
        else:
            return None
    return here


DEFINITION = Kind(
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    group="apiextensions.k8s.io",
    namespaced=False,
    short=("crd", "crds"),
    categories=("api-extensions",),
    columns=(NAME, Column("Created At", text("metadata.creationTimestamp"), type="date")),
    has_generation=True,
    defaults=_defaults,
    born=_born,
    validate=_validate,
)
