"""
How a body becomes a stored object: metadata that only the server sets, fit to the type, defaults, admission, checks.

Pure steps apart from admission, which reads the store. Called by the verbs for creations and for changes; it stores nothing.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from chaosfw.sandbox.apiserver import errors, ownership
from chaosfw.sandbox.apiserver.admission import Admission
from chaosfw.sandbox.apiserver.ownership import Write
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.kinds.row import Cause, Kind, check_labels, forbidden, invalid, read, required
from chaosfw.sandbox.objects import moments
from chaosfw.sandbox.objects.names import DNS_LABEL, DNS_LABEL_RULE, random_suffix
from chaosfw.sandbox.schema import types
from chaosfw.timing import SYSTEM

_SERVER_ONLY = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "managedFields",
)
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "name", "namespace", "generateName")
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_PATH_SEGMENT = re.compile(r"^[^/%]+$")
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'example.com', "
    "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_GENERATED_NAME_ROOM = 58


class UnfitError(ApiError):
    """A value of the wrong type, or a field that nobody knows: there is no such object. ``why`` is the part that does not name its kind."""

    def __init__(self, row: Kind, why: str) -> None:
        super().__init__(400, "BadRequest", f'{row.kind} in version "{row.version}" cannot be handled as a {row.kind}: {why}')
        self.why = why


@dataclass(slots=True)
class Draft:
    """
    An object on its way into the store, and what the client should be warned of. ``said``: the owners of fields that it names, which is
    what clients send back that they have read; ``owned``: those that an apply has found out.
    """

    obj: Object
    warnings: list[str] = field(default_factory=list)
    said: list[Any] | None = None
    owned: list[Object] | None = None


def now() -> str:
    return moments.stamp(SYSTEM.wall_ns())


def fit(row: Kind, body: Object, *, validation: str) -> Draft:
    """Unknown fields: an error (Strict), a warning (Warn) or nothing (Ignore); then they are gone."""
    if not isinstance(body, dict):
        raise errors.bad_request("the object provided is unrecognized (must be of type Object)")
    for name, wanted in (("apiVersion", row.api_version), ("kind", row.kind)):
        if body.get(name) not in (None, "", wanted):
            raise _misread(row, body, name=name, wanted=wanted)
    try:
        fitted = types.fit(body, row.type)
        metadata = types.fit(body.get("metadata") or {}, types.by_name(types.OBJECT_META))
    except types.MisfitError as error:
        raise UnfitError(row, str(error)) from error
    value, gone = row.prune(fitted.value) if row.prune else (fitted.value, [])
    strange = (f"metadata.{name}" for name in metadata.unknown if row.custom)
    unknown = [f'unknown field "{name}"' for name in (*fitted.unknown, *gone, *strange)]
    if unknown and validation == "Strict":
        raise UnfitError(row, f"strict decoding error: {', '.join(unknown)}")
    obj = {**value, "apiVersion": row.api_version, "kind": row.kind, "metadata": metadata.value}
    said = (body.get("metadata") or {}).get("managedFields")
    return Draft(obj, unknown if validation == "Warn" else [], said if isinstance(said, list) else None)


def _misread(row: Kind, body: Object, *, name: str, wanted: str) -> ApiError:
    """An object of another kind: one that is known cannot be made into this one."""
    said, version = str(body.get("kind") or row.kind), str(body.get("apiVersion") or row.api_version)
    group, _, number = version.rpartition("/")
    if types.of_kind(group, number, said) is None or row.custom:
        ours = f"{row.kind}.{row.version}.{row.group}".rstrip(".")
        return errors.bad_request(f"{name} in the data ({body.get(name)}) does not match the expected {name} ({wanted}) of {ours}")
    why = (
        f"converting ({group.partition('.')[0] or 'v1'}.{said}) to ({row.group.partition('.')[0] or 'core'}.{row.kind}): unknown conversion"
    )
    return errors.bad_request(f'{said} in version "{number}" cannot be handled as a {row.kind}: {why}')


def prepare_new(row: Kind, draft: Draft, *, namespace: str, admission: Admission, write: Write) -> Object:
    """A new object, complete but for its version."""
    obj, metadata = draft.obj, draft.obj["metadata"]
    if metadata.get("resourceVersion"):
        raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
    for name in _SERVER_ONLY:
        metadata.pop(name, None)
    _place(row, metadata, namespace)
    _name(metadata)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = now()
    if row.has_generation:
        metadata["generation"] = 1
    if row.has_status and not row.keeps_status_on_create:
        obj.pop("status", None)
    row.defaults(obj)
    owned = ownership.created(write, obj) if draft.owned is None else draft.owned
    row.born(obj)
    admission.create(row, obj)
    row.defaults(obj)
    row.assigns(obj)
    _check(row, obj, None)
    draft.warnings += row.warns(obj)
    return _owned(_ordered(obj), owned)


def prepare_change(row: Kind, draft: Draft, old: Object, *, admission: Admission, write: Write) -> Object:
    """A changed object: through the status door only the status changes, through the main one everything else."""
    obj = draft.obj
    if write.subresource == "status":
        obj = {**old, "metadata": _metadata_with_status(row, obj, old), "status": obj.get("status") or {}}
        row.defaults(obj)
        owned = ownership.updated(write, old, obj, draft.said) if draft.owned is None else draft.owned
        if causes := [*_check_metadata(row, obj["metadata"]), *row.validate_status(obj, old)]:
            raise errors.invalid(row, obj["metadata"]["name"], causes)
        return _owned(_ordered(obj), owned)
    metadata = obj["metadata"]
    _keep(metadata, old, (*_SERVER_ONLY, *_KEPT))
    if row.has_status:
        obj.pop("status", None)
        if "status" in old:
            obj["status"] = old["status"]
    if row.resource == "namespaces":
        obj["spec"] = old["spec"]
    row.defaults(obj)
    owned = ownership.updated(write, old, obj, draft.said) if draft.owned is None else draft.owned
    admission.update(row, obj, old)
    row.assigns(obj)
    _check(row, obj, old)
    if row.has_generation and _substance(row, obj) != _substance(row, old):
        metadata["generation"] = old["metadata"].get("generation", 0) + 1
    return _owned(_ordered(obj), owned)


def is_same(new: Object, old: Object) -> bool:
    """Whether storing ``new`` would change nothing; that somebody owns again what they have is nothing."""
    return _unversioned(new) == _unversioned(old)


def _unversioned(obj: Object) -> Object:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    if owned := metadata.get("managedFields"):
        metadata["managedFields"] = ownership.timeless(owned)
    return {**obj, "metadata": metadata}


def _owned(obj: Object, owned: list[Object]) -> Object:
    """With these entries, and no others."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": {**metadata, "managedFields": owned} if owned else metadata}


