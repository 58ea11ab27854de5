"""
One contract for every FaultKind of the catalogue: it names exactly what it hits, proves what it did, and puts back what is
still its own. Against a real sandbox; docs/protocols/heal.md has the rules.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import chaosfw as cf
from chaosfw.assembly import catalogue
from chaosfw.drivers.kubernetes import lease, marks, nodes
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster
from chaosfw.drivers.kubernetes.deleted import manifest
from chaosfw.drivers.toolkit.calls import call
from chaosfw.errors import DriverError, EnvironmentTrouble, UsageError
from chaosfw.faults import kubernetes as k8s
from chaosfw.faults import zone
from chaosfw.model.activity import Action, Victims
from chaosfw.model.experiment import Experiment
from chaosfw.model.fault import UndoState
from chaosfw.model.lease import Held
from chaosfw.model.plan import Plan
from chaosfw.model.struct import but, to_json
from chaosfw.planning.digests import plan_digest
from chaosfw.ports import KindCall, ProviderCall
from tests.drivers.conftest import PLACE, Taken, cordoned, pod_uids, take, until, world

web = k8s.deployment("myapp", namespace="shop")
SWITCH = "tests.drivers.stand_in_switch"
DEPLOYMENT, SERVICE = "/apis/apps/v1/namespaces/shop/deployments/myapp", "/api/v1/namespaces/shop/services/myapp"


def switch(path: Path, *, proven: bool = True) -> Action:
    back = cf.toolkit(SWITCH, "turn", path=str(path), to="on")
    proof = cf.probe(f"{SWITCH}.stands", "off", path=str(path)) if proven else None
    return cf.toolkit(SWITCH, "turn", undo=back, proof=proof, path=str(path), to="off")


@dataclass(frozen=True, kw_only=True)
class Example:
    """A fault of one kind. ``chooses``: by seed among several. ``spare``: the same fault on a node that nothing runs on."""

    make: Callable[[Path], Action]
    undo: tuple[str, ...] = ()
    chooses: bool = False
    cordons: bool = False
    loses: bool = True
    """Whether exactly the pods among the targets are lost. Otherwise they are those that the controller or nobody takes."""
    spare: Callable[[], Action] | None = None


EXAMPLES = {
    "toolkit.plain/1": Example(make=lambda folder: switch(folder / "switch"), undo=("restored",)),
    "kubernetes.kill/1": Example(make=lambda folder: k8s.kill(web), chooses=True),
    "kubernetes.cordon/1": Example(
        make=lambda folder: k8s.cordon(count=2), undo=("restored",) * 2, chooses=True, cordons=True, spare=lambda: k8s.cordon("spare")
    ),
    "kubernetes.drain/1": Example(
        make=lambda folder: k8s.drain(hosting=web), undo=("restored",), chooses=True, cordons=True, spare=lambda: k8s.drain("spare")
    ),
    "zone.drain/1": Example(make=lambda folder: zone.fail("zone-b"), undo=("restored",), cordons=True, spare=lambda: zone.fail("spare")),
    "kubernetes.scale/1": Example(make=lambda folder: k8s.scale(web, 1), undo=("restored",), loses=False),
    "kubernetes.taint/1": Example(make=lambda folder: k8s.taint(zone="zone-a"), undo=("restored",)),
    "kubernetes.selector/1": Example(make=lambda folder: k8s.break_selector("myapp", namespace="shop"), undo=("restored",), loses=False),
    "kubernetes.image/1": Example(make=lambda folder: k8s.set_image(web, "acme/web:none"), undo=("restored",), loses=False),
    "kubernetes.delete/1": Example(make=lambda folder: k8s.delete("service", "myapp", namespace="shop"), undo=("restored",), loses=False),
    "kubernetes.delete-node/1": Example(
        make=lambda folder: k8s.delete_node(hosting=web, pods=False), undo=("restored",), chooses=True, loses=False
    ),
    "kubernetes.machine/1": Example(make=lambda folder: k8s.stop_machine(hosting=web), undo=("restored",), chooses=True, loses=False),
    "kubernetes.pause/1": Example(make=lambda folder: k8s.pause(web), undo=("restored",), chooses=True, loses=False),
    "kubernetes.rollout-restart/1": Example(make=lambda folder: k8s.rollout_restart(web), loses=False),
}
KINDS = sorted(EXAMPLES)
ON_NODES = sorted(name for name, example in EXAMPLES.items() if example.spare is not None)


def on_spare(kind: str) -> Action:
    make = EXAMPLES[kind].spare
    assert make is not None
    return make()


def spare_node(cluster: Cluster) -> dict[str, object]:
    return cluster.get(nodes.path("spare"))


def test_every_kind_has_its_example() -> None:
    """A new kind without one turns this red."""
    assert set(EXAMPLES) == set(catalogue.kinds())


# -- bind ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_binding_names_targets_and_changes_nothing(cluster: Cluster, tmp_path: Path, kind: str) -> None:
    before, pods = world(), pod_uids(cluster)

    taken = take(EXAMPLES[kind].make(tmp_path))

    assert taken.kind.name == kind
    assert taken.bound.fault == kind
    assert taken.bound.targets
    assert taken.bound.changes
    assert taken.bound.undo or taken.bound.self_heals
    assert (world(), pod_uids(cluster)) == (before, pods)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_chooses_the_same(cluster: Cluster, tmp_path: Path, kind: str) -> None:
    chosen = [take(EXAMPLES[kind].make(tmp_path), seed=seed, run="r").bound.targets for seed in (*range(8), *range(8))]

    assert chosen[:8] == chosen[8:]
    assert (len({str(targets) for targets in chosen}) > 1) is EXAMPLES[kind].chooses


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("kind", KINDS)
def test_whose_a_fault_is_changes_neither_victims_nor_digest(tmp_path: Path, kind: str) -> None:
    """A plan that was approved yesterday is the plan of today: epoch and expiry are of the run, not of what it does."""
    made = [take(EXAMPLES[kind].make(tmp_path), run=f"r{epoch}", epoch=epoch, expiry=f"day {epoch}").bound for epoch in (1, 2)]
    experiment = Experiment(title="t")

    digests = {plan_digest(Plan(experiment=experiment, environment=PLACE, seed=1, bound=(one,), intent="i")) for one in made}

    assert len(digests) == 1
    assert [{undo.epoch for undo in one.undo} for one in made] == ([{1}, {2}] if made[0].undo else [set(), set()])


# -- the whole way ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back(cluster: Cluster, tmp_path: Path, kind: str) -> None:
    """Not bitten before the call; bitten after it, exactly where it said; as before after the undo; and again after another one."""
    before, pods = world(), pod_uids(cluster)
    taken = take(EXAMPLES[kind].make(tmp_path))
    assert taken.bitten().holds is False

    taken.call()

    until(lambda: taken.bitten().holds, "the fault is proven")
    assert cordoned(cluster) == (taken.names("node") if EXAMPLES[kind].cordons else [])
    if EXAMPLES[kind].loses:
        assert {uid for uid in pods if uid not in pod_uids(cluster)} == {one.uid for one in taken.bound.targets if one.kind == "pod"}
    assert [one.ending for one in taken.revert()] == list(EXAMPLES[kind].undo)
    until(lambda: taken.healed() == [True] * len(taken.bound.undo), "it is proven to be back")
    assert [one.ending for one in taken.revert()] == list(EXAMPLES[kind].undo)
    assert world() == before


@pytest.mark.parametrize("kind", KINDS)
def test_what_never_happened_is_closed_as_such(cluster: Cluster, tmp_path: Path, kind: str) -> None:
    before = world()
    taken = take(EXAMPLES[kind].make(tmp_path))

    assert {one.ending for one in taken.revert(state=UndoState.prepared)} <= {"never-applied"}
    assert world() == before


@pytest.mark.parametrize(
    "kind", ["kubernetes.delete/1", "kubernetes.delete-node/1", "kubernetes.machine/1", "kubernetes.pause/1", "kubernetes.scale/1"]
)
def test_nothing_is_changed_under_a_lease_that_is_somebody_elses(
    cluster: Cluster, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at right before the write: a run that was suspended for a while may find its things put back."""
    before = world()
    now = lease.held(cluster, namespace="default") or Held()
    held = lease.take(cluster, namespace="default", holder="another", seconds=15, seen=now.version)
    assert held is not None
    taken = take(EXAMPLES[kind].make(tmp_path), epoch=held.epoch - 1)
    monkeypatch.setenv(lease.VARIABLE, "default")

    with pytest.raises(DriverError, match=rf"lease is not this run's any more \(epoch {held.epoch}, not {held.epoch - 1}\)"):
        taken.call()
    lease.release(cluster, namespace="default", holder="another", epoch=held.epoch)

    assert world() == before


