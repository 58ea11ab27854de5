"""
Refusals in Kubernetes' own words, and their form on the wire.

Every function makes an :class:`ApiError`; callers raise it. Clients parse these texts, so they are contract.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.kinds.row import Cause, Kind

_REJECTED = "the server rejected our request due to an error in our request"
_NO_RESOURCE = "the server could not find the requested resource"
STRANGE_PATCH = "415: Unsupported Media Type"
_NO_METHOD = "the server does not allow this method on the requested resource"
_WITHOUT_DETAILS = (_REJECTED, _NO_RESOURCE, _NO_METHOD, STRANGE_PATCH)
"""Whose details are told, though there are none."""
_KEYS = {"services": "services/specs", "endpoints": "services/endpoints", "nodes": "minions"}
"""Where an API server keeps them in etcd, if not under their plural."""


def not_found(row: Kind, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{row.resource} "{name}" not found', details=_of(row, name))


def no_such_resource() -> ApiError:
    return ApiError(404, "NotFound", _NO_RESOURCE)


def already_exists(row: Kind, name: str, *, going: bool = False) -> ApiError:
    words = "object is being deleted: " if going else ""
    return ApiError(409, "AlreadyExists", f'{words}{row.resource} "{name}" already exists', details=_of(row, name))


def conflict(row: Kind, name: str) -> ApiError:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {row.resource} "{name}": {why}', details=_of(row, name))


def precondition(row: Kind, name: str, *, field: str, wanted: str, have: str) -> ApiError:
    """Of a deletion."""
    happened = {"UID": "deleted and then recreated", "ResourceVersion": "modified"}[field]
    differs = f"the {field} in the precondition ({wanted}) does not match the {field} in record ({have})"
    why = f"{differs}. The object might have been {happened}"
    details = {**_of(row, name), "kind": row.kind}
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {row.qualified} "{name}": {why}', details=details)


def rejected() -> ApiError:
    """Of a JSON patch that can not be applied: why, a real API server does not say."""
    return ApiError(422, "Invalid", _REJECTED)


def not_that_one(row: Kind, namespace: str, name: str, *, wanted: str, have: str, dry_run: bool) -> ApiError:
    """Of a replacement that names a uid; in the words of the storage under a real API server."""
    key = "/".join(filter(None, (_KEYS.get(row.resource, row.plural), namespace, name)))
    failed = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {have}"
    where = f"{'' if dry_run else '/registry'}/{key}"
    why = f"StorageError: invalid object, Code: 4, Key: {where}, ResourceVersion: 0, AdditionalErrorMsg: {failed}"
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {row.resource} "{name}": {why}', details=_of(row, name))


def other_name(said: str, name: str) -> ApiError:
    return bad_request(f"the name of the object ({said}) does not match the name on the URL ({name})")


def no_such_uid(row: Kind, name: str, uid: str) -> ApiError:
    """Of an apply that would make an object and says its uid."""
    why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {row.resource} "{name}": {why}', details=_of(row, name))


def version_needed(row: Kind, name: str) -> ApiError:
    field, words = "metadata.resourceVersion", "Invalid value: 0: must be specified for an update"
    details = {**_of(row, name), "causes": [{"reason": "FieldValueInvalid", "message": words, "field": field}]}
    return ApiError(422, "Invalid", f'{row.resource} "{name}" is invalid: {field}: {words}', details=details)


def invalid(row: Kind, name: str, causes: Sequence[Cause], *, of_kind: bool = True) -> ApiError:
    """What is wrong twice is told once. ``of_kind`` False: as the server words it for reviews, without the kind."""
    causes = list(dict.fromkeys(causes))
    listed = _listed(causes)
    details: Object = {
        **({"name": name} if name and of_kind else {}),
        **({"kind": row.kind} if of_kind else {}),
        "causes": [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes],
    }
    if row.group:
        details["group"] = row.group
    return ApiError(422, "Invalid", f'{row.qualified if of_kind else f".{row.group}"} "{name}" is invalid: {listed}', details=details)


def bad_options(causes: Sequence[Cause], *, of: str = "DeleteOptions") -> ApiError:
    """Of a list, a write or a deletion."""
    told = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    details: Object = {"group": "meta.k8s.io", "kind": of, "causes": told}
    return ApiError(422, "Invalid", f'{of}.meta.k8s.io "" is invalid: {_listed(causes)}', details=details)


def _listed(causes: Sequence[Cause]) -> str:
    told = [f"{cause.field}: {cause.message}" for cause in causes]
    return told[0] if len(told) == 1 else f"[{', '.join(told)}]"


def bad_version(said: str) -> ApiError:
    return ApiError(500, "", f'resourceVersion: Invalid value: "{said}": strconv.ParseUint: parsing "{said}": invalid syntax')


def bad_token(why: str) -> ApiError:
    """Of the next part of a list."""
    return bad_request(f"invalid continue token: continue key is not valid: {why}")


def bad_patch(why: str) -> ApiError:
    """Of a patch whose outcome is no object of the kind; which object it would have been, the real one prints too."""
    words = f'Invalid value: "...": {why}'
    details: Object = {"causes": [{"reason": "FieldValueInvalid", "message": words, "field": "patch"}]}
    return ApiError(422, "Invalid", f' "" is invalid: patch: {words}', details=details)


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def forbidden(row: Kind, name: str, why: str) -> ApiError:
    return ApiError(403, "Forbidden", f'{row.resource} "{name}" is forbidden: {why}', details=_of(row, name))


def too_large(version: int, *, current: int) -> ApiError:
    """A version that is not there yet: clients wait and ask again."""
    details: Object = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}], "retryAfterSeconds": 1}
    return ApiError(504, "Timeout", f"Timeout: Too large resource version: {version}, current: {current}", details=details)


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", _NO_METHOD)


def unsupported_media_type(message: str) -> ApiError:
    return ApiError(415, "UnsupportedMediaType", message)


def too_many_requests(message: str, *, cause: str) -> ApiError:
    """No retry-after: with it clients retry silently and a drain never says why it waits."""
    details: Object = {"causes": [{"reason": "DisruptionBudget", "message": cause}]} if cause else {}
    return ApiError(429, "TooManyRequests", message, details=details)


def status_of(error: ApiError) -> Object:
    """The Status a client reads."""
    body: Object = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": error.reason,
    }
    if not error.reason:
        del body["reason"]
    if error.details or error.message in _WITHOUT_DETAILS:
        body["details"] = error.details
    return {**body, "code": error.code}


def deleted(row: Kind, name: str, uid: str) -> Object:
    """The Status of a deletion that is done."""
    details = {**_of(row, name), "uid": uid}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _of(row: Kind, name: str) -> Object:
    details = {"name": name, "kind": row.plural}
    return {**details, "group": row.group} if row.group else details
