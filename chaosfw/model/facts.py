"""What was found in an environment at preflight: what the guards of ``planning`` judge. Gathered by drivers, judged elsewhere."""

from __future__ import annotations

from chaosfw.model.environment import Identity, Target
from chaosfw.model.struct import Noun


class PodFacts(Noun, frozen=True, kw_only=True):
    """One pod that runs now. ``workload``: ``deployment shop/myapp``; empty where nothing owns it."""

    target: Target
    labels: dict[str, str] = {}
    workload: str = ""
    ready: bool = False


class NodeFacts(Noun, frozen=True, kw_only=True):
    """One node."""

    target: Target
    labels: dict[str, str] = {}
    ready: bool = False
    schedulable: bool = True


class BudgetFacts(Noun, frozen=True, kw_only=True):
    """One PodDisruptionBudget: ``allowed`` disruptions now, of the pods whose uids it ``covers``."""

    namespace: str
    name: str
    allowed: int
    covers: tuple[str, ...] = ()


class EndpointFacts(Noun, frozen=True, kw_only=True):
    """One pod that a Service offers as ready, and since when it says that it is: the same words twice mean that it was all the time."""

    target: Target
    since: str = ""


class Facts(Noun, frozen=True, kw_only=True):
    """``marks``: marks of faults that are on objects already."""

    identity: Identity = Identity()
    pods: tuple[PodFacts, ...] = ()
    nodes: tuple[NodeFacts, ...] = ()
    budgets: tuple[BudgetFacts, ...] = ()
    marks: tuple[str, ...] = ()

    @property
    def zones(self) -> tuple[str, ...]:
        return tuple(sorted({node.target.zone for node in self.nodes if node.target.zone}))
