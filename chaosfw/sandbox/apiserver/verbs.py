"""
Get, list, create, update, patch, delete over the store: what every door (HTTPS, the local client) calls.

Everything here is synchronous, so each verb is one step of the event loop and sees no half-done write. The verbs know
kinds only by their rows; doors with behaviour of their own are in ``subresources``. Nothing here knows HTTP.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from chaosfw.sandbox.apiserver import errors, ownership, writing
from chaosfw.sandbox.apiserver.admission import Admission
from chaosfw.sandbox.apiserver.ownership import Write
from chaosfw.sandbox.apiserver.scope import Scope
from chaosfw.sandbox.apiserver.store import Entry, Key, Store, TooOldError, entry, unstored
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.kinds import custom
from chaosfw.sandbox.kinds.custom import DEFINITION
from chaosfw.sandbox.kinds.registry import Registry
from chaosfw.sandbox.kinds.row import Kind, read
from chaosfw.sandbox.objects import moments, patch
from chaosfw.timing import NANOSECONDS, SYSTEM

PatchForm = Literal["merge", "json", "strategic", "apply"]
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
IMMORTAL = ("default", "kube-system", "kube-public")
"""Namespaces that no cluster lets go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """
    What a client may ask of a write. ``validation``: Strict, Warn or Ignore. ``manager``: who will own what it changes; ``force``: an
    apply takes over what others own; ``door``: the subresource it comes through, where that is not the one it changes.
    """

    dry_run: bool = False
    validation: str = "Ignore"
    manager: str = ""
    force: bool = False
    door: str = ""

    def write(self, row: Kind, *, status: bool = False) -> Write:
        """As its owner sees it."""
        return Write(row=row, manager=self.manager, subresource="status" if status else self.door, force=self.force)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """What a client may ask of a deletion. ``grace`` None: the object's own."""

    grace: int | None = None
    propagation: str = ""
    uid: str = ""
    version: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write did. ``gone``: the object is no longer stored."""

    entry: Entry
    created: bool = False
    gone: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A list, or a part of it: ``more`` is the token of the next part."""

    entries: list[Entry]
    version: int
    more: str = ""
    remaining: int | None = None


