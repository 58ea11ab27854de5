"""Server-side apply with kubectl, on either control plane: who owns which field, and what those are told who want another's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chaosfw.sandbox.public import Sandbox
from tests.sandbox.public.conftest import Ask

WORK = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: owned, namespace: default, labels: {tier: back, team: shop}}
spec:
  replicas: 1
  selector: {matchLabels: {app: owned}}
  template:
    metadata: {labels: {app: owned}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: app
          image: "work:1"
          ports: [{containerPort: 8000}]
          env: [{name: A, value: "1"}, {name: B, value: "2"}]
"""
OTHERS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: owned, namespace: default, labels: {tier: front}}
spec:
  replicas: 3
  template:
    spec:
      containers:
        - {name: app, image: "work:1", env: [{name: C, value: "3"}]}
"""


@pytest.fixture
def work(ask: Ask) -> Iterator[None]:
    made = ask("apply", "--server-side", "-f", "-", given=WORK)
    assert (made.returncode, made.stdout, made.stderr) == (0, "deployment.apps/owned serverside-applied\n", "")
    yield
    assert ask("delete", "deploy", "owned", "--wait").returncode == 0


def owners(ask: Ask, what: str = "deploy/owned") -> dict[tuple[str, str, str], Any]:
    """Fields by manager, operation and subresource; without those that the cluster's own programs own."""
    found = json.loads(ask("get", what, "-o", "json", "--show-managed-fields").stdout)["metadata"]["managedFields"]
    by = {(one["manager"], one["operation"], one.get("subresource", "")): one["fieldsV1"] for one in found}
    return {who: fields for who, fields in by.items() if not who[0].startswith("kube-controller")}


