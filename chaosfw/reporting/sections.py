"""
One experiment in full, section by section: findings, conditions, hypothesis, budget, recovery, load, way back, settings.

Called by :mod:`chaosfw.reporting.view`. Adding a section is: one function, one entry in ``SECTIONS``, one test. A function that
has nothing to say gives None.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence

from chaosfw.analysis.expansion import re_expanded
from chaosfw.model.controls import Control, ProbeControl
from chaosfw.model.fault import UndoRecord
from chaosfw.model.load import Load
from chaosfw.model.monitoring import Reading
from chaosfw.model.record import (
    AlertLine,
    Counts,
    Coverage,
    Due,
    KindLoad,
    ObjectiveLine,
    Outage,
    PageDue,
    PhaseLoad,
    ProbeLine,
    Quantiles,
    Record,
    Recovery,
    RunLine,
    Segment,
)
from chaosfw.model.struct import Json, to_json
from chaosfw.model.tolerance import Between
from chaosfw.model.verdict import Condition, Finding, Truth
from chaosfw.planning.preview import paced, sent
from chaosfw.reporting import figures
from chaosfw.reporting.page import Cell, Fact, Section, Table
from chaosfw.reporting.timeline import outage_length

MOST_ROWS = 20
"""Rows of a table that can grow with what went wrong; the rest is counted."""

TABLE = "pyproject.toml [tool.chaosfw]"
"""Where groups of settings come from: no variable and no flag can set them."""

TRUTHS = {Truth.true: ("✓ true", "good"), Truth.false: ("✗ false", "bad"), Truth.undecided: ("? undecided", "unknown")}

Make = Callable[[Record], Section | None]


def of(record: Record, *, line: RunLine, repeat: str, data: str) -> tuple[Section, ...]:
    """All sections of one experiment, in reading order."""
    found = [section for make in SECTIONS if (section := make(record)) is not None]
    found.append(_settings(record, repeat=repeat, toolkit=line.toolkit))
    found.append(_data(record, line=line, data=data))
    return tuple(found)


def data(record: Record, *, room: int) -> str:
    """The record as JSON, one line per field, without the axis and without this machine's paths; empty when it does not fit."""
    plain = _portable(to_json(record))
    assert isinstance(plain, dict)
    plain.pop("axis", None)
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in plain.items())
    text = f"{{\n{lines}\n}}"
    return text if len(text) <= room else ""


def quantile(value: float | None, of: Quantiles | None) -> str:
    """A latency; infinite where the rank falls on a failed request."""
    if value is not None and math.isfinite(value):
        return figures.seconds(value)
    return "∞" if of is not None and of.n else figures.NONE


def settings_table(settings: Mapping[str, Json]) -> Table:
    """Settings with where they came from."""
    origins = settings.get("origins")
    known: Mapping[str, Json] = origins if isinstance(origins, dict) else {}
    rows = []
    for name, value in settings.items():
        if name == "origins":
            continue
        if isinstance(value, dict):
            rows += [_setting(f"{name}.{key}", inner, known.get(f"{name}.{key}", known.get(name, TABLE))) for key, inner in value.items()]
        else:
            rows.append(_setting(name, value, known.get(name, "")))
    shown = {cell.text for cell, *_ in rows}
    rows += [_setting(name, None, origin) for name, origin in known.items() if name not in settings and name not in shown]
    return Table(caption="Settings and where they came from", head=("Setting", "Value", "Origin"), rows=tuple(rows))


def versions_table(versions: Mapping[str, str]) -> Table:
    rows = tuple((Cell(text=name), Cell(text=version)) for name, version in versions.items())
    return Table(caption="Versions", head=("Package", "Version"), rows=rows)


# -- why it was not run ---------------------------------------------------------------------------------------------------


def _refusals(record: Record) -> Section | None:
    if not record.refusals and not record.blocked_by:
        return None
    rows = tuple(
        (Cell(text=one.slug, code=True), Cell(text=figures.short(one.sentence)), Cell(text=figures.short(one.hint) or figures.NONE))
        for one in record.refusals
    )
    lead = f"Blocked by {figures.short(record.blocked_by)}." if record.blocked_by else "Nothing was injected. All reasons:"
    return Section(
        slug="refusals",
        title="Why it was not run",
        lead=lead,
        tables=(Table(caption="Refusals", head=("Guard", "Reason", "What to do"), rows=rows),),
    )


# -- what the verdict rests on --------------------------------------------------------------------------------------------


def _findings(record: Record) -> Section | None:
    found = record.judgement.findings
    if not found:
        return None
    order = {Truth.false: 0, Truth.undecided: 1, Truth.true: 2}
    rows = tuple(_finding(one) for one in sorted(found, key=lambda one: order[one.truth]))
    table = Table(caption="What was promised and what was measured", head=("Promise", "Measured", "Allowed", "Truth"), rows=rows)
    return Section(slug="findings", title="Findings", tables=(table,))


def _finding(one: Finding) -> tuple[Cell, ...]:
    word, tone = TRUTHS[one.truth]
    return (
        Cell(text=_upper(figures.short(one.claim)), note=figures.short(one.reason) if one.truth is not Truth.true else ""),
        Cell(text=figures.short(one.measured) or figures.NONE),
        Cell(text=figures.short(one.allowed) or figures.NONE),
        Cell(text=word, tone=tone),
    )


