"""
The daemon set controller: a pod on each node that its template fits and tolerates, which stays when the node is lost, and is replaced
node by node when the template changes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

from chaosfw.sandbox.client.informer import key_of
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.claims import Claims
from chaosfw.sandbox.controllers.recorder import Recorder
from chaosfw.sandbox.controllers.revisions import LABEL, Revisions
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.objects.affinity import selects
from chaosfw.sandbox.objects.tolerations import tolerates

RESOURCE = "daemonsets.apps"
GENERATION = "deprecated.daemonset.template.generation"
_PUT_UP_WITH = (
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
)


class DaemonSets:
    """Reconciles daemon sets; woken by their own changes, by those of pods and of nodes."""

    def __init__(self, caches: Caches, recorder: Recorder) -> None:
        self._caches, self._recorder = caches, recorder
        self.loop = Loop("daemon sets", self.reconcile)
        self._claims = Claims(caches, resource=RESOURCE, kind="DaemonSet", loop=self.loop)
        self._revisions = Revisions(caches, hash_label=LABEL)

    def listen(self) -> None:
        self._caches[RESOURCE].listen(self._on_set)
        self._caches["nodes"].listen(self._on_node)
        self._claims.listen()

    def _on_set(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.loop.add(key_of(new))

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or _matters(old) != _matters(new):
            for one in self._caches[RESOURCE].all():
                self.loop.add(key_of(one))

    async def reconcile(self, key: Key) -> None:
        owner = self._caches[RESOURCE].get(*key)
        if owner is None:
            return
        pods = await self._claims.claim(owner)
        if objects.is_going(owner):
            return
        newest = await self._revisions.newest(owner)
        digest = newest["metadata"]["labels"][LABEL]
        nodes = {node["metadata"]["name"]: node for node in self._caches["nodes"].all()}
        await self._keep(owner, nodes, _by_node(pods), digest)
        if owner["spec"]["updateStrategy"]["type"] == "RollingUpdate":
            await self._roll(owner, nodes, digest)
        await self._tell_status(owner, nodes, digest)
        prefix = owner["metadata"]["name"]
        live = {newest["metadata"]["name"], *(f"{prefix}-{_digest(pod)}" for pod in self._claims.of(owner))}
        await self._revisions.trim(owner, live=live)

    # --- where there has to be one

    async def _keep(self, owner: Object, nodes: dict[str, Object], pods: dict[str, list[Object]], digest: str) -> None:
        for name, node in nodes.items():
            here = pods.get(name, [])
            fits, stays = _runs(owner, node)
            if fits and not here:
                await self._create(owner, name, digest)
            elif stays:
                await self._tidy(owner, here, digest)
            else:
                await self._delete(owner, here)

    async def _tidy(self, owner: Object, here: Sequence[Object], digest: str) -> None:
        """One on a node; two while a new one takes over from an old one."""
        running = []
        for pod in here:
            phase = (pod.get("status") or {}).get("phase")
            if objects.is_going(pod):
                continue
            if phase in ("Failed", "Succeeded"):
                where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']} on node {_node(pod)}"
                words = f"Found {phase.lower()} daemon pod {where}, will try to {'kill' if phase == 'Failed' else 'delete'} it"
                self._recorder.tell(owner, f"{phase}DaemonPod", words, warning=phase == "Failed")
                await self._delete(owner, [pod])
            else:
                running.append(pod)
        running.sort(key=_age)
        if not _surge(owner, len(running)):
            await self._delete(owner, running[1:])
            return
        new, old = ([pod for pod in running if (_digest(pod) == digest) is wanted] for wanted in (True, False))
        await self._delete(owner, [*new[1:], *old[1:]])
        if new and old and (not objects.is_ready(old[0]) or self._claims.available(owner, new[0])):
            await self._delete(owner, old[:1])

    # --- a new template

    async def _roll(self, owner: Object, nodes: dict[str, Object], digest: str) -> None:
        pods = _by_node(pod for pod in self._claims.of(owner) if not objects.is_going(pod))
        wanted = sum(_runs(owner, node)[0] for node in nodes.values())
        surge = _surge(owner, wanted)
        rolling = owner["spec"]["updateStrategy"].get("rollingUpdate") or {}
        room = surge or max(1, objects.share(rolling.get("maxUnavailable", 1), wanted, up=True))
        at_once, candidates = [], []
        for name in nodes:
            if not _runs(owner, nodes[name])[0]:
                continue
            here = pods.get(name, [])
            if len(here) != 1:
                room -= 1
            elif _digest(here[0]) == digest:
                room -= 0 if surge or self._claims.available(owner, here[0]) else 1
            elif not self._claims.available(owner, here[0]):
                at_once.append(here[0])
                room -= 0 if surge else 1
            else:
                candidates.append(here[0])
        chosen = [*at_once, *candidates[: max(0, room)]]
        if not surge:
            await self._delete(owner, chosen)
            return
        for pod in chosen:
            await self._create(owner, _node(pod), digest)

    # --- pods

    async def _create(self, owner: Object, node: str, digest: str) -> None:
        try:
            pod = await self._claims.create(pod_from(owner, node, digest), owner)
        except ApiError as error:
            self._recorder.tell(owner, "FailedCreate", f"Error creating: {error.message}", warning=True)
            raise
        self._recorder.tell(owner, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

    async def _delete(self, owner: Object, pods: Sequence[Object]) -> None:
        for pod in pods:
            if not objects.is_going(pod) and await self._claims.delete(pod):
                self._recorder.tell(owner, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")

    # --- status

    async def _tell_status(self, owner: Object, nodes: dict[str, Object], digest: str) -> None:
        pods = _by_node(self._claims.of(owner))
        first = {name: min(here, key=_age) for name, here in pods.items()}
        fitting = [name for name, node in nodes.items() if _runs(owner, node)[0]]
        there = [first[name] for name in fitting if name in first]
        ready = [pod for pod in there if objects.is_ready(pod)]
        available = sum(self._claims.available(owner, pod) for pod in ready)
        known = list(objects.conditions(owner))
        status = {
            "currentNumberScheduled": len(there),
            "numberMisscheduled": sum(name in first for name in nodes if name not in fitting),
            "desiredNumberScheduled": len(fitting),
            "numberReady": len(ready),
            **objects.without_zeros(
                {
                    "observedGeneration": owner["metadata"].get("generation", 0),
                    "updatedNumberScheduled": sum(_digest(pod) == digest for pod in there),
                    "numberAvailable": available,
                    "numberUnavailable": len(fitting) - available,
                }
            ),
            **({"conditions": known} if known else {}),
        }
        if status != owner.get("status"):
            metadata, body = owner["metadata"], {**owner, "status": status}
            client = self._caches.client
            written = await client.replace(RESOURCE, metadata["name"], body, namespace=metadata["namespace"], subresource="status")
            await self._caches[RESOURCE].seen(written["metadata"]["resourceVersion"])


def pod_from(owner: Object, node: str, digest: str) -> Object:
    """A pod for one node: the scheduler puts it there, by its name."""
    template = copy.deepcopy(owner["spec"]["template"])
    metadata, spec = template.get("metadata") or {}, template["spec"]
    own = {LABEL: digest}
    if generation := (owner["metadata"].get("annotations") or {}).get(GENERATION):
        own["pod-template-generation"] = generation
    for taint, effect in _PUT_UP_WITH:
        _tolerate(spec, f"node.kubernetes.io/{taint}", effect)
    if spec.get("hostNetwork"):
        _tolerate(spec, "node.kubernetes.io/network-unavailable", "NoSchedule")
    by_name = {"key": "metadata.name", "operator": "In", "values": [node]}
    node_affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    node_affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [{"matchFields": [by_name]}]}
    kept = {key: metadata[key] for key in ("annotations", "finalizers") if metadata.get(key)}
    return {
        "metadata": {
            "generateName": f"{owner['metadata']['name']}-",
            **kept,
            "labels": {**(metadata.get("labels") or {}), **own},
            "ownerReferences": [objects.owner_reference(owner)],
        },
        "spec": spec,
    }


def _tolerate(spec: Object, key: str, effect: str) -> None:
    known = spec.setdefault("tolerations", [])
    if not any(one.get("key") == key and one.get("operator") == "Exists" and one.get("effect") == effect for one in known):
        known.append({"key": key, "operator": "Exists", "effect": effect})


def _runs(owner: Object, node: Object) -> tuple[bool, bool]:
    """Whether one is to be started on a node, and whether one that runs there may go on."""
    pod = {"spec": copy.deepcopy(owner["spec"]["template"]["spec"])}
    for taint, effect in _PUT_UP_WITH:
        _tolerate(pod["spec"], f"node.kubernetes.io/{taint}", effect)
    if pod["spec"].get("nodeName") not in (None, "", node["metadata"]["name"]) or not selects(pod, node):
        return False, False
    alien = [taint["effect"] for taint in node["spec"].get("taints") or () if not tolerates(pod, taint)]
    return not {"NoSchedule", "NoExecute"}.intersection(alien), "NoExecute" not in alien


def _matters(node: Object) -> object:
    """What of a node decides."""
    return node["metadata"].get("labels"), node["spec"].get("taints"), node["spec"].get("unschedulable")


def _surge(owner: Object, wanted: int) -> int:
    rolling = owner["spec"]["updateStrategy"].get("rollingUpdate") or {}
    return objects.share(rolling.get("maxSurge", 0), wanted, up=True)


def _by_node(pods: Iterable[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for pod in pods:
        found.setdefault(_node(pod), []).append(pod)
    return found


def _node(pod: Object) -> str:
    """Where it is, or where it will be."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in affinity.get("nodeSelectorTerms") or ():
        for one in term.get("matchFields") or ():
            if one["key"] == "metadata.name":
                return str(one["values"][0])
    return ""


def _digest(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(LABEL, ""))


def _age(pod: Object) -> tuple[str, str]:
    return pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]