class Verbs:
    """The verbs over one store."""

    def __init__(self, store: Store, registry: Registry, admission: Admission) -> None:
        self.store = store
        self.registry = registry
        self._admission = admission

    # --- reading

    def get(self, row: Kind, namespace: str, name: str) -> Entry:
        found = self.store.get(resource_of(row), _key(row, namespace, name))
        if found is None:
            raise errors.not_found(row, name)
        return found

    def page(self, scope: Scope, *, limit: int = 0, token: str = "", version: int = 0) -> Page:
        """Pages of one list show the store as it was at the first."""
        after: Key | None = None
        if token:
            version, after = _read_token(token)
        at = version or self.store.version
        found = self._entries_at(scope, at if token else 0)
        if after is not None:
            found = [(key, one) for key, one in found if key > after]
        if not limit or len(found) <= limit:
            return Page([one for _, one in found], at)
        shown = found[:limit]
        remaining = None if scope.selective else len(found) - limit
        return Page([one for _, one in shown], at, _make_token(at, shown[-1][0]), remaining)

    def _entries_at(self, scope: Scope, version: int) -> list[tuple[Key, Entry]]:
        resource = resource_of(scope.row)
        if version:
            try:
                everything = self.store.at(resource, version)
            except TooOldError as error:
                why = "The provided continue parameter is too old to display a consistent list result. You can start a new list without it"
                raise errors.expired(why) from error
        else:
            everything = [
                ((_meta(one, "namespace"), _meta(one, "name")), one) for one in self.store.all(resource, namespace=scope.namespace)
            ]
        return [(key, one) for key, one in everything if scope.has(key, one.obj)]

    # --- writing

    def create(self, row: Kind, namespace: str, body: Object, options: WriteOptions = WriteOptions()) -> Outcome:  # frozen
        if row.view:
            fitted = writing.fit(row, body, validation=options.validation)
            return self.create(self._behind(row), namespace, row.view.write(fitted.obj), replace(options, validation="Ignore"))
        draft = writing.fit(row, body, validation=options.validation)
        with _told(draft):
            return self._create(row, namespace, draft, options)

    def _create(self, row: Kind, namespace: str, draft: writing.Draft, options: WriteOptions, *, named: str = "") -> Outcome:
        """``named``: the version that the author takes it to have, who sees it again in a dry run."""
        generated = not draft.obj["metadata"].get("name")
        write = options.write(row)
        obj = writing.prepare_new(row, draft, namespace=namespace, admission=self._admission, write=write)
        while generated and self.store.get(row.resource, _key_of(row, obj)):
            draft.obj["metadata"]["name"] = ""
            obj = writing.prepare_new(row, draft, namespace=namespace, admission=self._admission, write=write)
        if there := self.store.get(row.resource, _key_of(row, obj)):
            raise errors.already_exists(row, obj["metadata"]["name"], going=bool(there.obj["metadata"].get("deletionTimestamp")))
        version = int(named) if named.isdigit() else 0
        stored = self._store(row, obj, options.dry_run, version=version)
        if row is DEFINITION and not options.dry_run:
            self._establish(stored.obj)
        return Outcome(stored, created=True, warnings=tuple(draft.warnings))

    def update(
        self,
        row: Kind,
        namespace: str,
        name: str,
        body: Object,
        options: WriteOptions = WriteOptions(),  # frozen
        *,
        status: bool = False,
    ) -> Outcome:
        """Replaces. A resourceVersion or uid in the body must be the stored one's."""
        if row.view:
            return self.update(self._behind(row), namespace, name, row.view.write(body), options)
        draft = writing.fit(row, body, validation=options.validation)
        with _told(draft):
            return self._update(row, namespace, name, draft, options, status=status)

    def _update(self, row: Kind, namespace: str, name: str, draft: writing.Draft, options: WriteOptions, *, status: bool) -> Outcome:
        metadata = draft.obj["metadata"]
        if metadata.get("name") not in (None, "", name):
            raise errors.other_name(metadata["name"], name)
        if row.made_by_update and not status and self.store.get(row.resource, _key(row, namespace, name)) is None:
            if metadata.get("uid"):
                raise errors.not_that_one(row, namespace, name, wanted=metadata["uid"], have="", dry_run=options.dry_run)
            metadata["name"] = name
            return self._create(row, namespace, draft, options, named=metadata.pop("resourceVersion", ""))
        old = self.get(row, namespace, name)
        if metadata.get("resourceVersion") not in (None, "", "0", str(old.version)):
            raise errors.conflict(row, name)
        if metadata.get("uid") not in (None, "", old.obj["metadata"]["uid"]):
            uid = old.obj["metadata"]["uid"]
            raise errors.not_that_one(row, namespace, name, wanted=metadata["uid"], have=uid, dry_run=options.dry_run)
        if row.needs_version and not metadata.get("resourceVersion"):
            raise errors.version_needed(row, name)
        obj = writing.prepare_change(row, draft, old.obj, admission=self._admission, write=options.write(row, status=status))
        return self._changed(row, obj, old, options, tuple(draft.warnings))

    def patch(
        self,
        row: Kind,
        namespace: str,
        name: str,
        body: Any,
        form: PatchForm,
        options: WriteOptions = WriteOptions(),  # frozen
        *,
        status: bool = False,
    ) -> Outcome:
        """Applies a patch to what is stored now."""
        if form == "apply" and not row.view:
            return self._apply(row, namespace, name, body, options, status=status)
        old = self.get(row, namespace, name)
        start = row.view.read(old.copy()) if row.view else old.copy()
        changed = apply_patch(row, start, body, form)
        if not isinstance(changed, dict) or not isinstance(changed.get("metadata"), dict):
            raise errors.bad_request("the patch leaves no object")
        try:
            return self.update(row, namespace, name, changed, options, status=status)
        except writing.UnfitError as error:
            raise errors.bad_patch(error.why) from error

    def _apply(self, row: Kind, namespace: str, name: str, body: Any, options: WriteOptions, *, status: bool) -> Outcome:
        """Server-side apply: what is missing is created; what its owner does not say again is gone."""
        if not isinstance(body, dict):
            raise errors.bad_request("error decoding patch: the body is not an object")
        old = self.store.get(resource_of(row), _key(row, namespace, name))
        if old is None and status:
            raise errors.not_found(row, name)
        obj, owned = ownership.applied(options.write(row, status=status), old.copy() if old else None, body)
        try:
            draft = writing.fit(row, obj, validation="Ignore")
        except writing.UnfitError as error:
            raise ownership.unreadable(row, body, error.why) from error
        draft.said, draft.owned = None, owned
        with _told(draft):
            if old is not None:
                return self._update(row, namespace, name, draft, options, status=status)
            metadata = draft.obj["metadata"]
            if metadata.setdefault("name", name) != name:
                raise errors.other_name(metadata["name"], name)
            if metadata.get("uid"):
                raise errors.no_such_uid(row, name, metadata["uid"])
            return self._create(row, namespace, draft, options, named=metadata.pop("resourceVersion", ""))

    def change(self, row: Kind, namespace: str, name: str, edit: Callable[[Object], None]) -> Outcome:
        """A change by the server itself, past admission and checks: ``edit`` gets a copy."""
        old = self.get(row, namespace, name)
        obj = old.copy()
        edit(obj)
        return self._changed(row, obj, old, WriteOptions(), ())

    def _changed(self, row: Kind, obj: Object, old: Entry, options: WriteOptions, warnings: tuple[str, ...]) -> Outcome:
        if writing.is_same(obj, old.obj):
            return Outcome(old, warnings=warnings)
        if _may_go(row, obj) and not options.dry_run:
            removed = self._remove(row, _key_of(row, obj))
            return Outcome(entry(obj, removed.version), gone=True, warnings=warnings)
        return Outcome(self._store(row, obj, options.dry_run, version=old.version), warnings=warnings)

    def _store(self, row: Kind, obj: Object, dry_run: bool, *, version: int) -> Entry:
        """``version``: what it has now, for whoever only asks what would be; 0: none."""
        if dry_run:
            return entry(obj, version) if version else unstored(obj)
        stored = self.store.put(row.resource, _key_of(row, obj), obj)
        if row is DEFINITION and custom.is_served(stored.obj):
            self._define(stored.obj)
        return stored

    def _remove(self, row: Kind, key: Key) -> Entry:
        if row is DEFINITION:
            definition = self.store.get(row.resource, key)
            if definition is not None:
                self._undefine(definition.obj)
        return self.store.remove(row.resource, key)

    # --- deleting

    def delete(self, row: Kind, namespace: str, name: str, options: DeleteOptions = DeleteOptions()) -> Outcome:  # frozen
        """At once, or marked and left to finalizers and to the kubelet."""
        if row.view:
            return self.delete(self._behind(row), namespace, name, options)
        if row.resource == "namespaces" and name in IMMORTAL:
            raise errors.forbidden(row, name, "this namespace may not be deleted")
        old = self.get(row, namespace, name)
        _check_preconditions(row, name, old, options)
        obj = old.copy()
        silent = not options.propagation
        _add_finalizer(obj, "Orphan" if row.orphans and silent and not _waits_for_collector(obj) else options.propagation)
        grace = _grace(row, obj, options)
        if row is DEFINITION:
            custom.end(obj)
        gone = grace == 0 and not _finalizers(row, obj)
        _mark(row, obj, grace)
        if options.dry_run:
            return Outcome(old if gone and row.grace is None else entry(obj, old.version), gone=gone)
        if gone:
            if row.grace is not None and not writing.is_same(obj, old.obj):
                self._store(row, obj, False, version=old.version)  # those that watch see it marked first
            return Outcome(self._remove(row, _key_of(row, obj)), gone=True)
        outcome = Outcome(old if writing.is_same(obj, old.obj) else self._store(row, obj, False, version=old.version))
        if row is DEFINITION:
            self._clean_up(name)
        return outcome

    def delete_collection(self, scope: Scope, options: DeleteOptions) -> list[Entry]:
        """The objects as they were; those that vanish in between are left out."""
        page = self.page(scope)
        for one in page.entries:
            self.delete(scope.row, _meta(one, "namespace"), _meta(one, "name"), options)
        return page.entries

    # --- definitions of custom resources

    def _establish(self, definition: Object) -> None:
        """What a real one does in the seconds after, in controllers of its own."""
        itself, change = WriteOptions(manager="kube-apiserver"), {"status": custom.established(definition)}
        self.patch(DEFINITION, "", definition["metadata"]["name"], change, "merge", itself, status=True)

    def _clean_up(self, name: str) -> None:
        """A definition that is to go takes its objects along."""

        def let_go(obj: Object) -> None:
            obj["metadata"]["finalizers"] = [one for one in obj["metadata"].get("finalizers", ()) if one != custom.CLEANUP]

        self.change(DEFINITION, "", name, let_go)

    def _define(self, definition: Object) -> None:
        self.registry.remove(group=definition["spec"]["group"], plural=definition["spec"]["names"]["plural"])
        for row in custom.rows(definition):
            self.registry.add(row)

    def _undefine(self, definition: Object) -> None:
        group, plural = definition["spec"]["group"], definition["spec"]["names"]["plural"]
        resource = f"{plural}.{group}"
        for one in list(self.store.all(resource)):
            self.store.remove(resource, (_meta(one, "namespace"), _meta(one, "name")))
        self.registry.remove(group=group, plural=plural)

    def _behind(self, row: Kind) -> Kind:
        behind = self.registry.by_resource(row.view.resource) if row.view else row
        assert behind is not None, f"{row.resource} is a view of nothing"
        return behind


