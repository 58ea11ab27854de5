"""
The reaper's side of the target, with no more rights than deploy/reaper/rights.yaml gives: every request is held against its rules.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaosfw.assembly import catalogue
from chaosfw.drivers.kubernetes import published, reapers
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster
from chaosfw.model.fault import UndoRecord, UndoState
from chaosfw.model.reaping import Word
from chaosfw.model.struct import but
from tests.drivers.conftest import ROOT, take, until, world
from tests.drivers.test_contract import EXAMPLES

SPACE = "chaosfw"
OURS = tuple(name for name in catalogue.kinds() if name != catalogue.PLAIN.name)
MAY_NOT = "list pods in all"
"""Marks on pods are of the fault below; what may not be listed counts as none."""
SANDBOX_ONLY = "kubernetes.pause/1"
"""No kubelet of a real cluster does it; patching pods is more than a reaper should be allowed for it."""
LASTING = sorted(name for name, example in EXAMPLES.items() if example.undo and name in OURS and name != SANDBOX_ONLY)
VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}
EVERYBODY = ("authorization.k8s.io", "selfsubjectaccessreviews")
"""What any account may ask: system:basic-user."""


@dataclass
class Rights:
    """RBAC as the manifest has it, in place of a server that would enforce it: the sandbox does not."""

    rules: list[dict[str, Any]]
    denied: list[str] = field(default_factory=list)

    def allow(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        if (group, resource) == EVERYBODY:
            return True
        return any(
            verb in rule["verbs"] and group in rule["apiGroups"] and resource in rule["resources"] and rule["where"] in ("", namespace)
            for rule in self.rules
        )

    def ask(self, method: str, path: str) -> None:
        parts = path.strip("/").split("/")
        group, rest = (parts[1], parts[3:]) if parts[0] == "apis" else ("", parts[2:])
        namespace, rest = (rest[1], rest[2:]) if rest[0] == "namespaces" and len(rest) > 2 else ("", rest)
        verb = "list" if method == "GET" and len(rest) == 1 else VERBS[method]
        if not self.allow(verb, group, rest[0], namespace):
            self.denied.append(f"{verb} {rest[0]} in {namespace or 'all'}")
            raise Answered(403, {"reason": "Forbidden", "message": self.denied[-1]})

    def review(self, body: Any) -> dict[str, Any]:
        asked = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": self.allow(asked["verb"], asked["group"], asked["resource"], asked["namespace"])}}


def written() -> list[dict[str, Any]]:
    things = list(yaml.safe_load_all((ROOT / "deploy" / "reaper" / "rights.yaml").read_text()))
    roles = [one for one in things if one["kind"] in ("ClusterRole", "Role")]
    return [{**rule, "where": one["metadata"].get("namespace", "")} for one in roles for rule in one["rules"]]


@pytest.fixture
def rights() -> Rights:
    return Rights(written())


@pytest.fixture
def theirs(cluster: Cluster, rights: Rights, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Calls something with the reaper's rights; what the faults themselves do has others."""
    if cluster.find(f"/api/v1/namespaces/{SPACE}") is None:
        cluster.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
    plain = Cluster._send

    def held(self: Cluster, method: str, path: str, **given: Any) -> Any:
        rights.ask(method, path)
        return rights.review(given["body"]) if path.endswith(EVERYBODY[1]) else plain(self, method, path, **given)

    def called(what: Callable[[], Any]) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(Cluster, "_send", held)
            return what()

    yield called
    for thing in cluster.items(f"/api/v1/namespaces/{SPACE}/configmaps", labelSelector=f"{published.LABEL}=chaosfw"):
        cluster.delete(f"/api/v1/namespaces/{SPACE}/configmaps/{thing['metadata']['name']}")


def asked(verb: str, **data: Any) -> Any:
    return catalogue._reaper("", {"verb": verb, "namespace": SPACE, **data})


@pytest.mark.parametrize("kind", LASTING)
def test_a_reaper_may_do_all_it_does_for_every_fault(cluster: Cluster, rights: Rights, theirs: Any, tmp_path: Path, kind: str) -> None:
    """From its word to the end of the publication, and of its own."""
    before = world()
    taken = take(EXAMPLES[kind].make(tmp_path), run="dead")
    published.publish(cluster, run="dead", namespace=SPACE, undos=taken.bound.undo)
    theirs(lambda: asked("beat", who="r", seconds=15))
    theirs(lambda: asked("beat", who="r", seconds=15))
    assert [one["lacking"] for one in theirs(lambda: asked("vow", who="r"))] == [()]
    taken.call()
    until(lambda: taken.bitten().holds, "the fault is in")

    found = [one["undo"]["id"] for one in theirs(lambda: asked("revertible"))]
    endings = theirs(taken.revert)

    assert found == [undo.id for undo in taken.bound.undo]
    assert [one.ending for one in endings] == list(EXAMPLES[kind].undo)
    until(lambda: set(theirs(taken.healed)) == {True}, "it is proven to be back")
    closed = UndoRecord(undo=taken.bound.undo[0], state=UndoState.closed, ending="restored")
    theirs(lambda: reapers.tell(cluster, record=closed, who="r", what="put back"))
    assert theirs(lambda: asked("withdraw_if_done", run="dead")) is True
    theirs(lambda: asked("leave", who="r"))
    assert theirs(lambda: asked("publications")) == ()
    assert set(rights.denied) <= {MAY_NOT}
    assert world() == before


