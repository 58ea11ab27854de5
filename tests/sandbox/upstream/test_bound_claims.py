"""
Claims and volumes on all four pairs of API server and controllers, ours and Kubernetes' own: who gets which, what is told, where
pods go.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.provisioner import Provisioner
from tests.sandbox.apiserver.plane import Plane, is_ready
from tests.sandbox.upstream.mixed import THEIRS
from tests.sandbox.upstream.test_two_by_two import PAIRS, PATIENCE, PLACE, told, without_times

CLAIMS, VOLUMES, CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"


def claim(name: str, *, size: str = "1Gi", mode: str = "ReadWriteOnce", **spec: Any) -> Object:
    own = {"accessModes": [mode], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {**own, **spec}}


def volume(name: str, *, size: str = "1Gi", labels: Object | None = None, **spec: Any) -> Object:
    own = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": f"/srv/{name}"}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name, "labels": labels or {}}, "spec": {**own, **spec}}


def storage_class(name: str, provisioner: str, **fields: Any) -> Object:
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}, "provisioner": provisioner, **fields}


def on(node: str) -> Object:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    return {"required": {"nodeSelectorTerms": [term]}}


def pod(name: str, *claims: str, node: str = "") -> Object:
    volumes = [{"name": f"v{number}", "persistentVolumeClaim": {"claimName": one}} for number, one in enumerate(claims)]
    spec: Object = {"containers": [{"name": "app", "image": "stand-in:1"}], "volumes": volumes, "terminationGracePeriodSeconds": 0}
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def members(**spec: Any) -> Object:
    one = pod("db")
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {**one["spec"], "volumes": []}}
    own = {"serviceName": "db", "replicas": 2, "selector": {"matchLabels": {"app": "db"}}, "template": template}
    own["volumeClaimTemplates"] = [claim("data", storageClassName="standard")]
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {**own, **spec}}


class Look:
    """What claims, volumes and pods are, without what a server makes up."""

    def __init__(self, running: Plane) -> None:
        self._client = running.client

    async def look(self) -> Object:
        claims, _ = await self._client.list(CLAIMS, **PLACE)
        volumes, _ = await self._client.list(VOLUMES)
        pods, _ = await self._client.list("pods", **PLACE)
        events, _ = await self._client.list("events", **PLACE)
        names = {f"pvc-{one['metadata']['uid']}": f"pvc-of-{one['metadata']['name']}" for one in claims}
        names |= {
            one["metadata"]["name"]: f"pvc-of-{one['spec']['claimRef']['name']}" for one in volumes if one["metadata"]["name"][:4] == "pvc-"
        }
        return {
            "claims": {one["metadata"]["name"]: _claim(one, names) for one in claims},
            "volumes": {names.get(one["metadata"]["name"], one["metadata"]["name"]): _volume(one) for one in volumes},
            "pods": {one["metadata"]["name"]: _pod(one) for one in pods},
            "told": sorted({told for one in events if (told := _event(one, names))}),
        }

    async def until(self, holds: Callable[[Object], Any]) -> Object:
        found: Object = {}
        try:
            async with asyncio.timeout(PATIENCE):
                before = None
                while True:
                    found = await self.look()
                    if _holds(holds, found) and found == before:
                        return found
                    before = found
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"it does not come to rest: {found}") from None


def _holds(holds: Callable[[Object], Any], found: Object) -> bool:
    try:
        return bool(holds(found))
    except KeyError:
        return False


def _pod(one: Object) -> Object:
    """Where one is that could be anywhere is a scheduler's taste."""
    anywhere = one["metadata"]["name"].startswith(("db-", "nothing"))
    return {"node": "" if anywhere else one["spec"].get("nodeName"), "ready": is_ready(one)}


def _claim(one: Object, names: dict[str, str]) -> Object:
    spec = {key: value for key, value in one["spec"].items() if key != "volumeName"}
    name = one["spec"].get("volumeName", "")
    notes = {key: "…" if key.endswith("selected-node") else value for key, value in one["metadata"].get("annotations", {}).items()}
    going = bool(one["metadata"].get("deletionTimestamp"))
    owners = [ref["kind"] for ref in one["metadata"].get("ownerReferences", ())]
    return {
        "owners": owners,
        "spec": spec,
        "volume": names.get(name, name),
        "notes": notes,
        "status": without_times(one["status"]),
        "going": going,
    }


