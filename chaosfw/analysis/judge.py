"""
The verdict. ``deviated`` iff V and some claim is False; ``held`` iff W, there are claims, and all are True; else inconclusive.

Pure: a record in, a judgement out, the same next year. This is the only place that says ``held``.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaosfw.analysis import claims, conditions
from chaosfw.model.fault import UndoState
from chaosfw.model.record import Record
from chaosfw.model.struct import but
from chaosfw.model.verdict import Condition, Finding, Judgement, Safety, Truth, Verdict

_BASELINE = "steady-state-before"
"""Its being False is a reason not to blame the fault; it is never a deviation."""


def judge(record: Record, *, final: bool) -> Judgement:
    """The judgement of ``record``. Without ``final`` the user's asserts and the journal's seal are still to come."""
    found = claims.findings(record, final=final)
    checked = conditions.conditions(record, final=final)
    broken = [one for one in found if one.truth is Truth.false and one.slug != _BASELINE]
    sound = [one for one in broken if _before_contamination(one, record)] if _valid(checked) else []
    safety, safety_sentence = _safety(record)
    judgement = Judgement(findings=found, conditions=checked, safety=safety, safety_sentence=safety_sentence, final=final)
    if sound:
        return but(judgement, verdict=Verdict.deviated, sentence=f"Deviated: {sound[0].reason}{_suppressed(record)}")
    if found and not judgement.unmet and all(one.truth is Truth.true for one in found):
        return but(judgement, verdict=Verdict.held, sentence=_held(record, found))
    return but(judgement, sentence=_inconclusive(record, judgement) + _suppressed(record), would_be=tuple(one.reason for one in broken))


def judged(record: Record, *, final: bool) -> Record:
    """The record with its judgement in it."""
    return but(record, judgement=judge(record, final=final))


def _valid(checked: Sequence[Condition]) -> bool:
    """V, but for contamination, which spoils only the evidence that came after it."""
    return all(one.met for one in checked if one.kind == "V" and one.slug != "uncontaminated")


def _before_contamination(finding: Finding, record: Record) -> bool:
    return record.contaminated_at is None or (finding.at is not None and finding.at <= record.contaminated_at)


def _held(record: Record, found: Sequence[Finding]) -> str:
    parts = [_traffic(record), *(part for one in found if (part := _kept(record, one)))]
    return f"Held: {_joined(parts)}{_suppressed(record)}"


def _traffic(record: Record) -> str:
    if record.load is None:
        return "the steady state held, no traffic measured"
    total = record.load.total
    words = "kept serving" if not total.bad else "stayed within what was accepted"
    unknown = f", {total.unknown:,} unknown" if total.unknown else ""
    loop = ", sent in a closed loop" if record.load.generator.model == "closed" else ""
    return f"{record.load.endpoint} {words} ({total.bad:,} of {total.intended:,} requests lost{unknown}{loop})"


def _kept(record: Record, finding: Finding) -> str:
    if finding.slug.startswith("during-fault."):
        return f"{finding.slug.removeprefix('during-fault.')} was {finding.measured} (allowed {finding.allowed})"
    if finding.slug in ("recovered", "mitigated"):
        when = finding.measured if finding.measured.startswith("before") else f"in {finding.measured}"
        return "" if finding.measured == "no impact" else f"it {finding.slug} {when} (allowed {finding.allowed})"
    if finding.slug == "price":
        return f"it cost {finding.measured} of the error budget (allowed {finding.allowed})"
    return ""


def _inconclusive(record: Record, judgement: Judgement) -> str:
    reasons = [one.reason for one in judgement.unmet]
    reasons += [one.reason or one.claim for one in judgement.findings if one.truth is Truth.undecided]
    reasons += [f"would deviate: {one.reason}" for one in judgement.findings if one.truth is Truth.false and one.slug != _BASELINE]
    if not judgement.findings:
        reasons.append("the experiment claims nothing")
    more = len(reasons) - 1
    others = f" (and {more} other reason{'s' if more > 1 else ''})" if more > 0 else ""
    silent = "" if record.load is not None or record.plan is None else "; no traffic measured"
    return f"Inconclusive: {reasons[0] if reasons else 'nothing was proven'}{others}{silent}"


def _safety(record: Record) -> tuple[Safety, str]:
    """The second axis: was everything put back? It never rewrites the verdict."""
    if record.residue:
        return Safety.residue, f"{len(record.residue)} thing(s) were left behind: {record.residue[0]}"
    left = next((one for one in record.undo if one.state is not UndoState.closed), None)
    if not record.audited or record.residue is None:
        return Safety.unknown, "the world after the run could not be compared with the one before it"
    if left is not None:
        return Safety.residue, f"an undo record is still {left.state.value}: {left.undo.subject}"
    return Safety.clean, f"everything was put back (audited, {record.audit_took:.1f} s)"


def _suppressed(record: Record) -> str:
    return f"; switched off by hand: {', '.join(record.suppressed)}" if record.suppressed else ""


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