def test_who_applies_owns_what_they_say_and_nothing_else(ask: Ask, work: None) -> None:
    container = {".": {}, "f:name": {}, "f:image": {}}
    ports = {'k:{"containerPort":8000,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}}
    env = {f'k:{{"name":"{name}"}}': {".": {}, "f:name": {}, "f:value": {}} for name in "AB"}
    spec = {
        "f:containers": {'k:{"name":"app"}': {**container, "f:ports": ports, "f:env": env}},
        "f:terminationGracePeriodSeconds": {},
    }
    template = {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": spec}
    assert owners(ask) == {
        ("kubectl", "Apply", ""): {
            "f:metadata": {"f:labels": {"f:team": {}, "f:tier": {}}},
            "f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": template},
        }
    }


def test_a_conflict_names_owner_and_field_and_is_taken_by_force(ask: Ask, work: None) -> None:
    refused = ask("apply", "--server-side", "--field-manager=robot", "-f", "-", given=OTHERS)
    forced = ask("apply", "--server-side", "--field-manager=robot", "--force-conflicts", "-f", "-", given=OTHERS)
    again = ask("apply", "--server-side", "-f", "-", given=WORK.replace("work:1", "work:2"))

    assert refused.returncode == 1
    assert refused.stderr.splitlines()[:3] == [
        'error: Apply failed with 2 conflicts: conflicts with "kubectl":',
        "- .metadata.labels.tier",
        "- .spec.replicas",
    ]
    assert forced.returncode == 0
    assert 'conflicts with "robot":' in again.stderr
    assert [line for line in again.stderr.splitlines() if line.startswith("- .")] == [
        "- .metadata.labels.tier",
        "- .spec.replicas",
        '- .spec.template.spec.containers[name="app"].image',
    ]
    assert ask("get", "deploy", "owned", "-o", "jsonpath={.spec.replicas} {.metadata.labels}").stdout == '3 {"team":"shop","tier":"front"}'


def test_what_its_owner_no_longer_says_is_gone_and_what_another_owns_stays(ask: Ask, work: None) -> None:
    shared = OTHERS.replace("front", "back").replace("replicas: 3", "replicas: 1")
    assert ask("apply", "--server-side", "--field-manager=robot", "-f", "-", given=shared).returncode == 0
    less = WORK.replace(", team: shop", "").replace('{name: A, value: "1"}, ', "").replace("  replicas: 1\n", "")

    assert ask("apply", "--server-side", "-f", "-", given=less).returncode == 0

    path = "{.metadata.labels} {.spec.replicas} {.spec.template.spec.containers[0].env[*].name}"
    assert ask("get", "deploy", "owned", "-o", f"jsonpath={path}").stdout == '{"tier":"back"} 1 B C'


def test_a_scale_is_another_door_and_its_owner_is_told_by_it(ask: Ask, work: None) -> None:
    assert ask("scale", "deploy/owned", "--replicas=2").returncode == 0

    refused = ask("apply", "--server-side", "-f", "-", given=WORK)

    assert owners(ask)["kubectl", "Update", "scale"] == {"f:spec": {"f:replicas": {}}}
    words = 'Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas\n'
    assert refused.stderr.startswith(f"error: {words}")


def test_objects_of_client_side_apply_move_over(ask: Ask) -> None:
    assert ask("apply", "-f", "-", given=WORK).returncode == 0
    assert {who[:2] for who in owners(ask)} == {("kubectl-client-side-apply", "Update")}

    moved = ask("apply", "--server-side", "-f", "-", given=WORK.replace("work:1", "work:3"))

    assert (moved.returncode, moved.stderr) == (0, "")
    assert {who[:2] for who in owners(ask)} == {("kubectl", "Apply"), ("kubectl-last-applied", "Apply")}
    assert ask("delete", "deploy", "owned", "--wait").returncode == 0


def test_nothing_new_is_no_write(ask: Ask) -> None:
    """Of a config map, which nobody else writes: not even that one owns again what one has."""
    note = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note", "namespace": "default"}, "data": {"k": "v"}})
    versions = []
    for _ in range(2):
        assert ask("apply", "--server-side", "-f", "-", given=note).returncode == 0
        versions.append(ask("get", "cm", "note", "-o", "jsonpath={.metadata.resourceVersion}").stdout)
    other = ask("apply", "--server-side", "--field-manager=robot", "-f", "-", given=note)
    shared = ask("get", "cm", "note", "-o", "jsonpath={.metadata.resourceVersion}").stdout

    assert versions[0] == versions[1] != ""
    assert (other.returncode, shared != versions[1]) == (0, True)  # another owner of the same is something new
    assert ask("delete", "cm", "note").returncode == 0


def test_a_field_that_nobody_knows_is_refused(ask: Ask, work: None) -> None:
    refused = ask("apply", "--server-side", "--validate=false", "-f", "-", given=WORK.replace("replicas:", "replica:"))

    assert refused.returncode == 1
    assert "failed to create typed patch object (default/owned; apps/v1, Kind=Deployment)" in refused.stderr
    assert ".spec.replica: field not declared in schema" in refused.stderr


def test_a_custom_resource_has_owners_too(ask: Ask) -> None:
    part = {"name": {"type": "string"}, "n": {"type": "integer"}}
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer"},
                    "parts": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {"type": "object", "required": ["name"], "properties": part},
                    },
                },
            }
        },
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "toys.play.io"},
        "spec": {
            "group": "play.io",
            "scope": "Namespaced",
            "names": {"kind": "Toy", "plural": "toys", "singular": "toy"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    assert ask("apply", "--server-side", "-f", "-", given=json.dumps(definition)).returncode == 0
    assert ask("wait", "--for=condition=established", "crd/toys.play.io", "--timeout=60s").returncode == 0

    def toy(**spec: Any) -> str:
        return json.dumps({"apiVersion": "play.io/v1", "kind": "Toy", "metadata": {"name": "a", "namespace": "default"}, "spec": spec})

    first = ask("apply", "--server-side", "-f", "-", given=toy(size=1, parts=[{"name": "x", "n": 1}]))
    added = ask("apply", "--server-side", "--field-manager=robot", "-f", "-", given=toy(parts=[{"name": "y", "n": 2}]))
    refused = ask("apply", "--server-side", "--field-manager=robot", "-f", "-", given=toy(size=2, parts=[{"name": "x", "n": 3}]))

    assert (first.returncode, added.returncode, refused.returncode) == (0, 0, 1)
    assert [line for line in refused.stderr.splitlines() if line.startswith("- .")] == ["- .spec.size", '- .spec.parts[name="x"].n']
    assert ask("get", "toy", "a", "-o", "jsonpath={.spec}").stdout == '{"parts":[{"n":1,"name":"x"},{"n":2,"name":"y"}],"size":1}'
    assert ask("delete", "crd", "toys.play.io").returncode == 0


def test_a_definition_and_an_object_of_it_are_applied_in_one_call(ask: Ask, shop: Sandbox) -> None:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "kites.play.io"},
        "spec": {
            "group": "play.io",
            "scope": "Namespaced",
            "names": {"kind": "Kite", "plural": "kites", "singular": "kite"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    }
    kite = {"apiVersion": "play.io/v1", "kind": "Kite", "metadata": {"name": "a"}}

    shop.apply([kite, definition])

    assert ask("get", "kite", "a", "-o", "name").stdout == "kite.play.io/a\n"
    assert ask("delete", "crd", "kites.play.io").returncode == 0