def _unmet(record: Record) -> Section | None:
    unmet = record.judgement.unmet
    if not unmet and not record.judgement.would_be:
        return None
    tables = [Table(caption="Conditions that were not met", head=("Condition", "Why", "Needed for"), rows=tuple(map(_condition, unmet)))]
    if record.judgement.would_be:
        rows = tuple((Cell(text=figures.short(one), tone="unknown"),) for one in record.judgement.would_be)
        tables.append(Table(caption="Deviations that were seen but may not be claimed", head=("Would deviate",), rows=rows))
    return Section(
        slug="unmet",
        title="What keeps the evidence from being proof",
        lead="A verdict is given only on sound evidence.",
        tables=tuple(table for table in tables if table.rows),
    )


def _met(record: Record) -> Section | None:
    met = [one for one in record.judgement.conditions if one.met]
    if not met:
        return None
    table = Table(caption="Conditions that were met", head=("Condition", "Why", "Needed for"), rows=tuple(map(_condition, met)))
    return Section(slug="met", title=f"Conditions met ({len(met)} of {len(record.judgement.conditions)})", tables=(table,), folded=True)


def _condition(one: Condition) -> tuple[Cell, ...]:
    mark, tone = ("✓", "good") if one.met else ("✗", "bad")
    return (
        Cell(text=f"{mark} {one.slug.replace('-', ' ')}", tone=tone),
        Cell(text=_upper(figures.short(one.reason))),
        Cell(text="any verdict" if one.kind == "V" else "held"),
    )


# -- hypothesis -----------------------------------------------------------------------------------------------------------


def _hypothesis(record: Record) -> Section | None:
    if not record.probes:
        return None
    rows = tuple(_probe(record, one) for one in record.probes)
    tables = [
        Table(
            caption="Probes over the whole run",
            head=("Probe", "Tolerance", "True", "False", "No evidence", "Worst value", "Margin", "First false"),
            rows=rows,
            numeric=frozenset((2, 3, 4)),
        )
    ]
    if record.coverage:
        tables.append(
            Table(
                caption="Evaluations of the whole hypothesis",
                head=("When", "Scheduled", "Made", "With evidence", "Longest gap"),
                rows=tuple(_coverage(one) for one in record.coverage),
                numeric=frozenset((1, 2, 3, 4)),
            )
        )
    if record.controls:
        tables.append(_controls(record.controls))
    title = record.plan.experiment.steady_state.title if record.plan and record.plan.experiment.steady_state else ""
    judged = (
        "judged all through"
        if record.plan and record.plan.experiment.throughout
        else "judged before and after, recorded while the fault is in"
    )
    return Section(
        slug="hypothesis",
        title="Steady-state hypothesis",
        lead=f"“{figures.short(title)}”, {judged}." if title else "",
        tables=tuple(tables),
    )


def _probe(record: Record, one: ProbeLine) -> tuple[Cell, ...]:
    return (
        Cell(text=figures.short(one.name), note=figures.short(one.error)),
        Cell(text=figures.short(one.tolerance) or "recorded only"),
        Cell(text=f"{one.true:,}"),
        Cell(text=f"{one.false:,}", tone="bad" if one.false else ""),
        Cell(text=f"{one.unknown:,}", tone="unknown" if one.unknown else ""),
        Cell(text=figures.value(one.worst_value) if one.worst_value is not None else "none was false" if one.true else figures.NONE),
        Cell(text=_margin(record, one)),
        Cell(text=when(record, one.first_false) if one.first_false is not None else figures.NONE),
    )


def _margin(record: Record, one: ProbeLine) -> str:
    """How far the worst value was from the edge of its range."""
    steady = record.plan.experiment.steady_state if record.plan else None
    tolerance = next((probe.tolerance for probe in steady.probes if probe.name == one.name), None) if steady else None
    value = one.worst_value
    if not isinstance(tolerance, Between) or not isinstance(value, int | float) or isinstance(value, bool):
        return figures.NONE
    room = min(
        ([value - tolerance.low] if tolerance.low is not None else []) + ([tolerance.high - value] if tolerance.high is not None else [])
    )
    return f"{figures.number(room)} to spare" if room > 0 else "at the edge" if room == 0 else f"{figures.number(-room)} beyond"


def _controls(made: Sequence[Control]) -> Table:
    """What the instruments said before the run."""
    rows = []
    for one in made:
        name = "nothing broken" if one.kind == "quiet" else "a server that refuses everything"
        probes = [f"{probe.name}: {_said(probe)}" for probe in one.probes]
        rows.append(
            (
                Cell(text=name, note=figures.length(one.seconds)),
                Cell(text=f"{one.intended:,}"),
                Cell(text=f"{one.good:,}"),
                Cell(text=f"{one.bad:,}"),
                Cell(text=figures.short("; ".join(probes)), note=figures.short(one.trouble)),
            )
        )
    return Table(
        caption="Controls: what load and probes said before the run",
        head=("With", "Requests", "Good", "Bad", "Probes"),
        rows=tuple(rows),
        numeric=frozenset((1, 2, 3)),
    )


