"""
What happened in one run, in figures: a pure fold of journal and samples. ``analysis`` makes it and judges it, ``store``
keeps it, ``reporting`` reads nothing else.
"""

from __future__ import annotations

import enum

from chaosfw.model.controls import Control
from chaosfw.model.environment import Target
from chaosfw.model.event import Phase
from chaosfw.model.fault import Bound, UndoRecord
from chaosfw.model.load import Generator, Seal
from chaosfw.model.monitoring import Reading
from chaosfw.model.plan import Plan, Refusal
from chaosfw.model.slo import BurnRule, Objective
from chaosfw.model.struct import Json, Noun
from chaosfw.model.verdict import Judgement


class Span(Noun, frozen=True, kw_only=True):
    """An interval of instants, ns CLOCK_MONOTONIC. ``last`` None: still open when the run ended."""

    first: int
    last: int | None = None

    @property
    def seconds(self) -> float | None:
        return None if self.last is None else (self.last - self.first) / 1e9


class PhaseSpan(Noun, frozen=True, kw_only=True):
    phase: Phase
    span: Span


class Counts(Noun, frozen=True, kw_only=True):
    """Requests: ``intended = ok + bad + unknown``; ``by`` counts outcomes by name, ``slow`` the ok ones above the SLO's latency."""

    intended: int = 0
    good: int = 0
    bad: int = 0
    unknown: int = 0
    slow: int = 0
    by: dict[str, int] = {}


class Quantiles(Noun, frozen=True, kw_only=True):
    """Nearest rank, in seconds, failures as +inf (None in JSON); ``n`` samples. ``good`` are the same without failures."""

    n: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None
    good_p50: float | None = None
    good_p95: float | None = None
    good_p99: float | None = None


class PhaseLoad(Noun, frozen=True, kw_only=True):
    """The load of one phase, by intended start."""

    phase: Phase
    counts: Counts
    quantiles: Quantiles


class Outage(Noun, frozen=True, kw_only=True):
    """One SLI outage or hypothesis excursion. Instants as intervals: the truth lies inside the brackets."""

    what: str
    """The SLI's name, or ``hypothesis``."""
    onset: Span
    end: Span | None
    """None: not recovered when the observation ended."""
    bad: int = 0
    relapses: int = 0
    judged: bool = True
    last_bad: int = 0
    """Intended instant of the last bad: at that moment it had not ended."""


class Second(Noun, frozen=True, kw_only=True):
    """One bucket of the time axis, for pictures."""

    at: int
    width: float
    """Seconds."""
    good: int = 0
    bad: int = 0
    unknown: int = 0
    p50: float | None = None
    p95: float | None = None


class Round(Noun, frozen=True, kw_only=True):
    """One evaluation of the hypothesis, for pictures and for coverage."""

    due: int
    at: int
    ok: bool | None
    phase: Phase
    before_rollbacks: bool = False
    """Chaos Toolkit's own second look, after the method."""


class ProbeLine(Noun, frozen=True, kw_only=True):
    """One probe over the run: its evaluations and the worst value."""

    name: str
    tolerance: str
    evaluations: int = 0
    true: int = 0
    false: int = 0
    unknown: int = 0
    first_false: int | None = None
    last_value: Json = None
    worst_value: Json = None
    error: str = ""


class ActionLine(Noun, frozen=True, kw_only=True):
    """One action over the run."""

    name: str
    fault: str
    provider: str
    targets: tuple[Target, ...] = ()
    changes: tuple[str, ...] = ()
    called: int | None = None
    returned: int | None = None
    ok: bool | None = None
    error: str = ""
    proven: int | None = None
    """F_proof: the first proof that held."""
    proofs: int = 0
    refuted: int = 0
    unseen: int = 0
    victims: tuple[str, ...] = ()
    provable: bool = True
    last_held: int | None = None
    """When the last look that saw the effect was started."""
    faded: int | None = None
    """When a look during hold saw the effect gone."""


class Mark(Noun, frozen=True, kw_only=True):
    """Something on the time axis: a fault, a heal, a cluster event, a halt."""

    at: int
    what: str
    kind: str


class Segment(Noun, frozen=True, kw_only=True):
    """One stretch of a recovery, as the environment itself told it: ``detect``, ``evict``, ``schedule``, ``start`` or ``ready``."""

    name: str
    seconds: float | None
    """Beyond the end of the segment before it; None: its end was not seen."""
    until: float | None
    """Seconds from the fault's call to the end of the segment."""


class Price(Noun, frozen=True, kw_only=True):
    """What the run cost of the error budget, as shares; low and high because unknowns count once as good and once as bad."""

    bad_low: float
    bad_high: float
    budget: float
    """Requests (or seconds) that the budget of the window holds."""
    share_low: float
    share_high: float
    denominator: str