def _volume(one: Object) -> Object:
    spec = {key: value for key, value in one["spec"].items() if key not in ("claimRef", "hostPath")}
    ref = {key: value for key, value in (one["spec"].get("claimRef") or {}).items() if key not in ("uid", "resourceVersion")}
    status = {key: value for key, value in one["status"].items() if key != "lastPhaseTransitionTime"}
    if (one["metadata"].get("annotations") or {}).get("pv.kubernetes.io/provisioned-by"):
        spec["nodeAffinity"] = "…"  # of the zone that the pod happened to get
    return {
        "spec": spec,
        "for": ref,
        "status": status,
        "notes": one["metadata"].get("annotations"),
        "held": one["metadata"].get("finalizers"),
    }


def _event(one: Object, names: dict[str, str]) -> str:
    """Of claims all, of pods why they wait. Who is in the middle of binding says more or less, as it happens to go."""
    kind, reason, message = one["involvedObject"]["kind"], one["reason"], one["message"]
    if kind != "PersistentVolumeClaim" and reason != "FailedScheduling":
        return ""
    if reason == "WaitForPodScheduled" or "db-" in one["involvedObject"]["name"]:  # for a moment, which not everybody sees
        return ""
    for real, name in names.items():
        message = message.replace(real, name)
    for end in (". no new claims", ". preemption:", ", preemption:", ". not found"):  # what preemption would change is not told by ours
        message = message.partition(end)[0] if kind == "Pod" else message
    message = re.sub(r"pvc-[0-9a-f-]{36}", "pvc-…", message.rstrip(". "))
    return f"{kind} {one['involvedObject']['name']}: {reason}: {message}"


async def story(running: Plane) -> dict[str, Object]:
    with tempfile.TemporaryDirectory() as made:
        provisioner = Provisioner(running.client, directory=Path(made))
        await provisioner.start()
        try:
            return await _story(running)
        finally:
            await provisioner.stop()


async def _story(running: Plane) -> dict[str, Object]:
    client, seen = running.client, Look(running)
    book: dict[str, Object] = {}
    await running.until("serviceaccounts", lambda found: any(one["metadata"]["name"] == "default" for one in found))

    async def add(resource: str, *bodies: Object) -> None:
        for body in bodies:
            await client.create(resource, body, namespace="" if resource in (VOLUMES, CLASSES) else "default")

    def phase(found: Object, kind: str, **wanted: str) -> bool:
        return all(found[kind][name]["status"]["phase"] == word for name, word in wanted.items())

    # Long before a claim names them: Kubernetes' controller says "not found" of a class that it has not heard of yet.
    await add(CLASSES, storage_class("people", "kubernetes.io/no-provisioner", volumeBindingMode="WaitForFirstConsumer"))
    await add(CLASSES, storage_class("foreign", "example.com/disks"))
    await add(VOLUMES, volume("large", size="9Gi"), volume("small", size="2Gi"), volume("red", size="2Gi", labels={"colour": "red"}))
    await seen.until(lambda found: phase(found, "volumes", large="Available", small="Available", red="Available"))
    await add(CLAIMS, claim("red", storageClassName="", selector={"matchLabels": {"colour": "red"}}))
    await seen.until(lambda found: phase(found, "claims", red="Bound"))
    await add(CLAIMS, claim("one", storageClassName=""))
    await seen.until(lambda found: phase(found, "claims", one="Bound"))
    await add(CLAIMS, claim("many", storageClassName="", mode="ReadWriteMany"), claim("huge", storageClassName="", size="90Gi"))
    book["by people"] = await seen.until(lambda found: phase(found, "claims", many="Pending", huge="Pending") and len(found["told"]) >= 2)

    named = {"storageClassName": "", "volumeName": "large"}
    await add(CLAIMS, claim("named", **named), claim("too late", **named) | {"metadata": {"name": "late"}})
    book["named"] = await seen.until(lambda found: len(_bound(found, "named", "late")) == 1 and phase(found, "volumes", large="Bound"))
    loser = next(name for name in ("named", "late") if name not in _bound(book["named"], "named", "late"))
    book["named"] = _same(book["named"], loser)
    await client.delete(CLAIMS, loser, **PLACE)

    await client.delete(CLAIMS, "one", **PLACE)
    book["given back"] = _same(await seen.until(lambda found: phase(found, "volumes", small="Released")), loser)

    locals_ = [volume(f"on-{node}", storageClassName="people", nodeAffinity=on(node)) for node in ("n1", "n2")]
    await add(VOLUMES, *locals_)
    await add(CLAIMS, claim("local", storageClassName="people"), claim("abroad", storageClassName="foreign"))
    await seen.until(lambda found: phase(found, "claims", local="Pending") and len(found["claims"]["abroad"]["notes"]) == 2)
    await add("pods", pod("local", "local", node="n2"), pod("immediate", "abroad"))
    book["local"] = _same(await seen.until(lambda found: phase(found, "claims", local="Bound") and found["pods"]["local"]["ready"]), loser)

    await add("pods", pod("elsewhere", "local", node="n1"), pod("nothing", "absent"))
    book["nowhere"] = _same(await seen.until(lambda found: _waiting(found) >= {"elsewhere", "nothing", "immediate"}), loser)

    await add(CLAIMS, claim("absent"))
    book["made"] = _same(await seen.until(lambda found: found["pods"]["nothing"]["ready"]), loser)
    await client.delete(CLAIMS, "absent", **PLACE)
    book["held"] = _same(await seen.until(lambda found: found["claims"]["absent"]["going"]), loser)
    await client.delete("pods", "nothing", grace=0, **PLACE)
    book["gone"] = _same(await seen.until(lambda found: "absent" not in found["claims"] and "pvc-of-absent" not in found["volumes"]), loser)

    keeps = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    await add("statefulsets.apps", members(persistentVolumeClaimRetentionPolicy=keeps))
    both: dict[int, list[str]] = {0: ["StatefulSet"], 1: ["StatefulSet"]}
    book["members"] = _same(await seen.until(lambda found: _owned(found) == both and found["pods"]["db-1"]["ready"]), loser)
    await client.patch("statefulsets.apps", "db", {"spec": {"replicas": 1}}, **PLACE)
    book["shrunk"] = _same(await seen.until(lambda found: "db-1" not in found["pods"] and "data-db-1" not in found["claims"]), loser)
    await client.patch("statefulsets.apps", "db", {"spec": {"replicas": 2}}, **PLACE)
    await seen.until(lambda found: _owned(found) == both and found["pods"]["db-1"]["ready"])
    await client.patch("statefulsets.apps", "db", {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}}, **PLACE)
    book["kept"] = _same(await seen.until(lambda found: _owned(found) == {0: [], 1: []} and found["pods"]["db-1"]["ready"]), loser)
    await client.patch("statefulsets.apps", "db", {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}}, **PLACE)
    await seen.until(lambda found: _owned(found) == both)
    await client.delete("statefulsets.apps", "db", **PLACE)
    book["all gone"] = _same(await seen.until(lambda found: not _owned(found)), loser)

    await client.delete(VOLUMES, "red")
    await client.patch(VOLUMES, "red", {"metadata": {"finalizers": None}})
    book["lost"] = _same(await seen.until(lambda found: phase(found, "claims", red="Lost")), loser)
    return book