def _said(probe: ProbeControl) -> str:
    if not probe.redirected:
        return "reads something else, not tried"
    told = {"true": probe.true, "false": probe.false, "no answer": probe.none}
    return ", ".join(f"{amount} × {word}" for word, amount in told.items() if amount) or "not asked"


def _coverage(one: Coverage) -> tuple[Cell, ...]:
    words = {"baseline": "before the fault", "fault": "while the fault was in", "after": "after it"}
    return (
        Cell(text=words.get(one.window, one.window)),
        Cell(text=f"{one.scheduled:,}"),
        Cell(text=f"{one.made:,}"),
        Cell(text=f"{one.answered:,}", tone="unknown" if one.answered < one.made else ""),
        Cell(text=figures.seconds(one.gap)),
    )


# -- objectives and budget ------------------------------------------------------------------------------------------------


def _budget(record: Record) -> Section | None:
    slo = record.plan.experiment.slo if record.plan else None
    if not record.started or (not record.objectives and record.price is None and slo is None):
        return None
    facts = []
    if slo is not None:
        limits = "".join(f", {limit}" for limit in slo.latency)
        value = f"availability {figures.target(slo.availability)}{limits} over {figures.length(slo.window)}"
        facts.append(Fact(name=f"SLO “{figures.short(slo.name)}”", value=value, note="It prices this run; it is not a limit on it."))
    if record.price is not None:
        facts += _price(record)
    if record.load is not None and record.load.downtime is not None:
        facts.append(
            Fact(
                name="Bad time after the fault", value=figures.between(*record.load.downtime), note="in windows aligned to the fault's call"
            )
        )
    rows = tuple(_objective(record, one) for one in record.objectives)
    table = Table(
        caption="Objectives, each in its own window",
        head=("Objective", "Window", "Requests", "Bad", "Unknown", "Share good", "First bad"),
        rows=rows,
        numeric=frozenset((2, 3, 4)),
    )
    tables = ((table,) if rows else ()) + ((_pages(record),) if record.pages else ()) + _monitoring(record)
    if record.monitored:
        facts.append(Fact(name="Prometheus", value=figures.short(record.monitored), note=figures.short(record.unmonitored)))
    return Section(slug="budget", title="SLO and error budget", facts=tuple(facts), tables=tables)


def _pages(record: Record) -> Table:
    """Whether alerts on the error budget were due: what a team compares with the alerts that it got."""
    slo = record.plan.experiment.slo if record.plan else None
    assert slo is not None
    return Table(
        caption=f"Was an alert due? Scraped each {figures.length(slo.scrape)}, evaluated each {figures.length(slo.evaluate)}",
        head=("Rule", "Bad requests above", "On this run's series", "True after", "In production", "True after"),
        rows=tuple(_page(one) for one in record.pages),
        numeric=frozenset((1, 3, 5)),
        more="This run's series begin with the load, and a short history pages sooner. In production: as if good requests at "
        "the load's rate had gone before and came after. Seconds count from the fault's call",
    )


def _page(one: PageDue) -> tuple[Cell, ...]:
    rule = one.rule
    words = f"{rule.severity}: {figures.number(rule.burn)}× over {figures.length(rule.long)} and {figures.length(rule.short)}"
    words += f", for {figures.length(rule.hold)}" if rule.hold else ""
    limit = figures.share(one.threshold) if one.threshold < 1 else "never: above 100 %"
    return (
        Cell(text=words),
        Cell(text=limit),
        Cell(text=str(one.here), tone=_PAGE_TONES[one.here]),
        Cell(text=_moment(one.here_after)),
        Cell(text=str(one.production), tone=_PAGE_TONES[one.production]),
        Cell(text=_moment(one.production_after)),
    )


def _monitoring(record: Record) -> tuple[Table, ...]:
    """What the environment's own Prometheus said of the run."""
    found = []
    if record.alerts:
        table = Table(
            caption="Alerts that fired, and whether they were due",
            head=("Alert", "Fired after", "Last fired after", "On this run's series", "In production", "So"),
            rows=tuple(_alert(one) for one in record.alerts),
            numeric=frozenset((1, 2)),
            more="Seconds count from the fault's call (time to detect); an alert is seen at "
            "the evaluations of its rule, no finer. Shown, never judged by",
        )
        found.append(table)
    if record.readings:
        measured = {one.phase.value: one.counts for one in record.load.phases} if record.load else {}
        rows = tuple(_reading(one, measured.get(one.phase)) for one in record.readings)
        table = Table(
            caption="Share of good requests, as Prometheus counts it and as the load did",
            head=("Phase", "Prometheus", "Of requests", "The load"),
            rows=rows,
            numeric=frozenset((1, 2, 3)),
            more="Prometheus counts everybody's requests, where they are counted, at its scrapes; the load its own, where "
            "they are asked. Shown, never judged by",
        )
        found.append(table)
    return tuple(found)


def _alert(one: AlertLine) -> tuple[Cell, ...]:
    words, tone = _agreed(one)
    fired = "before the fault" if one.before and one.fired_after is None else _moment(one.fired_after)
    last = "fires still" if one.fired_after is not None and one.ended_after is None else _moment(one.ended_after)
    return (
        Cell(text=figures.short(one.name), note=figures.short(one.severity)),
        Cell(text=fired),
        Cell(text=last, note=f"{one.times} times" if one.times > 1 else ""),
        Cell(text=str(one.here or figures.NONE)),
        Cell(text=str(one.production or figures.NONE)),
        Cell(text=words, tone=tone),
    )


