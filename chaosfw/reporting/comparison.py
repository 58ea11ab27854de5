"""Two runs of one experiment beside each other, for a terminal. Called by ``chaosfw compare``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chaosfw.analysis.comparing import Difference
from chaosfw.analysis.summary import run_line
from chaosfw.model.event import Phase
from chaosfw.model.record import Record
from chaosfw.reporting import figures, view

NAMES = {Phase.baseline: "before the fault", Phase.hold: "while it is in"}


def lines(first: Record, second: Record, differences: Sequence[Difference], *, test: str) -> Iterator[str]:
    """Readable without colour; figures of A, of B, and whether they differ by more than matters."""
    yield f"{figures.scrubbed(first.title)}   {figures.scrubbed(test)}"
    yield _row("", "A", "B", "B beside A, 95 % sure")
    for one in differences:
        yield _row(f"{one.figure} {NAMES[one.phase]}", _value(one, one.first), _value(one, one.second), _words(one))
    a, b = (run_line(record, record.slug, "") for record in (first, second))
    yield _row("verdict", a.verdict, b.verdict, "")
    yield _row("longest outage", view.outage(a), view.outage(b), "")
    yield _row("recovered / allowed", view.recovered(a, first), view.recovered(b, second), "")
    yield _row("requests lost", f"{view.lost(a)} of {a.samples:,}", f"{view.lost(b)} of {b.samples:,}", "")
    yield _row("price", view.price(a, first), view.price(b, second), "")


def _row(name: str, first: str, second: str, words: str) -> str:
    return f"  {name:<30}{first:>22}{second:>22}  {words}".rstrip()


def _value(one: Difference, value: float | None) -> str:
    if value is None:
        return figures.NONE
    return figures.share(value) if one.figure == "availability" else figures.seconds(value)


def _words(one: Difference) -> str:
    if one.change is None or one.low is None or one.high is None:
        return "undecided: too few windows of the time axis, or too many of failed requests"
    unit = " points" if one.figure == "availability" else " %"
    change, low, high = (f"{value * 100:+.3g}" for value in (one.change, one.low, one.high))
    limit = f"{one.matters * 100:g}{unit}"
    truth = {"same": f"the same within {limit}", "different": f"DIFFERENT by more than {limit}", "undecided": f"undecided at {limit}"}
    return f"{change}{unit} ({low} to {high}): {truth[one.truth]}"
