"""What was approved runs; what was not is refused with the digest that somebody would have to say yes to."""

from __future__ import annotations

import pytest

from chaosfw.model.environment import Environment
from chaosfw.model.experiment import Experiment
from chaosfw.model.plan import Plan
from chaosfw.planning.approval import unapproved

PLAN = Plan(
    experiment=Experiment(title="x"), environment=Environment(name="staging", kind="kubernetes"), seed=7, intent="1nt3nt", digest="p1an"
)


@pytest.mark.parametrize(
    ("approved", "required", "runs"),
    [
        ((), "", True),
        ((), "intent", False),
        ((), "plan", False),
        (("p1an",), "", True),
        (("1nt3nt",), "", True),
        (("other",), "", False),
        (("other", "p1an"), "plan", True),
        (("1nt3nt",), "plan", False),
        (("1nt3nt",), "intent", True),
        (("p1an",), "intent", True),
    ],
)
def test_only_what_was_approved_runs(approved: tuple[str, ...], required: str, runs: bool) -> None:
    assert (not list(unapproved(PLAN, approved=approved, required=required))) is runs


def test_a_refusal_says_what_to_type() -> None:
    (plan,) = unapproved(PLAN, approved=(), required="plan")
    (intent,) = unapproved(PLAN, approved=("other",), required="intent")
    (half,) = unapproved(PLAN, approved=("1nt3nt",), required="plan")

    assert str(plan).startswith("approval: plan p1an (intent 1nt3nt) is not approved; staging requires it")
    assert plan.hint.endswith("--chaos-approved p1an --chaos-seed 7")
    assert "approved: other" in intent.sentence
    assert intent.hint.endswith("--chaos-approved 1nt3nt")
    assert "requires a yes to the very plan" in half.sentence
