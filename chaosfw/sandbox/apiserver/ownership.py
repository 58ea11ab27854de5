"""
Who owns which field of an object (``metadata.managedFields``): what writes change of it, and what an apply may do.

Called by the verbs and by :mod:`.writing`; pure but for the clock. Follows apimachinery 0.37.2 (``pkg/util/managedfields/internal``).
One difference, for speed: an object that the sandbox's own controllers and kubelets made has no owners until somebody applies to it; then
what it has belongs to ``before-first-apply``, as Kubernetes has it for objects older than this bookkeeping.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from chaosfw.sandbox.apiserver import errors
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.kinds.row import Kind
from chaosfw.sandbox.objects import moments
from chaosfw.sandbox.schema import fields
from chaosfw.sandbox.schema.fields import Path
from chaosfw.timing import SYSTEM

BEFORE: Final = "before-first-apply"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
MOST_UPDATERS: Final = 10
_APPLY, _UPDATE = "Apply", "Update"
_REPLICAS: Final = ("f:spec", "f:replicas")
_NOBODYS: Final[frozenset[Path]] = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "clusterName",
                "generation",
                "managedFields",
                "resourceVersion",
            )
        ),
    }
)


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """Who, by which verb, through which door. Whoever applies is the same one in every version."""

    manager: str
    operation: str
    version: str
    subresource: str = ""

    @property
    def identity(self) -> str:
        """By which Kubernetes orders them."""
        told = {"manager": self.manager, "operation": self.operation, "apiVersion": self.version, "subresource": self.subresource}
        return json.dumps({key: value for key, value in told.items() if value}, separators=(",", ":"))

    def __str__(self) -> str:
        door = f' with subresource "{self.subresource}"' if self.subresource else ""
        return f'"{self.manager}"{door}' + (f" using {self.version}" if self.operation == _UPDATE else "")


@dataclass(frozen=True, slots=True)
class Share:
    """What one of them owns, and since when."""

    paths: set[Path]
    version: str
    time: str = ""


Shares = dict[Owner, Share]


class _ConflictError(Exception):
    def __init__(self, found: Mapping[Owner, set[Path]]) -> None:
        super().__init__(found)
        self.found = found


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write as its owner sees it. ``manager`` empty: nobody who counts, who takes nothing over."""

    row: Kind
    manager: str
    subresource: str = ""
    force: bool = False

    @property
    def schema(self) -> fields.Schema:
        return self.row.structure

    @property
    def ignored(self) -> tuple[Path, ...]:
        """What this door does not change, whatever is said."""
        if self.subresource == "status":
            kept = (("f:metadata",),) if self.row.custom else tuple(("f:metadata", f"f:{name}") for name in self.row.status_keeps)
            return (("f:spec",), *kept)
        return (("f:status",),) if self.row.has_status else ()

    def owner(self, operation: str) -> Owner:
        version = self.row.api_version if operation == _UPDATE else ""
        return Owner(self.manager, operation, version, self.subresource)


def created(write: Write, obj: Object) -> list[Object]:
    """The entries of a new object, which is as its author said it, with defaults."""
    if not write.manager:
        return []
    return _encode(_updated(write, _zero(write.row), obj, {}).items())


def updated(write: Write, old: Object, new: Object, said: list[Any] | None) -> list[Object]:
    """The entries after a change that was no apply. ``said``: those that the author sent along."""
    shares = _decoded(old["metadata"].get("managedFields"))
    if said is not None and not write.subresource:
        if said in ([], [{}]):
            return []
        shares = _decoded(said) or shares
    if write.subresource == "scale":
        return _encode(_scaled(write, old, new, shares))
    return _encode(_updated(write, old, new, shares).items()) if shares else []


def applied(write: Write, live: Object | None, config: Object) -> tuple[Object, list[Object]]:
    """
    The object after an apply, and its entries. Raises ApiError 409 for fields that others own and that would change, 400 and 500 for
    what cannot be applied.
    """
    _check(write, config)
    start = live or _zero(write.row)
    shares = _decoded(start.get("metadata", {}).get("managedFields"))
    start = _unowned(start)
    try:
        obj, shares = _apply(write, start, config, shares)
    except _ConflictError as conflict:
        allowed = _allowed(write, start) if write.manager == "kubectl" else set()
        left = {owner: paths - allowed for owner, paths in conflict.found.items() if paths - allowed}
        if left:
            raise _refusal(left) from conflict
        obj, shares = _apply(replace(write, force=True), start, config, shares)
    if write.manager == "kubectl" and (obj.get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED):
        obj["metadata"] = {**obj["metadata"], "annotations": {**obj["metadata"]["annotations"], LAST_APPLIED: _last_applied(config)}}
    return obj, _encode(shares.items())


