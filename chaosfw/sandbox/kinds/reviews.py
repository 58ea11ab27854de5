"""
Rows of questions: kinds that are only ever created, answered at once and never stored.
"""

from __future__ import annotations

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.row import Cause, Kind, invalid, read
from chaosfw.sandbox.objects import moments
from chaosfw.timing import SYSTEM

_AUTHORIZATION = "authorization.k8s.io"
_EVERYTHING = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {
        "verbs": ["create"],
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    },
    {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
]
_HEALTH = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_PATHS = [
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
    {
        "verbs": ["get"],
        "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", *_HEALTH[:2], "/openapi", "/openapi/*", *_HEALTH[2:]],
    },
    {"verbs": ["get"], "nonResourceURLs": _HEALTH},
]
"""What a cluster administrator may, and everybody who has a name: as a cluster is when it is new."""


def _form(kind: str, plural: str, group: str, *, namespaced: bool = False) -> Kind:
    return Kind(kind=kind, plural=plural, group=group, namespaced=namespaced, verbs=("create",), has_status=False)


ROWS = (
    _form("SelfSubjectAccessReview", "selfsubjectaccessreviews", _AUTHORIZATION),
    _form("SelfSubjectRulesReview", "selfsubjectrulesreviews", _AUTHORIZATION),
    _form("SubjectAccessReview", "subjectaccessreviews", _AUTHORIZATION),
    _form("LocalSubjectAccessReview", "localsubjectaccessreviews", _AUTHORIZATION, namespaced=True),
    _form("SelfSubjectReview", "selfsubjectreviews", "authentication.k8s.io"),
    _form("TokenReview", "tokenreviews", "authentication.k8s.io"),
)


def check(row: Kind, body: Object) -> list[Cause]:
    """What is wrong with a question."""
    spec, causes = body.get("spec") or {}, []
    if row.group == _AUTHORIZATION and row.kind != "SelfSubjectRulesReview":
        if bool(spec.get("resourceAttributes")) == bool(spec.get("nonResourceAttributes")):
            words = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
            causes.append(Cause("FieldValueInvalid", "spec", words))
        if row.kind != "SelfSubjectAccessReview" and not (spec.get("user") or spec.get("groups")):
            causes.append(invalid("spec.user", "", "at least one of user or group must be specified"))
    return causes


def answer(row: Kind, body: Object, *, user: str) -> Object:
    """Whoever has the cluster's token may do everything."""
    status: Object
    if row.kind == "SelfSubjectRulesReview":
        status = {"resourceRules": _EVERYTHING, "nonResourceRules": _PATHS, "incomplete": False}
        body = {**body, "spec": {}}
    elif row.kind == "SelfSubjectReview":
        status = {"userInfo": {"username": user, "uid": user, "groups": ["system:masters", "system:authenticated"]}}
        body = {**body, "metadata": {"creationTimestamp": moments.stamp(SYSTEM.wall_ns())}}
    elif row.kind == "TokenReview":
        status = {"authenticated": bool(read(body, "spec.token")), "user": {"username": user}}
    else:
        status = {"allowed": True}
    return {**body, "kind": row.kind, "apiVersion": row.api_version, "metadata": body.get("metadata") or {}, "status": status}
