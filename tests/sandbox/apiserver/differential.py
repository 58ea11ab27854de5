"""
The same random calls to two API servers, ours and the one that Kubernetes ships, and what differs in their answers.

``python -m tests.sandbox.apiserver.differential [EXAMPLES [SEED]]`` prints how many calls were made, how many differed, and each kind of
difference once with the shortest sequence that was seen to lead there. :mod:`.test_differential` runs a fixed part of it; what the real one
answers to that part is kept in :data:`CASSETTE`, so that it can be held against ours where no real one is; ``… differential record``
writes it anew.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import random
import re
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlencode, urlsplit

from tests.sandbox.apiserver.plane import TOKEN, client_context, oracle, plane

Object = dict[str, Any]
SEQUENCES: Final = 120
"""The fixed part."""
WATCHED: Final = 12
"""Of so many sequences one is seen again at its end, by watches of all its resources from its beginning."""
CASSETTE: Final = Path(__file__).with_name("random-calls.json.gz")
MERGE, STRATEGIC, JSON_PATCH = "application/merge-patch+json", "application/strategic-merge-patch+json", "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UNORDERED: Final = ("managedFields", "causes", "resourceRules", "nonResourceRules")
"""Owners of fields stand by the second of their last write, and Go tells conflicts and rules in the order of a map."""
_TIMES: Final = ("time", "creationTimestamp", "deletionTimestamp", "lastTransitionTime", "lastUpdateTime", "startTime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. In ``body`` and ``query`` the words VERSION, OLD and UID stand for what the server said last of ``about``."""

    name: str
    method: str
    path: str
    about: str = ""
    body: Any = None
    content: str = "application/json"
    query: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        query = f"?{urlencode(self.query)}" if self.query else ""
        body = "" if self.body is None else f" {json.dumps(self.body)}"
        return f"{self.method} {self.path}{query}{body}"


class Asked(Protocol):
    """Whoever answers calls."""

    def begin(self, seed: int) -> None:
        """A sequence begins."""
        ...

    def ask(self, call: Call) -> Object:
        """Code, warnings and body, as they came."""
        ...


class Recorder:
    """Another's answers, kept as they are compared, by sequence."""

    def __init__(self, server: Asked) -> None:
        self._server = server
        self.tapes: dict[str, list[Object]] = {}

    def begin(self, seed: int) -> None:
        self._tape = self.tapes.setdefault(str(seed), [])

    def ask(self, call: Call) -> Object:
        answer = self._server.ask(call)
        self._tape.append(normal(answer))
        return answer

    def write(self) -> None:
        content = json.dumps(self.tapes, sort_keys=True, separators=(",", ":")).encode()
        CASSETTE.write_bytes(gzip.compress(content, 9, mtime=0))


class Player:
    """What was kept of them."""

    def __init__(self) -> None:
        self.tapes: dict[str, list[Object]] = json.loads(gzip.decompress(CASSETTE.read_bytes()))

    def begin(self, seed: int) -> None:
        self._tape = iter(self.tapes[str(seed)])

    def ask(self, call: Call) -> Object:
        return next(self._tape)


