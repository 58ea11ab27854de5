"""
One run on one time axis, as geometry: what the template draws, and what a reader without eyes is told instead.

Lanes from above: phases, faults, requests (good, bad, unknown stacked), latency, hypothesis, outages, events. Every lane has
its words, so nothing is told by colour alone. Called by :mod:`chaosfw.reporting.view`; knows records, no HTML.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from chaosfw.model.record import ActionLine, Mark, Outage, Record, Second
from chaosfw.reporting import figures

WIDTH, LEFT, RIGHT = 1000, 112, 46
TOP = 6
LETTER = 6.1
"""Width of one letter at the axis' font size: whether a word fits."""

CLOSE = 3.2 * LETTER
"""Distance below which two numbers of the events' lane would touch."""
MOST_MARKS = 20
MOST_LANES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One thing to draw. ``kind``: ``path``, ``text`` or ``mark``; ``look`` is its class, ``tip`` what it says when pointed at."""

    kind: str
    look: str
    d: str = ""
    x: str = ""
    y: str = ""
    text: str = ""
    anchor: str = "start"
    tip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One stretch of the time axis in figures."""

    when: str
    good: str
    bad: str
    unknown: str
    p50: str
    p95: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One numbered event of the axis."""

    number: str
    when: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """``described`` is the picture in words; ``rows`` its data."""

    width: int
    height: int
    described: str
    shapes: tuple[Shape, ...]
    rows: tuple[Row, ...]
    notes: tuple[Note, ...]
    step: str
    """Width of one row of ``rows``, in words."""


@dataclass(slots=True)
class _Canvas:
    begin: int
    end: int
    zero: int
    shapes: list[Shape] = field(default_factory=list)
    y: float = TOP

    def x(self, at: int) -> float:
        inside = min(max(at, self.begin), self.end)
        return LEFT + (inside - self.begin) / (self.end - self.begin) * (WIDTH - LEFT - RIGHT)

    def path(self, look: str, d: str, tip: str = "") -> None:
        self.shapes.append(Shape(kind="path", look=look, d=d, tip=tip))

    def box(self, look: str, x: float, y: float, width: float, height: float, tip: str = "") -> None:
        self.path(look, f"M{x:.1f} {y:.1f}h{max(width, 0.5):.1f}v{height:.1f}h-{max(width, 0.5):.1f}z", tip)

    def text(self, look: str, x: float, y: float, text: str, *, anchor: str = "start") -> None:
        self.shapes.append(Shape(kind="text", look=look, x=f"{x:.1f}", y=f"{y:.1f}", text=text, anchor=anchor))

    def lane(self, name: str, height: float, *, more: Sequence[str] = ()) -> float:
        """A lane below the last one, with its words at the left; gives its top."""
        top = self.y
        self.text("lane", LEFT - 10, top + 12, name, anchor="end")
        for number, words in enumerate(more):
            self.text("sub", LEFT - 10, top + 26 + 13 * number, words, anchor="end")
        self.y += height + 10
        return top


def timeline(record: Record) -> Timeline | None:
    """The picture of a run; None when nothing happened."""
    begin, end = _reach(record)
    if end <= begin:
        return None
    canvas = _Canvas(begin, end, record.fault_call if record.fault_call is not None else begin)
    bands = _phases(canvas, record)
    top = canvas.y
    _faults(canvas, record)
    if record.axis:
        _traffic(canvas, record)
        _latency(canvas, record)
    if record.rounds:
        _hypothesis(canvas, record)
    _outages(canvas, record)
    notes = _events(canvas, record)
    bottom = canvas.y
    shapes = [*bands, *_fault_in(canvas, record, top=top, bottom=bottom)]
    first = len(canvas.shapes)
    _axis(canvas, record, top=top)
    rows, step = _rows(record)
    return Timeline(
        width=WIDTH,
        height=math.ceil(canvas.y),
        described=described(record),
        shapes=(*shapes, *canvas.shapes[first:], *canvas.shapes[:first]),
        rows=rows,
        notes=notes,
        step=step,
    )


def described(record: Record) -> str:
    """The picture in one or two sentences."""
    parts = []
    if record.fault_call is not None:
        ends = [f"the fault was called {_since(record, record.fault_call, start=True)} into the run"]
        if record.fault_proof is not None:
            ends.append(f"proven {figures.seconds((record.fault_proof - record.fault_call) / 1e9)} later")
        if record.heal_call is not None:
            proven = "" if record.heal_proof is not None else " and never proven"
            ends.append(f"its heal called {_since(record, record.heal_call)} after it{proven}")
        parts.append(", ".join(ends))
    if record.load is not None:
        total = record.load.total
        parts.append(f"{total.intended:,} requests: {total.good:,} good, {total.bad:,} bad, {total.unknown:,} unknown")
    if record.rounds:
        parts.append(
            f"the hypothesis was true {sum(one.ok is True for one in record.rounds)} times, false "
            f"{sum(one.ok is False for one in record.rounds)}, without evidence {sum(one.ok is None for one in record.rounds)}"
        )
    if record.fault_call is not None:
        parts.append(figures.plural(len(record.outages), "outage") if record.outages else "no outage")
    words = "; ".join(parts)
    return words[:1].upper() + words[1:] + "."


def _reach(record: Record) -> tuple[int, int]:
    """From the first phase that has evidence to the end of the watching."""
    ats = [one.at for one in record.axis] + [one.due for one in record.rounds]
    ends = [one.at + round(one.width * 1e9) for one in record.axis[-1:]] + [one.at for one in record.rounds[-1:]]
    shown = [one.span for one in record.phases if one.phase not in ("preflight", "judge", "audit")]
    begin = min(ats + [span.first for span in shown], default=0)
    end = max(ends + [span.last for span in shown if span.last is not None and not ends], default=0)
    return begin, max(end, record.heal_proof or 0, record.heal_call or 0)


def _phases(canvas: _Canvas, record: Record) -> list[Shape]:
    """Bands over the whole height are drawn first; their words stand in the first lane."""
    top = canvas.lane("Phase", 16)
    for one in record.phases:
        if one.phase in ("preflight", "judge", "audit") or one.span.last is None:
            continue
        left, right = canvas.x(one.span.first), canvas.x(one.span.last)
        if right - left < 1:
            continue
        tip = f"{one.phase.value}, {figures.seconds(one.span.seconds)}"
        canvas.box(f"phase {one.phase.value}", left + 0.5, top, right - left - 1, 16, tip)
        if right - left > LETTER * len(one.phase.value) + 8:
            canvas.text("word", (left + right) / 2, top + 12, one.phase.value, anchor="middle")
    return []


def _fault_in(canvas: _Canvas, record: Record, *, top: float, bottom: float) -> Iterator[Shape]:
    """While the fault is in, the ground of all lanes is shaded, and its ends are lines with words."""
    if record.fault_call is None:
        return
    left = canvas.x(record.fault_call)
    right = canvas.x(record.fault_end if record.fault_end is not None else canvas.end)
    d = f"M{left:.1f} {top:.1f}H{right:.1f}V{bottom:.1f}H{left:.1f}z"
    yield Shape(kind="path", look="ground", d=d, tip="while the fault is in")
    yield Shape(kind="path", look="edge", d=f"M{left:.1f} {top:.1f}V{bottom:.1f}M{right:.1f} {top:.1f}V{bottom:.1f}")


def _faults(canvas: _Canvas, record: Record) -> None:
    """One row per action: its call (▼), dashed to the proof, solid while it was seen to be in; then the heal (▲)."""
    called = [one for one in record.actions if one.called is not None][:MOST_LANES]
    if not called and record.heal_call is None:
        return
    height = 20.0 * max(1, len(called)) + (20 if record.heal_call is not None and record.undo else 0)
    top = canvas.lane("Fault", height, more=("▼ call, ▬ seen in",) if height > 30 else ())
    for number, one in enumerate(called):
        _action(canvas, record, one, top=top + 20 * number)
    if record.heal_call is not None and record.undo:
        _heal(canvas, record, y=top + 20 * len(called), call=record.heal_call)


def _heal(canvas: _Canvas, record: Record, *, y: float, call: int) -> None:
    """▲ at the call, solid to the proof; dashed to the end where there is none."""
    left = canvas.x(call)
    if record.heal_proof is not None:
        right = canvas.x(record.heal_proof)
        canvas.box("healing", left, y + 4, right - left, 8, "from the heal's call to its proof")
        _beside(canvas, right, y + 12, "put back")
    else:
        words = "never proven to be put back"
        _beside(canvas, left, y + 12, words)
        begin = left + 18 + LETTER * len(words)
        if begin < WIDTH - RIGHT:
            canvas.path("healing open", f"M{begin:.1f} {y + 8:.1f}H{WIDTH - RIGHT}", "the heal was called and never proven")
    canvas.path("heal", f"M{left:.1f} {y + 1:.1f}l5 9h-10z", f"heal called, {_signed(canvas, call)}")


def _action(canvas: _Canvas, record: Record, one: ActionLine, *, top: float) -> None:
    assert one.called is not None
    left = canvas.x(one.called)
    seen = canvas.x(one.proven) if one.proven is not None else None
    last = canvas.x(_seen_until(one))
    if seen is None:
        end = canvas.x(record.heal_call or canvas.end)
        canvas.path("unproven", f"M{left:.1f} {top + 8:.1f}H{end:.1f}", "called, its effect was never seen")
    else:
        canvas.path("unproven", f"M{left:.1f} {top + 8:.1f}H{seen:.1f}", "from the call to the proof")
        canvas.box("proven", seen, top + 5, last - seen, 6, f"seen to be in, {figures.plural(one.proofs, 'proof')}")
    canvas.path("fault", f"M{left:.1f} {top + 13:.1f}l-5 -9h10z", f"{one.name}: called, {_signed(canvas, one.called)}")
    if one.faded is None:
        _beside(canvas, max(last, left), top + 12, figures.short(one.name))
        return
    x = canvas.x(one.faded)
    if x - 6 > last:
        canvas.path("unproven", f"M{last:.1f} {top + 8:.1f}H{x - 6:.1f}", "it went at some moment in here")
    canvas.path("faded", f"M{x - 4:.1f} {top + 4:.1f}l8 8m0 -8l-8 8", f"seen to be gone, {_signed(canvas, one.faded)}")
    _beside(canvas, x + 4, top + 12, f"{figures.short(one.name)}, then gone")


def _seen_until(one: ActionLine) -> int:
    """The last look that saw the effect; one that saw it gone ends it, whatever came later."""
    first = one.proven if one.proven is not None else one.called or 0
    last = max(one.last_held if one.last_held is not None else first, first)
    return last if one.faded is None else min(last, one.faded)


def _beside(canvas: _Canvas, x: float, y: float, words: str) -> None:
    """Words right of a mark, or left of the lane's end when they would not fit."""
    room = int((WIDTH - RIGHT - x - 10) / LETTER)
    if len(words) <= room:
        canvas.text("word", x + 8, y, words)
        return
    canvas.text("word halo", WIDTH - RIGHT - 2, y, words[:90], anchor="end")