def test_a_reaper_without_a_right_says_so_before_anything_is_broken(cluster: Cluster, rights: Rights, theirs: Any, tmp_path: Path) -> None:
    rights.rules = [rule for rule in rights.rules if "nodes" not in rule["resources"]]
    taken = take(EXAMPLES["kubernetes.drain/1"].make(tmp_path), run="r1")
    published.publish(cluster, run="r1", namespace=SPACE, undos=taken.bound.undo)

    theirs(lambda: asked("vow", who="r"))

    assert reapers.word_on(cluster, namespace=SPACE, run="r1") == Word(by="r", lacking=("get nodes", "patch nodes"))


def test_rollbacks_that_are_code_are_played_by_nobody_but_their_run(cluster: Cluster, theirs: Any, tmp_path: Path) -> None:
    """Whoever may write ConfigMaps there would have the reaper run their code."""
    taken = take(EXAMPLES["toolkit.plain/1"].make(tmp_path), run="r2")
    published.publish(cluster, run="r2", namespace=SPACE, undos=taken.bound.undo)

    theirs(lambda: asked("vow", who="r"))

    assert reapers.word_on(cluster, namespace=SPACE, run="r2") == Word(by="r", lacking=("put back toolkit.plain/1",))
    assert asked("revertible") == []
    assert asked("withdraw_if_done", run="r2") is False
    assert [one["run"] for one in asked("publications")] == ["r2"]


def test_a_publication_that_can_not_be_read_keeps_nobody_from_healing_the_others(cluster: Cluster, theirs: Any, tmp_path: Path) -> None:
    taken = take(EXAMPLES["kubernetes.scale/1"].make(tmp_path), run="r4")
    published.publish(cluster, run="r4", namespace=SPACE, undos=taken.bound.undo)
    published.publish(cluster, run="r5", namespace=SPACE, undos=())
    path = f"/api/v1/namespaces/{SPACE}/configmaps/{published.name_of('r5')}"
    cluster.patch(path, {"data": {published.RECORDS: '[{"of": "tomorrow"}]'}})

    theirs(lambda: asked("vow", who="r"))

    assert reapers.word_on(cluster, namespace=SPACE, run="r4") == Word(by="r")
    assert reapers.word_on(cluster, namespace=SPACE, run="r5") == Word(
        by="r", lacking=("read what is published: is it of another version?",)
    )
    assert [one["undo"]["run"] for one in asked("revertible")] == ["r4"]
    assert asked("withdraw_if_done", run="r5") is False


def test_the_first_word_stays(cluster: Cluster, theirs: Any, tmp_path: Path) -> None:
    """Of two reapers at once, one speaks."""
    taken = take(EXAMPLES["kubernetes.scale/1"].make(tmp_path), run="r3")
    published.publish(cluster, run="r3", namespace=SPACE, undos=taken.bound.undo)
    gate, said = threading.Barrier(2), []

    def speak(who: str) -> None:
        gate.wait()
        said.extend(asked("vow", who=who))

    both = [threading.Thread(target=speak, args=(who,)) for who in ("one", "two")]
    for one in both:
        one.start()
    for one in both:
        one.join()

    (word,) = said
    assert reapers.word_on(cluster, namespace=SPACE, run="r3") == Word(by=word["by"])
    assert asked("vow", who="three") == ()


@pytest.mark.usefixtures("theirs")
def test_a_reaper_that_leaves_takes_only_its_own_sign_of_life(cluster: Cluster) -> None:
    assert asked("known") == ""
    asked("beat", who="one", seconds=15)
    assert asked("known") == "one"
    asked("leave", who="another")
    assert asked("known") == "one"

    asked("leave", who="one")

    assert asked("known") == ""
    assert cluster.get(f"/apis/coordination.k8s.io/v1/namespaces/{SPACE}/leases/{reapers.NAME}")["metadata"]["name"] == reapers.NAME


@pytest.mark.parametrize(("ending", "reason", "type"), [("restored", "ChaosHealed", "Normal"), (None, "ChaosNotHealed", "Warning")])
def test_what_was_put_back_is_told_on_the_object(
    cluster: Cluster, theirs: Any, tmp_path: Path, ending: Any, reason: str, type: str
) -> None:
    taken = take(EXAMPLES["kubernetes.scale/1"].make(tmp_path), run=f"told-{reason}")
    record = but(UndoRecord(undo=taken.bound.undo[0], state=UndoState.stuck), ending=ending)

    theirs(lambda: reapers.tell(cluster, record=record, who="reaper r", what="what was seen"))

    (told,) = [one for one in cluster.items("/api/v1/namespaces/shop/events") if f"told-{reason}" in one["message"]]
    subject = taken.bound.undo[0].subject
    assert told["involvedObject"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "myapp",
        "namespace": "shop",
        "uid": subject.uid,
    }
    assert (told["reason"], told["type"], told["message"]) == (reason, type, f"what was seen (run told-{reason} is dead; by reaper r)")