def _owned(found: Object) -> dict[int, list[str]]:
    """Kinds of the owners of each member's claim."""
    return {int(name[-1]): one["owners"] for name, one in found["claims"].items() if name.startswith("data-db-") and not one["going"]}


def _waiting(found: Object) -> set[str]:
    """Pods that heard why."""
    return {line.split()[1][:-1] for line in found["told"] if line.startswith("Pod ")}


def _bound(found: Object, *names: str) -> list[str]:
    return [name for name in names if found["claims"][name]["status"]["phase"] == "Bound"]


def _same(found: Object, loser: str) -> Object:
    """Which of two claims for one volume gets it is chance: the other one is called so, and what made-up nodes are, is any."""
    winner = "late" if loser == "named" else "named"

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {_renamed(key): plain(one) for key, one in value.items()}
        if isinstance(value, list):
            return sorted((plain(one) for one in value), key=str)
        return _renamed(value) if isinstance(value, str) else value

    def _renamed(text: str) -> str:
        return (
            text.replace(f" {loser}:", " loser:").replace(f" {winner}:", " winner:")
            if ":" in text
            else {loser: "loser", winner: "winner"}.get(text, text)
        )

    return dict(plain(found))


def _lines(found: Object | list[str]) -> list[str]:
    return sorted(f"{name}: {json.dumps(value, sort_keys=True)}" for name, value in found.items()) if isinstance(found, dict) else found


@pytest.fixture(scope="module")
def real() -> dict[str, Object]:
    return told(THEIRS, THEIRS, story)


@pytest.mark.parametrize(("api", "controllers"), PAIRS[:-1])
def test_they_come_to_rest_in_the_same_state(real: dict[str, Object], api: str, controllers: str) -> None:
    ours = told(api, controllers, story)
    for chapter, expected in real.items():
        for part in ("claims", "volumes", "pods", "told"):
            assert _lines(ours[chapter][part]) == _lines(expected[part]), f"{chapter}: {part}"
