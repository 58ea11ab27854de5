"""What was found in an environment at preflight: what the guards of ``planning`` judge. Gathered by drivers, judged elsewhere."""

from __future__ import annotations

from chaosfw.model.environment import Identity, Target
from chaosfw.model.struct import Noun

REAPER = "a reaper"
"""What a pod is that heals from inside the cluster."""


class PodFacts(Noun, frozen=True, kw_only=True):
    """One pod that runs now. ``workload``: ``deployment shop/myapp``; empty where nothing owns it."""

    target: Target
    labels: dict[str, str] = {}
    workload: str = ""
    ready: bool = False
    ours: str = ""
    """What of ours it is: ``the process that runs the experiment``, ``a reaper``; empty for everybody else's."""


class WorkloadFacts(Noun, frozen=True, kw_only=True):
    """A Deployment or StatefulSet. ``name``: ``deployment shop/myapp``."""

    name: str
    wanted: int
    ready: int
    rolling: bool = False
    """A change of it is not rolled out yet."""
    labels: dict[str, str] = {}
    scaled_by: str = ""
    """The autoscaler that decides how many replicas there are."""


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
    """``marks``: marks of faults that are on objects already. ``now``: seconds since the epoch."""

    identity: Identity = Identity()
    pods: tuple[PodFacts, ...] = ()
    nodes: tuple[NodeFacts, ...] = ()
    budgets: tuple[BudgetFacts, ...] = ()
    marks: tuple[str, ...] = ()
    workloads: tuple[WorkloadFacts, ...] = ()
    namespaces: dict[str, dict[str, str]] = {}
    """Their labels."""
    others: tuple[str, ...] = ()
    """Chaos of other tools that is running."""
    unread: tuple[str, ...] = ()
    """Lists that these credentials may not read, as kubectl names them: ``deployments.apps``. What is in them is not known."""
    delivered: dict[str, str] = {}
    """Of what the plan changes: who keeps it as declared elsewhere. ``service shop/myapp``: ``Argo CD``."""
    reaper: str = ""
    """The healer in the cluster that showed life last and has not said goodbye; its word on what is published proves that it lives."""
    lacking: tuple[str, ...] = ()
    """What these credentials may not do, of all that breaking and putting back needs: ``patch nodes``."""
    now: float = 0.0
    clock_ahead: float = 0.0
    """Seconds by which the API server's clock is ahead of ours."""

    @property
    def zones(self) -> tuple[str, ...]:
        return tuple(sorted({node.target.zone for node in self.nodes if node.target.zone}))