# -- whose change is it ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("spare")
@pytest.mark.parametrize("kind", ON_NODES)
@pytest.mark.parametrize(("state", "ending"), [(UndoState.in_, "by-other"), (UndoState.armed, "never-applied")])
def test_what_was_put_back_by_somebody_else_is_theirs(cluster: Cluster, kind: str, state: UndoState, ending: str) -> None:
    """Mark and all: whether it ever was in is known only where it was seen to be."""
    taken = take(on_spare(kind))
    taken.call()
    cluster.patch(nodes.path("spare"), {"metadata": {"annotations": {marks.MARK: None}}, "spec": {"unschedulable": None}})

    assert taken.bitten().holds is False
    assert [one.ending for one in taken.revert(state=state)] == [ending]
    assert world() == {**world(), "node spare · spec.unschedulable": False}


@pytest.mark.usefixtures("spare")
@pytest.mark.parametrize("kind", ON_NODES)
def test_a_node_uncordoned_by_somebody_else_loses_our_mark(cluster: Cluster, kind: str) -> None:
    """`kubectl uncordon` knows nothing of marks."""
    taken = take(on_spare(kind))
    taken.call()
    nodes.uncordon(cluster, "spare")
    assert taken.healed() == [False]

    assert [one.ending for one in taken.revert()] == ["by-other"]
    assert taken.healed() == [True]