class Due(enum.StrEnum):
    """Whether a rule would have fired: under every phase of scrape and evaluation, under some, under none."""

    due = "due"
    borderline = "borderline"
    not_due = "not due"


class PageDue(Noun, frozen=True, kw_only=True):
    """
    One alert rule asked on the run's own traffic. ``here``: with the history that the load has; ``production``: as if good requests at
    the load's rate had gone before and came after. ``…_after``: seconds from the fault's call until it is true; None: it never is.
    """

    rule: BurnRule
    threshold: float
    """Share of bad requests above which it is true; from 1 on it can not be."""
    here: Due
    here_after: float | None
    production: Due
    production_after: float | None


class AlertLine(Noun, frozen=True, kw_only=True):
    """
    One alert of the environment's Prometheus. ``fired_after``: seconds from the fault's call until it first fired (time to detect), None
    when it did not; ``ended_after`` until it last did, None while it fired still. ``here``, ``production``: whether it was due, where a
    rule of the SLO names it.
    """

    name: str
    severity: str = ""
    before: bool = False
    """It fired already when the fault came."""
    fired_after: float | None = None
    ended_after: float | None = None
    times: int = 0
    here: Due | None = None
    production: Due | None = None


class Recovery(Noun, frozen=True, kw_only=True):
    """Time to recover or to mitigate, seconds, as an interval. ``within`` the deadline that was claimed; None: did not end."""

    kind: str
    low: float | None
    high: float | None
    within: float
    impact: bool = True
    """False: nothing left its steady state."""
    since: Span | None = None
    """The instant that the claim counts from: [call, proof]; ``last`` None when the proof never came."""
    elapsed: float | None = None
    """Seconds from the call to the end of the impact, at worst: what is compared with ``within``. None: did not end."""
    observed: bool = False
    """Load and probes went on to the deadline and ``stable_for`` beyond."""


class ObjectiveLine(Noun, frozen=True, kw_only=True):
    """One objective, counted in one named window."""

    objective: Objective
    window: str
    """``fault`` (while it is in) or ``baseline``."""
    counts: Counts
    sunk: int | None = None
    """When it could no longer be met whatever else came: the end of the first bad beyond the allowance."""
    first_bad: int | None = None
    last_bad: int | None = None


class Coverage(Noun, frozen=True, kw_only=True):
    """Evaluations of the hypothesis in one window: scheduled by the plan, made, and those that gave evidence."""

    window: str
    """``baseline``, ``fault`` or ``after``."""
    scheduled: int
    made: int
    answered: int
    gap: float = 0.0
    """Largest distance between evaluations that gave evidence, in seconds, the ends of the window included."""


class Exposure(Noun, frozen=True, kw_only=True):
    """Whether the load reached what was hit, before it was hit. ``how``: ``marker``, ``data plane``, ``inferred`` or empty."""

    how: str = ""
    victims: tuple[str, ...] = ()
    reached: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    """Actions none of whose victims is known to have served the load."""
    connections: int = 0
    needed: int = 0
    """For ``inferred``: connections after which missing every victim has a chance below 1 in 1,000."""


class KindLoad(Noun, frozen=True, kw_only=True):
    """One kind of request of a load that sends several."""

    name: str
    weight: int
    counts: Counts
    quantiles: Quantiles


class LoadLine(Noun, frozen=True, kw_only=True):
    """The load of the run and the state of its generator."""

    generator: Generator
    endpoint: str
    url: str
    seal: Seal | None
    sealed: bool
    """The samples on disk are those that the seal names."""
    total: Counts
    phases: tuple[PhaseLoad, ...]
    kinds: tuple[KindLoad, ...] = ()
    """By kind of request, where there are several."""
    tainted: int = 0
    missing: int = 0
    resolution: float = 0.0
    """Smallest total outage that this load can see, in seconds: 3 / rate, and no less than the longest time in which nothing was sent."""
    rate: float = 0.0
    """Requests a second: as planned, or as they came in the baseline."""
    corrected: tuple[float, float] | None = None
    """
    Of a closed loop: the share of good requests, low and high, that its users would have seen had they kept the pace of the baseline.
    Shown, never judged (rule 18).
    """
    success_gap: float | None = None
    """Largest distance between the ends of consecutive successes, in seconds."""
    downtime: tuple[float, float] | None = None
    """Seconds of bad windows since F_call, aligned to it: certain, and possible. None without an SLO or a fault."""
    reason: str = ""
    off: int = 0
    """Instant until which requests were due: what was asked for, not what the generator says it did."""
    broken: str = ""
    """Why the samples are not those that the seal names; empty when they are."""


