"""What a run will take and may cost, before it runs. The price of a run that was measured is ``analysis``'s."""

from __future__ import annotations

from chaosfw.model.arrivals import highest
from chaosfw.model.experiment import Experiment


def expected_seconds(experiment: Experiment, *, heals_itself: bool) -> float:
    """Declared phases only; injecting and healing come on top."""
    after = max(0.0, experiment.recover_within - experiment.lasts) if heals_itself else experiment.recover_within
    return experiment.baseline + experiment.lasts + after + experiment.stable_for


def planned_price(experiment: Experiment, *, seconds: float) -> tuple[float | None, float | None]:
    """Requests and share of the error budget: ``costs_at_most``, or without one a total outage for the run's length."""
    if experiment.load is None or experiment.slo is None:
        return None, None
    slo = experiment.slo
    rate = highest(experiment.load) or slo.requests_per_window / slo.window or 1.0  # of unknown traffic the share is known all the same
    window = slo.requests_per_window or rate * slo.window
    budget = window * (1 - slo.availability)
    if experiment.costs_at_most is not None:
        return experiment.costs_at_most * budget if experiment.load.open else None, experiment.costs_at_most
    lost = rate * seconds
    return lost if experiment.load.open else None, lost / budget
