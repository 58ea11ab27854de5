"""A plan in words: what would be done to whom, how it is put back, what it may cost and how long it takes. Pure."""

from __future__ import annotations

from chaosfw.model.fault import Bound
from chaosfw.model.plan import Plan


def preview(plan: Plan) -> str:
    """Several lines for a terminal, readable without colour."""
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
    if plan.price_budget is not None and plan.price_requests is not None:
        lines.append(f"  planned price: {plan.price_requests:.0f} requests, {plan.price_budget * 100:.2g} % of the error budget")
    return "\n".join([*lines, f"  intent {plan.intent}   plan {plan.digest}"])


def _bound_lines(bound: Bound) -> list[str]:
    back = ", ".join(f"put back {undo.subject}" for undo in bound.undo) or ("heals itself" if bound.self_heals else "NO WAY BACK")
    return [f"  {bound.action.name}: {bound.action.provider.name}", *(f"    ~ {change}" for change in bound.changes), f"    undo: {back}"]
