"""The shop under fire: what happens to its users when pods, a node or a whole zone go away."""

import chaosfw as cf
from chaosfw.faults import kubernetes as k8s
from chaosfw.faults import zone
from probes import shop

web = k8s.deployment("myapp", namespace="shop")

base = cf.Experiment(
    steady_state=cf.Hypothesis(
        "the shop serves",
        cf.http("shop", path="/health", status=200),
        web.ready(at_least=2),
        cf.probe(shop.answering_pod, cf.matches("^myapp-"), url=cf.endpoint("shop")),
    ),
    load=cf.Load("shop", path="/", rate=100),
    slo=cf.SLO("checkout", availability="99.9%", latency={"p95": "300ms"}, window="30d"),
    during_fault=[cf.availability("97%"), cf.latency(p95="800ms")],
    costs_at_most="0.1%",
)


@cf.experiment(base.but("The shop survives losing a pod", k8s.kill(web, count=1)))
def test_losing_a_pod(chaos: cf.Chaos) -> None:
    outcome = chaos.run()
    assert outcome.load.lost < 20


@cf.experiment(base.but("The shop survives the sudden death of a third of its pods", k8s.kill(web, percentage="33%", abrupt=True)))
def test_sudden_death_of_a_third(chaos: cf.Chaos) -> None:
    chaos.run()


@cf.experiment(base.but("The shop survives a node drained for maintenance", k8s.drain(hosting=web)))
def test_draining_a_node(chaos: cf.Chaos) -> None:
    outcome = chaos.run()
    assert outcome.load.lost == 0


@cf.experiment(base.but("The shop survives a restart of its rollout", k8s.rollout_restart(web)))
def test_restarting_the_rollout(chaos: cf.Chaos) -> None:
    outcome = chaos.run()
    assert outcome.load.lost == 0


def lose(chaos_zone: str) -> cf.Experiment:
    return base.but(f"The shop survives losing {chaos_zone}", zone.fail(chaos_zone), mitigate_within="5s")


@cf.experiment(lose)
def test_losing_a_zone(chaos: cf.Chaos, chaos_zone: str) -> None:
    chaos.run()
