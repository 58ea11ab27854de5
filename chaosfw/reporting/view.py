"""
A game day as a page: the first screen, and the experiments worst first. Every number becomes words here or in ``sections``.

Called by ``html``, ``markdown`` and ``terminal``. It reads records and judges nothing: a sentence about a verdict was written
by ``analysis``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from chaosfw.analysis.repeats import Repeats, repeated
from chaosfw.model.record import GameDay, Record, RunLine
from chaosfw.reporting import figures, sections
from chaosfw.reporting.page import Cell, Experiment, Fact, Page, Row, Section, Table
from chaosfw.reporting.timeline import timeline
from chaosfw.timing import iso

WORDS: Mapping[str, tuple[str, str]] = {
    "deviated": ("✗", "Deviated"),
    "inconclusive": ("?", "Inconclusive"),
    "refused": ("⊘", "Refused"),
    "blocked": ("⊘", "Blocked"),
    "planned": ("○", "Planned"),
    "held": ("✓", "Held"),
}
"""Verdicts, worst first, with their mark and word."""

RAN = ("held", "deviated", "inconclusive")

MOST_DATA, LARGEST, EACH = 450_000, 900_000, 40_000
"""
Characters: of records that are embedded in one page, of a page, and of one experiment without its record. What does not fit is
left to the run's folder, and the page says so.
"""


def page(day: GameDay, records: Sequence[Record]) -> Page:
    """The whole page."""
    ordered = worst_first(day.runs)
    found = {record.run: record for record in records}
    places = {line.run: f"x{number}" for number, line in enumerate(ordered, start=1)}
    lines = {line.run: line for line in ordered}
    room = min(MOST_DATA, max(0, LARGEST - EACH * len(ordered)))
    experiments = []
    for line in ordered:
        record = found.get(line.run)
        data = sections.data(record, room=room) if record else ""
        room -= len(data)
        experiments.append(_experiment(day, line, record, anchor=places[line.run], data=data))
    sandbox = day.environment_kind == "sandbox"
    return Page(
        name=day.name,
        when=_when(day.started),
        environment=day.environment or "no environment",
        badge="Sandbox" if sandbox else day.environment_kind.capitalize() or "No environment",
        badge_note=_badge_note(day),
        sandbox=sandbox,
        measured=any(line.samples for line in ordered),
        headline=headline(day),
        tone=_tone(day),
        rows=tuple(_row(line, found.get(line.run), anchor=places[line.run]) for line in lines.values()),
        experiments=tuple(experiments),
        facts=_facts(day),
        sections=(*_repeats(day), _about(day)),
    )


def worst_first(lines: Sequence[RunLine]) -> list[RunLine]:
    """Residue before all, then by verdict; equals in the order in which they ran."""
    order = list(WORDS)

    def rank(line: RunLine) -> tuple[int, int]:
        unsafe = {"residue": 0, "unknown": 1}.get(line.safety, 2) if line.verdict in RAN else 2
        return unsafe, order.index(line.verdict) if line.verdict in order else 0

    return sorted(lines, key=rank)


def headline(day: GameDay) -> str:
    """``4 promises held, 1 broken, 1 unproven; everything put back (audited, 1.4 s)``."""
    amounts = {verdict: sum(line.verdict == verdict for line in day.runs) for verdict in WORDS}
    words = {
        "held": "held",
        "deviated": "broken",
        "inconclusive": "unproven",
        "refused": "refused",
        "blocked": "blocked",
        "planned": "only planned",
    }
    parts = [(amounts[verdict], word) for verdict, word in words.items() if amounts[verdict]]
    if not parts:
        return "No experiment was run"
    first, *others = parts
    said = f"{figures.plural(first[0], 'promise')} {first[1]}" + "".join(f", {amount:,} {word}" for amount, word in others)
    return f"{said}; {_put_back(day)}"


def _put_back(day: GameDay) -> str:
    ran = [line for line in day.runs if line.verdict in RAN]
    left = [line for line in ran if line.safety == "residue"]
    dark = [line for line in ran if line.safety == "unknown"]
    if left:
        return f"not everything was put back ({figures.plural(len(left), 'experiment')} left something behind)"
    if dark:
        return f"whether everything was put back is not known ({figures.plural(len(dark), 'experiment')})"
    if not ran:
        return "nothing was touched"
    return f"everything put back (audited, {figures.seconds(sum(line.audit_took for line in ran))})"


def _tone(day: GameDay) -> str:
    verdicts = {line.verdict for line in day.runs}
    if "deviated" in verdicts or any(line.safety == "residue" for line in day.runs if line.verdict in RAN):
        return "bad"
    return "good" if verdicts == {"held"} and all(line.safety == "clean" for line in day.runs) else "unknown"


def _row(line: RunLine, record: Record | None, *, anchor: str) -> Row:
    mark, word = WORDS.get(line.verdict, ("?", line.verdict))
    safety, tone = _safety(line, record)
    measured = line.verdict in RAN and line.samples > 0
    return Row(
        anchor=anchor,
        title=figures.short(line.title or line.test),
        test=figures.scrubbed(line.test),
        verdict=line.verdict,
        word=word,
        mark=mark,
        safety=safety,
        safety_tone=tone,
        sentence=sentence(line),
        broke=_broke(line, record),
        lost=lost(line) if measured else figures.NONE,
        lost_note=f"of {line.samples:,}" + (f", {line.unknown:,} unknown" if line.unknown else "") if measured else "",
        outage=_together(outage(line)),
        p95=p95(line, record).replace(" ", "\u00a0"),
        recovered=_together(recovered(line, record)),
        price=_together(price(line, record)),
        reasons=tuple(figures.scrubbed(one) for one in line.reasons),
    )


def sentence(line: RunLine) -> str:
    """The verdict's sentence without its first word, which stands beside it."""
    text = figures.scrubbed(line.sentence)
    for word in ("Held: ", "Deviated: ", "Inconclusive: ", "Refused: "):
        if text.startswith(word):
            text = text.removeprefix(word)
            break
    if line.verdict == "refused":
        text = re.sub(r"^[a-z][\w.-]*: ", "", text)
    if line.verdict == "blocked":
        text = text.replace("Blocked by ", "after ", 1)
    return text[:1].upper() + text[1:]


