"""
What goes in and out of the machine: inputs are what the loop saw, commands are what the loop shall do. All carry instants in
ns of CLOCK_MONOTONIC. Used by ``machine`` and ``loop`` and by tests, nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosfw.model.activity import Probe
from chaosfw.model.event import AnyEvent, ClusterSaw, Phase
from chaosfw.model.fault import Proof, UndoRecord
from chaosfw.model.load import Generator, Seal
from chaosfw.model.struct import Json
from chaosfw.ports import Reached


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Something that happened, at ``at``."""

    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin(Input):
    """The run starts; preflight is behind us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick(Input):
    """Nothing but time passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadUp(Input):
    generator: Generator
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadDown(Input):
    """The generator has ended; ``seal`` None when it died."""

    seal: Seal | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswered(Input):
    """``ok`` None: no evidence."""

    round: int
    probe: str
    value: Json = None
    ok: bool | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Input):
    """The undo records of an action are durable (or there are none)."""

    index: int
    records: tuple[UndoRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered(Input):
    """``began`` is when the call left us."""

    index: int
    ok: bool
    value: Json = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofAnswered(Input):
    index: int
    asked: int
    proof: Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoStepped(Input):
    record: UndoRecord
    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealStarted(Input):
    """The writers are fenced; the first revert comes next."""

    fenced: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HealDone(Input):
    left_open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Served(Input):
    """Who served the load in the baseline."""

    reached: Reached


@dataclass(frozen=True, slots=True, kw_only=True)
class Saw(Input):
    """Something that the environment was seen to do, at its own ``told.at``."""

    told: ClusterSaw


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(Input):
    """Heal now: Ctrl-C, a signal, a halt condition, a broken instrument."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something the loop shall do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write(Command):
    """Into the journal; ``sync`` before anything else happens."""

    event: AnyEvent
    sync: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartLoad(Command):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLoad(Command):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Command):
    """Evaluate these probes; answers come as ProbeAnswered of this round."""

    round: int
    probes: tuple[Probe, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare(Command):
    """Make the undo records of action ``index`` durable."""

    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Command):
    """Call the provider of action ``index``."""

    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prove(Command):
    """Look afresh whether action ``index`` bites."""

    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkIn(Command):
    """The effect is proven: move the action's undo records to ``in``."""

    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CountServed(Command):
    """Who served the load since the baseline began?"""

    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heal(Command):
    """Fence, then put everything back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enter(Command):
    """For progress lines: a phase begins and is expected to end ``until`` (0: unknown)."""

    phase: Phase
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish(Command):
    pass