def _agreed(one: AlertLine) -> tuple[str, str]:
    """What firing and having been due come to."""
    fired = one.fired_after is not None
    if one.before:
        return "it fired already: nothing is told by it", "unknown"
    if one.here is None:
        return "fired; no rule of the SLO names it", ""
    if one.here is Due.due:
        return ("fired, as it was due", "good") if fired else ("was due, and did not fire", "bad")
    if one.here is Due.not_due:
        return ("fired, and was not due", "bad") if fired else ("did not fire, and was not due", "good")
    return ("fired" if fired else "did not fire") + "; borderline", "unknown"


def _reading(one: Reading, measured: Counts | None) -> tuple[Cell, ...]:
    ours = figures.NONE
    if measured is not None and measured.intended:
        low, high = measured.good / measured.intended, (measured.good + measured.unknown) / measured.intended
        ours = figures.shares(low, high) if low != high else figures.share(low)
    theirs = figures.share(one.good) if one.good is not None else figures.short(one.trouble)
    return (
        Cell(text=one.phase),
        Cell(text=theirs, tone="" if one.good is not None else "unknown"),
        Cell(text=f"{one.total:,.0f}" if one.total is not None else figures.NONE),
        Cell(text=ours),
    )


_PAGE_TONES = {Due.due: "", Due.borderline: "unknown", Due.not_due: ""}
"""That an alert was due is neither good nor bad."""


def _moment(after: float | None) -> str:
    return figures.NONE if after is None else figures.seconds(after)


def _price(record: Record) -> list[Fact]:
    price = record.price
    assert price is not None
    bad = f"{price.bad_low:,.0f}" if price.bad_low == price.bad_high else f"{price.bad_low:,.0f} to {price.bad_high:,.0f}"
    allowed = record.plan.experiment.costs_at_most if record.plan else None
    return [
        Fact(
            name="Price of this run",
            value=f"{figures.shares(price.share_low, price.share_high)} of the error budget",
            note=f"allowed at most {figures.target(allowed)}" if allowed is not None else "no limit was claimed",
        ),
        Fact(name="Counted as", value=f"{bad} bad of {price.budget:,.0f} in the budget", note=f"budget of {price.denominator}"),
    ]


def _objective(record: Record, one: ObjectiveLine) -> tuple[Cell, ...]:
    counts = one.counts
    low = counts.good / counts.intended if counts.intended else 0.0
    high = (counts.good + counts.unknown) / counts.intended if counts.intended else 0.0
    window = "while the fault was in" if one.window == "fault" else "before the fault"
    return (
        Cell(text=str(one.objective)),
        Cell(text=window),
        Cell(text=f"{counts.intended:,}"),
        Cell(text=f"{counts.bad:,}", tone="bad" if counts.bad else ""),
        Cell(text=f"{counts.unknown:,}", tone="unknown" if counts.unknown else ""),
        Cell(
            text=(figures.share(low) if low == high else f"{figures.share(low)} to {figures.share(high)}")
            if counts.intended
            else figures.NONE
        ),
        Cell(text=when(record, one.first_bad) if one.first_bad is not None else figures.NONE),
    )


# -- recovery -------------------------------------------------------------------------------------------------------------


def _recovery(record: Record) -> Section | None:
    if not record.recovery and not record.outages and not record.possible and not record.segments:
        return None
    tables = []
    if record.recovery:
        rows = tuple(_recovered(record, one) for one in record.recovery)
        head = ("What", "Impact lasted", "Over after", "Allowed", "Counted from", "Watched to the deadline")
        tables.append(Table(caption="Time to recover and to mitigate", head=head, rows=rows))
    for caption, outages in (("Outages, certain", record.outages), ("Outages, if every unknown request was bad", record.possible)):
        if outages and (caption.endswith("certain") or outages != record.outages):
            tables.append(_outages(record, outages, caption=caption))
    if record.segments:
        tables.append(_segments(record))
    lead = "" if record.outages else "Nothing left its steady state after the fault, as far as the load and the probes could see."
    return Section(slug="recovery", title="Outages and recovery", lead=lead, tables=tuple(tables))


SEGMENTS = {
    "detect": "the cluster showed that something was wrong",
    "evict": "every lost pod was told to end",
    "schedule": "every replacement had a node",
    "start": "its containers ran",
    "ready": "it was ready",
}


def _segments(record: Record) -> Table:
    """The cluster's own words, beside the load's above. What a quick time profile made short is told for default settings, too."""
    usual = re_expanded(record)
    rows = tuple(
        (
            Cell(text=one.name),
            Cell(text=f"until {SEGMENTS.get(one.name, one.name)}"),
            Cell(text="not seen" if one.seconds is None else figures.seconds(one.seconds), tone="unknown" if one.seconds is None else ""),
            Cell(text=figures.NONE if one.until is None else figures.signed(one.until, digits=2)),
            *((_usually(one, usual),) if usual else ()),
        )
        for one in record.segments
    )
    profile = record.plan.environment.profile if record.plan else ""
    caption = "Recovery of the lost pods by segment, as the cluster told it" + (f" (measured, time profile {profile})" if profile else "")
    more = ("With Kubernetes' default settings (re-expanded)",) if usual else ()
    head = ("Segment", "What it is", "Took", "Ended, after the fault", *more)
    return Table(caption=caption, head=head, rows=rows, numeric=frozenset(range(2, len(head))))


