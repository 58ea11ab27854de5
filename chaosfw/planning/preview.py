"""A plan in words: what would be done to whom, how it is put back, what it may cost and how long it takes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from chaosfw.model.fault import Bound
from chaosfw.model.load import Load
from chaosfw.model.plan import Plan, Refusal
from chaosfw.planning.guards import GUARDS


def preview(plan: Plan, *, refusals: Sequence[Refusal] = (), suppressed: Sequence[str] = (), reaper: str = "") -> str:
    """
    Several lines for a terminal, readable without colour. ``refusals``: why it would not be done; ``suppressed``: what guards said that
    are not heeded there; ``reaper``: the healer in the cluster that showed life.
    """
    one = plan.experiment
    lines = [f"{one.title}", f"  on {plan.environment.name} ({plan.environment.kind}), about {plan.seconds:.0f} s, seed {plan.seed}"]
    lines += [f"  namespace {name} is {here} here" for name, here in sorted(plan.environment.namespaces.items()) if name != here]
    if one.steady_state is not None:
        lines.append(f"  normal is: {one.steady_state.title}")
        lines += [
            f"    {probe.name}" + (f" ({probe.tolerance})" if probe.tolerance is not None else "") for probe in one.steady_state.probes
        ]
    for bound in plan.bound:
        lines += _bound_lines(bound)
    lines += [f"  accepted while the fault is in: {objective}" for objective in one.during_fault]
    lines.append(f"  claims: recovered within {one.recover_within:g} s" + (" (default)" if "recover_within" in one.defaults else ""))
    lines += [f"  load: {sent(one.load)}"] if one.load is not None else []
    if plan.price_budget is not None:
        requests = f"{plan.price_requests:.0f} requests, " if plan.price_requests is not None else ""
        lines.append(f"  planned price: {requests}{plan.price_budget * 100:.2g} % of the error budget")
    lines += _guard_lines(refusals, suppressed)
    lines.append(f"  if this host is lost: {_left_to(plan, reaper)}")
    return "\n".join([*lines, f"  intent {plan.intent}   plan {plan.digest}"])


def sent(load: Load) -> str:
    """What is sent, in words."""
    script, at = load.script, f"at {load.endpoint}"
    if script is None:
        return f"{paced(load)} {at}{asked(load)}" + (f", by {load.driver}" if load.driver != "prober" else "")
    at += f", by {script.pods} pods in {script.namespace}" if script.pods else ""
    at += f", by {load.processes} workers" + (f" that join at {script.listen}" if script.listen else "") if load.processes else ""
    if load.open:
        return f"{load.rate:g} tasks/s of {script.file} {at}"
    users = f"{script.users} {'VUs' if load.driver == 'k6' else 'users'} of " if script.users else "as it says: "
    return f"{users}{script.file} {at}"


def paced(load: Load) -> str:
    """The rate, and where it goes along the stages."""
    steps = [f"{stage.rate:g}" + (f" within {stage.seconds:g} s" if stage.seconds else "") for stage in load.stages]
    return ", then ".join([f"{load.rate:g} requests/s", *steps])


def asked(load: Load) -> str:
    """The path, or each kind with its share."""
    whole = sum(one.weight for one in load.kinds)
    kinds = [f"{one.weight / whole * 100:.3g} % {one.name}" for one in load.requests]
    return ": " + ", ".join(kinds) if kinds else load.path


def _guard_lines(refusals: Sequence[Refusal], suppressed: Sequence[str]) -> list[str]:
    asked = f"  {len(GUARDS)} guards asked, " + ("none refuses" if not refusals else "REFUSED:")
    return [asked, *(f"    {one.slug}: {one.sentence}" for one in refusals), *(f"    not heeded: {one}" for one in suppressed)]


def _left_to(plan: Plan, reaper: str) -> str:
    """Who puts it back then."""
    accepted = plan.environment.accept_manual_heal
    if not any(bound.undo for bound in plan.bound):
        return "nothing has to be put back"
    if plan.environment.kind == "sandbox":
        return "the sandbox is lost with it"
    known = [reaper] if reaper else []
    return ", or ".join([*known, *([f"somebody by hand ({accepted})"] if accepted else [])]) or "NOBODY puts it back"


def _bound_lines(bound: Bound) -> list[str]:
    back = ", ".join(f"put back {undo.subject}" for undo in bound.undo) or ("heals itself" if bound.self_heals else "NO WAY BACK")
    return [f"  {bound.action.name}: {bound.action.provider.name}", *(f"    ~ {change}" for change in bound.changes), f"    undo: {back}"]