def timeless(entries: Iterable[Object]) -> list[Object]:
    """Entries as far as they count: that one owns again what it has is no change."""
    return [{key: value for key, value in one.items() if key != "time"} for one in entries]


# --- the bookkeeping


def _updated(write: Write, old: Object, new: Object, shares: Shares) -> Shares:
    change = fields.compare(_unowned(old), _unowned(new), write.schema).but(write.ignored)
    taken = change.added | change.modified
    left = {owner: replace(share, paths=share.paths - taken - change.removed) for owner, share in shares.items()}
    if mine := taken - _NOBODYS:
        owner = replace(write, manager=write.manager or "unknown").owner(_UPDATE)
        before = left[owner].paths if owner in left else set()
        left[owner] = Share(mine | before, write.row.api_version, _now())
    return _capped({owner: share for owner, share in left.items() if share.paths})


def _scaled(write: Write, old: Object, new: Object, shares: Shares) -> list[tuple[Owner, Share]]:
    """
    What a scale makes of the owners, with the traps of ``managedfields/scalehandler.go``: its owner has no time; a scale to nothing has
    no owner, nor has the next one then; one that changes nothing leaves its updater a second entry under the same name, which is lost
    with the next write.
    """
    changed = old["spec"].get("replicas") != new["spec"].get("replicas")
    found: list[tuple[Owner, Share]] = []
    for owner, share in shares.items():
        if _REPLICAS not in share.paths or (owner.operation == _APPLY and not changed):
            found.append((owner, share))
            continue
        if rest := share.paths - {_REPLICAS}:
            found.append((owner, replace(share, paths=rest)))
        if not changed:
            found.append((owner, Share({_REPLICAS}, share.version)))
    owned = any(_REPLICAS in share.paths for share in shares.values())
    if owned and changed and new["spec"].get("replicas"):
        found.append((write.owner(_UPDATE), Share({_REPLICAS}, write.row.api_version)))
    return found


def _capped(shares: Shares) -> Shares:
    """Of more than ten updaters the oldest become one."""
    updaters = sorted((owner for owner in shares if owner.operation == _UPDATE), key=lambda owner: (shares[owner].time, owner))
    over = len(updaters) - MOST_UPDATERS
    if over <= 0:
        return shares
    old = updaters[: over + 1]
    bucket = Owner("ancient-changes", _UPDATE, old[0].version)
    paths = set[Path]().union(*(shares[owner].paths for owner in old))
    kept = {owner: share for owner, share in shares.items() if owner not in old}
    return {**kept, bucket: Share(paths, old[0].version, shares[old[-1]].time)}


def _apply(write: Write, live: Object, config: Object, shares: Shares) -> tuple[Object, Shares]:
    if not shares and live.get("metadata", {}).get("uid"):
        first = replace(write, manager=BEFORE, force=False)
        shares = _updated(first, _zero(write.row), live, {})
    owner, schema = write.owner(_APPLY), write.schema
    before = shares.get(owner, Share(set(), write.row.api_version))
    mine = fields.outside(fields.of(config, schema), write.ignored)
    everybody = {**shares, owner: Share(mine, write.row.api_version)}
    obj = fields.merged(live, config, schema)
    if before.paths:
        obj = _pruned(obj, everybody, before.paths, schema)
    change = fields.compare(live, obj, schema).but(write.ignored)
    others = {one: share for one, share in everybody.items() if one != owner}
    found = {one: share.paths & (change.added | change.modified) for one, share in others.items()}
    if not write.force and any(found.values()):
        raise _ConflictError({one: paths for one, paths in found.items() if paths})
    left = {one: replace(share, paths=share.paths - found[one] - change.removed) for one, share in others.items()}
    left[owner] = Share(mine - _NOBODYS, write.row.api_version, before.time if obj == live else _now())
    return obj, {one: share for one, share in left.items() if share.paths}


def _pruned(obj: Object, everybody: Shares, last: set[Path], schema: fields.Schema) -> Object:
    """Without what its owner applied last time and does not apply now, unless somebody else owns it."""
    owned = fields.with_named(set[Path]().union(*(share.paths for share in everybody.values())), schema)
    last = fields.with_named(last, schema)
    has = fields.with_named(fields.of(obj, schema), schema)
    bare = fields.without(obj, last, schema) or {}
    kept = fields.with_named(fields.of(bare, schema), schema)
    pruned = fields.without(obj, has - (kept | owned), schema) or {}
    remains = fields.with_named(fields.of(pruned, schema), schema)
    return fields.without(obj, (has - remains) & last, schema) or {}