def _usually(one: Segment, usual: Mapping[str, tuple[float, float]]) -> Cell:
    if one.name not in usual:
        return Cell(text=figures.NONE if one.seconds is None else "as measured")
    least, most = usual[one.name]
    return Cell(text=f"{least:g} to {most:g} s" if least < most else f"≈ {figures.seconds(least)}")


def _recovered(record: Record, one: Recovery) -> tuple[Cell, ...]:
    words = {"recover": "time to recover", "mitigate": "time to mitigate (fault still in)"}
    if not one.impact:
        lasted, over = "no impact", "no impact"
    else:
        lasted = figures.between(one.low, one.high)
        over = "did not end" if one.elapsed is None else "before it" if one.elapsed == 0 else f"≤ {figures.seconds(one.elapsed)}"
    since = figures.NONE
    if one.since is not None:
        begin = when(record, one.since.first)
        since = f"{begin}, proven {figures.seconds(one.since.seconds)} later" if one.since.seconds is not None else f"{begin}, never proven"
    late = one.impact and (one.elapsed is None or one.elapsed > one.within)
    return (
        Cell(text=words.get(one.kind, one.kind)),
        Cell(text=lasted),
        Cell(text=over, tone="bad" if late else ""),
        Cell(text=figures.length(one.within)),
        Cell(text=since),
        Cell(text="yes" if one.observed else "no", tone="" if one.observed else "unknown"),
    )


def _outages(record: Record, outages: tuple[Outage, ...], *, caption: str) -> Table:
    rows = tuple(
        (
            Cell(text=one.what),
            Cell(text=_within(record, one.onset.first, one.onset.last)),
            Cell(
                text=_within(record, one.end.first, one.end.last) if one.end else "not over when the watching ended",
                tone="" if one.end else "bad",
            ),
            Cell(text=outage_length(one)),
            Cell(text=f"{one.bad:,}"),
            Cell(text=f"{one.relapses:,}"),
        )
        for one in outages[:MOST_ROWS]
    )
    head = ("What", "Began", "Ended", "Lasted", "Bad", "Relapses")
    return Table(caption=caption, head=head, rows=rows, numeric=frozenset((4, 5)), more=_more(len(outages)))


def _within(record: Record, first: int, last: int | None) -> str:
    """An instant as an interval, to 10 ms where it is that narrow."""
    if last is None or record.fault_call is None:
        return when(record, first)
    low, high = ((at - record.fault_call) / 1e9 for at in (first, last))
    digits = 2 if high - low < 0.1 else 1
    begin, end = (figures.signed(at, digits=digits) for at in (low, high))
    return end if begin == end else f"{begin.removesuffix(' s')} to {end}"


# -- load -----------------------------------------------------------------------------------------------------------------


def _load(record: Record) -> Section | None:
    load = record.load
    wanted = record.plan.experiment.load if record.plan else None
    if load is None:
        if wanted is None and record.started:
            return Section(slug="load", title="Load", lead="No traffic was sent: nothing is known of what users would have seen.")
        return None
    total = load.total
    open_model = load.generator.model == "open"
    seal = load.seal
    facts = [
        Fact(
            name="Model",
            value="open" if open_model else "closed",
            note="requests are due on schedule, whether or not earlier ones came back"
            if open_model
            else "users wait for answers: only times are judged, and shares of requests are not those of the demand",
            tone="good" if open_model else "bad",
        ),
        Fact(name="Sent to", value=figures.short(f"{load.endpoint} ({load.url})")),
        Fact(
            name="Intended",
            value=f"{total.intended:,}",
            note=_intended(wanted, load.rate) if wanted else "",
        ),
        Fact(name="Ok", value=f"{total.good:,}", note=f"and {total.slow:,} above the SLO's latency" if total.slow else ""),
        Fact(name="Failed", value=f"{total.bad:,}", note=_kinds(total.by), tone="bad" if total.bad else ""),
        Fact(name="Unknown", value=f"{total.unknown:,}", note=_unknown(record), tone="unknown" if total.unknown else ""),
    ]
    if seal is not None:
        p50, p99, most = seal.lateness
        value = f"p50 {figures.seconds(p50)}, p99 {figures.seconds(p99)}, max {figures.seconds(most)}" if open_model else "no schedule"
        value = "not known" if open_model and load.generator.name == "k6" and wanted and wanted.script else value
        sick = f"{figures.plural(len(seal.unhealthy), 'slot')} of 100 ms unwell" if seal.unhealthy else "never unwell"
        facts.append(Fact(name="Sent late by", value=value, note=sick))
        if seal.lookups:
            value = f"{seal.lookups_failed:,} of {figures.plural(seal.lookups, 'look-up')} failed"
            facts.append(Fact(name="Its own DNS", value=value, tone="unknown" if seal.lookups_failed else ""))
    facts.append(Fact(name="Resolution", value=figures.seconds(load.resolution), note="the shortest total outage that this load can see"))
    if load.corrected is not None:
        seen = total.good / total.intended if total.intended else 0.0
        value = f"{figures.shares(*load.corrected)} instead of {figures.share(seen)}"
        note = "with the requests that its users would have sent at the baseline's pace; never judged"
        facts.append(Fact(name="Good, corrected for the loop", value=value, note=note))
    if load.success_gap is not None:
        facts.append(Fact(name="Longest gap between successes", value=figures.seconds(load.success_gap)))
    facts.append(Fact(name="Generator", value=f"{load.generator.name} {load.generator.version}", note=figures.short(load.reason)))
    facts += [Fact(name="Blind", value=figures.short(one), tone="unknown") for one in load.generator.blind]
    facts += [Fact(name="The tool says", value=figures.short(one), note="shown, never judged by") for one in (seal.said if seal else ())]
    whole = load.sealed and not load.broken
    facts.append(
        Fact(
            name="Samples",
            value="sealed, whole" if whole else "not whole",
            note="" if whole else figures.short(load.broken),
            tone="good" if whole else "bad",
        )
    )
    rows = tuple((Cell(text=one.phase.value), *_amounts(one)) for one in load.phases)
    table = Table(
        caption="Latency by phase of the intended start; failed requests count as infinite, the columns marked “good” leave them out",
        head=("Phase", "Requests", "Bad", "Unknown", "p50", "p95", "p99", "Max", "p50 good", "p95 good", "p99 good"),
        rows=rows,
        numeric=frozenset(range(1, 11)),
    )
    tables = (*((table,) if rows else ()), *((_kinds_table(load.kinds),) if load.kinds else ()))
    return Section(slug="load", title="Load: what was really sent", facts=tuple(facts), tables=tables)