@pytest.mark.usefixtures("spare")
@pytest.mark.parametrize("kind", ON_NODES)
def test_the_mark_says_whose_it_is_and_when_it_is_over(cluster: Cluster, kind: str) -> None:
    taken = take(on_spare(kind), run="r", epoch=7, expiry="2030-01-02T03:04:05.000Z")
    taken.call()

    mark = marks.on(spare_node(cluster))
    assert mark == {
        "run": "r",
        "record": taken.bound.undo[0].id,
        "epoch": 7,
        "fault": "kubernetes.cordon/1",
        "environment": "sandbox",
        "order": 0,
        "intended": ["restored"],
        "before": False,
        "ours": {"unschedulable": True, "marked": True},
        "expiry": "2030-01-02T03:04:05.000Z",
    }
    record = marks.record_in(mark, subject=taken.bound.undo[0].subject)
    assert record is not None
    assert record.undo == taken.bound.undo[0]


@pytest.mark.usefixtures("spare")
@pytest.mark.parametrize("kind", ON_NODES)
def test_a_mark_of_an_earlier_version_is_still_ours(cluster: Cluster, kind: str) -> None:
    """It had neither epoch nor expiry."""
    taken = take(on_spare(kind))
    taken.call()
    earlier = {"run": "r", "record": taken.bound.undo[0].id, "fault": "kubernetes.cordon/1", "before": False, "ours": True}
    cluster.patch(nodes.path("spare"), {"metadata": {"annotations": {marks.MARK: json.dumps(earlier)}}})

    assert [one.ending for one in taken.revert()] == ["restored"]
    assert marks.on(spare_node(cluster)) is None