def _substance(row: Kind, obj: Object) -> Object:
    """What a generation counts."""
    found = {key: value for key, value in obj.items() if key not in ("metadata", "status", "apiVersion", "kind")}
    return {**found, "annotations": obj["metadata"].get("annotations")} if row.annotations_are_spec else found


def _keep(metadata: Object, old: Object, names: tuple[str, ...]) -> None:
    """Of these fields nothing is the client's to say."""
    for name in names:
        metadata.pop(name, None)
        if name in old["metadata"] and name not in ("resourceVersion", "selfLink", "managedFields"):
            metadata[name] = old["metadata"][name]


def _metadata_with_status(row: Kind, obj: Object, old: Object) -> Object:
    if row.custom or row.resource == "customresourcedefinitions.apiextensions.k8s.io":
        return dict(old["metadata"])
    metadata = dict(obj["metadata"])
    _keep(metadata, old, (*_SERVER_ONLY, *_KEPT, *row.status_keeps))
    return metadata


def _ordered(obj: Object) -> Object:
    first: Object = {name: obj[name] for name in ("kind", "apiVersion", "metadata") if name in obj}
    return {**first, **{name: value for name, value in obj.items() if name not in first}}


def _place(row: Kind, metadata: Object, namespace: str) -> None:
    if not row.namespaced:
        metadata.pop("namespace", None)
        return
    if metadata.get("namespace") not in (None, "", namespace):
        raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
    metadata["namespace"] = namespace


def _name(metadata: Object) -> None:
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"][:_GENERATED_NAME_ROOM] + random_suffix()


def _check(row: Kind, obj: Object, old: Object | None) -> None:
    name = obj["metadata"].get("name", "")
    of_metadata, own = _check_metadata(row, obj["metadata"]), row.validate(obj, old)
    causes = [*of_metadata, *own] if row.checks_metadata or old is not None else own or of_metadata
    if old is not None:
        causes += [*_check_finalizers(obj, old), *_check_immutable(row, obj, old)]
    if causes:
        raise errors.invalid(row, name, causes)


def _check_finalizers(obj: Object, old: Object) -> list[Cause]:
    """Who is going takes no new ones."""
    before = old["metadata"].get("finalizers") or ()
    new = sorted(name for name in obj["metadata"].get("finalizers") or () if name not in before)
    if not new or not old["metadata"].get("deletionTimestamp"):
        return []
    shown = ", ".join(f'"{name}"' for name in new)
    words = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}"
    return [forbidden("metadata.finalizers", words)]


def _check_immutable(row: Kind, obj: Object, old: Object) -> list[Cause]:
    causes = []
    for path in row.immutable:
        before, after = read(old, path), read(obj, path)
        if before not in (None, "") and before != after:
            after = "" if after is None and isinstance(before, str) else after
            causes.append(Cause("FieldValueInvalid", path, f"Invalid value: {_as_go(after)}: field is immutable"))
    return causes


def _as_go(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ",".join(f'"{key}":{_as_go(item)}' for key, item in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _check_metadata(row: Kind, metadata: Object) -> list[Cause]:
    name = metadata.get("name", "")
    if not name:
        return [required("metadata.name", "name or generateName is required"), *_check_labels(metadata)]
    causes: list[Cause] = []
    form, rule = (DNS_LABEL, DNS_LABEL_RULE) if row.name_is_label else (_SUBDOMAIN, _SUBDOMAIN_RULE)
    if row.group == "rbac.authorization.k8s.io" or not row.checks_metadata:
        form, rule = _PATH_SEGMENT, "may not contain '/' or '%'"
    if len(name) > row.name_limit:
        causes.append(
            invalid("metadata.name", name, f"must be no more than {row.name_limit} {'characters' if row.name_is_label else 'bytes'}")
        )
    elif row.name_is_label and "." in name:
        causes.append(invalid("metadata.name", name, "must not contain dots"))
    elif not form.match(name):
        causes.append(invalid("metadata.name", name, rule))
    return [*causes, *_check_labels(metadata)]


def _check_labels(metadata: Object) -> list[Cause]:
    return check_labels(metadata.get("labels") or {}, "metadata.labels")