@contextmanager
def _told(draft: writing.Draft) -> Iterator[None]:
    """A refusal carries what the author was to be warned of."""
    try:
        yield
    except ApiError as refusal:
        refusal.warnings = tuple(draft.warnings)
        raise


def resource_of(row: Kind) -> str:
    """Where the kind's objects are stored."""
    return row.view.resource if row.view else row.resource


def apply_patch(row: Kind, target: Object, body: Any, form: PatchForm) -> Object:
    """The patched object; raises ApiError 415 for a strategic patch of a custom resource, 400 or 422 for what cannot be applied."""
    if form == "strategic" and not row.strategic:
        raise errors.unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, "
            "application/merge-patch+json, application/apply-patch+yaml"
        )
    try:
        if form == "json":
            return dict(patch.json_patch(target, body))
        if form == "merge" or (form == "apply" and not row.strategic):
            return dict(patch.merge(target, body))
        return dict(patch.strategic(target, body, row.type))
    except patch.PatchError as error:
        if form == "json":
            raise errors.rejected() from error
        raise (ApiError(500, "", str(error)) if isinstance(error, patch.KeylessError) else errors.bad_request(str(error))) from error


def _meta(one: Entry, field: str) -> str:
    return str(one.obj["metadata"].get(field, ""))


def _key(row: Kind, namespace: str, name: str) -> Key:
    return (namespace if row.namespaced else "", name)