def _traffic(canvas: _Canvas, record: Record) -> None:
    height, axis = 84.0, record.axis
    until = record.load.off if record.load and record.load.off else canvas.end
    rate_wanted = record.load.rate if record.load else 0.0
    widths = [_width(one, until, rate=rate_wanted) for one in axis]
    rates = [(one.good + one.bad + one.unknown) / width for one, width in zip(axis, widths, strict=True)]
    peak, ticks = _nice(max(rates, default=0) or 1)
    top = canvas.lane("Requests/s", height, more=("■ good", "▨ bad", "□ unknown"))
    floor = top + height
    for tick in ticks:
        y = floor - tick / peak * height
        canvas.path("grid", f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}")
        canvas.text("tick", WIDTH - RIGHT + 6, y + 4, figures.number(tick))
    stacks: tuple[tuple[str, Callable[[Second], int]], ...] = (
        ("good", lambda one: one.good),
        ("bad", lambda one: one.bad),
        ("unknown", lambda one: one.unknown),
    )
    under = [0.0] * len(axis)
    for name, amount in stacks:
        d = ""
        for number, one in enumerate(axis):
            rate = amount(one) / widths[number]
            if rate <= 0:
                continue
            left, right = canvas.x(one.at), canvas.x(min(one.at + round(one.width * 1e9), until))
            tall, base = rate / peak * height, floor - under[number] / peak * height
            d += f"M{left:.1f} {base:.1f}H{right:.1f}v-{tall:.1f}H{left:.1f}z"
            under[number] += rate
        if d:
            canvas.path(f"traffic {name}", d, f"{name} requests")


