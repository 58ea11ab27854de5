"""
What an experiment claims, and what was found of each claim: True, False or Undecided, with the sentence that says why.

Called by :mod:`chaosfw.analysis.judge`. Whether a finding may be believed is not decided here but in
:mod:`chaosfw.analysis.conditions`. Adding a claim is: one function, one entry in ``CLAIMS``, one paragraph in the docs, one test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chaosfw.analysis import objectives, recovery
from chaosfw.model.event import Phase
from chaosfw.model.record import ObjectiveLine, Outage, Record, Recovery, Round
from chaosfw.model.verdict import Finding, Truth
from chaosfw.timing import nanoseconds, seconds

Claim = Callable[[Record], Iterable[Finding]]

CLOSED = "a closed loop asks less of a slow system and more of one that fails fast, so its shares are not those of the demand"
"""Why shares of requests are undecided there, whichever way they point (measuring.md, rule 18)."""

_FEWEST_AFTER = 0.8
"""Share of the evaluations due in the last ``stable_for`` that must be there for "stably normal at the end"."""


def findings(record: Record, *, final: bool) -> tuple[Finding, ...]:
    """All claims in the order in which a reader cares. The user's own asserts only when ``final``."""
    if record.plan is None:
        return ()
    claims = CLAIMS + ((asserts,) if final else ())
    return tuple(finding for claim in claims for finding in claim(record))


def steady_state_before(record: Record) -> Iterable[Finding]:
    """The hypothesis holds in every evaluation of the baseline."""
    if not _has_hypothesis(record):
        return
    rounds = [one for one in record.rounds if one.phase is Phase.baseline]
    wrong = next((one for one in rounds if one.ok is False), None)
    unknown = sum(1 for one in rounds if one.ok is None)
    claim = "the steady state holds in the whole baseline"
    if wrong is not None:
        reason = f"the steady state did not hold in the baseline: first out of tolerance {_after(record, wrong.at)}"
        yield Finding(slug="steady-state-before", claim=claim, truth=Truth.false, reason=reason, at=wrong.at)
    elif unknown or not rounds:
        reason = f"{unknown} of {len(rounds)} evaluations in the baseline gave no evidence" if rounds else "no evaluation in the baseline"
        yield Finding(slug="steady-state-before", claim=claim, truth=Truth.undecided, reason=reason)
    else:
        yield Finding(
            slug="steady-state-before", claim=claim, truth=Truth.true, measured=f"{len(rounds)} of {len(rounds)} evaluations True"
        )


def steady_state_throughout(record: Record) -> Iterable[Finding]:
    """Only where the experiment says so: the hypothesis holds while the fault is in."""
    if not (_has_hypothesis(record) and record.plan and record.plan.experiment.throughout):
        return
    claim = "the steady state holds while the fault is in"
    rounds = _while_in(record)
    wrong = [one for one in rounds if one.ok is False]
    unknown = sum(1 for one in rounds if one.ok is None)
    measured = f"{len(rounds) - len(wrong) - unknown} of {len(rounds)} evaluations True"
    if wrong:
        lasted = seconds(wrong[-1].at - wrong[0].at)
        reason = f"the steady state was lost while the fault was in: {measured}; first {_after(record, wrong[0].at)}, for {lasted:.1f} s"
        yield Finding(slug="throughout", claim=claim, truth=Truth.false, measured=measured, allowed="all", reason=reason, at=wrong[0].at)
    elif unknown or not rounds:
        reason = f"{unknown} evaluations while the fault was in gave no evidence" if rounds else "no evaluation while the fault was in"
        yield Finding(slug="throughout", claim=claim, truth=Truth.undecided, measured=measured, reason=reason)
    else:
        yield Finding(slug="throughout", claim=claim, truth=Truth.true, measured=measured, allowed="all")


def steady_state_after_method(record: Record) -> Iterable[Finding]:
    """Chaos Toolkit's own second look, after the method and before the rollbacks: the only one that a stock file claims."""
    if not (_has_hypothesis(record) and _stock(record)):
        return
    claim = "the steady state holds after the method, before the rollbacks"
    last = _before_rollbacks(record)
    if last is None or last.ok is None:
        reason = "the look after the method gave no evidence" if last else "there was no look after the method"
        yield Finding(slug="steady-state-after-method", claim=claim, truth=Truth.undecided, reason=reason)
    elif last.ok:
        yield Finding(slug="steady-state-after-method", claim=claim, truth=Truth.true, measured="within tolerance")
    else:
        reason = f"the steady state did not hold after the method: out of tolerance {_after(record, last.at)}{_wrong_probe(record)}"
        yield Finding(
            slug="steady-state-after-method", claim=claim, truth=Truth.false, measured="out of tolerance", reason=reason, at=last.at
        )


def during_fault(record: Record) -> Iterable[Finding]:
    """Each accepted degradation, over the requests that were due while the fault was in."""
    if record.plan is None:
        return
    measured = {line.objective: line for line in record.objectives if line.window == "fault"}
    closed = _is_closed(record)
    for objective in record.plan.experiment.during_fault:
        line = measured.get(objective)
        slug = f"during-fault.{objective.sli}" + (f"-p{objective.target * 100:g}" if objective.sli == "latency" else "")
        if closed:
            yield Finding(slug=slug, claim=f"{objective} while the fault is in", truth=Truth.undecided, reason=f"{objective}: {CLOSED}")
        elif line is None:
            reason = f"{objective} was not measured: no traffic while the fault was in"
            yield Finding(slug=slug, claim=f"{objective} while the fault is in", truth=Truth.undecided, reason=reason)
        else:
            yield _objective(record, line, slug=slug)


def mitigated(record: Record) -> Iterable[Finding]:
    """Impact ends within ``mitigate_within`` of the fault, which is still in."""
    claimed = record.plan.experiment.mitigate_within if record.plan else None
    if claimed is not None and not _stock(record):
        yield _time(record, kind="mitigate", slug="mitigated", within=claimed, words="impact ends while the fault is still in")


def recovered(record: Record) -> Iterable[Finding]:
    """Impact ends within ``recover_within``: of the heal, or of the fault when it heals itself."""
    if record.plan is None or _stock(record) or not (_has_hypothesis(record) or record.plan.experiment.load):
        return
    yield _time(record, kind="recover", slug="recovered", within=record.plan.experiment.recover_within, words="back to normal")


def steady_state_after(record: Record) -> Iterable[Finding]:
    """Stably normal at the end: no outage is open, and the last ``stable_for`` of evaluations are all True."""
    if record.plan is None or _stock(record) or not (_has_hypothesis(record) or record.plan.experiment.load):
        return
    claim = "the steady state holds stably at the end"
    broken = next((one for one in record.outages if one.end is None and _was_bad_to_the_end(record, one)), None)
    if broken is not None and _had_its_time(record):
        reason = (
            f"{broken.what} was still out of tolerance when the run ended, since {_after(record, broken.onset.last or broken.onset.first)}"
        )
        yield Finding(slug="steady-state-after", claim=claim, truth=Truth.false, measured="not normal", reason=reason, at=broken.last_bad)
        return
    doubt = _doubt_at_the_end(record)
    yield Finding(
        slug="steady-state-after",
        claim=claim,
        truth=Truth.undecided if doubt else Truth.true,
        measured="" if doubt else "normal",
        reason=doubt,
    )


def price(record: Record) -> Iterable[Finding]:
    """The run costs at most so much of the error budget."""
    allowed = record.plan.experiment.costs_at_most if record.plan else None
    if allowed is None:
        return
    claim = f"the run costs at most {_percent(allowed)} of the error budget"
    paid = record.price
    if paid is None:
        yield Finding(slug="price", claim=claim, truth=Truth.undecided, reason="the price is not known: no traffic measured")
        return
    if _is_closed(record):
        yield Finding(slug="price", claim=claim, truth=Truth.undecided, reason=f"the price in error budget: {CLOSED}")
        return
    truth = Truth.true if paid.share_high <= allowed else Truth.false if paid.share_low > allowed else Truth.undecided
    measured = (
        _percent(paid.share_low) if paid.share_low == paid.share_high else f"{_percent(paid.share_low)} to {_percent(paid.share_high)}"
    )
    reason = f"the run cost {measured} of the error budget, allowed at most {_percent(allowed)} ({paid.denominator})"
    yield Finding(
        slug="price",
        claim=claim,
        truth=truth,
        measured=measured,
        allowed=f"at most {_percent(allowed)}",
        reason="" if truth is Truth.true else reason,
        low=paid.share_low,
        high=paid.share_high,
        limit=allowed,
        at=record.load.off if record.load else None,
    )


def asserts(record: Record) -> Iterable[Finding]:
    """An AssertionError of the test's body is False; any other end but passing is Undecided."""
    if record.body == "passed":
        return
    claim = "the test's own asserts hold"
    if record.body == "failed":
        yield Finding(slug="assert", claim=claim, truth=Truth.false, measured="failed", reason=f"an assert failed: {record.body_message}")
    else:
        words = "the test's body never ran to its end" if record.body == "never-ran" else "the test's body raised"
        reason = f"{words}: {record.body_message}" if record.body_message else words
        yield Finding(slug="assert", claim=claim, truth=Truth.undecided, reason=reason)


CLAIMS: tuple[Claim, ...] = (
    steady_state_before,
    during_fault,
    steady_state_throughout,
    steady_state_after_method,
    mitigated,
    recovered,
    steady_state_after,
    price,
)


def _objective(record: Record, line: ObjectiveLine, *, slug: str) -> Finding:
    counts, objective = line.counts, line.objective
    truth = objectives.decide(counts, target=objective.target)
    low = counts.good / counts.intended if counts.intended else 0.0
    high = (counts.good + counts.unknown) / counts.intended if counts.intended else 1.0
    share = _percent(low) if low == high else f"{_percent(low)} to {_percent(high)}"
    measured = share if objective.sli == "availability" else f"{share} within {objective.limit * 1000:g} ms"
    return Finding(
        slug=slug,
        claim=f"{objective} while the fault is in",
        truth=truth,
        measured=measured,
        allowed=f"at least {_percent(objective.target)}",
        reason=_objective_reason(record, line, truth=truth, measured=measured),
        low=low,
        high=high,
        limit=objective.target,
        at=line.sunk if truth is Truth.false else None,
    )


def _objective_reason(record: Record, line: ObjectiveLine, *, truth: Truth, measured: str) -> str:
    counts, objective = line.counts, line.objective
    if truth is Truth.true:
        return ""
    if truth is Truth.false:
        first, last = line.first_bad or 0, line.last_bad or 0
        words = f"{objective.sli} was {measured}, allowed at least {_percent(objective.target)}"
        span = f"first bad request {_after(record, first)}, the last {seconds(last - first):.1f} s later"
        return f"{words} ({counts.bad:,} of {counts.intended:,} requests bad); {span}"
    need = objectives.minimum(objective.target)
    if counts.intended < need:
        return f"{counts.intended:,} requests while the fault was in cannot decide {objective}: at least {need:,} are needed"
    return f"{counts.unknown:,} of {counts.intended:,} requests are unknown, and {objective} hangs on them"


def _time(record: Record, *, kind: str, slug: str, within: float, words: str) -> Finding:
    claim = f"{words} within {within:g} s"
    found = next((one for one in record.recovery if one.kind == kind), None)
    if found is None:
        return Finding(slug=slug, claim=claim, truth=Truth.undecided, allowed=f"{within:g} s", reason="no fault was injected")
    truth = recovery.decide(record, found)
    measured = _how_long(found)
    deadline = (found.since.last or found.since.first) + nanoseconds(within) if found.since else None
    return Finding(
        slug=slug,
        claim=claim,
        truth=truth,
        measured=measured,
        allowed=f"{within:g} s",
        reason=_time_reason(record, found, truth=truth, slug=slug),
        low=found.low,
        high=found.high,
        limit=within,
        at=deadline if truth is Truth.false else None,
    )


def _how_long(found: Recovery) -> str:
    if not found.impact:
        return "no impact"
    if found.elapsed is None:
        return "did not end"
    return f"{found.elapsed:.1f} s" if found.elapsed > 0 else "before the heal"