class Server:
    """One API server, asked over its own wire; remembers versions and uids of what it showed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._connection = self._connect()
        self._known: dict[str, list[tuple[str, str]]] = {}

    def close(self) -> None:
        self._connection.close()

    def begin(self, seed: int) -> None:
        """A sequence of its own: nothing to keep."""

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._host, self._port, context=client_context(), timeout=60)

    def ask(self, call: Call) -> Object:
        """Code, warnings and body, as they came; of a watch its events, by resource and object."""
        if call.name == "watch":
            with ThreadPoolExecutor(len(GROUPS)) as pool:
                found = dict(zip(GROUPS, pool.map(lambda resource: self._events(call, resource), GROUPS), strict=True))
            return {"code": 200, "warnings": [], "body": found}
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json", "Content-Type": call.content}
        body = None if call.body is None else json.dumps(self._fill(call.body, call.about))
        path = f"{call.path}?{urlencode(call.query)}" if call.query else call.path
        self._connection.request(call.method, path, body=body, headers=headers)
        answer = self._connection.getresponse()
        text = answer.read()
        found = json.loads(text) if text.startswith(b"{") else {"text": text.decode(errors="replace")}
        self._note(call.about, found)
        return {"code": answer.status, "warnings": sorted(answer.headers.get_all("Warning") or ()), "body": found}

    def _events(self, call: Call, resource: str) -> Object:
        """All since a version; a second is waited for more."""
        since = self._known[call.about][-1][1]
        query = urlencode({"watch": "1", "resourceVersion": since, "timeoutSeconds": "1"})
        connection = self._connect()
        try:
            path = f"{GROUPS[resource]}/{call.path}/{resource}?{query}"
            connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"})
            lines = [json.loads(line) for line in connection.getresponse().read().splitlines()]
        finally:
            connection.close()
        found: Object = {}
        for line in lines:
            found.setdefault(line["object"]["metadata"]["name"], []).append(line)
        return found

    def _note(self, about: str, body: Object) -> None:
        metadata = body.get("metadata") or {}
        if about and metadata.get("uid") and metadata.get("resourceVersion"):
            self._known.setdefault(about, []).append((metadata["uid"], metadata["resourceVersion"]))

    def _fill(self, value: Any, about: str) -> Any:
        if isinstance(value, dict):
            return {name: self._fill(one, about) for name, one in value.items()}
        if isinstance(value, list):
            return [self._fill(one, about) for one in value]
        known = self._known.get(about) or [("none", "1")]
        words = {"VERSION": known[-1][1], "OLD": known[0][1], "UID": known[-1][0]}
        return words.get(value, value) if isinstance(value, str) else value


def normal(value: Any, name: str = "") -> Any:
    """What is comparable: who is who and when is gone, that it was said stays."""
    if isinstance(value, dict):
        return {_UID.sub("UID", key): normal(one, key) for key, one in sorted(value.items()) if key != "selfLink"}
    if isinstance(value, list):
        found = [normal(one, name) for one in value]
        return sorted(found, key=json.dumps) if name in _UNORDERED else found
    if name in ("uid", "resourceVersion", "continue") and value:
        return name.upper()
    if name in _TIMES and value:
        return "TIME"
    if name in ("clusterIP", "clusterIPs") and value not in (None, "", "None"):
        return "ADDRESS"
    if name in ("nodePort", "healthCheckNodePort") and value:
        return "PORT"
    if isinstance(value, str):
        text = _UID.sub("UID", value)
        text = re.sub(r"kube-api-access-[a-z0-9]{5}", "kube-api-access-SUFFIX", text)
        text = re.sub(r'IPAddress.networking.k8s.io "[0-9.]+"', 'IPAddress.networking.k8s.io "ADDRESS"', text)
        text = re.sub(r"Duplicate value: 3\d{4}\b", "Duplicate value: PORT", text)
        text = re.sub(r"(in the precondition|in record) \(\d+\)", r"\1 (N)", text)
        return re.sub(r"(resource version|resourceVersion|ResourceVersion[^:]*): \"?\d+\"?", r"\1: N", text)
    return value


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Paths at which two answers differ, with both values."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            yield from differences(ours.get(key, "(absent)"), theirs.get(key, "(absent)"), f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for one, other in zip(ours, theirs, strict=True):
            yield from differences(one, other, f"{path}[]")
    elif ours != theirs:
        yield path, ours, theirs


# --- what is asked

NAMES: Final = ("a", "b", "c")
GROUPS: Final = {
    "configmaps": "/api/v1",
    "secrets": "/api/v1",
    "services": "/api/v1",
    "pods": "/api/v1",
    "serviceaccounts": "/api/v1",
    "deployments": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "statefulsets": "/apis/apps/v1",
    "daemonsets": "/apis/apps/v1",
    "jobs": "/apis/batch/v1",
    "cronjobs": "/apis/batch/v1",
    "poddisruptionbudgets": "/apis/policy/v1",
    "leases": "/apis/coordination.k8s.io/v1",
}
KINDS: Final = {
    "configmaps": "ConfigMap",
    "secrets": "Secret",
    "services": "Service",
    "pods": "Pod",
    "serviceaccounts": "ServiceAccount",
    "deployments": "Deployment",
    "replicasets": "ReplicaSet",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "jobs": "Job",
    "cronjobs": "CronJob",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "leases": "Lease",
}
WITH_STATUS: Final = ("services", "pods", "deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "poddisruptionbudgets")
SCALED: Final = ("deployments", "replicasets", "statefulsets")
WITH_TEMPLATE: Final = (*SCALED, "daemonsets", "jobs")


class Writer:
    """Makes calls up, from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def call(self, namespace: str) -> Call:
        kinds: tuple[Callable[[str, str, str], Call], ...] = (
            self._create,
            self._create,
            self._create,
            self._get,
            self._list,
            self._replace,
            self._merge,
            self._merge,
            self._strategic,
            self._json,
            self._apply,
            self._apply,
            self._apply,
            self._status,
            self._scale,
            self._delete,
            self._evict,
            self._sweep,
        )
        resource, name = self._random.choice(tuple(GROUPS)), self._random.choice(NAMES)
        return self._random.choice(kinds)(namespace, resource, name)

    def _of(self, *choices: Any) -> Any:
        return self._random.choice(choices)

    def _often(self, usual: Any, *others: Any) -> Any:
        return usual if self._random.random() < 0.8 else self._of(*others)

    def _at(self, namespace: str, resource: str, name: str = "") -> str:
        return f"{GROUPS[resource]}/namespaces/{namespace}/{resource}" + (f"/{name}" if name else "")

    def _writing(self) -> dict[str, str]:
        query = {"fieldValidation": self._of("Strict", "Warn", "Ignore")} if self._random.random() < 0.5 else {}
        query |= {"fieldManager": self._of("me", "you", "kubectl")} if self._random.random() < 0.5 else {}
        return {**query, "dryRun": "All"} if self._random.random() < 0.1 else query

    def _create(self, namespace: str, resource: str, name: str) -> Call:
        body = self._object(resource, self._often(name, "A_b", "", "x" * 70, "a.b"))
        return Call(
            name="create", method="POST", path=self._at(namespace, resource), about=f"{resource}/{name}", body=body, query=self._writing()
        )

    def _get(self, namespace: str, resource: str, name: str) -> Call:
        return Call(name="get", method="GET", path=self._at(namespace, resource, name), about=f"{resource}/{name}")

    def _list(self, namespace: str, resource: str, name: str) -> Call:
        labels = [{"labelSelector": text} for text in ("app=web", "app in (web,db),!x", "app=!", "app notin (web)")]
        fields = [{"fieldSelector": text} for text in (f"metadata.name={name}", "spec.color=red")]
        query = self._of({}, {"limit": "1"}, *labels, *fields)
        return Call(name="list", method="GET", path=self._at(namespace, resource), query=query)

    def _replace(self, namespace: str, resource: str, name: str) -> Call:
        body = self._object(resource, self._often(name, "other"))
        body["metadata"].update(self._of({}, {}, {"resourceVersion": "VERSION"}, {"resourceVersion": "OLD"}, {"uid": "UID"}, {"uid": "no"}))
        return Call(
            name="replace",
            method="PUT",
            path=self._at(namespace, resource, name),
            about=f"{resource}/{name}",
            body=body,
            query=self._writing(),
        )

    def _merge(self, namespace: str, resource: str, name: str) -> Call:
        return self._patch(namespace, resource, name, MERGE, self._change(resource))

    def _strategic(self, namespace: str, resource: str, name: str) -> Call:
        body = self._change(resource)
        if resource == "pods":
            body = self._of(body, {"spec": {"containers": [{"name": "app", "image": "web:3"}]}}, {"metadata": {"finalizers": ["x.io/y"]}})
        if resource in WITH_TEMPLATE:
            containers = self._of(
                [{"name": "app", "image": "web:4"}], [{"$patch": "delete", "name": "app"}], [{"name": "more", "image": "m"}]
            )
            body = self._of(body, {"spec": {"template": {"spec": {"containers": containers}}}})
        return self._patch(namespace, resource, name, STRATEGIC, body)

    def _json(self, namespace: str, resource: str, name: str) -> Call:
        body = self._of(
            [{"op": "add", "path": "/metadata/labels", "value": {"app": "db"}}],
            [{"op": "replace", "path": "/metadata/labels/app", "value": "web"}],
            [{"op": "remove", "path": "/metadata/annotations"}],
            [{"op": "test", "path": "/metadata/name", "value": "a"}, {"op": "add", "path": "/metadata/annotations", "value": {"k": "v"}}],
            [{"op": "jump", "path": "/x"}],
        )
        return self._patch(namespace, resource, name, JSON_PATCH, body)

    def _patch(self, namespace: str, resource: str, name: str, content: str, body: Any, query: dict[str, str] | None = None) -> Call:
        path, about = self._at(namespace, resource, name), f"{resource}/{name}"
        query = self._writing() if query is None else query
        return Call(name=f"patch {content[12:17]}", method="PATCH", path=path, about=about, body=body, content=content, query=query)

    def _apply(self, namespace: str, resource: str, name: str) -> Call:
        body = self._object(resource, self._often(name, "other"))
        known = {key: body[key] for key in ("apiVersion", "kind")}
        if "colour" in body:  # and nothing else that is wrong: Go tells what it meets first in a map
            body = {**known, "metadata": {"name": name}, "colour": "red"}
        elif self._random.random() < 0.5:
            change = self._change(resource)
            body = {**known, **change, "metadata": {**change.get("metadata", {}), "name": name}}
        elif resource in ("deployments", "statefulsets", "daemonsets"):
            body["spec"]["template"]["spec"]["containers"] = [self._shuffled()]
        query = self._writing() | {"fieldManager": self._of("me", "you", "kubectl")} | self._of({}, {}, {"force": "true"})
        query = self._often(query, {key: value for key, value in query.items() if key != "fieldManager"})
        return self._patch(namespace, resource, name, APPLY, body, query)

    def _shuffled(self) -> Object:
        """A container with some variables in some order: applied ones are merged among those that are there."""
        env = [{"name": name, "value": self._of("1", "2")} for name in self._random.sample("ABCD", self._random.randint(0, 4))]
        return {"name": self._often("app", "more"), "image": self._often("web:1", "web:2"), **self._of({"env": env}, {"env": env}, {})}

    def _status(self, namespace: str, resource: str, name: str) -> Call:
        resource = resource if resource in WITH_STATUS else "pods"
        condition = {"type": "Ready", "status": self._of("True", "False"), "lastTransitionTime": "2026-01-01T00:00:00Z"}
        status = self._of({"conditions": [condition]}, {"phase": self._of("Running", "Failed")}, {"replicas": 2, "observedGeneration": 1})
        body = {"status": status, "metadata": self._of({}, {"labels": {"app": "db"}}, {"annotations": {"k": "w"}})}
        path, about = f"{self._at(namespace, resource, name)}/status", f"{resource}/{name}"
        return Call(name="status", method="PATCH", path=path, about=about, body=body, content=self._of(MERGE, STRATEGIC))

    def _scale(self, namespace: str, resource: str, name: str) -> Call:
        resource = resource if resource in SCALED else "deployments"
        path = f"{self._at(namespace, resource, name)}/scale"
        if self._random.random() < 0.3:
            return Call(name="scale", method="GET", path=path)
        return Call(name="scale", method="PATCH", path=path, body={"spec": {"replicas": self._of(0, 1, 5, -1)}}, content=MERGE)

    def _delete(self, namespace: str, resource: str, name: str) -> Call:
        policies = [{"propagationPolicy": word} for word in ("Foreground", "Orphan", "Sideways")]
        conditions = [{"preconditions": one} for one in ({"uid": "UID"}, {"uid": "wrong"}, {"resourceVersion": "OLD"})]
        body = self._of(None, {}, {"gracePeriodSeconds": 0}, {"dryRun": ["All"]}, *policies, *conditions)
        return Call(name="delete", method="DELETE", path=self._at(namespace, resource, name), about=f"{resource}/{name}", body=body)

    def _evict(self, namespace: str, resource: str, name: str) -> Call:
        metadata = {"name": self._often(name, "other"), "namespace": namespace}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        return Call(name="evict", method="POST", path=f"{self._at(namespace, 'pods', name)}/eviction", body=body)

    def _sweep(self, namespace: str, resource: str, name: str) -> Call:
        query = {"labelSelector": self._of("app=db", "app=web")}
        return Call(name="deletecollection", method="DELETE", path=self._at(namespace, resource), query=query)

    # --- objects

    def _object(self, resource: str, name: str) -> Object:
        metadata: Object = {"name": name} if name else {}
        metadata |= self._of(
            {}, {"labels": {"app": "web"}}, {"labels": {"app": "db"}, "annotations": {"k": "v"}}, {"labels": {"app": "no good"}}
        )
        body = {"apiVersion": GROUPS[resource].removeprefix("/apis/").removeprefix("/api/"), "kind": KINDS[resource], "metadata": metadata}
        return {**body, **getattr(self, f"_new_{resource}")(), **self._often({}, {"colour": "red"})}

    def _new_configmaps(self) -> Object:
        fixed = {"data": {"k": "v"}, "immutable": True}
        return self._of({"data": {"k": "v"}}, {}, fixed, {"data": {"k": 1}}, {"binaryData": {"k": "AA=="}}, {"data": {"no good": "v"}})

    def _new_secrets(self) -> Object:
        return self._of({"data": {"k": "AA=="}}, {"stringData": {"k": "v"}}, {"type": "kubernetes.io/tls"}, {"data": {"k": "?"}}, {})

    def _new_serviceaccounts(self) -> Object:
        return self._of({}, {"automountServiceAccountToken": False}, {"imagePullSecrets": [{"name": "x"}]})

    def _new_leases(self) -> Object:
        return self._of({"spec": {"holderIdentity": "me", "leaseDurationSeconds": 10}}, {"spec": {"leaseDurationSeconds": 0}}, {})

    def _new_services(self) -> Object:
        two, twice = [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}], [{"port": 80}, {"port": 80}]
        others = [{"port": 80, "targetPort": "http", "protocol": "UDP"}], [{"port": 80, "protocol": "HTTP"}]
        ports = self._of([{"port": 80}], two, [{"port": 0}], twice, *others, None)
        spec = {
            "ports": ports,
            "selector": self._of({"app": "web"}, {}),
            **self._often({}, {"clusterIP": "None"}, {"type": "NodePort"}, {"type": "Odd"}),
        }
        return {"spec": {key: value for key, value in spec.items() if value is not None}}

    def _new_poddisruptionbudgets(self) -> Object:
        bounds = self._of(
            {"minAvailable": 1},
            {"maxUnavailable": "50%"},
            {"minAvailable": 1, "maxUnavailable": 1},
            {"minAvailable": "x"},
            {"minAvailable": -1},
            {},
        )
        return {"spec": {"selector": {"matchLabels": {"app": "web"}}, **bounds}}

    def _container(self) -> Object:
        return self._often({"name": "app", "image": "web:1"}, {"name": "app"}, {"name": "A", "image": "w"}, {"image": "w"},
                           {"name": "app", "image": "w", "ports": [{"containerPort": 8080}, {"containerPort": 99999}]},
                           {"name": "app", "image": "w", "env": [{"name": "A", "value": "1"}, {"value": "2"}]},
                           {"name": "app", "image": "w", "readinessProbe": {"httpGet": {"port": 80}}},
                           {"name": "app", "image": "w", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
                           {"name": "app", "image": "w:latest", "imagePullPolicy": "Sometimes"})  # fmt: skip

    def _pod_spec(self) -> Object:
        odd = ({"restartPolicy": "Sometimes"}, {"terminationGracePeriodSeconds": 0}, {"nodeName": "n1"}, {"containers": []})
        more = ({"serviceAccountName": "nobody"}, {"volumes": [{"name": "v"}]}, {"nodeSelector": {"a": "b"}})
        return {"containers": [self._container()], **self._often({}, *odd, *more)}

    def _new_pods(self) -> Object:
        return {"spec": self._pod_spec()}

    def _new_replicasets(self) -> Object:
        labels = {"app": self._often("web", "db")}
        template = {"metadata": {"labels": labels}, "spec": self._pod_spec()}
        return {"spec": {"replicas": self._often(1, -1, 0), "selector": {"matchLabels": {"app": "web"}}, "template": template}}

    def _new_deployments(self) -> Object:
        found = self._new_replicasets()
        strategies = (
            {"type": "Recreate"},
            {"type": "Odd"},
            {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}},
            {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}},
        )
        others = ({"paused": True}, {"minReadySeconds": -1}, {"selector": {}}, {"progressDeadlineSeconds": 0})
        extra = self._often({}, *({"strategy": one} for one in strategies), *others)
        return {"spec": {**found["spec"], **extra}}

    def _new_daemonsets(self) -> Object:
        found = self._new_replicasets()["spec"]
        extra = self._often({}, {"updateStrategy": {"type": self._of("OnDelete", "Odd")}}, {"minReadySeconds": -1}, {"selector": {}})
        return {"spec": {"selector": found["selector"], "template": found["template"], **extra}}

    def _new_statefulsets(self) -> Object:
        claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
        others = (
            {"updateStrategy": {"type": self._of("OnDelete", "Odd")}},
            {"podManagementPolicy": self._of("Parallel", "Odd")},
            {"updateStrategy": {"rollingUpdate": {"partition": self._of(1, -1)}}},
            {"volumeClaimTemplates": [claim]},
            {"minReadySeconds": -1},
            {"selector": {}},
            {"ordinals": {"start": self._of(1, -1)}},
        )
        return {"spec": {**self._new_replicasets()["spec"], "serviceName": "web", **self._often({}, *others)}}

    def _new_jobs(self) -> Object:
        codes = {"operator": self._of("In", "NotIn", "Odd"), "values": self._of([1, 2], [0], [2, 1], [1, 1], [])}
        rule = {"action": self._of("FailJob", "Ignore", "Count", "FailIndex", "Odd"), "onExitCodes": codes}
        others = (
            {"completions": self._of(3, -1, 0), "parallelism": self._of(2, -1)},
            {"completionMode": self._of("Indexed", "Odd")},
            {"completionMode": "Indexed", "completions": 3, "backoffLimitPerIndex": 1, "maxFailedIndexes": self._of(1, 5)},
            {"backoffLimitPerIndex": 1},
            {"maxFailedIndexes": 1},
            {"podFailurePolicy": {"rules": [rule]}},
            {"podFailurePolicy": {"rules": [{"action": "Count", "onPodConditions": [{"type": "DisruptionTarget"}]}]}},
            {"successPolicy": {"rules": [{"succeededCount": 1}]}},
            {"completionMode": "Indexed", "completions": 3, "successPolicy": {"rules": self._of([{"succeededIndexes": "0-1"}], [])}},
            {"podReplacementPolicy": self._of("Failed", "Odd")},
            {"suspend": True},
            {"selector": {"matchLabels": {"app": "web"}}},
            {"selector": {"matchLabels": {"app": "web"}}, "manualSelector": True},
            {"activeDeadlineSeconds": self._of(5, -5), "ttlSecondsAfterFinished": self._of(5, -5)},
        )
        own = {"restartPolicy": self._often(self._of("Never", "OnFailure"), "Always")}
        metadata = self._of({}, {"labels": {"app": "web"}}, {"labels": {"app": "web"}}, {"labels": {"job-name": "other"}})
        template = {**({"metadata": metadata} if metadata else {}), "spec": {**self._pod_spec(), **self._often(own, {})}}
        return {"spec": {"template": template, **self._of({}, self._of(*others))}}

    def _new_cronjobs(self) -> Object:
        job = self._new_jobs()
        others = ({"concurrencyPolicy": self._of("Forbid", "Odd")}, {"suspend": True}, {"successfulJobsHistoryLimit": -1})
        schedule = self._often({"schedule": self._of("0 3 * * *", "*/5 * * * *", "@daily")}, {}, {"schedule": ""})
        return {"spec": {**schedule, "jobTemplate": self._often(job, {}), **self._often({}, *others)}}

    def _change(self, resource: str) -> Object:
        anything = (
            {"metadata": {"labels": {"app": "db"}}},
            {"metadata": {"labels": {"app": None, "x": "y"}}},
            {"metadata": {"annotations": {"k": "w"}}},
            {"metadata": {"labels": {"bad key!": "v"}}},
            {"metadata": {"resourceVersion": "OLD", "labels": {"x": "z"}}},
            {"metadata": {"name": "other"}},
            {"metadata": {"finalizers": ["x.io/y"]}},
            {"metadata": {"finalizers": None}},
            {},
        )
        own: dict[str, tuple[Object, ...]] = {
            "configmaps": ({"data": {"k": "w"}}, {"data": None}, {"immutable": False}),
            "secrets": ({"stringData": {"s": "t"}}, {"type": "Opaque"}),
            "services": ({"spec": {"clusterIP": "10.96.7.7"}}, {"spec": {"selector": {"app": "db"}}}, {"spec": {"type": "NodePort"}}),
            "pods": ({"spec": {"nodeName": "n2"}}, {"spec": {"activeDeadlineSeconds": 5}}, {"spec": {"restartPolicy": "Never"}}),
            "deployments": ({"spec": {"replicas": 3}}, {"spec": {"selector": {"matchLabels": {"app": "x"}}}}, {"spec": {"paused": True}}),
            "replicasets": ({"spec": {"replicas": 3}}, {"spec": {"template": {"metadata": {"labels": {"app": "q"}}}}}),
            "statefulsets": (
                {"spec": {"replicas": 3}},
                {"spec": {"serviceName": "other"}},
                {"spec": {"updateStrategy": {"type": "OnDelete"}}},
                {"spec": {"podManagementPolicy": "Parallel"}},
            ),
            "daemonsets": ({"spec": {"selector": {"matchLabels": {"app": "x"}}}}, {"spec": {"minReadySeconds": 1}}),
            "jobs": (
                {"spec": {"parallelism": 3}},
                {"spec": {"completions": 5}},
                {"spec": {"suspend": True}},
                {"spec": {"completions": 4, "parallelism": 4}},
                {"spec": {"template": {"metadata": {"labels": {"app": "q"}}}}},
                {"spec": {"backoffLimit": 1, "activeDeadlineSeconds": 7}},
            ),
            "cronjobs": ({"spec": {"schedule": "1 1 1 1 *"}}, {"spec": {"suspend": True}}, {"spec": {"concurrencyPolicy": "Replace"}}),
            "poddisruptionbudgets": ({"spec": {"minAvailable": 2}}, {"spec": {"minAvailable": None, "maxUnavailable": 1}}),
            "leases": ({"spec": {"holderIdentity": "you"}},),
            "serviceaccounts": ({"automountServiceAccountToken": True},),
        }
        return json.loads(json.dumps(self._of(*anything, *own[resource])))  # type: ignore[no-any-return]


