"""What will be done to whom: the experiment bound to targets found, with digests, and every reason not to do it."""

from __future__ import annotations

from chaosfw.model.environment import Environment, Target
from chaosfw.model.experiment import Experiment
from chaosfw.model.fault import Bound
from chaosfw.model.struct import Noun


class Refusal(Noun, frozen=True, kw_only=True):
    """One reason not to inject."""

    slug: str
    sentence: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.slug}: {self.sentence}" + (f" (hint: {self.hint})" if self.hint else "")


class Plan(Noun, frozen=True, kw_only=True):
    """``intent`` digests what was written; ``digest`` what was found as well. Only the plan that was hashed is executed."""

    experiment: Experiment
    environment: Environment
    seed: int
    bound: tuple[Bound, ...] = ()
    exposed: tuple[Target, ...] = ()
    """The ready endpoints of the Service that leads to the load, when planned; empty where it is not known or spreads unevenly."""
    intent: str = ""
    digest: str = ""
    price_requests: float | None = None
    price_budget: float | None = None
    seconds: float = 0.0
    """How long the run is expected to take."""
