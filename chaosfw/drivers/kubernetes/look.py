"""
Reads of pods, nodes, endpoints and budgets, and what they say: the questions that kinds, activities and audit ask.

Always fresh from the API server. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from chaosfw.drivers.kubernetes import marks
from chaosfw.drivers.kubernetes.cluster import Cluster, Object
from chaosfw.errors import UsageError
from chaosfw.model.activity import Victims
from chaosfw.model.environment import Identity, Target
from chaosfw.model.facts import BudgetFacts, EndpointFacts, Facts, NodeFacts, PodFacts

MARKED = (("/apis/apps/v1/deployments", "deployment"), ("/apis/apps/v1/statefulsets", "statefulset"), ("/api/v1/services", "service"))
"""Where, beside nodes, a fault of ours can leave its mark."""
ZONE = "topology.kubernetes.io/zone"


def pods(cluster: Cluster, *, namespace: str = "", selector: str = "", node: str = "") -> list[Object]:
    """Pods by namespace (none: all), label selector and node."""
    query = {"labelSelector": selector} if selector else {}
    if node:
        query["fieldSelector"] = f"spec.nodeName={node}"
    path = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
    return cluster.items(path, **query)


def nodes(cluster: Cluster, *, selector: str = "") -> list[Object]:
    return cluster.items("/api/v1/nodes", **({"labelSelector": selector} if selector else {}))


def workload(cluster: Cluster, *, kind: str, name: str, namespace: str) -> Object:
    """A Deployment, StatefulSet or DaemonSet. Raises UsageError naming those that there are."""
    path = f"/apis/apps/v1/namespaces/{namespace}/{kind}s"
    if found := cluster.find(f"{path}/{name}"):
        return found
    there = ", ".join(sorted(one["metadata"]["name"] for one in cluster.items(path))) or "none"
    raise UsageError(f"there is no {kind} {name!r} in namespace {namespace!r}", hint=f"{kind}s there: {there}")


def pods_of(cluster: Cluster, *, kind: str, name: str, namespace: str) -> list[Object]:
    """The pods of a workload, oldest name first."""
    selector = workload(cluster, kind=kind, name=name, namespace=namespace)["spec"]["selector"]
    return sorted(pods(cluster, namespace=namespace, selector=selector_text(selector)), key=name_of)


def victims(cluster: Cluster, stated: Victims) -> tuple[Target, ...]:
    """The pods that an action's author says it hits. Raises UsageError where none runs."""
    if owner := stated.workload:
        found = pods_of(cluster, kind=str(owner["kind"]), name=str(owner["name"]), namespace=str(owner["namespace"]))
        where = f"of {owner['kind']} {owner['namespace']}/{owner['name']}"
    else:
        found = pods(cluster, namespace=stated.namespace, selector=stated.selector)
        where = f"with {stated.selector!r} in namespace {stated.namespace!r}"
    zones = zones_by_node(cluster)
    running = tuple(pod_target(pod, zones) for pod in found if not is_terminating(pod) and not is_finished(pod))
    if not running:
        raise UsageError(f"victims: no pod {where} is running", hint="what does the action hit?")
    return running


def selector_text(selector: Object) -> str:
    """A LabelSelector as the query string that the API takes."""
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for rule in selector.get("matchExpressions") or []:
        key, operator, values = rule["key"], rule["operator"], ",".join(rule.get("values") or [])
        words = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key, "DoesNotExist": f"!{key}"}
        parts.append(words[operator])
    return ",".join(parts)


def name_of(thing: Object) -> str:
    return str(thing["metadata"]["name"])


def uid_of(thing: Object) -> str:
    return str(thing["metadata"].get("uid", ""))


def is_terminating(thing: Object) -> bool:
    return bool(thing["metadata"].get("deletionTimestamp"))