# --- the comparison


@dataclass(frozen=True, slots=True)
class Divergence:
    """One call whose answers differed; ``signature`` groups those that differ for one reason."""

    signature: str
    call: Call
    before: tuple[Call, ...]
    found: tuple[tuple[str, Any, Any], ...]


def example(seed: int, *, ours: Asked, theirs: Asked, length: int = 25) -> tuple[int, Divergence | None]:
    """A namespace of its own, and calls until two answers differ; how many were made."""
    theirs.begin(seed)
    namespace, writer = f"example-{seed}", Writer(seed)
    made: list[Call] = []
    for body, path in (
        ({"metadata": {"name": namespace}}, "/api/v1/namespaces"),
        ({"metadata": {"name": "default"}}, f"/api/v1/namespaces/{namespace}/serviceaccounts"),
    ):
        for server in (ours, theirs):
            server.ask(Call(name="namespace", method="POST", path=path, body=body, about=path))
    for _ in range(length):
        call = writer.call(namespace)
        one, other = normal(ours.ask(call)), normal(theirs.ask(call))
        if found := tuple(differences(one, other)):
            resource = call.path.split(f"{namespace}/")[1].split("/")[0]
            return len(made) + 1, Divergence(f"{call.name} {resource} {found[0][0]}", call, tuple(made), found)
        made.append(call)
    if seed % WATCHED:
        return len(made), None
    call = Call(name="watch", method="GET", path=f"namespaces/{namespace}", about="/api/v1/namespaces")
    one, other = normal(ours.ask(call)), normal(theirs.ask(call))
    found = tuple(differences(one, other))
    return len(made) + 1, Divergence(f"watch {found[0][0].split('.')[2]}", call, tuple(made), found) if found else None