def _key_of(row: Kind, obj: Object) -> Key:
    return _key(row, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def _check_preconditions(row: Kind, name: str, old: Entry, options: DeleteOptions) -> None:
    uid = old.obj["metadata"]["uid"]
    if options.uid and options.uid != uid:
        raise errors.precondition(row, name, field="UID", wanted=options.uid, have=uid)
    if options.version and options.version != str(old.version):
        raise errors.precondition(row, name, field="ResourceVersion", wanted=options.version, have=str(old.version))


def _waits_for_collector(obj: Object) -> bool:
    return bool({FOREGROUND, ORPHAN} & set(obj["metadata"].get("finalizers", ())))


def _add_finalizer(obj: Object, propagation: str) -> None:
    wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(propagation)
    kept = [name for name in obj["metadata"].get("finalizers", ()) if name not in (FOREGROUND, ORPHAN) or not propagation]
    if wanted:
        kept.append(wanted)
    if kept:
        obj["metadata"]["finalizers"] = kept
    else:
        obj["metadata"].pop("finalizers", None)


def _grace(row: Kind, obj: Object, options: DeleteOptions) -> int:
    """Seconds still granted: never longer than what an earlier deletion granted."""
    if row.grace is None:
        return 0
    own = row.grace(obj)
    asked = own if options.grace is None or own == 0 else options.grace
    granted = obj["metadata"].get("deletionGracePeriodSeconds")
    return asked if granted is None else min(asked, granted) if options.grace is not None else granted


def _mark(row: Kind, obj: Object, grace: int) -> None:
    metadata = obj["metadata"]
    earlier = metadata.get("deletionGracePeriodSeconds")
    if metadata.get("deletionTimestamp") and (earlier is None or earlier <= grace):
        return
    metadata["deletionTimestamp"] = moments.stamp(SYSTEM.wall_ns() + grace * NANOSECONDS)
    if row.resource != "namespaces" and row is not DEFINITION:
        metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation") and earlier is None and row is not DEFINITION:
        metadata["generation"] += 1
    if row.resource == "namespaces":
        obj["status"] = {**obj.get("status", {}), "phase": "Terminating"}


def _finalizers(row: Kind, obj: Object) -> list[str]:
    own = read(obj, "spec.finalizers", []) if row.resource == "namespaces" else []
    return [*obj["metadata"].get("finalizers", ()), *own]


def _may_go(row: Kind, obj: Object) -> bool:
    metadata = obj["metadata"]
    return bool(metadata.get("deletionTimestamp")) and not metadata.get("deletionGracePeriodSeconds") and not _finalizers(row, obj)


def _make_token(version: int, after: Key) -> str:
    return urlsafe_b64encode(json.dumps([version, *after]).encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, Key]:
    try:
        said = urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("latin-1")
    except ValueError as error:
        raise errors.bad_token(str(error)) from error
    try:
        found = json.loads(said)
    except ValueError as error:
        first = ascii(said[:1])[1:-1].replace("\\x", "\\u00")
        raise errors.bad_token(f"invalid character '{first}' looking for beginning of value") from error
    if not isinstance(found, list) or len(found) != 3:
        kind = {dict: "object", list: "array", str: "string", bool: "bool"}.get(type(found), "number")
        raise errors.bad_token(f"json: cannot unmarshal {kind} into Go value of type storage.continueToken")
    version, namespace, name = found
    return int(version), (namespace, name)