def is_finished(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def is_ready(thing: Object) -> bool:
    """The Ready condition of a pod or a node; a pod that terminates is not ready."""
    conditions = thing.get("status", {}).get("conditions") or []
    return not is_terminating(thing) and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def owner(thing: Object) -> tuple[str, str]:
    """Kind and name of the controller that would put it back; empty where there is none."""
    for reference in thing["metadata"].get("ownerReferences") or []:
        if reference.get("controller"):
            return str(reference["kind"]), str(reference["name"])
    return "", ""


def zone_of(node: Object) -> str:
    return str((node["metadata"].get("labels") or {}).get(ZONE, ""))


def zones_by_node(cluster: Cluster) -> dict[str, str]:
    return {name_of(node): zone_of(node) for node in nodes(cluster)}


def hosted(cluster: Cluster, names: Iterable[str]) -> tuple[str, ...]:
    """The pods on nodes: who notices it first when something happens to the node."""
    return tuple(name_of(pod) for node in names for pod in pods(cluster, node=node) if not is_finished(pod))


def pod_target(pod: Object, zones: dict[str, str]) -> Target:
    node = pod["spec"].get("nodeName", "")
    return Target(
        kind="pod", name=name_of(pod), namespace=pod["metadata"]["namespace"], uid=uid_of(pod), node=node, zone=zones.get(node, "")
    )


def node_target(node: Object) -> Target:
    return Target(kind="node", name=name_of(node), uid=uid_of(node), zone=zone_of(node), node=name_of(node))


def ready_endpoints(cluster: Cluster, namespace: str) -> set[str]:
    """Uids of the pods that any EndpointSlice of the namespace offers as ready."""
    slices = cluster.items(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")
    return {
        endpoint["targetRef"]["uid"]
        for one in slices
        for endpoint in one.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready", True) and endpoint.get("targetRef", {}).get("uid")
    }


def serving(cluster: Cluster, *, namespace: str, name: str) -> tuple[EndpointFacts, ...]:
    """
    The pods that a Service offers as ready. Nothing where its connections do not spread evenly over them (affinity, hints, local
    traffic only), or where something that is no ready pod is offered too: then nothing may be concluded from their number.
    Raises UsageError when there is no such Service.
    """
    service = cluster.find(f"/api/v1/namespaces/{namespace}/services/{name}")
    if service is None:
        there = ", ".join(sorted(map(name_of, cluster.items(f"/api/v1/namespaces/{namespace}/services")))) or "none"
        raise UsageError(f"there is no Service {name!r} in namespace {namespace!r}", hint=f"Services there: {there}")
    query = {"labelSelector": f"kubernetes.io/service-name={name}"}
    slices = cluster.items(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices", **query)
    offered = [one for each in slices for one in each.get("endpoints") or [] if (one.get("conditions") or {}).get("ready", True)]
    zones, there_now = zones_by_node(cluster), {uid_of(pod): pod for pod in pods(cluster, namespace=namespace)}
    found = [there_now.get((one.get("targetRef") or {}).get("uid", "")) for one in offered]
    ready = {uid_of(pod): pod for pod in found if pod is not None and is_ready(pod)}
    if not _spreads_evenly(service["spec"]) or any(one.get("hints") for one in offered) or any(pod is None for pod in found):
        return ()
    return tuple(EndpointFacts(target=pod_target(pod, zones), since=ready_since(pod)) for pod in ready.values())


def ready_since(pod: Object) -> str:
    """When the pod's Ready condition last changed, in the cluster's own words."""
    conditions = pod.get("status", {}).get("conditions") or []
    return next((str(one.get("lastTransitionTime", "")) for one in conditions if one["type"] == "Ready"), "")


def _spreads_evenly(spec: Object) -> bool:
    is_local = "Local" in (spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy"))
    is_near = bool(spec.get("trafficDistribution"))
    return spec.get("sessionAffinity", "None") == "None" and not (is_local or is_near or spec.get("publishNotReadyAddresses"))


def identity(cluster: Cluster) -> Identity:
    """Who the cluster is: the uid of kube-system outlives every upgrade."""
    return Identity(server=cluster.server, uid=uid_of(cluster.get("/api/v1/namespaces/kube-system")))


def facts(cluster: Cluster) -> Facts:
    """Everything that the guards judge, in one look."""
    found_nodes = nodes(cluster)
    zones = {name_of(node): zone_of(node) for node in found_nodes}
    found_pods = [pod for pod in pods(cluster) if not is_finished(pod)]
    return Facts(
        identity=identity(cluster),
        nodes=tuple(
            NodeFacts(
                target=node_target(node),
                labels=node["metadata"].get("labels") or {},
                ready=is_ready(node),
                schedulable=not node["spec"].get("unschedulable"),
            )
            for node in found_nodes
        ),
        pods=tuple(
            PodFacts(
                target=pod_target(pod, zones),
                labels=pod["metadata"].get("labels") or {},
                workload=workload_words(pod),
                ready=is_ready(pod),
            )
            for pod in found_pods
        ),
        budgets=tuple(_budget(budget, found_pods) for budget in cluster.items("/apis/policy/v1/poddisruptionbudgets")),
        marks=_marked("node", found_nodes)
        + _marked("pod", found_pods)
        + tuple(what for path, kind in MARKED for what in _marked(kind, cluster.readable(path))),
    )


def _marked(kind: str, found: Iterable[Object]) -> tuple[str, ...]:
    there = (one for one in found if marks.on(one) is not None)
    return tuple(f"{kind} {one['metadata'].get('namespace', '')}/{name_of(one)}".replace(" /", " ") for one in there)


def workload_words(pod: Object) -> str:
    """``deployment shop/myapp`` for a pod of its ReplicaSet: the template hash is the set's last part."""
    kind, name = owner(pod)
    if not kind:
        return ""
    deployed = kind == "ReplicaSet" and "pod-template-hash" in (pod["metadata"].get("labels") or {})
    return (
        f"deployment {pod['metadata']['namespace']}/{name.rpartition('-')[0]}"
        if deployed
        else f"{kind.lower()} {pod['metadata']['namespace']}/{name}"
    )


def _budget(budget: Object, all_pods: Iterable[Object]) -> BudgetFacts:
    namespace = budget["metadata"]["namespace"]
    wanted = budget["spec"].get("selector") or {}
    covered = [
        pod for pod in all_pods if pod["metadata"]["namespace"] == namespace and selects(wanted, pod["metadata"].get("labels") or {})
    ]
    return BudgetFacts(
        namespace=namespace,
        name=name_of(budget),
        allowed=int(budget.get("status", {}).get("disruptionsAllowed", 0)),
        covers=tuple(uid_of(pod) for pod in covered),
    )


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a LabelSelector accepts these labels. An empty one accepts all, as policy/v1 says."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_rule_holds(rule, labels) for rule in selector.get("matchExpressions") or [])


def _rule_holds(rule: Object, labels: dict[str, str]) -> bool:
    key, values = rule["key"], rule.get("values") or []
    match rule["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels
