"""
One run in one line, and the outcome name that Chaos Toolkit (2026) would give it.

Called by the engine for ``line.json`` and by the report's first screen. It reads a judged record and adds nothing to it.
"""

from __future__ import annotations

from chaosfw.model.event import Phase
from chaosfw.model.record import Outage, PhaseLoad, Record, RunLine
from chaosfw.model.verdict import Truth, Verdict

_SIGNALS = ("interrupt", "SIGINT", "SIGTERM", "SIGHUP")


def run_line(record: Record, folder: str, test: str) -> RunLine:
    """The row of one run. ``folder`` is relative to the game day, ``test`` the node id."""
    judgement, load = record.judgement, record.load
    recovery = next((one for one in record.recovery if one.kind == "recover"), None)
    return RunLine(
        run=record.run,
        folder=folder,
        title=record.title,
        test=test,
        verdict=_verdict(record),
        sentence=_sentence(record),
        safety=judgement.safety.value,
        toolkit=toolkit_outcome(record),
        lost=load.total.bad if load else 0,
        unknown=load.total.unknown if load else 0,
        samples=load.total.intended if load else 0,
        sealed=record.sealed and (load is None or load.sealed),
        outage=longest_outage(record),
        p95_before=_p95(record, Phase.baseline),
        p95_during=_p95(record, Phase.hold),
        recovered=recovery.elapsed if recovery else None,
        allowed=recovery.within if recovery else None,
        price=record.price.share_high if record.price else None,
        audit_took=record.audit_took,
        broke=", ".join(dict.fromkeys(change for line in record.actions for change in (line.changes or (line.name,)))),
        reasons=_reasons(record),
    )


def unended(run: str, folder: str, title: str, test: str) -> RunLine:
    """The row of a run that is on. It stays where the run dies and nobody writes its report: then its verdict is this one."""
    sentence = "Inconclusive: the run has not ended"
    return RunLine(run=run, folder=folder, title=title, test=test, verdict=Verdict.inconclusive.value, sentence=sentence)


def toolkit_outcome(record: Record) -> str:
    """``completed``, ``deviated``, ``failed``, ``aborted`` or ``interrupted``, as Chaos Toolkit uses the words."""
    if record.halted:
        return "interrupted" if record.halted.startswith(_SIGNALS) else "aborted"
    if any(one.truth is Truth.false and one.slug != "steady-state-before" for one in record.judgement.findings):
        return "deviated"
    baseline = next((one for one in record.judgement.conditions if one.slug == "baseline"), None)
    if baseline is None or not baseline.met or any(line.ok is False for line in record.actions):
        return "failed"
    return "completed"


def longest_outage(record: Record) -> float | None:
    """Seconds of the longest certain outage since the fault, at most; 0 without one, None when it did not end."""
    if record.fault_call is None:
        return None
    mine = [one for one in record.outages if (one.onset.last or one.onset.first) > record.fault_call]
    if any(one.end is None for one in mine):
        return None
    return max((_length(one) for one in mine), default=0.0)


def _length(outage: Outage) -> float:
    end = outage.end.last if outage.end and outage.end.last is not None else outage.last_bad
    return (end - outage.onset.first) / 1e9


def _p95(record: Record, phase: Phase) -> float | None:
    found: PhaseLoad | None = next((one for one in record.load.phases if one.phase is phase), None) if record.load else None
    return found.quantiles.p95 if found else None


def _verdict(record: Record) -> str:
    if record.blocked_by:
        return "blocked"
    return "refused" if record.refusals else record.judgement.verdict.value


def _sentence(record: Record) -> str:
    if record.blocked_by:
        return f"Blocked by {record.blocked_by}"
    if record.refusals:
        more = len(record.refusals) - 1
        return f"Refused: {record.refusals[0]}" + (f" (and {more} other reason{'s' if more > 1 else ''})" if more else "")
    return record.judgement.sentence


def _reasons(record: Record) -> tuple[str, ...]:
    if record.refusals:
        return tuple(str(one) for one in record.refusals)
    if record.judgement.verdict is Verdict.held:
        return ()
    unmet = tuple(one.reason for one in record.judgement.unmet)
    return unmet + tuple(one.reason for one in record.judgement.findings if one.truth is not Truth.true and one.reason)