def lost(line: RunLine) -> str:
    """Requests that were lost for certain, and at worst."""
    return f"{line.lost:,}" if not line.unknown else f"{line.lost:,} to {line.lost + line.unknown:,}"


def outage(line: RunLine) -> str:
    if line.verdict not in RAN or not line.samples:
        return figures.NONE
    if line.outage is None:
        return "not over" if line.allowed is not None else figures.NONE
    return "none" if line.outage == 0 else f"≤ {figures.seconds(line.outage)}"


def p95(line: RunLine, record: Record | None) -> str:
    """Before → during. A quantile that is a failed request is infinite."""
    if line.verdict not in RAN or not line.samples:
        return figures.NONE
    loads = {one.phase.value: one.quantiles for one in record.load.phases} if record and record.load else {}
    before, during = (
        sections.quantile(value, loads.get(phase)) for value, phase in ((line.p95_before, "baseline"), (line.p95_during, "hold"))
    )
    return f"{before.removesuffix(' ms') if before.endswith(' ms') and during.endswith(' ms') else before} → {during}"


def recovered(line: RunLine, record: Record | None) -> str:
    if line.allowed is None or line.verdict not in RAN:
        return figures.NONE
    allowed = figures.length(line.allowed)
    found = next((one for one in record.recovery if one.kind == "recover"), None) if record else None
    if found is not None and not found.impact:
        return f"no impact / {allowed}"
    if line.recovered is None:
        return f"not recovered / {allowed}"
    return f"{'before the heal' if line.recovered == 0 else '≤ ' + figures.seconds(line.recovered)} / {allowed}"


def price(line: RunLine, record: Record | None) -> str:
    if line.price is None or line.verdict not in RAN:
        return figures.NONE
    if record is not None and record.price is not None:
        return figures.shares(record.price.share_low, record.price.share_high)
    return ("≤ " if line.unknown else "") + figures.share(line.price)


def _together(text: str) -> str:
    """A figure stays on one line with its unit."""
    return re.sub(r"(?<=[\d≤≥<]) (?=\d|ms\b|s\b|min\b|h\b|d\b|%)", "\u00a0", text)


def _safety(line: RunLine, record: Record | None) -> tuple[str, str]:
    if line.verdict not in RAN or line.safety == "clean":
        return "", ""
    told = record.judgement.safety_sentence if record else ""
    if record and record.residue:
        more = len(record.residue) - 1
        return figures.short(record.residue[0]) + (f" (and {figures.plural(more, 'other thing')})" if more else ""), "bad"
    if line.safety == "residue":
        return figures.short(told) or "something was left behind", "bad"
    return figures.short(told) or "whether everything was put back is not known", "unknown"


def _broke(line: RunLine, record: Record | None) -> str:
    """What was broken; where the fault was never called, what would have been."""
    if line.verdict in RAN and (record is None or record.fault_call is not None):
        return figures.short(line.broke) or "nothing"
    wanted = figures.short(line.broke) or _wanted(record)
    return wanted if wanted == figures.NONE else f"would have been: {wanted}"


def _wanted(record: Record | None) -> str:
    """What would have been broken."""
    if record is None or record.plan is None:
        return figures.NONE
    changes = [change for bound in record.plan.bound for change in (bound.changes or (bound.action.name,))]
    names = changes or [action.name for action in record.plan.experiment.actions]
    return figures.short(", ".join(names)) if names else figures.NONE


def _experiment(day: GameDay, line: RunLine, record: Record | None, *, anchor: str, data: str) -> Experiment:
    row = _row(line, record, anchor=anchor)
    if record is None:
        gone = Section(slug="nothing", title="No record", lead="The run left no record: it ended before one could be written.")
        return Experiment(row=row, when="", lead=(), timeline=None, sections=(gone,))
    return Experiment(
        row=row,
        when=_when(record.wall) if record.wall else "",
        lead=_lead(line, record),
        timeline=timeline(record) if line.verdict in RAN else None,
        sections=sections.of(record, line=line, repeat=repeat(day, line), data=data),
    )