def _kinds_table(kinds: Sequence[KindLoad]) -> Table:
    return Table(
        caption="By kind of request, over the whole load",
        head=("Request", "Weight", "Requests", "Bad", "Unknown", "p50", "p95", "p99", "Max", "p50 good", "p95 good", "p99 good"),
        rows=tuple((Cell(text=figures.short(one.name), code=True), Cell(text=f"{one.weight:,}"), *_amounts(one)) for one in kinds),
        numeric=frozenset(range(1, 12)),
    )


def _intended(wanted: Load, rate: float) -> str:
    if wanted.script is None:
        kept = f"{wanted.connection} connections" + (f", {wanted.protocol.upper()}" if wanted.protocol != "http/1.1" else "")
        return f"{paced(wanted)}, {kept}" + (f", by {wanted.driver}" if wanted.driver != "prober" else "")
    return f"{sent(wanted)}; {rate:.4g} a second" + ("" if wanted.open else " before the fault")


def _kinds(by: Mapping[str, int]) -> str:
    failed = sorted(
        ((amount, name) for name, amount in by.items() if name not in ("ok", "dns", "aborted", "dropped", "missing") and amount),
        reverse=True,
    )
    return ", ".join(f"{amount:,} {name.replace('_', ' ')}" for amount, name in failed)


def _unknown(record: Record) -> str:
    assert record.load is not None
    by = record.load.total.by
    amounts = {
        "without an address": by.get("dns", 0),
        "dropped": by.get("dropped", 0),
        "aborted": by.get("aborted", 0),
        "missing": record.load.missing,
        "tainted by an unwell generator": record.load.tainted,
    }
    return ", ".join(f"{amount:,} {name}" for name, amount in amounts.items() if amount) or "none dropped, aborted, missing or tainted"


def _amounts(one: PhaseLoad | KindLoad) -> tuple[Cell, ...]:
    q, counts = one.quantiles, one.counts
    return (
        Cell(text=f"{counts.intended:,}"),
        Cell(text=f"{counts.bad:,}", tone="bad" if counts.bad else ""),
        Cell(text=f"{counts.unknown:,}", tone="unknown" if counts.unknown else ""),
        *(Cell(text=quantile(value, q)) for value in (q.p50, q.p95, q.p99, q.max)),
        *(Cell(text=figures.seconds(value)) for value in (q.good_p50, q.good_p95, q.good_p99)),
    )


# -- faults, exposure, way back -------------------------------------------------------------------------------------------


def _actions(record: Record) -> Section | None:
    if not record.actions:
        return None
    rows = []
    for one in record.actions[:MOST_ROWS]:
        proofs = (
            f"{one.proofs:,} seen" + (f", {one.refuted:,} gone" if one.refuted else "") + (f", {one.unseen:,} unseen" if one.unseen else "")
        )
        called = when(record, one.called) if one.called is not None else "never called"
        answer = "returned" if one.ok else "failed" if one.ok is False else "did not return" if one.called is not None else figures.NONE
        rows.append(
            (
                Cell(text=figures.short(one.name), note=", ".join(map(figures.short, one.changes))),
                Cell(text=one.provider, code=True, note=one.fault),
                Cell(text=_targets([str(target) for target in one.targets])),
                Cell(
                    text=called, note=answer + (f": {figures.short(one.error)}" if one.error else ""), tone="bad" if one.ok is False else ""
                ),
                Cell(
                    text=when(record, one.proven) if one.proven is not None else "never", tone="" if one.proven is not None else "unknown"
                ),
                Cell(
                    text=proofs if one.provable else "cannot be proven",
                    tone="unknown" if one.faded is not None or not one.provable else "",
                    note=f"gone {when(record, one.faded)}" if one.faded is not None else "",
                ),
            )
        )
    head = ("Action", "Provider", "Targets", "Called", "Effect proven", "Looks at the effect")
    table = Table(caption="Faults, as bound to what was found", head=head, rows=tuple(rows), more=_more(len(record.actions)))
    return Section(slug="actions", title="Faults and targets", tables=(table,))


