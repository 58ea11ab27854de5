"""
The journal's words: everything that happened in one run, in order, each with its instant. The journal is the truth; a
``Record`` is a pure fold of it.

``at`` is ns of CLOCK_MONOTONIC. Calls and proofs are intervals: ``began`` and ``ended`` are separate events, so a run cut
between them says so.
"""

from __future__ import annotations

import enum

from chaosfw.model.controls import Control
from chaosfw.model.environment import Target
from chaosfw.model.fault import Proof, UndoRecord
from chaosfw.model.load import Generator, Seal
from chaosfw.model.monitoring import AlertSeen, Reading
from chaosfw.model.plan import Plan
from chaosfw.model.struct import Json, Noun


class Phase(enum.StrEnum):
    """The phases of a run, in order."""

    preflight = "preflight"
    baseline = "baseline"
    inject = "inject"
    hold = "hold"
    heal = "heal"
    recover = "recover"
    judge = "judge"
    audit = "audit"


class Sight(enum.StrEnum):
    """What a watch of the environment can see happen."""

    created = "created"
    scheduled = "scheduled"
    started = "started"
    ready = "ready"
    not_ready = "not-ready"
    terminating = "terminating"
    gone = "gone"
    cordoned = "cordoned"
    uncordoned = "uncordoned"
    node_lost = "node-lost"
    node_back = "node-back"
    deployed = "deployed"
    """The template of a workload changed."""
    scaled = "scaled"
    autoscaled = "autoscaled"
    """The wanted replicas changed, and an autoscaler owns them."""


class Event(Noun, frozen=True, kw_only=True):
    """``at``: ns CLOCK_MONOTONIC."""

    at: int


class RunOpened(Event, frozen=True, kw_only=True):
    """First line of a journal: schema, what is going to be executed, and the anchors of the clocks."""

    schema: int
    run: str
    plan: Plan
    wall: int
    boottime: int
    boot_id: str
    versions: dict[str, str] = {}
    settings: dict[str, Json] = {}
    suppressed: tuple[str, ...] = ()
    """Guards that were switched off for this run."""


class PhaseBegan(Event, frozen=True, kw_only=True):
    phase: Phase


class ProbeSeen(Event, frozen=True, kw_only=True):
    """One evaluation of one probe. ``ok`` None: no evidence (error, timeout). ``due`` is when it was scheduled, ``at`` when it ended."""

    probe: str
    round: int
    due: int
    value: Json = None
    ok: bool | None = None
    error: str = ""
    alone: bool = False
    """True for a probe of the method, which is recorded and not judged as part of the hypothesis."""


class RoundSeen(Event, frozen=True, kw_only=True):
    """
    One evaluation of the whole hypothesis. ``ok`` None: at least one probe gave no evidence and none was False.
    ``due``: its scheduled instant; ``at`` when its last answer came.
    """

    round: int
    due: int
    ok: bool | None
    before_rollbacks: bool = False
    """Chaos Toolkit's own second look, after the method and before the rollbacks."""


class CallBegan(Event, frozen=True, kw_only=True):
    """F_call, for the first action: from here on something may be broken."""

    action: str
    index: int


class CallEnded(Event, frozen=True, kw_only=True):
    action: str
    index: int
    ok: bool
    value: Json = None
    error: str = ""


class Proved(Event, frozen=True, kw_only=True):
    """A look at the effect of one action. ``asked`` is when the fresh read was started; the proof's instant is ``at``."""

    action: str
    index: int
    asked: int
    proof: Proof
    during: Phase


class UndoMoved(Event, frozen=True, kw_only=True):
    """The ledger's word on one undo record, copied into the journal."""

    record: UndoRecord
    what: str = ""


class HealBegan(Event, frozen=True, kw_only=True):
    """R_call: writers are fenced, the first revert starts."""

    by: str = "runner"
    fenced: tuple[int, ...] = ()