def _lead(line: RunLine, record: Record) -> tuple[Fact, ...]:
    """What was broken, of what, and what the safety axis says."""
    called = line.verdict in RAN and record.fault_call is not None
    facts = [Fact(name="Broke" if called else "Wanted to break", value=figures.short(line.broke) or _wanted(record))]
    if record.plan is not None and record.plan.experiment.steady_state is not None:
        facts.append(Fact(name="Normal means", value=figures.short(record.plan.experiment.steady_state.title)))
    if line.verdict in RAN and line.safety == "clean":
        took = figures.seconds(record.audit_took)
        facts.append(Fact(name="Way back", value=f"everything was put back (audited, {took})", tone="good"))
    return tuple(facts)


def repeat(day: GameDay, line: RunLine) -> str:
    """The command that runs this experiment alone, with the day's seed and settings."""
    words = [word for word in _words(day.command) if not re.search(r"\.py\b|::|^experiments/?|^-k$", word)]
    rest = _without_values(words, day.command)
    return f"pytest '{line.test}' {rest}".strip()


def _words(command: str) -> list[str]:
    return re.findall(r"'[^']*'|\S+", command)[1:]


def _without_values(words: list[str], command: str) -> str:
    """Only our own flags survive: paths and ``-k`` chose experiments, the rest is how the run was watched."""
    every = _words(command)
    kept: list[str] = []
    for place, word in enumerate(every):
        if word.startswith("--chaos-"):
            kept.append(word)
            following = every[place + 1] if place + 1 < len(every) else ""
            if "=" not in word and following and not following.startswith("-") and following in words:
                kept.append(following)
    return " ".join(kept)


def _badge_note(day: GameDay) -> str:
    if day.environment_kind == "sandbox":
        profile = f"time profile “{day.profile}”" if day.profile else "its own time profile"
        what = "a real Kubernetes control plane over simulated nodes" if day.control_plane == "kubernetes" else "an embedded cluster"
        return f"{what} on this machine, {profile}: times are not production's"
    return "a real environment" if day.environment_kind else ""


def _when(wall: int) -> str:
    """``2026-11-23 20:49:38 UTC``."""
    return iso(wall)[:19].replace("T", " ") + " UTC"


def _facts(day: GameDay) -> tuple[Fact, ...]:
    facts = [
        Fact(name="Environment", value=day.environment or figures.NONE),
        Fact(name="Started", value=_when(day.started)),
    ]
    if day.ended:
        facts.append(Fact(name="Took", value=figures.seconds((day.ended - day.started) / 1e9)))
    facts.append(Fact(name="Seed", value=str(day.seed)))
    if day.exit_code is not None:
        facts.append(Fact(name="Exit code", value=str(day.exit_code), note=EXIT_CODES.get(day.exit_code, "")))
    return tuple(facts)


EXIT_CODES = {
    0: "all held",
    1: "a promise was broken",
    2: "interrupted, or errors in files",
    3: "pytest's own internal error",
    4: "pytest was called wrongly",
    10: "inconclusive, or nothing was run",
    11: "refused or blocked",
    12: "something was left behind, or that is not known",
}


def repeats_words(one: Repeats) -> str:
    """``held 9 of 10, 1 inconclusive; 95 % sure: 55.5 % to 99.74 % of such runs hold``."""
    more = [(one.deviated, "deviated"), (one.inconclusive, "inconclusive"), (one.not_run, "not run")]
    counted = f"held {one.held:,} of {one.ran:,}" + "".join(f", {amount:,} {word}" for amount, word in more if amount)
    if not one.ran:
        return counted
    return f"{counted}; 95 % sure: {figures.share(one.low)} to {figures.share(one.high)} of such runs hold"


def _repeats(day: GameDay) -> tuple[Section, ...]:
    found = repeated(day.runs)
    if not found:
        return ()
    rows = tuple(
        (
            Cell(text=figures.short(one.name)),
            *(Cell(text=f"{amount:,}") for amount in (one.ran, one.held, one.deviated, one.inconclusive, one.not_run)),
            Cell(text=f"{figures.share(one.low)} to {figures.share(one.high)}"),
        )
        for one in found
    )
    table = Table(
        caption="Repeated experiments",
        head=("Experiment", "Ran", "Held", "Deviated", "Inconclusive", "Not run", "Such runs that hold, 95 % sure"),
        rows=rows,
        numeric=frozenset(range(1, 7)),
        more="Clopper and Pearson's interval over whole runs; an inconclusive run counts once against and once for it",
    )
    return (Section(slug="repeats", title="How many of how many", tables=(table,)),)


def _about(day: GameDay) -> Section:
    return Section(
        slug="about",
        title="This game day",
        facts=(
            *_facts(day),
            Fact(name="Command", value=figures.scrubbed(day.command), code=True),
        ),
        tables=tuple(table for table in (sections.settings_table(day.settings), sections.versions_table(day.versions)) if table.rows),
    )