class Record(Noun, frozen=True, kw_only=True):
    """One run. ``schema`` grows when a reader of the older one would misread it."""

    schema: int = 1
    run: str
    title: str
    slug: str
    plan: Plan | None
    refusals: tuple[Refusal, ...] = ()
    blocked_by: str = ""
    started: int = 0
    ended: int = 0
    wall: int = 0
    """Wall clock at ``started``, ns since the epoch: a label."""
    phases: tuple[PhaseSpan, ...] = ()
    fault_call: int | None = None
    fault_proof: int | None = None
    heal_call: int | None = None
    heal_proof: int | None = None
    bound: tuple[Bound, ...] = ()
    actions: tuple[ActionLine, ...] = ()
    probes: tuple[ProbeLine, ...] = ()
    rounds: tuple[Round, ...] = ()
    load: LoadLine | None = None
    axis: tuple[Second, ...] = ()
    outages: tuple[Outage, ...] = ()
    """The certain ones: unknowns counted as good."""
    possible: tuple[Outage, ...] = ()
    """The same, with unknowns counted as bad."""
    objectives: tuple[ObjectiveLine, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    exposure: Exposure = Exposure()
    fault_end: int | None = None
    """End of the time in which the fault is in."""
    recovery: tuple[Recovery, ...] = ()
    segments: tuple[Segment, ...] = ()
    """Of the pods that were lost, in order; empty where none was, or where the environment can not be watched."""
    price: Price | None = None
    pages: tuple[PageDue, ...] = ()
    """Of the experiment's SLO, in the order of its rules."""
    controls: tuple[Control, ...] = ()
    """With nothing broken and with everything, where they were asked for."""
    monitored: str = ""
    """The Prometheus that was asked about the run."""
    unmonitored: str = ""
    """Why it had nothing to say."""
    alerts: tuple[AlertLine, ...] = ()
    readings: tuple[Reading, ...] = ()
    """The SLI by phase, as Prometheus counted it."""
    served: dict[str, int] = {}
    undo: tuple[UndoRecord, ...] = ()
    undo_at: dict[str, int] = {}
    """When each undo record came to stand where it stands, by its id."""
    healed_by: str = ""
    halted: str = ""
    halted_at: int | None = None
    """When the first halt tripped: how long the way back took from there is measured against the proof of healing."""
    contaminated: tuple[str, ...] = ()
    contaminated_at: int | None = None
    """Evidence after this instant is not about our fault."""
    unplanned: tuple[str, ...] = ()
    """Calls that the hashed plan does not hold."""
    suspended: float = 0.0
    """Seconds that the machine slept during the run."""
    suppressed: tuple[str, ...] = ()
    """Guards that somebody switched off: named in the verdict sentence."""
    marks: tuple[Mark, ...] = ()
    body: str = "never-ran"
    body_message: str = ""
    audited: bool = False
    residue: tuple[str, ...] | None = None
    foreign: tuple[str, ...] = ()
    audit_took: float = 0.0
    sealed: bool = False
    """The journal ends with a seal that fits it."""
    versions: dict[str, str] = {}
    settings: dict[str, Json] = {}
    judgement: Judgement = Judgement()


class GameDay(Noun, frozen=True, kw_only=True):
    """One pytest invocation: what ``gameday.json`` holds."""

    schema: int = 1
    name: str
    started: int
    """Wall clock, ns since the epoch."""
    ended: int = 0
    environment: str = ""
    environment_kind: str = ""
    profile: str = ""
    control_plane: str = ""
    command: str = ""
    seed: int = 0
    versions: dict[str, str] = {}
    settings: dict[str, Json] = {}
    runs: tuple[RunLine, ...] = ()
    exit_code: int | None = None


class RunLine(Noun, frozen=True, kw_only=True):
    """One experiment of a game day, as the first screen shows it."""

    run: str
    folder: str
    title: str
    test: str
    verdict: str
    """``held``, ``deviated``, ``inconclusive``, ``refused``, ``blocked`` or ``planned``."""
    sentence: str
    safety: str = "unknown"
    toolkit: str = ""
    """The outcome name that Chaos Toolkit 2026 would give."""
    lost: int = 0
    unknown: int = 0
    samples: int = 0
    sealed: bool = False
    outage: float | None = None
    p95_before: float | None = None
    p95_during: float | None = None
    recovered: float | None = None
    allowed: float | None = None
    price: float | None = None
    audit_took: float = 0.0
    broke: str = ""
    reasons: tuple[str, ...] = ()
    series: str = ""
    """Which runs this one is a repetition of, where it is one of several."""
