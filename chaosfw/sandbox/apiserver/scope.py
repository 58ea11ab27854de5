"""
What a list or a watch is about: a kind, perhaps one namespace, perhaps selectors. Parsed once a request.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosfw.sandbox.apiserver import errors
from chaosfw.sandbox.apiserver.store import Change, Entry, Key, entry
from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.row import Kind
from chaosfw.sandbox.objects import selectors
from chaosfw.sandbox.objects.selectors import FieldClause, LabelSelector

_ALWAYS = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True, slots=True)
class Scope:
    """Tells which entries belong, and what a change means to someone who sees only these."""

    row: Kind
    namespace: str
    labels: LabelSelector
    fields: tuple[FieldClause, ...]

    @property
    def selective(self) -> bool:
        return bool(self.labels or self.fields)

    def has(self, key: Key, obj: Object) -> bool:
        if self.namespace and key[0] != self.namespace:
            return False
        if self.labels and not self.labels.matches(obj["metadata"].get("labels")):
            return False
        if not self.fields:
            return True
        seen = self.row.view.read(obj) if self.row.view else obj
        return selectors.fields_match(self.fields, lambda name: self.row.read_field(seen, name))

    def event(self, change: Change) -> tuple[str, Entry] | None:
        """Entering the selection is ADDED, leaving it is DELETED (as it was, with the version of the change), else MODIFIED."""
        before = change.old is not None and self.has(change.key, change.old.obj)
        after = change.new is not None and self.has(change.key, change.new.obj)
        if before and after:
            return "MODIFIED", change.last
        if after:
            return "ADDED", change.last
        if not before:
            return None
        return "DELETED", change.last if change.new is None or change.old is None else entry(change.old.copy(), change.version)


def scope(row: Kind, *, namespace: str = "", labels: str = "", fields: str = "") -> Scope:
    """Raises ApiError 400 for a selector that cannot be parsed or that the kind does not offer."""
    try:
        parsed = Scope(row, namespace, selectors.parse_labels(labels), selectors.parse_fields(fields))
    except selectors.SelectorError as error:
        raise errors.bad_request(str(error)) from error
    for clause in parsed.fields:
        if clause.field not in row.fields and clause.field not in _ALWAYS:
            always = ", ".join(f'"{name}"' for name in _ALWAYS)
            generic = f'"{clause.field}" is not a known field selector: only {always}'
            own = row.no_such_field or ("field label not supported: {}" if row.fields else "")
            raise errors.bad_request(own.format(clause.field) if own else generic)
    return parsed