@pytest.mark.usefixtures("spare")
@pytest.mark.parametrize("kind", ON_NODES)
@pytest.mark.parametrize("mark", [None, '{"record": "somebody else\'s"}', "not even JSON"])
def test_a_cordon_that_is_not_ours_any_more_is_left_alone(cluster: Cluster, kind: str, mark: str | None) -> None:
    taken = take(on_spare(kind))
    taken.call()
    cluster.patch(nodes.path("spare"), {"metadata": {"annotations": {marks.MARK: mark}}})
    before = world()

    assert [one.ending for one in taken.revert()] == ["superseded"]
    assert world() == before


@pytest.mark.parametrize("kind", ON_NODES)
def test_a_node_of_the_same_name_is_another_node(cluster: Cluster, kind: str, spare: Callable[[], None]) -> None:
    taken = take(on_spare(kind))
    taken.call()
    spare()
    nodes.cordon(cluster, "spare")

    assert taken.bitten().holds is False
    assert [one.ending for one in taken.revert()] == ["gone"]
    assert taken.healed() == [True]
    assert "spare" in cordoned(cluster)


@pytest.mark.usefixtures("spare")
@pytest.mark.parametrize("kind", ON_NODES)
def test_a_node_with_a_foreign_mark_is_not_touched(cluster: Cluster, kind: str) -> None:
    cluster.patch(nodes.path("spare"), {"metadata": {"annotations": {marks.MARK: '{"record": "theirs"}'}}})
    taken = take(on_spare(kind))
    before = world()

    with pytest.raises(Exception, match="node spare carries a mark of another fault"):
        taken.call()
    assert world() == before


@pytest.mark.usefixtures("spare")
@pytest.mark.parametrize("kind", ON_NODES)
def test_somebody_cordons_between_plan_and_call(cluster: Cluster, kind: str) -> None:
    taken = take(on_spare(kind))
    nodes.cordon(cluster, "spare")

    with pytest.raises(Exception, match="node spare was cordoned by somebody else in the meantime"):
        taken.call()
    assert [one.ending for one in taken.revert(state=UndoState.armed)] == ["superseded"]
    assert "spare" in cordoned(cluster)


# -- compare-and-swap ------------------------------------------------------------------------------------------------------


@pytest.fixture
def heartbeats(cluster: Cluster) -> Iterator[None]:
    """Somebody writes to the spare node all the time, a hundred times as often as a kubelet does."""
    stop = threading.Event()

    def beat() -> None:
        number = 0
        while not stop.wait(0.01):
            number += 1
            cluster.patch(nodes.path("spare"), {"metadata": {"annotations": {"heart": str(number)}}})

    thread = threading.Thread(target=beat)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.mark.usefixtures("spare", "heartbeats")
@pytest.mark.parametrize("kind", ON_NODES)
def test_heartbeats_do_not_break_it(cluster: Cluster, kind: str) -> None:
    for _ in range(5):
        taken = take(on_spare(kind))
        taken.call()

        assert taken.bitten().holds is True
        assert [one.ending for one in taken.revert()] == ["restored"]
        assert cordoned(cluster) == []


