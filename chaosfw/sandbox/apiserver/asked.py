"""
What a request asks for besides its object: options in the query, and in the body of a deletion, checked as Kubernetes checks them.

Called by the exchange, before anything is read or written. Refusals are ApiErrors in Kubernetes' words; objects are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chaosfw.sandbox.apiserver import errors
from chaosfw.sandbox.apiserver.verbs import DeleteOptions, PatchForm
from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.row import Cause, forbidden, invalid, required, unsupported

_MATCH: Final = "resourceVersionMatch"
_NEWER: Final = "NotOlderThan"
_MATCHES: Final = ("Exact", _NEWER, "")
_VALIDATIONS: Final = ("", "Ignore", "Strict", "Warn")
_PROPAGATIONS: Final = ("Foreground", "Background", "Orphan")
_OPTIONS: Final = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}

Query = Mapping[str, str]
"""The last of what is said more than once, but for ``dry``: each ``dryRun``."""


def number(query: Query, name: str) -> int:
    """A whole number of the query; 0 where it is not said."""
    text = query.get(name) or "0"
    try:
        return int(text)
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def check_list(query: Query, *, watching: bool) -> None:
    """Of a list or a watch."""
    if causes := _of_watch(query) if watching else _of_list(query):
        raise errors.bad_options(causes, of="ListOptions")


def _of_list(query: Query) -> list[Cause]:
    match, version, causes = query.get(_MATCH, ""), query.get("resourceVersion", ""), []
    if match and not version:
        causes.append(forbidden(_MATCH, f"{_MATCH} is forbidden unless resourceVersion is provided"))
    if match and query.get("continue"):
        causes.append(forbidden(_MATCH, f"{_MATCH} is forbidden when continue is provided"))
    if match not in _MATCHES:
        causes.append(unsupported(_MATCH, match, _MATCHES))
    if match == "Exact" and version == "0":
        causes.append(forbidden(_MATCH, f'{_MATCH} "exact" is forbidden for resourceVersion "0"'))
    if query.get("sendInitialEvents"):
        causes.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return causes


def _of_watch(query: Query) -> list[Cause]:
    match, initial, causes = query.get(_MATCH, ""), query.get("sendInitialEvents"), []
    if initial and match != _NEWER:
        causes.append(forbidden(_MATCH, f"sendInitialEvents requires setting {_MATCH} to {_NEWER}"))
    if match and not initial:
        causes.append(forbidden(_MATCH, f"{_MATCH} is forbidden for watch unless sendInitialEvents is provided"))
    if match and match != _NEWER:
        causes.append(unsupported(_MATCH, match, (_NEWER,)))
    if match and query.get("continue"):
        causes.append(forbidden(_MATCH, f"{_MATCH} is forbidden when continue is provided"))
    return causes


def check_write(query: Query, *, dry: list[str], method: str, form: PatchForm | None = None) -> None:
    """Of a creation, a replacement or a patch in this form."""
    causes: list[Cause] = []
    if form == "apply" and not query.get("fieldManager"):
        causes.append(required("fieldManager", "is required for apply patch"))
    if form not in (None, "apply") and "force" in query:
        causes.append(forbidden("force", "may not be specified for non-apply patch"))
    causes += _of_dry_run(dry)
    if query.get("fieldValidation", "") not in _VALIDATIONS:
        causes.append(unsupported("fieldValidation", query["fieldValidation"], _VALIDATIONS))
    if causes:
        raise errors.bad_options(causes, of=_OPTIONS[method])


def _of_dry_run(said: list[str]) -> list[Cause]:
    if all(one == "All" for one in said):
        return []
    listed = ",".join(f'"{one}"' for one in said)
    return [Cause("FieldValueNotSupported", "dryRun", f'Unsupported value: [{listed}]: supported values: "All"')]


def delete_options(body: Object, query: Query, *, dry: list[str]) -> DeleteOptions:
    """The query counts only where there is no body."""
    told: Mapping[str, Any] = body or query
    grace, conditions = told.get("gracePeriodSeconds"), body.get("preconditions") or {}
    dry = [*(body.get("dryRun") or ()), *dry]
    propagation, orphans = str(told.get("propagationPolicy") or ""), told.get("orphanDependents")
    causes: list[Cause] = []
    if propagation and orphans is not None:
        causes.append(invalid("propagationPolicy", propagation, "orphanDependents and deletionPropagation cannot be both set"))
    if propagation not in ("", *_PROPAGATIONS):
        causes.append(unsupported("propagationPolicy", propagation, (*_PROPAGATIONS, "nil")))
    if causes := causes + _of_dry_run(dry):
        raise errors.bad_options(causes)
    return DeleteOptions(
        grace=None if grace in (None, "") else int(str(grace)),
        propagation=propagation or {"true": "Orphan", "false": "Background"}.get(str(orphans).lower(), ""),
        uid=conditions.get("uid") or "",
        version=conditions.get("resourceVersion") or "",
        dry_run="All" in dry,
    )