def _exposure(record: Record) -> Section | None:
    if not record.served and not record.exposure.victims:
        return None
    exposure = record.exposure
    victims = set(exposure.victims)
    total = sum(record.served.values())
    names = list(dict.fromkeys([*record.served, *exposure.victims]))
    rows = tuple(
        (
            Cell(text=name),
            Cell(text=f"{record.served.get(name, 0):,}"),
            Cell(text=figures.share(record.served.get(name, 0) / total) if total else figures.NONE),
            Cell(text="victim" if name in victims else figures.NONE),
        )
        for name in names[:MOST_ROWS]
    )
    if exposure.how:
        how = {"inferred": f"inferred from {exposure.connections:,} connections (at least {exposure.needed:,} are needed)"}.get(
            exposure.how, f"seen by {'a response header' if exposure.how == 'marker' else 'the ' + exposure.how}"
        )
        lead = f"The load reached what was hit before it was hit: {how}."
    else:
        lead = "Nothing shows that the load reached what was hit" + (
            f" by {figures.joined(list(exposure.missed))}." if exposure.missed else "."
        )
    table = Table(
        caption="Requests served before the fault",
        head=("Instance", "Requests", "Share", "Hit"),
        rows=rows,
        numeric=frozenset((1, 2)),
        more=_more(len(names)),
    )
    return Section(slug="exposure", title="Who served before the fault", lead=lead, tables=(table,))


def _way_back(record: Record) -> Section | None:
    if not record.started:
        return None
    facts = [
        Fact(
            name="Audit",
            value=_audit(record),
            tone="good" if record.audited and record.residue == () else "bad" if record.residue else "unknown",
        )
    ]
    if record.heal_call is not None:
        proof = (
            f", proven {figures.seconds((record.heal_proof - record.heal_call) / 1e9)} later"
            if record.heal_proof is not None
            else ", never proven"
        )
        by = f", by the {record.healed_by}" if record.healed_by else ""
        facts.append(Fact(name="Heal", value=f"called {when(record, record.heal_call)}{proof}{by}"))
    elif record.fault_call is not None:
        facts.append(Fact(name="Heal", value="never began", tone="bad"))
    if record.halted_at is not None:
        facts.append(Fact(name="Halt", value=f"{when(record, record.halted_at)}{_halt_took(record)}", note=figures.short(record.halted)))
    if record.undo:
        lead = "Every change has an undo record, written before the change was made."
    elif record.actions and all(bound.self_heals for bound in record.bound):
        lead = "The fault heals itself (what was deleted is made anew), so there was nothing to undo."
    else:
        lead = "There were no undo records."
    rows = tuple(_undo(record, one) for one in record.undo[:MOST_ROWS])
    tables = [
        Table(
            caption="Proof of healing",
            head=("What", "Before", "Ours", "State", "Ended as", "By", "When"),
            rows=rows,
            more=_more(len(record.undo)),
        )
    ]
    for caption, things, tone in (
        ("Left behind by this run", record.residue or (), "bad"),
        ("Changed by somebody else meanwhile", record.foreign, "unknown"),
        ("Contaminated by", record.contaminated, "unknown"),
    ):
        if things:
            shown = tuple((Cell(text=figures.short(one), tone=tone),) for one in things[:MOST_ROWS])
            tables.append(Table(caption=caption, head=("What",), rows=shown, more=_more(len(things))))
    return Section(
        slug="way-back",
        title="The way back: proof of healing",
        lead=lead,
        facts=tuple(facts),
        tables=tuple(table for table in tables if table.rows),
    )


def _halt_took(record: Record) -> str:
    """From the halt to the proof that everything is back."""
    if record.halted_at is None or record.fault_call is None:
        return ", before anything was broken"
    if record.heal_proof is None:
        return ", never proven to be put back"
    return f", proven to be put back {figures.seconds(max(0, record.heal_proof - record.halted_at) / 1e9)} later"


def _audit(record: Record) -> str:
    if not record.audited:
        return "not made"
    took = figures.seconds(record.audit_took)
    if record.residue is None:
        return f"the world after the run could not be seen ({took})"
    if record.residue:
        return f"{figures.plural(len(record.residue), 'thing')} left behind ({took})"
    return f"the world is as it was before ({took})"


def _undo(record: Record, one: UndoRecord) -> tuple[Cell, ...]:
    closed = one.state.value == "closed"
    intended = closed and one.ending in one.undo.intended
    return (
        Cell(text=figures.short(str(one.undo.subject)), note=one.undo.fault),
        Cell(text=_state(one.undo.before), code=True),
        Cell(text=_state(one.undo.ours), code=True),
        Cell(text=one.state.value, tone="good" if closed else "bad", note=figures.short(one.reason)),
        Cell(
            text=(one.ending or figures.NONE) + ("" if intended or not closed else f" (intended: {' or '.join(one.undo.intended)})"),
            tone="good" if intended else "unknown" if closed else "bad",
        ),
        Cell(text=one.by or figures.NONE),
        Cell(text=when(record, record.undo_at[one.undo.id]) if one.undo.id in record.undo_at else figures.NONE),
    )