def _width(one: Second, until: int, *, rate: float) -> float:
    """
    Seconds of a stretch in which requests were due: the last one may be cut by the end of the load. A stretch holds a whole
    number of requests; one more or fewer than the rate wants is rounding and no change of traffic.
    """
    width = max(min(one.width, (until - one.at) / 1e9), one.width / 20)
    total = one.good + one.bad + one.unknown
    return total / rate if rate and total and abs(total - rate * width) <= 1.001 else width


def _latency(canvas: _Canvas, record: Record) -> None:
    """p50 and p95 of what was due in each stretch. Where a quantile is a failure it is infinite: a cross at the lane's top."""
    axis = record.axis
    finite = [value for one in axis for value in (one.p50, one.p95) if value is not None and math.isfinite(value)]
    if not finite:
        return
    height, peak = 74.0, max(finite)
    limit = record.plan.experiment.slo.limit if record.plan and record.plan.experiment.slo else None
    if limit is not None and peak < limit <= 4 * peak:
        peak = limit
    logarithmic = max(finite) > 15 * sorted(finite)[len(finite) // 2]
    least = min(finite)
    high, ticks = _decades(least, peak) if logarithmic else _nice(peak * 1000)
    top = canvas.lane("Latency, ms", height, more=(*(("log scale",) if logarithmic else ()), "━ p95", "─ p50", "✕ failed"))
    floor = top + height

    def y(value: float) -> float:
        if logarithmic:
            low = ticks[0]
            return floor - math.log(max(value * 1000, low) / low) / math.log(high / low) * height
        return floor - value * 1000 / high * height

    for tick in ticks:
        canvas.path("grid", f"M{LEFT} {y(tick / 1000):.1f}H{WIDTH - RIGHT}")
        canvas.text("tick", WIDTH - RIGHT + 6, y(tick / 1000) + 4, figures.number(tick))
    if limit is not None and limit <= peak:
        canvas.path("limit", f"M{LEFT} {y(limit):.1f}H{WIDTH - RIGHT}", f"the SLO's limit, {figures.length(limit)}")
        canvas.text("tick halo", WIDTH - RIGHT - 4, y(limit) + 12, f"SLO {figures.length(limit)}", anchor="end")
    for name, pick in (("p50", lambda one: one.p50), ("p95", lambda one: one.p95)):
        canvas.path(f"line {name}", _line(canvas, axis, pick, y), name)
    lost = ""
    for one in axis:
        if one.bad and (one.p95 is None or math.isinf(one.p95)):
            x = canvas.x(one.at + round(one.width * 5e8))
            lost += f"M{x - 2.5:.1f} {top:.1f}l5 5m0 -5l-5 5"
    if lost:
        canvas.path("lost", lost, "p95 is a request that failed: no finite latency")


def _line(canvas: _Canvas, axis: Sequence[Second], pick: Callable[[Second], float | None], y: Callable[[float], float]) -> str:
    d, pen = "", "M"
    for one in axis:
        value = pick(one)
        if value is None or math.isinf(value) or not one.good + one.bad:
            pen = "M"
            continue
        d += f"{pen}{canvas.x(one.at + round(one.width * 5e8)):.1f} {y(value):.1f}"
        pen = "L"
    return d


def _hypothesis(canvas: _Canvas, record: Record) -> None:
    """A dot for True, a cross for False, a ring for no evidence."""
    top = canvas.lane("Hypothesis", 26, more=("● true ✕ false ○ ?",))
    dots = crosses = rings = ""
    for one in record.rounds:
        if not canvas.begin <= one.due <= canvas.end:
            continue
        x, y = canvas.x(one.due), top + 12
        if one.ok is True:
            dots += f"M{x - 2:.1f} {y:.1f}a2 2 0 1 0 4 0a2 2 0 1 0-4 0"
        elif one.ok is False:
            crosses += f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"
        else:
            rings += f"M{x - 3.5:.1f} {y:.1f}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0"
    for look, d, tip in (("yes", dots, "true"), ("no", crosses, "out of tolerance"), ("dunno", rings, "no evidence")):
        if d:
            canvas.path(f"round {look}", d, tip)


def _outages(canvas: _Canvas, record: Record) -> None:
    """A bracket from onset to end; thin where the instant is only known to lie in between."""
    if not record.outages:
        return
    names = list(dict.fromkeys(one.what for one in record.outages))[:MOST_LANES]
    top = canvas.lane("Outages", 22.0 * len(names), more=("├ ┤ bracket",) if len(names) > 1 else ())
    for number, name in enumerate(names):
        y = top + 22 * number + 9
        mine = [one for one in record.outages if one.what == name]
        for one in mine:
            _bracket(canvas, one, y)
        last = mine[-1].end.last if mine[-1].end and mine[-1].end.last is not None else mine[-1].last_bad
        _beside(canvas, canvas.x(last), y + 4, f"{name} {outage_length(mine[-1])}" if len(mine) == 1 else f"{name}, {len(mine)} outages")


def _bracket(canvas: _Canvas, one: Outage, y: float) -> None:
    left, inner = canvas.x(one.onset.first), canvas.x(one.onset.last if one.onset.last is not None else one.onset.first)
    right = canvas.x(one.end.last) if one.end and one.end.last is not None else canvas.x(canvas.end)
    outer = canvas.x(one.end.first) if one.end else canvas.x(max(one.last_bad, one.onset.first))
    tip = f"{one.what}: out for {outage_length(one)}, from {_signed(canvas, one.onset.first)}"
    canvas.path("doubt", f"M{left:.1f} {y:.1f}H{right:.1f}")
    canvas.box("out", inner, y - 3, max(outer - inner, 1), 6, tip)
    ends = f"M{left:.1f} {y - 6:.1f}v12" + (f"M{right:.1f} {y - 6:.1f}v12" if one.end else "")
    canvas.path("doubt", ends, tip)


def outage_length(one: Outage) -> str:
    """How long it lasted, as an interval."""
    first = one.onset.last if one.onset.last is not None else one.onset.first
    if one.end is None or one.end.last is None:
        return f"≥ {figures.seconds(max(0.0, (one.last_bad - first) / 1e9))}, not over"
    return figures.between(max(0.0, (one.end.first - first) / 1e9), (one.end.last - one.onset.first) / 1e9)


def _events(canvas: _Canvas, record: Record) -> tuple[Note, ...]:
    """What the cluster told, halts, foreign hands: numbers on the lane, words below the picture."""
    told = [one for one in record.marks if one.kind not in ("fault", "heal")]
    shown = _few(told)
    if not shown:
        return ()
    top = canvas.lane("Events", 18)
    for one in shown:
        canvas.path(f"event {one.kind}", f"M{canvas.x(one.at):.1f} {top:.1f}v4", f"{_exact(canvas, one.at)}: {figures.short(one.what)}")
    for first, last in _crowds([canvas.x(one.at) for one in shown]):
        middle = (canvas.x(shown[first].at) + canvas.x(shown[last].at)) / 2
        canvas.text("tick", middle, top + 14, f"{first + 1}–{last + 1}" if last > first else f"{first + 1}", anchor="middle")
    return tuple(
        Note(number=str(number), when=_exact(canvas, one.at), what=figures.short(one.what)) for number, one in enumerate(shown, start=1)
    )


def _crowds(xs: Sequence[float]) -> list[tuple[int, int]]:
    """First and last of those that stand too close for a number each."""
    found: list[tuple[int, int]] = []
    for number, x in enumerate(xs):
        if found and x - xs[found[-1][1]] < CLOSE:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _exact(canvas: _Canvas, at: int) -> str:
    """To 10 ms near the fault, where a cluster does many things at once."""
    after = (at - canvas.zero) / 1e9
    return figures.signed(after, digits=2 if abs(after) < 10 else 1)


def _few(marks: Sequence[Mark]) -> list[Mark]:
    """At most ``MOST_MARKS``; halts and foreign hands before what the cluster told."""
    first = sorted(marks, key=lambda one: (one.kind == "cluster", one.at))[:MOST_MARKS]
    return sorted(first, key=lambda one: one.at)


def _axis(canvas: _Canvas, record: Record, *, top: float) -> None:
    """Seconds, counted from the fault's call."""
    floor = canvas.y
    step = _step((canvas.end - canvas.begin) / 1e9)
    tick = math.ceil((canvas.begin - canvas.zero) / 1e9 / step) * step
    while canvas.zero + tick * 1e9 <= canvas.end:
        x = canvas.x(canvas.zero + round(tick * 1e9))
        canvas.path("grid", f"M{x:.1f} {top:.1f}V{floor + 4:.1f}")
        sign = "+" if tick > 0 and record.fault_call is not None else ""
        canvas.text("tick", x, floor + 17, f"{sign}{tick:g}".replace("-", "−"), anchor="middle")
        tick = round(tick + step, 6)
    words = "seconds after the fault was called" if record.fault_call is not None else "seconds into the run"
    canvas.path("axis", f"M{LEFT} {floor:.1f}H{WIDTH - RIGHT}")
    canvas.text("tick", (LEFT + WIDTH - RIGHT) / 2, floor + 33, words, anchor="middle")
    canvas.y = floor + 40


def _rows(record: Record) -> tuple[tuple[Row, ...], str]:
    """The axis in at most forty rows; latencies are the highest of each row's stretches."""
    if not record.axis:
        return (), ""
    several = math.ceil(len(record.axis) / 40)
    zero = record.fault_call if record.fault_call is not None else record.started
    groups = [record.axis[place : place + several] for place in range(0, len(record.axis), several)]
    rows = tuple(
        Row(
            when=figures.signed((group[0].at - zero) / 1e9, digits=2),
            good=figures.count(sum(one.good for one in group)),
            bad=figures.count(sum(one.bad for one in group)),
            unknown=figures.count(sum(one.unknown for one in group)),
            p50=_highest([(one, one.p50) for one in group]),
            p95=_highest([(one, one.p95) for one in group]),
        )
        for group in groups
    )
    return rows, figures.seconds(sum(one.width for one in groups[0]))


def _highest(values: Sequence[tuple[Second, float | None]]) -> str:
    known = [(one, value) for one, value in values if one.good + one.bad]
    if not known:
        return figures.NONE
    if any(value is None or math.isinf(value) for _, value in known):
        return "∞"
    return figures.seconds(max(value for _, value in known if value is not None))


def _since(record: Record, at: int, *, start: bool = False) -> str:
    zero = record.started if start or record.fault_call is None else record.fault_call
    return figures.seconds((at - zero) / 1e9)


def _signed(canvas: _Canvas, at: int) -> str:
    return figures.signed((at - canvas.zero) / 1e9)


def _nice(peak: float) -> tuple[float, list[float]]:
    """A round top not below ``peak``, and ticks at zero, half and top."""
    size = 10 ** math.floor(math.log10(peak))
    top = next(size * step for step in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10) if size * step >= peak * 0.999)
    return top, [0, top / 2, top]


def _decades(low: float, high: float) -> tuple[float, list[float]]:
    first, last = math.floor(math.log10(low * 1000)), math.ceil(math.log10(high * 1000))
    last = max(last, first + 1)
    return 10.0**last, [10.0**one for one in range(first, last + 1)]


def _step(seconds: float) -> float:
    return next((one for one in (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800) if seconds / one <= 14), 3600)
