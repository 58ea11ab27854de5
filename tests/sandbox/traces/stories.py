"""What clients do in a trace, story by story, each against a control plane of its own that nobody else touches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.sandbox.traces import world
from tests.sandbox.traces.acting import APPLY, JSON_PATCH, MERGE, STRATEGIC, Actor
from tests.sandbox.traces.behaviours import BEHAVIOURS
from tests.sandbox.traces.world import APPS, CORE, deployment, service

CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"}, "data": {"a": "1", "b": "2"}}
PERMANENT = ("-o", "jsonpath={.metadata.finalizers}")


def kubectl_looks(actor: Actor) -> None:
    world.build(actor)
    world.allowed_budget(actor, 2)
    ask = actor.kubectl
    ask("get", "pods")
    ask("get", "pods", "-o", "wide", "--show-labels")
    ask("get", "all")
    ask("get", "nodes,deploy,rs,svc,endpointslices,events,pdb,sa,ns,cm,secrets,sts,ds,jobs,cronjobs,hpa,ingress,netpol,pvc,pv,sc")
    ask("get", "nodes", "-o", "wide")
    ask("get", "deploy", "web", "-o", "yaml")
    ask("get", "pods", "-o", "json")
    ask("get", "pods", "-o", "name", "-l", "app=web")
    ask("get", "pods", "--field-selector", "spec.nodeName=n1,status.phase=Running")
    ask("get", "pods", "-l", "app in (web,other),!gone", "--sort-by=.metadata.name")
    ask("get", "pods", "-A", "--chunk-size=2")
    ask("get", "pods", "-o", "custom-columns=N:.metadata.name,IP:.status.podIP")
    ask("get", "pod", "nobody")
    ask("get", "nothing")
    ask("get", "deploy/web", "svc/web")
    ask("get", "--raw", "/api/v1/namespaces/default/pods?limit=1")
    ask("get", "--raw", "/readyz")
    for kind, name in (("deploy", "web"), ("pod", f"web-{world.HASH}-1"), ("node", "n1"), ("svc", "web"), ("rs", f"web-{world.HASH}")):
        ask("describe", kind, name)
    ask("describe", "pdb", "web")
    ask("describe", "ns", "default")
    ask("describe", "pod", "nobody")
    ask("events", "--for", f"pod/web-{world.HASH}-1")
    ask("explain", "deployment.spec.strategy")
    ask("explain", "pod.spec.nothing")
    ask("auth", "can-i", "delete", "pods")
    ask("auth", "can-i", "--list")
    ask("auth", "whoami")
    ask("top", "pods")
    ask("version")
    ask("api-versions")
    ask("api-resources")
    ask("cluster-info")


def kubectl_writes(actor: Actor) -> None:
    world.build(actor)
    ask = actor.kubectl
    other = deployment("other", replicas=1)
    ask("apply", "-f", "-", given=[other, service("other"), CONFIG])
    ask("apply", "-f", "-", given=[other, service("other"), CONFIG])
    ask("diff", "-f", "-", given={**CONFIG, "data": {"a": "2"}})
    ask("apply", "-f", "-", given={**CONFIG, "data": {"a": "2"}})
    ask("apply", "-f", "-", "--dry-run=server", given={**CONFIG, "data": {"a": "3"}})
    ask("apply", "-f", "-", given={**other, "spec": {**other["spec"], "replicsa": 1}})
    ask("apply", "-f", "-", given={**other, "spec": {**other["spec"], "replicas": -1}})
    ask("apply", "-f", "-", given={**other, "spec": {**other["spec"], "selector": {"matchLabels": {"app": "new"}}}})
    ask("apply", "-f", "-", "--validate=warn", given={**CONFIG, "dta": {}})
    ask("apply", "view-last-applied", "cm/settings")
    ask("label", "deploy", "web", "tier=front")
    ask("label", "deploy", "web", "tier=back")
    ask("label", "deploy", "web", "tier=back", "--overwrite")
    ask("label", "deploy", "web", "tier-")
    ask("label", "pods", "-l", "app=web", "seen=yes")
    ask("annotate", "deploy", "web", "note=here")
    ask("patch", "deploy", "web", "-p", '{"spec":{"template":{"spec":{"containers":[{"name":"app","env":[{"name":"A","value":"1"}]}]}}}}')
    ask("patch", "deploy", "web", "--type=merge", "-p", '{"spec":{"replicas":4}}')
    ask("patch", "deploy", "web", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":3}]')
    ask("patch", "deploy", "web", "--type=json", "-p", '[{"op":"test","path":"/spec/replicas","value":9}]')
    ask("patch", "deploy", "web", "--subresource=status", "--type=merge", "-p", '{"status":{"readyReplicas":2}}')
    ask("patch", "deploy", "web", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":2}}')
    ask("patch", "pod", f"web-{world.HASH}-1", "-p", '{"spec":{"nodeName":"n2"}}')
    ask("set", "image", "deploy/web", "app=stand-in:2")
    ask("set", "env", "deploy/web", "B=2")
    ask("set", "resources", "deploy/web", "--limits=cpu=200m,memory=64Mi")
    ask("set", "selector", "svc", "web", "app=web,tier=front")
    ask("scale", "deploy/web", "--replicas=5")
    ask("scale", "deploy/web", "--replicas=2", "--current-replicas=9")
    ask("autoscale", "deploy/web", "--min=2", "--max=5", "--cpu=50%")
    ask("expose", "deploy", "web", "--name=again", "--port=81", "--target-port=8000")
    ask("run", "one", "--image=stand-in:1", "--labels=app=one", "--port=8000")
    ask("replace", "-f", "-", given={**CONFIG, "data": {"c": "3"}})
    ask("create", "-f", "-", given=CONFIG)
    ask("delete", "cm", "settings")
    ask("delete", "cm", "settings")
    ask("delete", "cm", "settings", "--ignore-not-found")


def kubectl_creates(actor: Actor) -> None:
    ask = actor.kubectl
    ask("create", "namespace", "shop")
    ask("create", "namespace", "shop")
    ask("create", "deployment", "front", "--image=stand-in:1", "--replicas=2", "--port=8000")
    ask("create", "configmap", "settings", "--from-literal=colour=blue")
    ask("create", "secret", "generic", "keys", "--from-literal=key=value")
    ask("create", "service", "clusterip", "front", "--tcp=80:8000")
    ask("create", "service", "nodeport", "side", "--tcp=80:8000")
    ask("create", "service", "externalname", "away", "--external-name=example.org")
    ask("create", "serviceaccount", "robot")
    ask("create", "poddisruptionbudget", "front", "--selector=app=front", "--min-available=1")
    ask("create", "job", "once", "--image=stand-in:1", "--", "true")
    ask("create", "cronjob", "often", "--image=stand-in:1", "--schedule=*/5 * * * *", "--", "true")
    ask("create", "job", "again", "--from=cronjob/often")
    ask("create", "role", "reader", "--verb=get,list", "--resource=pods")
    ask("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:robot")
    ask("create", "clusterrole", "node-reader", "--verb=get", "--resource=nodes")
    ask("create", "clusterrolebinding", "node-reader", "--clusterrole=node-reader", "--serviceaccount=default:robot")
    ask("create", "ingress", "front", "--rule=example.org/*=front:80")
    ask("create", "priorityclass", "high", "--value=1000", "--description=first")
    ask("create", "deployment", "Wrong_Name", "--image=x")
    ask("get", "all,cm,secret,sa,pdb,ingress,role,rolebinding,pc")
    ask("delete", "deploy/front", "svc/front", "--cascade=orphan", "--wait=false")
    ask("delete", "jobs", "--all", "--wait=false")


def kubectl_applies_on_the_server(actor: Actor) -> None:
    world.build(actor)
    ask = actor.kubectl
    ask("apply", "--server-side", "-f", "-", given=[CONFIG, deployment("other", replicas=1)])
    ask("apply", "--server-side", "-f", "-", given=CONFIG)
    ask("apply", "--server-side", "--field-manager=else", "-f", "-", given={**CONFIG, "data": {"a": "9"}})
    ask("apply", "--server-side", "--field-manager=else", "--force-conflicts", "-f", "-", given={**CONFIG, "data": {"a": "9"}})
    ask("apply", "--server-side", "-f", "-", given={**CONFIG, "data": {"b": "2"}})
    ask("get", "cm", "settings", "-o", "yaml", "--show-managed-fields")
    ask("diff", "--server-side", "-f", "-", given={**CONFIG, "data": {"b": "3"}})
    ask("apply", "--server-side", "-f", "-", given=deployment("web", replicas=2))
    ask("apply", "--server-side", "--force-conflicts", "-f", "-", given=deployment("web", replicas=2))
    ask("get", "deploy", "web", "-o", "yaml", "--show-managed-fields")


def kubectl_rolls_out(actor: Actor) -> None:
    world.build(actor)
    ask = actor.kubectl
    ask("rollout", "status", "deploy/web", "--timeout=10s")
    ask("rollout", "history", "deploy/web")
    ask("set", "image", "deploy/web", "app=stand-in:2")
    made = actor.ask("GET", f"{APPS}/deployments/web")
    world.replica_set(actor, made, "77c9", "2", "stand-in:2")
    actor.ask("PATCH", f"{APPS}/deployments/web", {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "2"}}}, MERGE)
    ask("rollout", "history", "deploy/web")
    ask("rollout", "history", "deploy/web", "--revision=2")
    ask("rollout", "status", "deploy/web", "--watch=false")
    ask("rollout", "undo", "deploy/web", "--to-revision=7")
    ask("rollout", "undo", "deploy/web")
    ask("rollout", "pause", "deploy/web")
    ask("rollout", "undo", "deploy/web")
    ask("rollout", "pause", "deploy/web")
    ask("rollout", "resume", "deploy/web")
    ask("rollout", "status", "deploy/nobody")
    ask("get", "deploy", "web", "-o", "yaml")


def kubectl_works_on_nodes(actor: Actor) -> None:
    world.build(actor)
    ask = actor.kubectl
    ask("cordon", "n1")
    ask("cordon", "n1")
    ask("uncordon", "n1")
    ask("taint", "node", "n2", "key=value:NoSchedule")
    ask("taint", "node", "n2", "key=value:NoSchedule")
    ask("taint", "node", "n2", "key-")
    ask("label", "node", "n2", "disk=fast")
    world.allowed_budget(actor, 0)
    ask("drain", "n2", "--timeout=1s")
    ask("drain", "n2", "--dry-run=server", "--timeout=1s")
    world.allowed(actor, 1)
    ask("drain", "n2", "--timeout=20s")
    world.pod(actor, "alone", node="n1", number=8, app="alone")
    ask("drain", "n1", "--timeout=20s", "--pod-selector=app=alone")
    ask("drain", "n1", "--timeout=20s", "--pod-selector=app=alone", "--force")
    ask("drain", "n1", "--disable-eviction", "--timeout=20s")
    ask("delete", "node", "n2")
    ask("drain", "nobody")


def kubectl_waits(actor: Actor) -> None:
    world.build(actor)
    ask = actor.kubectl
    ask("wait", "--for=condition=available", "deploy/web", "--timeout=10s")
    ask("wait", "--for=condition=Ready", "pod", "-l", "app=web", "--timeout=10s")
    ask("wait", "--for=jsonpath={.status.readyReplicas}=3", "deploy/web", "--timeout=10s")
    ask("wait", "--for=jsonpath={.status.readyReplicas}=7", "deploy/web", "--timeout=1s")
    ask("wait", "--for=delete", "pod/nobody", "--timeout=10s")
    ask("wait", "--for=create", "deploy/web", "--timeout=10s")
    ask("wait", "--for=condition=Ready", "pod/nobody", "--timeout=10s")
    ask("get", "pods", "--watch", "--request-timeout=1s", "-o", "name")
    ask("get", "pods", "--watch-only", "--request-timeout=1s")
    ask("delete", "pod", f"web-{world.HASH}-1", "--timeout=10s")
    ask("delete", "pod", f"web-{world.HASH}-2", "--grace-period=0", "--force")
    ask("delete", "deploy", "web", "--cascade=foreground", "--wait=false")
    ask("get", "deploy", "web", *PERMANENT)
    ask("delete", "svc", "-l", "app=none")
    ask("delete", "ns", "nobody")


def custom_resources(actor: Actor) -> None:
    ask = actor.kubectl
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {"size": {"type": "string", "enum": ["small", "large"]}, "count": {"type": "integer", "default": 1}},
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": "Size", "type": "string", "jsonPath": ".spec.size"}],
    }
    names = {"plural": "boxes", "singular": "box", "kind": "Box", "listKind": "BoxList", "shortNames": ["bx"]}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boxes.ex.io"},
        "spec": {"group": "ex.io", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    box = {"apiVersion": "ex.io/v1", "kind": "Box", "metadata": {"name": "one", "namespace": "default"}, "spec": {"size": "large"}}
    ask("apply", "-f", "-", given=definition)
    ask("wait", "--for=condition=Established", "crd/boxes.ex.io", "--timeout=10s")
    served(actor)
    ask("apply", "-f", "-", given=box)
    ask("get", "bx")
    ask("get", "bx", "one", "-o", "yaml")
    ask("apply", "-f", "-", given={**box, "spec": {"size": "large", "colour": "red"}})
    ask("apply", "-f", "-", "--validate=ignore", given={**box, "spec": {"size": "large", "colour": "red"}})
    ask("apply", "-f", "-", given={**box, "spec": {"size": "middle"}})
    ask("patch", "bx", "one", "--type=merge", "-p", '{"spec":{"count":2}}')
    ask("patch", "bx", "one", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Done"}}')
    ask("explain", "bx.spec")
    ask("delete", "bx", "one")
    ask("delete", "crd", "boxes.ex.io", "--wait=false")


def served(actor: Actor) -> None:
    """An established definition is served a moment later; asked beside the trace, until it is."""
    for _ in range(1000):
        if actor.unseen("GET", "/apis/ex.io/v1/boxes") == 200:
            return
    raise AssertionError("the custom kind is not served")


def kr8s(actor: Actor) -> None:
    world.build(actor)
    actor.program("kr8s_acts.py")


def lightkube(actor: Actor) -> None:
    world.build(actor)
    actor.program("lightkube_acts.py")


def python_client(actor: Actor) -> None:
    world.build(actor)
    actor.program("python_acts.py")
    actor.program("python_acts.py", stock=False)


def chaosk8s(actor: Actor) -> None:
    world.build(actor)
    actor.program("sandbox/apiserver/chaosk8s_recording.py", stock=False)


def patches(actor: Actor) -> None:
    """All four kinds of patch, also on what is not there."""
    actor.create(f"{CORE}/configmaps", "ConfigMap", "a", data={"k": "v"})
    for content, body in (
        (MERGE, {"data": {"k": None, "l": "w"}}),
        (STRATEGIC, {"metadata": {"labels": {"x": "y"}}}),
        (JSON_PATCH, [{"op": "remove", "path": "/data/none"}]),
        (JSON_PATCH, [{"op": "copy", "from": "/data/l", "path": "/data/m"}]),
        ("text/plain", {"data": {}}),
    ):
        actor.ask("PATCH", f"{CORE}/configmaps/a", body, content)
        actor.ask("PATCH", f"{CORE}/configmaps/nobody", body, content)
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, "data": {"k": "v"}}
    actor.ask("PATCH", f"{CORE}/configmaps/new", applied, APPLY, fieldManager="me")
    actor.ask("PATCH", f"{CORE}/configmaps/new", applied, APPLY)


STORIES: Final[Mapping[str, Callable[[Actor], None]]] = {
    "kubectl looks": kubectl_looks,
    "kubectl writes": kubectl_writes,
    "kubectl creates": kubectl_creates,
    "kubectl applies on the server": kubectl_applies_on_the_server,
    "kubectl rolls out": kubectl_rolls_out,
    "kubectl works on nodes": kubectl_works_on_nodes,
    "kubectl waits": kubectl_waits,
    "custom resources": custom_resources,
    "kr8s": kr8s,
    "lightkube": lightkube,
    "python client": python_client,
    "chaosk8s": chaosk8s,
    "patches": patches,
    **BEHAVIOURS,
}