class HealEnded(Event, frozen=True, kw_only=True):
    """R_proof, when ``ok``: every undo record is closed and verified."""

    ok: bool
    open: int = 0
    by: str = "runner"


class LoadBegan(Event, frozen=True, kw_only=True):
    generator: Generator
    endpoint: str
    url: str


class LoadEnded(Event, frozen=True, kw_only=True):
    """The generator has drained; ``seal`` None: it died or was killed, and samples may be missing."""

    seal: Seal | None
    reason: str = ""
    asked: int = 0
    """When the runner asked it to stop: what was due until then is intended. 0: not known."""


class Exposed(Event, frozen=True, kw_only=True):
    """
    Which instances served the load during the baseline, by marker or by the data plane's own count; and for inferring it where
    nobody counted, which endpoints stood ready from the plan to this instant.
    """

    served: dict[str, int]
    how: str = "marker"
    ready: tuple[str, ...] = ()
    """Names of endpoints that were ready when planned and still are, without a break. Only these may be inferred to have served."""
    passing: tuple[str, ...] = ()
    """Endpoints that were ready for a part of that time: they took a share of the connections as well."""


class Halted(Event, frozen=True, kw_only=True):
    """A guard tripped, or somebody stopped the run. Ctrl-C: ``interrupt``; a signal: its name."""

    reason: str


class Contaminated(Event, frozen=True, kw_only=True):
    """Something foreign touched the system: evidence after this instant is not about our fault."""

    reason: str


class Suspended(Event, frozen=True, kw_only=True):
    """BOOTTIME and MONOTONIC moved apart: the machine slept for ``seconds``."""

    seconds: float


class ClusterSaw(Event, frozen=True, kw_only=True):
    """
    Something that the environment told about itself, at the instant at which a watch delivered it: drawn on the time axis, the
    ends of the recovery's segments, and how foreign hands are noticed. Never evidence for a claim.
    """

    what: str
    """In words: ``pod myapp-7c9 was scheduled``."""
    subject: Target | None = None
    reason: Sight | None = None
    of: str = ""
    """The workload that the subject belongs to, or is: ``deployment shop/myapp``."""


class Controlled(Event, frozen=True, kw_only=True):
    """What the instruments said before the run with nothing broken, and with everything."""

    quiet: Control
    loud: Control


class Monitored(Event, frozen=True, kw_only=True):
    """What the environment's Prometheus said of the run when it was over. ``trouble``: why there is nothing of it."""

    server: str
    skew: float = 0.0
    """Seconds that its clock was ahead of ours; its stamps are put right by that."""
    error: float = 0.0
    alerts: tuple[AlertSeen, ...] = ()
    readings: tuple[Reading, ...] = ()
    trouble: str = ""


class BodyEnded(Event, frozen=True, kw_only=True):
    """How the user's test body ended after ``chaos.run()``: ``passed``, ``failed`` (an AssertionError), ``error``, ``never-ran``."""

    how: str
    message: str = ""


class Audited(Event, frozen=True, kw_only=True):
    """The world compared with the snapshot: ``residue`` lists exactly what we left; None: could not be seen."""

    residue: tuple[str, ...] | None
    foreign: tuple[str, ...] = ()
    took: float = 0.0
    """Seconds."""


class RunSealed(Event, frozen=True, kw_only=True):
    """Last line: nothing is missing before it. ``lines`` counts the lines before this one."""

    lines: int
    sha256: str


AnyEvent = (
    RunOpened
    | PhaseBegan
    | ProbeSeen
    | RoundSeen
    | CallBegan
    | CallEnded
    | Proved
    | UndoMoved
    | HealBegan
    | HealEnded
    | LoadBegan
    | LoadEnded
    | Exposed
    | Halted
    | Contaminated
    | Suspended
    | ClusterSaw
    | Controlled
    | Monitored
    | BodyEnded
    | Audited
    | RunSealed
)