@contextmanager
def alone() -> Iterator[Server]:
    """Ours, without controllers, on a loop in a thread."""
    with looping() as run:
        context = plane(controllers=False, kubelet=False)
        ours = Server(run(context.__aenter__()).url)
        try:
            yield ours
        finally:
            ours.close()
            run(context.__aexit__(None, None, None))


@contextmanager
def both() -> Iterator[tuple[Server, Server]]:
    """Ours and theirs, without controllers, on a loop in a thread."""
    with alone() as ours, looping() as run:
        context = oracle(controllers=False)
        theirs = Server(run(context.__aenter__())[0])
        try:
            yield ours, theirs
        finally:
            theirs.close()
            run(context.__aexit__(None, None, None))


@contextmanager
def looping() -> Iterator[Callable[[Any], Any]]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(timeout=120)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def record() -> None:
    """What the real one answers now."""
    with both() as (ours, theirs):
        recorder = Recorder(theirs)
        for seed in range(SEQUENCES):
            example(seed, ours=ours, theirs=recorder)
        recorder.write()
    print(f"{SEQUENCES} sequences, {sum(map(len, recorder.tapes.values()))} answers, {CASSETTE.stat().st_size / 1024:.0f} KiB")


def main() -> None:
    if sys.argv[1:] == ["record"]:
        record()
        return
    examples, seed = (int(word) for word in [*sys.argv[1:], *("300", "0")[len(sys.argv) - 1 :]][:2])
    kinds: dict[str, list[Divergence]] = {}
    calls = 0
    with both() as (ours, theirs):
        for number in range(seed, seed + examples):
            steps, found = example(number, ours=ours, theirs=theirs)
            calls += steps
            if found is not None:
                kinds.setdefault(found.signature, []).append(found)
    for signature, seen in sorted(kinds.items(), key=lambda item: -len(item[1])):
        shortest = min(seen, key=lambda one: len(one.before))
        print(f"{len(seen):>4}  {signature}\n      {shortest.call}")
        for path, one, other in shortest.found[:4]:
            print(f"        {path}\n          ours   {json.dumps(one)[:300]}\n          theirs {json.dumps(other)[:300]}")
    differing = sum(map(len, kinds.values()))
    apart = calls / max(1, differing)
    print(f"\n{calls} calls in {examples} sequences: {differing} differed, in {len(kinds)} ways; a difference each {apart:.0f} calls")


if __name__ == "__main__":
    main()