def _state(given: Json) -> str:
    return figures.NONE if given is None else figures.short(json.dumps(given, ensure_ascii=False)[:160])


# -- how it was run -------------------------------------------------------------------------------------------------------


def _settings(record: Record, *, repeat: str, toolkit: str) -> Section:
    facts = [Fact(name="Repeat it", value=repeat, code=True)]
    plan = record.plan
    tables = []
    if plan is not None:
        experiment = plan.experiment
        digests = ", ".join(
            part for part in (plan.intent and f"intent {plan.intent[:12]}", plan.digest and f"plan {plan.digest[:12]}") if part
        )
        facts += [
            Fact(name="Seed", value=str(plan.seed)),
            Fact(name="Digests", value=digests or "not hashed", code=bool(digests)),
        ]
        amounts = {
            "baseline": experiment.baseline,
            "lasts": experiment.lasts,
            "stable_for": experiment.stable_for,
            "mitigate_within": experiment.mitigate_within,
            "recover_within": experiment.recover_within,
            "probe_every": experiment.probe_every,
        }
        rows = [
            (Cell(text=name, code=True), Cell(text=figures.length(value)), Cell(text=_origin(record, name)))
            for name, value in amounts.items()
            if value is not None
        ]
        rows += [
            (Cell(text=f"limits.{name}", code=True), Cell(text=_limit(value)), Cell(text=_limit_origin(record, name), tone="muted"))
            for limits in (plan.environment.limits, plan.environment.beside)
            for name in ("pods", "nodes", "zones", "budget")
            if (value := getattr(limits, name, None)) is not None
        ]
        if plan.environment.identity.server:
            facts.append(Fact(name="API server", value=figures.short(plan.environment.identity.server), note=plan.environment.identity.uid))
        if plan.environment.accept_manual_heal:
            facts.append(Fact(name="Manual heal accepted", value=figures.short(plan.environment.accept_manual_heal), tone="unknown"))
        tables.append(Table(caption="What the run was told", head=("Setting", "Value", "Origin"), rows=tuple(rows)))
    if toolkit and record.started:
        facts.append(Fact(name="Chaos Toolkit calls it", value=toolkit))
    if record.suppressed:
        facts.append(Fact(name="Guards switched off", value=figures.joined(list(record.suppressed)), tone="bad"))
    tables.append(versions_table(record.versions))
    return Section(
        slug="settings",
        title="Settings, versions, how to repeat it",
        facts=tuple(facts),
        tables=tuple(t for t in tables if t.rows),
        folded=True,
    )


def _limit_origin(record: Record, name: str) -> str:
    origins = record.settings.get("origins")
    return str(origins.get(f"limits.{name}", "environment")) if isinstance(origins, dict) else "environment"


def _origin(record: Record, name: str) -> str:
    assert record.plan is not None
    if name not in record.plan.experiment.defaults:
        return "the experiment"
    defaults = record.settings.get("defaults")
    return "pyproject.toml, defaults" if isinstance(defaults, dict) and name in defaults else "default of chaosfw"


def _limit(value: float) -> str:
    return f"{value}" if isinstance(value, int) else figures.target(value)


def _data(record: Record, *, line: RunLine, data: str) -> Section:
    lead = (
        "Everything above comes from this, but for the time axis, which is in the file only."
        if data
        else "Left out here to keep the page small."
    )
    return Section(slug="data", title="The record as data", lead=f"{lead} The file is {line.folder}/record.json.", raw=data, folded=True)


SECTIONS: tuple[Make, ...] = (
    _refusals,
    _findings,
    _unmet,
    _recovery,
    _hypothesis,
    _budget,
    _load,
    _exposure,
    _actions,
    _way_back,
    _met,
)


def when(record: Record, at: int) -> str:
    """``+3.2 s``: after the fault was called; without a fault, into the run."""
    if record.fault_call is None:
        return f"{(at - record.started) / 1e9:.1f} s into the run"
    return figures.signed((at - record.fault_call) / 1e9)


def _setting(name: str, value: Json, origin: Json) -> tuple[Cell, ...]:
    shown = figures.NONE if value is None else figures.length(value) if isinstance(value, float) else figures.value(value)
    return (Cell(text=name, code=True), Cell(text=shown), Cell(text=figures.short(str(origin)) or figures.NONE, tone="muted"))


def _targets(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "") if names else figures.NONE


def _more(amount: int) -> str:
    return f"{amount - MOST_ROWS:,} more are in the record" if amount > MOST_ROWS else ""


def _upper(text: str) -> str:
    """A sentence's capital, but not on names such as p95."""
    return text if text[1:2].isdigit() else text[:1].upper() + text[1:]


def _portable(value: Json) -> Json:
    """The same without this machine's paths."""
    if isinstance(value, dict):
        return {name: _portable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_portable(inner) for inner in value]
    if isinstance(value, float) and math.isinf(value):
        return None
    return figures.scrubbed(value) if isinstance(value, str) else value
