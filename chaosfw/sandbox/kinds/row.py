"""
The form of a kind's row. Rows themselves are in the sibling modules; :mod:`chaosfw.sandbox.kinds.registry` collects them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.objects import moments, selectors
from chaosfw.sandbox.schema import types

READ = ("get", "list", "watch")
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing wrong with a body, worded as Kubernetes words it: ``reason`` is FieldValueRequired and the like."""

    reason: str
    field: str
    message: str


def required(path: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", path, f"Required value: {detail}" if detail else "Required value")


def invalid(path: str, value: Any, detail: str) -> Cause:
    return Cause("FieldValueInvalid", path, f"Invalid value: {_go(value)}: {detail}")


def unsupported(path: str, value: Any, choices: tuple[str, ...]) -> Cause:
    listed = ", ".join(f'"{choice}"' for choice in choices)
    return Cause("FieldValueNotSupported", path, f"Unsupported value: {_go(value)}: supported values: {listed}")


def forbidden(path: str, detail: str) -> Cause:
    return Cause("FieldValueForbidden", path, f"Forbidden: {detail}")


def duplicate(path: str, value: Any) -> Cause:
    return Cause("FieldValueDuplicate", path, f"Duplicate value: {_go(value)}")


def check_labels(labels: Mapping[str, str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for key, value in labels.items():
        if not selectors.is_label_key(key):
            causes.append(invalid(path, key, selectors.KEY_RULE))
        causes += [invalid(path, value, fault) for fault in selectors.value_faults(value)]
    return causes


def _go(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of ``kubectl get``. ``cell`` reads it from the object, given the present in seconds since 1970."""

    name: str
    cell: Callable[[Object, float], Any]
    type: str = "string"
    wide: bool = False
    format: str = ""


def text(path: str, *, absent: Any = "") -> Callable[[Object, float], Any]:
    """A cell that shows what stands at a dotted path."""
    return lambda obj, now: read(obj, path, absent)


NAME = Column("Name", text("metadata.name"), format="name")
AGE = Column("Age", lambda obj, now: moments.age(read(obj, "metadata.creationTimestamp", None), now))


@dataclass(frozen=True, slots=True)
class Subresource:
    """A door of one object: its own kind on the wire, and the verbs it takes."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


PROXIED = ("create", "delete", "get", "patch", "update")
STATUS = "status"
SCALE = Subresource("scale", "Scale", ("get", "patch", "update"), "autoscaling", "v1")


@dataclass(frozen=True, slots=True)
class View:
    """The same store seen through another group: ``read`` turns a stored object into this kind, ``write`` back."""

    resource: str
    read: Callable[[Object], Object]
    write: Callable[[Object], Object]


def _nothing(obj: Object) -> None:
    """No defaults."""


def _no_warnings(obj: Object) -> list[str]:
    return []


def _valid(new: Object, old: Object | None) -> list[Cause]:
    return []


@dataclass(frozen=True, kw_only=True)
class Kind:
    """
    One kind. ``fields`` maps a selectable field to where it stands; metadata.name and .namespace always are.
    ``born`` shapes a new object after its defaults; ``grace`` gives the seconds of a graceful deletion (None: deleted at once).
    ``immutable`` paths may not change once set.
    """

    kind: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    columns: tuple[Column, ...] = (NAME, AGE)
    fields: Mapping[str, str] = field(default_factory=dict)
    no_such_field: str = ""
    """In which words a field selector is refused, with the field at the braces; empty: the usual ones."""
    has_status: bool = True
    keeps_status_on_create: bool = False
    has_generation: bool = False
    annotations_are_spec: bool = False
    """A change of annotations is a new generation, too."""
    status_keeps: tuple[str, ...] = ()
    """What of the metadata can not be changed through the status; of custom resources nothing can."""
    subresources: tuple[Subresource, ...] = ()
    defaults: Callable[[Object], None] = _nothing
    assigns: Callable[[Object], None] = _nothing
    """What the server gives it besides, and nobody owns."""
    born: Callable[[Object], None] = _nothing
    validate: Callable[[Object, Object | None], list[Cause]] = _valid
    validate_status: Callable[[Object, Object], list[Cause]] = _valid
    """Of a change through the status door."""
    immutable: tuple[str, ...] = ()
    warns: Callable[[Object], list[str]] = _no_warnings
    """What the author of a new one is told, though it is stored."""
    made_by_update: bool = False
    """Replacing one that is not there makes it."""
    checks_metadata: bool = True
    """Kubernetes checks names and labels of nearly all kinds first; of the others names may be nearly anything, and are checked last."""
    needs_version: bool = False
    """Replacing one has to say which version."""
    name_limit: int = 253
    name_is_label: bool = False
    grace: Callable[[Object], int] | None = None
    orphans: str = ""
    """Who deletes one and does not say what is to become of what it made leaves it behind, and is told so in these words."""
    answers_deleted_object: bool = False
    view: View | None = None
    custom: bool = False
    prune: Callable[[Object], tuple[Object, list[str]]] | None = None
    """A copy without the fields that nobody knows, and their paths; None: the published type decides."""
    strategic: bool = True
    schema: Mapping[str, Any] = field(default_factory=dict)
    """Of a custom kind: what its definition says."""
    listKind: str = ""

    @cached_property
    def resource(self) -> str:
        """How the sandbox names it: ``pods``, ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @cached_property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def list_kind(self) -> str:
        return self.listKind or f"{self.kind}List"

    @cached_property
    def singular(self) -> str:
        return self.kind.lower()

    @cached_property
    def qualified(self) -> str:
        """As validation messages name it: ``Deployment.apps``."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @cached_property
    def type(self) -> types.Type | None:
        return None if self.custom else types.of_kind(self.group, self.version, self.kind)

    @cached_property
    def structure(self) -> Mapping[str, Any]:
        """The schema that says which fields have owners of their own."""
        if not self.custom:
            return {"$ref": self.type.name} if self.type else {}
        meta = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"$ref": types.OBJECT_META}}
        return {**self.schema, "properties": {**self.schema.get("properties", {}), **meta}}

    @cached_property
    def doors(self) -> tuple[Subresource, ...]:
        """All subresources, the status included, by name."""
        status = (Subresource(STATUS, self.kind, ("get", "patch", "update"), self.group, self.version),) if self.has_status else ()
        return tuple(sorted((*self.subresources, *status), key=lambda door: door.name))

    def door(self, name: str) -> Subresource | None:
        return next((door for door in self.doors if door.name == name), None)

    def read_field(self, obj: Object, name: str) -> str:
        path = name if name in ("metadata.name", "metadata.namespace") else self.fields[name]
        value = read(obj, path, "")
        return str(value).lower() if isinstance(value, bool) else str(value)


def read(obj: Any, path: str, absent: Any = None) -> Any:
    """What stands at a dotted path, or ``absent``."""
    here = obj
    for part in path.split("."):
        if not isinstance(here, dict) or here.get(part) is None:
            return absent
        here = here[part]
    return here


def items(obj: Any, path: str) -> Iterator[Object]:
    """The objects of a list at a dotted path; none when it is absent."""
    yield from read(obj, path, ())
