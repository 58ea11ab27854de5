"""What the API promises on the wire, asked with a bare HTTP client: the traps that stock clients fall into."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from chaosfw.sandbox.client.verbs import Object
from tests.sandbox.apiserver.plane import DEADLINE, TOKEN, Plane, client_context, deployment, ours, plane, ready, service

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}


class Wire:
    """A session with the server, and the plane behind it."""

    def __init__(self, session: aiohttp.ClientSession, running: Plane) -> None:
        self.session, self.plane = session, running

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        data = json.dumps(body).encode() if isinstance(body, dict | list) else body
        async with self.session.request(method, path, data=data, **options) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if answer.content_type == "application/json" else text

    @asynccontextmanager
    async def watch(self, path: str, **headers: str) -> AsyncIterator[Callable[[], Awaitable[Object]]]:
        async with self.session.get(path, headers=headers) as answer:
            assert answer.status == 200

            async def following() -> Object:
                event: Object = json.loads(await answer.content.readline())
                return event

            yield following


def tell(story: Callable[[Wire], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(2 * DEADLINE), plane(**{"controllers": False, "kubelet": False, **options}) as running:
            connector = aiohttp.TCPConnector(ssl=client_context())
            headers = {"Authorization": f"Bearer {TOKEN}"}
            skipped = ("Content-Type",)  # as the Python client: a body without a type
            async with aiohttp.ClientSession(
                running.url, connector=connector, headers=headers, skip_auto_headers=skipped, read_bufsize=2**20
            ) as session:
                await story(Wire(session, running))

    asyncio.run(run())


def config(name: str, **data: str) -> Object:
    return {"metadata": {"name": name, "labels": {"name": name}}, "data": data}


def test_without_the_token_there_is_only_a_status() -> None:
    async def story(wire: Wire) -> None:
        code, body = await wire("GET", PODS, headers={"Authorization": "Bearer wrong"})

        assert (code, body["reason"], body["kind"]) == (401, "Unauthorized", "Status")
        assert (await wire("GET", "/readyz", headers={"Authorization": ""}))[0] == 200
        assert (await wire("GET", "/version/"))[1]["minor"] == "37"

    tell(story)


def test_a_write_that_changes_nothing_bumps_nothing() -> None:
    async def story(wire: Wire) -> None:
        _, made = await wire("POST", MAPS, config("a", x="1"))
        _, same = await wire("PATCH", f"{MAPS}/a", {"data": {"x": "1"}}, headers=MERGE)
        _, listed = await wire("GET", MAPS)

        assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        assert listed["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]

    tell(story)


def test_a_watch_without_a_start_shows_what_is_there_first() -> None:
    async def story(wire: Wire) -> None:
        await wire("POST", MAPS, config("a"))
        async with wire.watch(f"{MAPS}?watch=true") as following:
            first = await following()
            _, gone = await wire("DELETE", f"{MAPS}/a")
            second = await following()

        assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
        assert second["type"] == "DELETED"
        assert int(second["object"]["metadata"]["resourceVersion"]) > int(first["object"]["metadata"]["resourceVersion"])
        assert gone["details"]["kind"] == "configmaps"

    tell(story)


def test_headers_of_a_silent_watch_come_at_once() -> None:
    async def story(wire: Wire) -> None:
        async with asyncio.timeout(1), wire.session.get(f"{MAPS}?watch=true&fieldSelector=metadata.name=none") as answer:
            assert answer.status == 200

    tell(story)


def test_leaving_a_selection_is_a_deletion_and_entering_an_addition() -> None:
    async def story(wire: Wire) -> None:
        await wire("POST", MAPS, config("a"))
        async with wire.watch(f"{MAPS}?watch=true&labelSelector=name%3Da") as following:
            await following()
            await wire("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"name": "b"}}}, headers=MERGE)
            left = await following()
            await wire("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"name": "a"}}}, headers=MERGE)
            entered = await following()

        assert (left["type"], entered["type"]) == ("DELETED", "ADDED")

    tell(story)


def test_a_watch_list_ends_its_beginning_with_a_bookmark() -> None:
    """kubectl 1.37 hangs without it."""

    async def story(wire: Wire) -> None:
        await wire("POST", MAPS, config("a"))
        query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        async with wire.watch(f"{MAPS}?{query}") as following:
            first, mark = await following(), await following()
        refused, _ = await wire("GET", f"{MAPS}?watch=true&sendInitialEvents=true")

        assert first["type"] == "ADDED"
        assert mark["type"] == "BOOKMARK"
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert mark["object"]["metadata"]["resourceVersion"] == first["object"]["metadata"]["resourceVersion"]
        assert refused == 422

    tell(story)


@ours("it forgets after 10,000 changes, a real one when etcd is compacted")
def test_a_start_that_is_too_old_is_an_event_and_a_future_one_a_timeout() -> None:
    async def story(wire: Wire) -> None:
        for number in range(10_050):
            await wire.plane.client.create("configmaps", config(f"a{number}"), namespace="default")
        async with wire.watch(f"{MAPS}?watch=true&resourceVersion=5") as following:
            told = await following()
        future, _ = await wire("GET", f"{MAPS}?watch=true&resourceVersion=999999")

        assert told["type"] == "ERROR"
        assert (told["object"]["code"], told["object"]["reason"]) == (410, "Expired")
        assert future == 504

    tell(story)


def test_pages_of_one_list_show_one_moment() -> None:
    async def story(wire: Wire) -> None:
        for name in "abc":
            await wire("POST", MAPS, config(name))
        _, first = await wire("GET", f"{MAPS}?limit=2")
        await wire("DELETE", f"{MAPS}/c")
        await wire("POST", MAPS, config("d"))
        _, second = await wire("GET", f"{MAPS}?limit=2&continue={first['metadata']['continue']}")

        assert first["metadata"]["remainingItemCount"] == 1
        assert [item["metadata"]["name"] for item in second["items"]] == ["c"]
        assert "continue" not in second["metadata"]

    tell(story)


def test_a_table_also_on_a_watch() -> None:
    async def story(wire: Wire) -> None:
        await wire("POST", MAPS, config("a", x="1"))
        _, table = await wire("GET", MAPS, headers={"Accept": TABLE})
        partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
        _, metadata = await wire("GET", MAPS, headers={"Accept": partial})
        async with wire.watch(f"{MAPS}?watch=true", Accept=TABLE) as following:
            event = await following()

        assert table["kind"] == event["object"]["kind"] == "Table"
        assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
        assert table["rows"][0]["cells"][:2] == event["object"]["rows"][0]["cells"][:2] == ["a", 1]
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
        assert "data" not in metadata["items"][0]

    tell(story)


@ours("it speaks JSON only, and says so in the answer's type, to whoever asks for something else")
def test_there_is_never_a_406() -> None:
    async def story(wire: Wire) -> None:
        code, plain = await wire("GET", MAPS, headers={"Accept": "application/vnd.kubernetes.protobuf"})

        assert (code, plain["kind"]) == (200, "ConfigMapList")

    tell(story)


def test_refusals_are_worded_as_kubernetes_words_them() -> None:
    async def story(wire: Wire) -> None:
        await wire("POST", MAPS, config("a"))
        _, twice = await wire("POST", MAPS, config("a"))
        _, absent = await wire("GET", f"{DEPLOYMENTS}/web")
        code, wrong = await wire("POST", DEPLOYMENTS, {"metadata": {"name": "Web"}, "spec": {"template": {}}})
        _, strict = await wire("POST", f"{MAPS}?fieldValidation=Strict", {**config("b"), "dta": {}})
        _, selector = await wire("GET", f"{PODS}?labelSelector=name+in+(%7Bname%7D)")
        media, _ = await wire("PATCH", f"{MAPS}/a", {}, headers={"Content-Type": "text/plain"})
        nowhere, _ = await wire("POST", "/api/v1/namespaces/absent/configmaps", config("a"))

        assert twice["message"] == 'configmaps "a" already exists'
        assert absent["details"] == {"name": "web", "kind": "deployments", "group": "apps"}
        assert (code, wrong["reason"]) == (422, "Invalid")
        assert {cause["field"] for cause in wrong["details"]["causes"]} == {
            "metadata.name",
            "spec.selector",
            "spec.template.metadata.labels",
            "spec.template.spec.containers",
        }
        assert strict["message"] == 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dta"'
        assert selector["code"] == 400
        assert (media, nowhere) == (415, 404)

    tell(story)


def test_an_unknown_field_is_only_warned_of_by_default() -> None:
    async def story(wire: Wire) -> None:
        async with wire.session.post(MAPS, data=json.dumps({**config("b"), "dta": {}})) as answer:
            body = await answer.json()

        assert answer.headers["Warning"] == '299 - "unknown field \\"dta\\""'
        assert "dta" not in body

    tell(story)


def test_an_immutable_field_may_not_change() -> None:
    async def story(wire: Wire) -> None:
        await wire("POST", DEPLOYMENTS, deployment())
        change = {"spec": {"selector": {"matchLabels": {"app": "other"}}, "template": {"metadata": {"labels": {"app": "other"}}}}}
        code, body = await wire("PATCH", f"{DEPLOYMENTS}/web", change, headers=MERGE)

        assert code == 422
        assert "field is immutable" in body["message"]

    tell(story)


def test_a_dry_run_stores_nothing() -> None:
    async def story(wire: Wire) -> None:
        code, _ = await wire("POST", f"{MAPS}?dryRun=All", config("a"))

        assert code == 201
        assert (await wire("GET", f"{MAPS}/a"))[0] == 404

    tell(story)


def test_a_pod_gets_what_a_real_server_fills_in() -> None:
    async def story(wire: Wire) -> None:
        await wire("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        probe = {"httpGet": {"port": 8000}}
        container = {"name": "c", "image": "i:1", "ports": [{"containerPort": 80}], "readinessProbe": probe}
        _, pod = await wire("POST", PODS, {"metadata": {"generateName": "p-"}, "spec": {"containers": [container]}})
        spec, made = pod["spec"], pod["spec"]["containers"][0]

        assert spec["serviceAccountName"] == "default"
        assert [toleration["tolerationSeconds"] for toleration in spec["tolerations"]] == [300, 300]
        assert spec["volumes"][0]["name"].startswith("kube-api-access-")
        assert made["volumeMounts"][0]["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
        assert made["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
        timing = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
        assert made["readinessProbe"] == {"httpGet": {"port": 8000, "path": "/", "scheme": "HTTP"}, **timing}
        assert (spec["restartPolicy"], spec["terminationGracePeriodSeconds"]) == ("Always", 30)
        assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}

    tell(story)


def test_a_service_gets_an_address_of_its_own_and_keeps_it() -> None:
    async def story(wire: Wire) -> None:
        services = "/api/v1/namespaces/default/services"
        _, first = await wire("POST", services, service("one"))
        _, second = await wire("POST", services, service("two"))
        headless = {**service("three"), "spec": {**service("three")["spec"], "clusterIP": "None"}}
        _, third = await wire("POST", services, headless)
        _, kept = await wire("PUT", f"{services}/one", {**service("one"), "metadata": {"name": "one", "labels": {"a": "b"}}})

        assert first["spec"]["clusterIP"].startswith("10.96.")
        assert first["spec"]["clusterIP"] != second["spec"]["clusterIP"]
        assert third["spec"]["clusterIPs"] == ["None"]
        assert kept["spec"]["clusterIP"] == first["spec"]["clusterIP"]
        assert first["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": "http"}]

    tell(story)


@ours("without a kubelet no node of a real one is ready, and nothing is scheduled")
def test_a_bound_pod_is_deleted_in_two_steps() -> None:
    """The mark with a grace, then grace 0 by whoever runs it; ``{}`` without a type is a body."""

    async def story(wire: Wire) -> None:
        await wire.plane.client.create("deployments.apps", deployment(replicas=1), namespace="default")
        pods = await wire.plane.until("pods", lambda found: bool(found) and bool(found[0]["spec"].get("nodeName")))
        path = f"{PODS}/{pods[0]['metadata']['name']}"
        _, marked = await wire("DELETE", path, b"{}")
        uid = marked["metadata"]["uid"]
        wrong, _ = await wire("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": "another"}})
        _, gone = await wire("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}})

        assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
        assert wrong == 409
        assert gone["kind"] == "Pod"
        assert (await wire("GET", path))[0] == 404

    async def with_nodes(wire: Wire) -> None:
        await wire.plane.client.create("nodes", {"metadata": {"name": "n1"}})
        await story(wire)

    tell(with_nodes, controllers=True)


def test_an_eviction_against_the_budget_is_429_without_retry_after() -> None:
    async def story(wire: Wire) -> None:
        client = wire.plane.client
        await client.create("deployments.apps", deployment(), namespace="default")
        pods = await wire.plane.until("pods", ready(3))
        spec = {"minAvailable": 3, "selector": {"matchLabels": {"app": "web"}}}
        await client.create("poddisruptionbudgets.policy", {"metadata": {"name": "web"}, "spec": spec}, namespace="default")
        await wire.plane.until("poddisruptionbudgets.policy", lambda found: found[0]["status"].get("currentHealthy") == 3)
        name = pods[0]["metadata"]["name"]
        bare = json.dumps({"metadata": {"name": name, "namespace": "default"}, "deleteOptions": {}})
        async with wire.session.post(f"{PODS}/{name}/eviction", data=bare) as answer:
            body = await answer.json()

        assert (answer.status, body["reason"]) == (429, "TooManyRequests")
        assert "Retry-After" not in answer.headers
        told = "The disruption budget web needs 3 healthy pods and has 3 currently"
        assert body["details"]["causes"] == [{"reason": "DisruptionBudget", "message": told}]

    tell(story, controllers=True, kubelet=True)


def test_both_groups_show_the_same_events() -> None:
    async def story(wire: Wire) -> None:
        regarding = {"kind": "Pod", "namespace": "default", "name": "p"}
        body = {"metadata": {"name": "e"}, "regarding": regarding, "note": "hello", "reason": "R", "type": "Normal", "action": "A"}
        body |= {"eventTime": "2026-01-02T03:04:05.678901Z", "reportingInstance": "c-1"}
        code, new = await wire("POST", "/apis/events.k8s.io/v1/namespaces/default/events", {**body, "reportingController": "c"})
        _, core = await wire("GET", "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dp")

        assert (code, new["note"], new["apiVersion"]) == (201, "hello", "events.k8s.io/v1")
        assert core["items"][0]["message"] == "hello"
        assert core["items"][0]["involvedObject"]["name"] == "p"

    tell(story)


def test_a_strategic_patch_merges_by_key_and_a_custom_resource_refuses_it() -> None:
    async def story(wire: Wire) -> None:
        await wire("POST", DEPLOYMENTS, deployment())
        sidecar = {"name": "side", "image": "s:1"}
        change = {"spec": {"template": {"spec": {"containers": [sidecar]}}}}
        _, merged = await wire("PATCH", f"{DEPLOYMENTS}/web", change, headers=STRATEGIC)
        definition = {
            "metadata": {"name": "foos.ex.io"},
            "spec": {
                "group": "ex.io",
                "scope": "Namespaced",
                "names": {"plural": "foos", "kind": "Foo"},
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}],
            },
        }
        foos = await defined(wire, definition)
        await wire("POST", foos, {"apiVersion": "ex.io/v1", "kind": "Foo", "metadata": {"name": "f"}, "spec": {"a": 1}})
        refused, _ = await wire("PATCH", f"{foos}/f", {"spec": {"a": 2}}, headers=STRATEGIC)

        assert {one["name"] for one in merged["spec"]["template"]["spec"]["containers"]} == {"app", "side"}
        assert merged["metadata"]["generation"] == 2
        assert refused == 415

    tell(story)


def test_discovery_is_told_both_ways_and_openapi_only_as_v3() -> None:
    async def story(wire: Wire) -> None:
        aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        async with wire.session.get("/apis", headers={"Accept": aggregated}) as answer:
            groups = await answer.json()
        _, legacy = await wire("GET", "/apis/apps/v1")
        index = json.loads((await wire("GET", "/openapi/v3"))[1])
        _, document = await wire("GET", index["paths"]["apis/apps/v1"]["serverRelativeURL"])

        assert answer.headers["Content-Type"] == aggregated
        assert {group["metadata"]["name"] for group in groups["items"]} >= {"apps", "policy", "discovery.k8s.io"}
        assert {entry["name"] for entry in legacy["resources"]} >= {"deployments", "deployments/scale", "deployments/status"}
        assert "io.k8s.api.apps.v1.Deployment" in document["components"]["schemas"]
        assert (await wire("GET", "/apis/nowhere.io/v1/things"))[1] == "404 page not found\n"

    tell(story)


@pytest.mark.parametrize("kind", ["selfsubjectaccessreviews", "selfsubjectrulesreviews"])
def test_whoever_has_the_token_may_do_everything(kind: str) -> None:
    async def story(wire: Wire) -> None:
        spec = {"namespace": "default"} if "rules" in kind else {"resourceAttributes": {"verb": "get", "resource": "pods"}}
        code, body = await wire("POST", f"/apis/authorization.k8s.io/v1/{kind}", {"spec": spec})

        assert code == 201
        assert body["status"].get("allowed", True) is True

    tell(story)


def test_exec_of_a_pod_that_is_not_there_is_404() -> None:
    async def story(wire: Wire) -> None:
        code, body = await wire("GET", f"{PODS}/p/exec?command=ls")

        assert (code, body["kind"], body["message"]) == (404, "Status", 'pods "p" not found')

    tell(story)


@pytest.mark.parametrize(
    ("kind", "spec", "code", "message"),
    [
        (
            "selfsubjectaccessreviews",
            {},
            422,
            '.authorization.k8s.io "" is invalid: spec: Invalid value: null: '
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            "subjectaccessreviews",
            {"resourceAttributes": {"verb": "get", "resource": "pods"}},
            422,
            '.authorization.k8s.io "" is invalid: spec.user: Invalid value: "": at least one of user or group must be specified',
        ),
        ("selfsubjectrulesreviews", {}, 400, "no namespace on request"),
    ],
)
def test_a_question_without_its_subject_is_refused(kind: str, spec: Object, code: int, message: str) -> None:
    async def story(wire: Wire) -> None:
        found, body = await wire("POST", f"/apis/authorization.k8s.io/v1/{kind}", {"spec": spec})

        assert (found, body["message"]) == (code, message)

    tell(story)


@ours("Kubernetes has OpenAPI v2, which nobody who asks for v3 reads")
def test_there_is_no_openapi_v2() -> None:
    async def story(wire: Wire) -> None:
        assert (await wire("GET", "/openapi/v2"))[0] == 404

    tell(story)


def test_a_list_from_the_future_is_a_timeout() -> None:
    async def story(wire: Wire) -> None:
        code, body = await wire("GET", f"{MAPS}?resourceVersion=99999999")

        assert (code, body["reason"]) == (504, "Timeout")
        assert body["message"].startswith("Timeout: Too large resource version: 99999999, current: ")
        assert body["details"]["causes"] == [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]

    tell(story)


SCHEMA: Object = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "a": {"type": "integer", "minimum": 1, "maximum": 9},
                "b": {"type": "string", "enum": ["x", "y"]},
                "c": {"type": "string", "default": "filled"},
                "d": {"type": "array", "items": {"type": "object", "required": ["n"], "properties": {"n": {"type": "string"}}}},
                "e": {"type": "object", "additionalProperties": {"type": "boolean"}},
                "f": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "g": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 4},
                "h": {"x-kubernetes-int-or-string": True},
                "i": {"type": "number"},
            },
        }
    },
}


async def defined(wire: Wire, definition: Object) -> str:
    """Where a new kind is served; a real server needs a moment for that."""
    code, body = await wire("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    assert code == 201, body
    spec = definition["spec"]
    where = f"/apis/{spec['group']}/v1/namespaces/default/{spec['names']['plural']}"
    while (await wire("GET", where))[0] != 200:
        await asyncio.sleep(0.02)
    return where


def thing(schema: Object) -> Object:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "things", "kind": "Thing"}
    return {"metadata": {"name": "things.ex.io"}, "spec": {"group": "ex.io", "scope": "Namespaced", "names": names, "versions": [version]}}


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        ({"a": 1, "z": 2}, {"a": 1, "c": "filled"}),
        ({"c": "mine", "f": {"any": {"thing": [1]}}}, {"c": "mine", "f": {"any": {"thing": [1]}}}),
        ({"d": [{"n": "1", "z": 2}]}, {"c": "filled", "d": [{"n": "1"}]}),
        ({"e": {"k": True}, "h": "10%"}, {"c": "filled", "e": {"k": True}, "h": "10%"}),
        ({"h": 3, "i": 2}, {"c": "filled", "h": 3, "i": 2}),
    ],
)
def test_a_custom_resource_keeps_what_its_schema_knows(spec: Object, kept: Object) -> None:
    async def story(wire: Wire) -> None:
        things = await defined(wire, thing(SCHEMA))
        code, made = await wire("POST", things, {"apiVersion": "ex.io/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec})

        assert (code, made.get("spec")) == (201, kept)

    tell(story)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"a": "x"}, 'spec.a: Invalid value: "string": spec.a in body must be of type integer: "string"'),
        ({"a": 0}, "spec.a: Invalid value: 0: spec.a in body should be greater than or equal to 1"),
        ({"a": 10}, "spec.a: Invalid value: 10: spec.a in body should be less than or equal to 9"),
        ({"b": "z"}, 'spec.b: Unsupported value: "z": supported values: "x", "y"'),
        ({"d": {}}, 'spec.d: Invalid value: "object": spec.d in body must be of type array: "object"'),
        ({"d": [{}]}, "spec.d[0].n: Required value"),
        ({"e": {"k": 1}}, 'spec.e.k: Invalid value: "integer": spec.e.k in body must be of type boolean: "integer"'),
        ({"g": "a"}, 'spec.g: Invalid value: "a": spec.g in body should be at least 2 chars long'),
        ({"g": "abcde"}, "spec.g: Too long: may not be more than 4 bytes"),
        ({"g": "AB"}, "spec.g: Invalid value: \"AB\": spec.g in body should match '^[a-z]+$'"),
        ({"i": "1"}, 'spec.i: Invalid value: "string": spec.i in body must be of type number: "string"'),
        ([], 'spec: Invalid value: "array": spec in body must be of type object: "array"'),
        (None, "spec: Required value"),
    ],
)
def test_a_custom_resource_that_does_not_fit_its_schema_is_refused(spec: Any, told: str) -> None:
    async def story(wire: Wire) -> None:
        things = await defined(wire, thing(SCHEMA))
        body = {"apiVersion": "ex.io/v1", "kind": "Thing", "metadata": {"name": "t"}}
        code, refused = await wire("POST", things, body if spec is None else {**body, "spec": spec})

        assert (code, refused["message"]) == (422, f'Thing.ex.io "t" is invalid: {told}')

    tell(story)


def test_a_definition_needs_a_schema() -> None:
    async def story(wire: Wire) -> None:
        definition = thing({})
        del definition["spec"]["versions"][0]["schema"]
        code, refused = await wire("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)

        assert (code, [cause["field"] for cause in refused["details"]["causes"]]) == (422, ["spec.versions[0].schema.openAPIV3Schema"])

    tell(story)


def test_what_a_custom_resource_does_not_know_is_warned_of() -> None:
    async def story(wire: Wire) -> None:
        things = await defined(wire, thing(SCHEMA))
        body = {"apiVersion": "ex.io/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"z": 1}}
        strict, refused = await wire("POST", f"{things}?fieldValidation=Strict", body)
        async with wire.session.post(things, data=json.dumps(body)) as answer:
            warned = answer.headers.getall("Warning")

        told = 'Thing in version "v1" cannot be handled as a Thing: strict decoding error: unknown field "spec.z"'
        assert (strict, refused["message"]) == (400, told)
        assert warned == ['299 - "unknown field \\"spec.z\\""']

    tell(story)