def _time_reason(record: Record, found: Recovery, *, truth: Truth, slug: str) -> str:
    if truth is Truth.true:
        return ""
    if truth is Truth.false:
        call = record.fault_call or 0
        late = next((one for one in record.outages if (one.onset.last or 0) > call), None)
        what, onset = (late.what, _after(record, late.onset.last or late.onset.first)) if late else ("the system", "")
        if found.elapsed is None or found.elapsed <= found.within:
            return f"not {slug} within {found.within:g} s: {what} left its steady state {onset} and was not back in time"
        return f"not {slug} within {found.within:g} s: it took {found.elapsed:.1f} s; {what} left its steady state {onset}"
    if found.since is None:
        return "nobody can say when it was healed: the heal never began"
    if found.since.last is None:
        return "the instant to count from was never proven"
    if not found.observed:
        return f"load and probes did not go on to the deadline of {found.within:g} s and long enough after it"
    return f"whether it was {slug} within {found.within:g} s hangs on what gave no evidence, or on the instant of a proof"


def _was_bad_to_the_end(record: Record, outage: Outage) -> bool:
    """Bad in its last stretch, and not merely too short ago to be called stable."""
    assert record.plan is not None
    if outage.what == "hypothesis":
        known = [one for one in record.rounds if one.ok is not None]
        return bool(known) and known[-1].ok is False
    off = record.load.off if record.load else record.ended
    return outage.last_bad > off - nanoseconds(min(1.0, record.plan.experiment.stable_for))


def _had_its_time(record: Record) -> bool:
    """The deadline to recover is over, counted from a proof: before it, or when our own heal failed, nobody is to blame yet."""
    found = next((one for one in record.recovery if one.kind == "recover"), None)
    if found is None or found.since is None or found.since.last is None:
        return False
    return record.ended > found.since.last + nanoseconds(found.within)


def _doubt_at_the_end(record: Record) -> str:
    assert record.plan is not None
    experiment = record.plan.experiment
    open_one = next((one for one in record.possible if one.end is None), None)
    if open_one is not None:
        return f"{open_one.what} was not seen stably normal for {experiment.stable_for:g} s at the end"
    if not _has_hypothesis(record):
        return "" if record.load else "no traffic measured"
    if record.heal_call is None:
        return "the run ended before the heal"
    after = [one for one in record.rounds if one.due >= record.heal_call and one.phase is Phase.recover]
    last = [one for one in after if one.due > after[-1].due - nanoseconds(experiment.stable_for)]
    need = max(1, int(_FEWEST_AFTER * experiment.stable_for / experiment.probe_every))
    if len(last) < need:
        return f"only {len(last)} evaluations in the last {experiment.stable_for:g} s, at least {need} are needed"
    silent = sum(1 for one in last if one.ok is not True)
    return f"{silent} of the last {len(last)} evaluations gave no evidence" if silent else ""


def _is_closed(record: Record) -> bool:
    return record.load is not None and record.load.generator.model == "closed"


def _while_in(record: Record) -> list[Round]:
    if record.fault_call is None or record.fault_end is None:
        return []
    return [one for one in record.rounds if one.at > record.fault_call and one.due < record.fault_end and one.phase is not Phase.preflight]


def _before_rollbacks(record: Record) -> Round | None:
    return next((one for one in reversed(record.rounds) if one.before_rollbacks), None)


def _wrong_probe(record: Record) -> str:
    wrong = next((one for one in record.probes if one.false), None)
    return f"; {wrong.name} was {wrong.worst_value!r}, allowed {wrong.tolerance}" if wrong else ""


def _has_hypothesis(record: Record) -> bool:
    return record.plan is not None and record.plan.experiment.steady_state is not None


def _stock(record: Record) -> bool:
    return record.plan is not None and record.plan.experiment.stock


def _after(record: Record, instant: int) -> str:
    if record.fault_call is None or instant < record.fault_call:
        return f"{seconds(instant - record.started):.1f} s into the run"
    return f"{seconds(instant - record.fault_call):.1f} s after the fault was called"


def _percent(share: float) -> str:
    """Four digits at most; of small shares, such as prices, two: the rest would be noise."""
    if 0 < share < 0.00001:
        return "< 0.001 %"
    return f"{share * 100:.2g} %" if share < 0.1 else f"{share * 100:.4g} %"
