"""
Approval: what somebody has read and said yes to. A plan's digest means these targets; an intent's digest means this experiment, whatever
is found within the same bounds.

Called when a plan has been made, beside the guards. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chaosfw.model.plan import Plan, Refusal

REQUIRED = ("", "intent", "plan")
"""What an environment may ask for: nothing; a yes to the intent (or to the plan); a yes to the very plan."""


def unapproved(plan: Plan, *, approved: Sequence[str], required: str) -> Iterator[Refusal]:
    """A refusal unless this is what was approved. Without approvals, only an environment that requires one refuses."""
    enough = {plan.digest} if required == "plan" else {plan.digest, plan.intent}
    if (not approved and not required) or enough & set(approved):
        return
    digest, what = (plan.digest, "plan") if required == "plan" else (plan.intent, "intent")
    given = f"approved: {', '.join(approved)}" if approved else f"{plan.environment.name} requires it"
    if plan.intent in approved:
        given = f"its intent is, but {plan.environment.name} requires a yes to the very plan"
    yield Refusal(
        slug="approval",
        sentence=f"plan {plan.digest} (intent {plan.intent}) is not approved; {given}",
        hint=f"read it (--chaos-plan), then: --chaos-approved {digest}" + (f" --chaos-seed {plan.seed}" if what == "plan" else ""),
    )