def _allowed(write: Write, live: Object) -> set[Path]:
    """What kubectl's own client-side apply has set and is so still: its server-side apply may take it over."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    try:
        last = json.loads(text or "")
    except ValueError:
        return set()
    if last.get("apiVersion") != write.row.api_version:
        return set()
    change = fields.compare(last, live, write.schema)
    return fields.of(last, write.schema) - change.modified - change.added - change.removed


def _last_applied(config: Object) -> str:
    metadata = dict(config.get("metadata") or {})
    notes = {key: value for key, value in (metadata.pop("annotations", None) or {}).items() if key != LAST_APPLIED}
    told = {**config, "metadata": {**metadata, **({"annotations": notes} if notes else {})}}
    return json.dumps(told, sort_keys=True, separators=(",", ":")) + "\n"


def _check(write: Write, config: Object) -> None:
    row = write.row
    if (config.get("apiVersion"), config.get("kind")) != (row.api_version, row.kind):
        group, _, version = str(config.get("apiVersion", "")).rpartition("/")
        raise errors.bad_request(f"invalid object type: {group}/{version}, Kind={config.get('kind', '')}")
    metadata = config.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise errors.bad_request("metadata.managedFields must be nil")
    if wrong := fields.misfits(config, write.schema):
        told = wrong[0] if len(wrong) == 1 else "errors:\n" + "\n".join(f"  {one}" for one in wrong)
        raise ApiError(500, "", f"failed to create typed patch object ({_named(row, config)}): {told}")


def unreadable(row: Kind, config: Object, why: str) -> ApiError:
    """Of a body that merges but is no such object."""
    what = f"unable to convert unstructured object to {_gvk(row)}: error decoding from json: {why}"
    return ApiError(500, "", f"failed to convert new object ({_named(row, config)}) to proper version: {what}")


def _named(row: Kind, config: Object) -> str:
    metadata = config.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {_gvk(row)}"


def _gvk(row: Kind) -> str:
    return f"{row.group}/{row.version}, Kind={row.kind}"


def _refusal(found: Mapping[Owner, set[Path]]) -> ApiError:
    told = [(owner, path) for owner in sorted(found, key=lambda owner: owner.identity) for path in fields.in_order(found[owner])]
    if len(told) == 1:
        message = f"Apply failed with 1 conflict: conflict with {told[0][0]}: {fields.shown(told[0][1])}"
    else:
        lines = []
        for owner in sorted(found, key=lambda owner: owner.identity):
            lines += [f"conflicts with {owner}:", *(f"- {fields.shown(path)}" for path in fields.in_order(found[owner]))]
        message = f"Apply failed with {len(told)} conflicts: " + "\n".join(lines)
    causes = [{"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": fields.shown(path)} for owner, path in told]
    return ApiError(409, "Conflict", message, details={"causes": causes})


# --- on the wire


def _encode(shares: Iterable[tuple[Owner, Share]]) -> list[Object]:
    order = sorted(shares, key=lambda one: (one[0].operation, one[1].time, one[0].manager, one[1].version, one[0].subresource))
    return [
        {
            "manager": owner.manager,
            "operation": owner.operation,
            "apiVersion": share.version,
            **({"time": share.time} if share.time else {}),
            "fieldsType": "FieldsV1",
            "fieldsV1": fields.encode(share.paths),
            **({"subresource": owner.subresource} if owner.subresource else {}),
        }
        for owner, share in order
    ]


def _decoded(entries: Any) -> Shares:
    """Empty where they are not what they have to be."""
    found: Shares = {}
    for one in entries or ():
        operation, version = one.get("operation"), one.get("apiVersion", "")
        owned = one.get("fieldsV1") or {}
        if operation not in (_APPLY, _UPDATE) or not version or one.get("fieldsType") != "FieldsV1" or not isinstance(owned, dict):
            return {}
        owner = Owner(one.get("manager", ""), operation, version if operation == _UPDATE else "", one.get("subresource", ""))
        found[owner] = Share(fields.decode(owned), version, one.get("time", ""))
    return found


def _unowned(obj: Object) -> Object:
    metadata = obj.get("metadata") or {}
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _zero(row: Kind) -> Object:
    found: Object = fields.zero(row.type.name) if row.type else {}
    return {**found, "apiVersion": row.api_version, "kind": row.kind}


def _now() -> str:
    return moments.stamp(SYSTEM.wall_ns())