@pytest.mark.usefixtures("spare")
def test_a_conflict_is_read_again_and_never_overwritten(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly one foreign write between each read and each patch."""
    real, meddled = Cluster.patch, []

    def meddling(self: Cluster, path: str, body: dict[str, dict[str, object]]) -> object:
        if len(meddled) < 10:
            meddled.append(path)
            real(self, path, {"metadata": {"annotations": {"heart": str(len(meddled))}}})
        return real(self, path, body)

    monkeypatch.setattr(Cluster, "patch", meddling)
    taken = take(k8s.cordon("spare"))

    taken.call()

    assert len(meddled) == 10
    assert spare_node(cluster)["metadata"]["annotations"]["heart"] == "10"  # type: ignore[index]
    assert taken.bitten().holds is True


@pytest.mark.usefixtures("spare")
def test_a_lost_reply_is_resolved_by_reading(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The patch landed, its answer did not: the next try finds the node as it was, and knows that it was itself."""
    real = Cluster.patch

    def lost(self: Cluster, path: str, body: object) -> object:
        real(self, path, body)
        raise EnvironmentTrouble("no answer")

    taken = take(k8s.cordon("spare"))
    taken.call()
    with monkeypatch.context() as patched:
        patched.setattr(Cluster, "patch", lost)
        with pytest.raises(EnvironmentTrouble):
            taken.revert()

    assert [one.ending for one in taken.revert()] == ["restored"]


@pytest.mark.usefixtures("spare")
def test_a_call_whose_reply_was_lost_may_be_made_again(cluster: Cluster) -> None:
    taken = take(k8s.cordon("spare"))

    assert taken.call() == ["spare"]
    assert taken.call() == []
    assert taken.bitten().holds is True


@pytest.mark.usefixtures("spare")
def test_a_healer_fences_a_write_that_is_still_on_its_way(cluster: Cluster) -> None:
    """Healing touches the node even where nothing is to be put back, so what was prepared against the old one fails with 409."""
    taken = take(k8s.cordon("spare"))
    stale = spare_node(cluster)
    taken.revert(state=UndoState.armed)

    assert not nodes._swapped(cluster, stale, {"metadata": {}, "spec": {"unschedulable": True}})
    assert cordoned(cluster) == []


# -- plain actions ---------------------------------------------------------------------------------------------------------


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def with_rollbacks(path: Path, *words: str, proven: bool) -> Action:
    made = switch(path, proven=proven)
    return but(made, rollbacks=tuple(cf.toolkit(SWITCH, "turn", name=word, path=str(path), to=word) for word in words))


def test_rollbacks_that_failed_half_way_are_not_played_again_blindly(tmp_path: Path) -> None:
    taken = take(with_rollbacks(tmp_path / "s", "half", "broken", "on", proven=False))
    taken.call()

    first, *_ = taken.revert()
    again, *_ = taken.revert()

    assert (first.ending, first.retry) == (None, False)
    assert "rollback 'broken' failed: " in first.what
    assert (again.ending, again.retry) == (None, False)
    assert f"put it back by hand, then: chaosfw heal --by-hand {taken.bound.undo[0].id}" in again.what
    assert lines(tmp_path / "s") == ["off", "half", "broken"]


@pytest.mark.parametrize("state", [UndoState.healing, UndoState.stuck])
def test_another_healer_does_not_repeat_what_an_earlier_one_began(tmp_path: Path, state: UndoState) -> None:
    taken = take(switch(tmp_path / "s", proven=False))
    taken.call()

    assert [one.ending for one in taken.revert(state=state)] == [None]
    assert lines(tmp_path / "s") == ["off"]


def test_where_the_proof_says_that_it_is_still_in_they_are_played_again(tmp_path: Path) -> None:
    taken = take(switch(tmp_path / "s"))
    taken.call()

    assert [one.ending for one in taken.revert(state=UndoState.stuck)] == ["restored"]
    assert taken.healed() == [True]
    assert lines(tmp_path / "s") == ["off", "on"]


def test_where_the_proof_says_that_it_is_out_nothing_is_played(tmp_path: Path) -> None:
    taken = take(with_rollbacks(tmp_path / "s", "on", "broken", proven=True))
    taken.call()
    taken.revert()
    (tmp_path / "s").write_text("on\n")

    assert [one.ending for one in taken.revert()] == ["restored"]
    assert lines(tmp_path / "s") == ["on"]


def test_a_fault_that_its_rollbacks_did_not_end_is_not_healed(tmp_path: Path) -> None:
    taken = take(with_rollbacks(tmp_path / "s", "off", proven=True))
    taken.call()

    assert [one.ending for one in taken.revert()] == ["restored"]
    assert taken.healed() == [False]


def test_rollbacks_are_played_once_however_often_they_are_asked_for(tmp_path: Path) -> None:
    taken = take(switch(tmp_path / "s", proven=False))
    taken.call()

    assert [taken.revert()[0].ending for _ in range(3)] == ["restored"] * 3
    assert taken.healed() == [True]
    assert lines(tmp_path / "s") == ["off", "on"]


def test_nothing_proves_an_action_without_a_proof(tmp_path: Path) -> None:
    taken = take(switch(tmp_path / "s", proven=False))

    assert taken.bitten().holds is None
    assert not taken.bound.provable


def test_a_program_proves_by_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    proof = cf.process("test", arguments=f"-e {tmp_path}/there")

    assert take(but(switch(tmp_path / "s"), proof=proof)).bitten().holds is True
    assert take(but(switch(tmp_path / "s"), proof=but(proof, tolerance=cf.exactly(1)))).bitten().holds is False


def test_secrets_do_not_stand_in_errors(tmp_path: Path) -> None:
    provider = cf.toolkit(SWITCH, "nobody-hunter2").provider
    secrets = {"vault": {"token": "nobody-hunter2"}}

    with pytest.raises(DriverError) as caught:
        call(ProviderCall(name="x", provider=provider, secrets=secrets))
    assert "hunter2" not in str(caught.value)
    assert "•••" in str(caught.value)


# -- what a plain action hits --------------------------------------------------------------------------------------------


def hitting(folder: Path, victims: object) -> Action:
    return but(switch(folder / "switch"), victims=cf.toolkit("m", "f", victims=victims).victims)  # type: ignore[arg-type]


@pytest.mark.parametrize("victims", [web, k8s.pods("app=myapp", namespace="shop"), web.pods(count=3)])
def test_pods_that_an_action_hits_are_found_with_uid_node_and_zone(cluster: Cluster, tmp_path: Path, victims: object) -> None:
    bound = take(hitting(tmp_path, victims)).bound

    assert {target.uid for target in bound.targets} == set(pod_uids(cluster))
    assert all((target.kind, target.namespace) == ("pod", "shop") and target.node and target.zone for target in bound.targets)
    assert bound.hits == 3
    assert bound.changes[1].startswith("hits pod shop/myapp-")


def test_some_of_the_pods_are_hit_whichever(cluster: Cluster, tmp_path: Path) -> None:
    bound = take(hitting(tmp_path, web.pods(count=1))).bound

    assert (len(bound.targets), bound.hits) == (3, 1)
    assert bound.changes[1].startswith("hits 1 of pod shop/myapp-")


def test_instances_are_hit_by_name(tmp_path: Path) -> None:
    """No cluster is asked."""
    bound = take(hitting(tmp_path, ("db-1", "db-2", "db-1"))).bound

    assert [str(target) for target in bound.targets] == ["instance db-1", "instance db-2"]
    assert bound.hits == 2


def test_an_action_that_says_nothing_hits_its_call(tmp_path: Path) -> None:
    bound = take(switch(tmp_path / "switch")).bound

    assert [target.kind for target in bound.targets] == ["call"]
    assert bound.hits is None


@pytest.mark.parametrize(
    ("victims", "says"),
    [
        (k8s.pods("app=nobody", namespace="shop"), "no pod with 'app=nobody' in namespace 'shop' is running"),
        (k8s.deployment("nobody", namespace="shop"), "there is no deployment 'nobody'"),
        (web.pods(count=4), "victims are 4 pods, there are 3"),
    ],
)
def test_victims_that_are_not_there_are_refused(cluster: Cluster, tmp_path: Path, victims: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        take(hitting(tmp_path, victims))


def test_a_kind_that_finds_its_victims_itself_is_told_none() -> None:
    asked = {"action": to_json(but(k8s.kill(web), victims=Victims(names=("web-1",)))), "environment": to_json(PLACE), "seed": 1, "run": "r"}

    with pytest.raises(UsageError, match=r"kubernetes\.kill/1 finds its victims itself"):
        catalogue.kind_call(KindCall(kind="", verb="bind", data=asked))


# -- fields ----------------------------------------------------------------------------------------------------------------

FIELDS: dict[str, tuple[str, dict[str, object], dict[str, object]]] = {
    "kubernetes.scale/1": (DEPLOYMENT, {"spec": {"replicas": 3}}, {"spec": {"replicas": 2}}),
    "kubernetes.selector/1": (
        SERVICE,
        {"spec": {"selector": {"chaosfw.dev/nobody": None}}},
        {"spec": {"selector": {"chaosfw.dev/nobody": None, "theirs": "x"}}},
    ),
}
"""Object, the patch with which somebody else puts it back, and one with which somebody else gives it a third value."""
Changed = tuple[Taken, str, dict[str, object], dict[str, object]]
CLEAN = {"metadata": {"annotations": {marks.MARK: None, marks.TOUCH: None}}}


@pytest.fixture(params=sorted(FIELDS))
def changed(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Changed]:
    """A fault of a field that is in, its object, and what others could do to it."""
    kind = str(request.param)
    taken = take(EXAMPLES[kind].make(tmp_path))
    taken.call()
    path, back, third = FIELDS[kind]
    yield taken, path, back, third
    spec: dict[str, object] = {"replicas": 3} if path == DEPLOYMENT else {"selector": {"theirs": None, "chaosfw.dev/nobody": None}}
    cluster.patch(path, {**CLEAN, "spec": spec})


@pytest.mark.parametrize(("state", "ending"), [(UndoState.in_, "by-other"), (UndoState.armed, "by-other")])
def test_a_field_that_somebody_else_put_back_loses_our_mark(cluster: Cluster, changed: Changed, state: UndoState, ending: str) -> None:
    taken, path, back, _ = changed
    cluster.patch(path, back)
    assert taken.healed() == [False]

    assert [one.ending for one in taken.revert(state=state)] == [ending]
    assert taken.healed() == [True]
    assert marks.on(cluster.get(path)) is None


def test_a_field_with_a_third_value_is_left_alone(cluster: Cluster, changed: Changed) -> None:
    taken, path, _, third = changed
    cluster.patch(path, third)
    spec = cluster.get(path)["spec"]

    assert taken.bitten().holds is False
    assert [one.ending for one in taken.revert()] == ["superseded"]
    assert cluster.get(path)["spec"] == spec
    assert taken.healed() == [True]


def test_a_field_that_somebody_else_took_over_is_left_alone(cluster: Cluster, changed: Changed) -> None:
    taken, path, _, _ = changed
    cluster.patch(path, {"metadata": {"annotations": {marks.MARK: '{"record": "theirs"}'}}})
    before = world()

    assert [one.ending for one in taken.revert()] == ["superseded"]
    assert world() == before


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_a_field_that_moved_between_plan_and_call_is_not_touched(cluster: Cluster, tmp_path: Path, kind: str) -> None:
    path, _, third = FIELDS[kind]
    taken = take(EXAMPLES[kind].make(tmp_path))
    cluster.patch(path, third)

    with pytest.raises(Exception, match="was changed by somebody else in the meantime"):
        taken.call()
    assert marks.on(cluster.get(path)) is None
    cluster.patch(path, {"spec": {"replicas": 3} if path == DEPLOYMENT else {"selector": {"theirs": None}}})


def test_only_our_own_taint_is_taken_away(cluster: Cluster) -> None:
    theirs = {"key": "theirs", "value": "x", "effect": "NoSchedule"}
    cluster.patch(nodes.path("node-1"), {"spec": {"taints": [theirs]}})
    taken = take(k8s.taint("node-1", value="y"))
    taken.call()
    ours = {"key": "chaosfw.dev/chaos", "value": "y", "effect": "NoSchedule"}
    assert cluster.get(nodes.path("node-1"))["spec"]["taints"] == [theirs, ours]

    assert [one.ending for one in taken.revert()] == ["restored"]
    assert cluster.get(nodes.path("node-1"))["spec"]["taints"] == [theirs]
    cluster.patch(nodes.path("node-1"), {"spec": {"taints": None}})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: k8s.scale(web, 3), "deployment myapp has 3 replicas already"),
        (lambda: k8s.scale(k8s.deployment("mapp", namespace="shop"), 1), "there is no deployment 'mapp' in namespace 'shop'"),
        (lambda: k8s.set_image(web, "x", container="wep"), "'wep' names 0 of 1"),
        (lambda: k8s.break_selector("myap", namespace="shop"), "there is no service 'myap' in namespace 'shop'"),
    ],
)
def test_what_can_not_be_changed_is_said(cluster: Cluster, make: Callable[[], Action], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        take(make())


def test_a_paused_rollout_is_not_restarted(cluster: Cluster) -> None:
    cluster.patch(DEPLOYMENT, {"spec": {"paused": True}})

    with pytest.raises(UsageError, match="is paused: nothing would happen"):
        take(k8s.rollout_restart(web))
    cluster.patch(DEPLOYMENT, {"spec": {"paused": None}})


# -- deleted and made again ------------------------------------------------------------------------------------------------

CONFIG, BUDGET = "/api/v1/namespaces/shop/configmaps/myapp", "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/myapp"


@pytest.mark.parametrize(("kind", "path"), [("service", SERVICE), ("configmap", CONFIG), ("poddisruptionbudget", BUDGET)])
def test_an_object_is_made_again_as_it_was(cluster: Cluster, kind: str, path: str) -> None:
    before = manifest(cluster.get(path))
    taken = take(k8s.delete(kind, "myapp", namespace="shop"))
    taken.call()
    assert cluster.find(path) is None

    assert [one.ending for one in taken.revert()] == ["restored"]
    assert manifest(cluster.get(path)) == before
    assert taken.healed() == [True]


def test_what_somebody_else_made_again_is_theirs(cluster: Cluster) -> None:
    taken = take(k8s.delete("configmap", "myapp", namespace="shop"))
    before = manifest(cluster.get(CONFIG))
    taken.call()
    cluster.post("/api/v1/namespaces/shop/configmaps", {**before, "data": {"theirs": "yes"}})

    assert taken.bitten().holds is False
    assert [one.ending for one in taken.revert()] == ["by-other"]
    assert cluster.get(CONFIG)["data"] == {"theirs": "yes"}
    cluster.patch(CONFIG, {"data": {"theirs": None, **before["data"]}})


def test_a_late_delete_can_not_land_after_a_heal(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The healer touches what it finds: a delete that was on its way carries the version from before."""
    taken = take(k8s.delete("configmap", "myapp", namespace="shop"))
    late: list[tuple[str, object]] = []
    with monkeypatch.context() as patch:
        patch.setattr(Cluster, "delete", lambda self, path, body=None: late.append((path, body)))
        taken.call()
    uid = cluster.get(CONFIG)["metadata"]["uid"]

    assert [one.ending for one in taken.revert(state=UndoState.armed)] == ["never-applied"]
    with pytest.raises(Answered, match="409"):
        cluster.delete(*late[0])
    assert cluster.get(CONFIG)["metadata"]["uid"] == uid


def test_a_lost_reply_of_making_it_again_is_resolved_by_reading(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = take(k8s.delete("configmap", "myapp", namespace="shop"))
    taken.call()
    real = Cluster.post

    def lost(self: Cluster, path: str, body: object) -> object:
        real(self, path, body)
        raise EnvironmentTrouble("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(Cluster, "post", lost)
        with pytest.raises(EnvironmentTrouble):
            taken.revert()
    assert taken.healed() == [False]

    assert [one.ending for one in taken.revert()] == ["restored"]
    assert taken.healed() == [True]


@pytest.mark.parametrize(
    ("kind", "words"), [("deployment", "a deployment would not be the same again"), ("secret", "a secret would not"), ("", "a  would not")]
)
def test_what_would_not_be_the_same_again_is_not_deleted(cluster: Cluster, kind: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        take(k8s.delete(kind, "myapp", namespace="shop"))


def test_what_belongs_to_something_else_is_not_deleted(cluster: Cluster) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "myapp", "uid": cluster.get(DEPLOYMENT)["metadata"]["uid"]}
    for change, words in (({"ownerReferences": [owner]}, "belongs to something else"), ({"finalizers": ["a.b/c"]}, "has finalizers")):
        cluster.patch(CONFIG, {"metadata": change})
        with pytest.raises(UsageError, match=words):
            take(k8s.delete("configmap", "myapp", namespace="shop"))
        cluster.patch(CONFIG, {"metadata": dict.fromkeys(change)})
