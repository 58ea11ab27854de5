"""
The borders between rooms, as Protocols, and nothing else. ``assembly`` is the only place that knows which class stands
behind which name; tests put fakes here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from chaosfw.model.activity import Action, LoadProvider, Provider
from chaosfw.model.environment import Environment
from chaosfw.model.event import AnyEvent
from chaosfw.model.fault import Bound, Proof, Reverted, RunMark, Undo, UndoRecord
from chaosfw.model.load import Endpoint, Generator, Load, Runner, Seal
from chaosfw.model.struct import Json, Noun
from chaosfw.model.tolerance import Tolerance


class ProviderCall(Noun, frozen=True, kw_only=True):
    """One activity, for the executor: call the provider, and judge ``tolerance`` where only Chaos Toolkit can."""

    name: str
    provider: Provider
    tolerance: Tolerance | None = None
    configuration: dict[str, Json] = {}
    secrets: dict[str, Json] = {}
    probe: bool = True


class KindCall(Noun, frozen=True, kw_only=True):
    """One verb of a FaultKind (or of an auditor), run where drivers run. ``data`` and the answer are JSON."""

    kind: str
    verb: str
    data: Json = None


class Answer(Noun, frozen=True, kw_only=True):
    """What a call came to. ``began`` and ``ended``: ns CLOCK_MONOTONIC in the executor. Without ``error``, ``value`` is the answer."""

    ticket: int
    began: int
    ended: int
    value: Json = None
    error: str = ""
    hint: str = ""


class Reached(Noun, frozen=True, kw_only=True):
    """Which instances the load reached in the baseline, and what may be inferred where nobody counted: see ``event.Exposed``."""

    served: dict[str, int] = {}
    how: str = ""
    ready: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()


class Executor(Protocol):
    """Runs calls in a child process, several at once."""

    def submit(self, call: ProviderCall | KindCall, then: Callable[[Answer], None]) -> int:
        """A ticket. ``then`` gets its Answer, from a thread; a child that dies answers all that is pending with an error."""
        ...

    def kill(self) -> tuple[int, ...]:
        """The fence: kill the child and all that it started, await their exit; the process ids that were killed."""
        ...

    def close(self) -> None:
        """End of work: let the child go and reap it. Safe after ``kill``, safe twice."""
        ...


class Caller(Protocol):
    """The same calls, one at a time and waited for: what safety and planning use."""

    def kind(self, kind: str, verb: str, data: Json, *, timeout: float) -> Json:
        """Raises DriverError with the driver's own words, EnvironmentTrouble when the environment does not answer."""
        ...

    def provider(self, call: ProviderCall, *, timeout: float) -> Json: ...


class FaultKind(Protocol):
    """
    Adorns one provider function with what Chaos Toolkit lacks. Runs in the executor only.

    ``revert`` is idempotent and writes only by compare-and-swap; ``bitten`` and ``healed`` read afresh. A kind never waits
    longer than a few seconds: waiting is the engine's.
    """

    name: str
    """Name and version, ``kubernetes.cordon/1``; undo data of this version can be reverted for ever."""

    functions: tuple[str, ...]
    """The provider functions it adorns, ``chaosk8s.node.actions.cordon_node``."""

    def bind(self, action: Action, environment: Environment, *, seed: int, mark: RunMark) -> Bound:
        """
        Names exactly what will be hit and reads b. Raises UsageError when nothing matches. Changes nothing. ``mark`` says whose the
        fault is, for undo records and for marks on what is changed; targets and changes do not depend on it.
        """
        ...

    def bitten(self, bound: Bound) -> Proof: ...

    def revert(self, record: UndoRecord, *, epoch: int) -> Reverted:
        """One attempt. The record's state tells whether the fault was ever seen to be in."""
        ...

    def healed(self, undo: Undo) -> Proof: ...


class Auditor(Protocol):
    """Reads everything that a fault of ours could leave behind. Runs in the executor only."""

    def snapshot(self, environment: Environment) -> Mapping[str, Json]:
        """Path to value, ``node/n1 spec.unschedulable`` to ``True``; paths under ``mark `` name marks of ours."""
        ...


class LoadRun(Protocol):
    """A load that is running. Its samples are in ``out / "samples.bin"`` and grow there."""

    generator: Generator

    def samples(self, since: int) -> tuple[bytes, int]:
        """Whole sample records from byte ``since`` on, and the next cursor."""
        ...

    def alive(self) -> bool: ...

    def stop(self) -> None:
        """Ask it to stop sending; requests in flight drain for at most the load's timeout. Returns at once."""
        ...

    def wait(self, timeout: float) -> Seal | None:
        """The seal, None when it died without one. Kills it after ``timeout`` seconds."""
        ...

    def kill(self) -> tuple[int, ...]: ...


class LoadDriver(Protocol):
    """Starts a generator in a process of its own."""

    name: str

    def check(self, load: Load, *, at: Endpoint, seconds: float, claims: bool) -> tuple[tuple[str, str], ...]:
        """
        Before anything is touched: sentences that say why this load can not be generated, or can not decide what is claimed of it, each
        with a hint. ``claims``: shares of requests are claimed.
        """
        ...

    def start(self, load: Load, *, at: Endpoint, out: Path, seconds: float = 0.0) -> LoadRun:
        """
        Returns when the generator is up and its request 0 is due. ``seconds``: for how long it must be able to go on; it goes on
        until it is told to stop. Raises DriverError with the tail of its output.
        """
        ...


class Fleet(Protocol):
    """The pods in a cluster that share a load: a TestRun of k6-operator. Every method may raise ChaosfwError."""

    def unfit(self) -> tuple[str, str] | None:
        """Why none can be made there, with a hint."""
        ...

    def begin(self) -> None: ...

    def leave(self) -> None:
        """From now on it is removed when it has ended, should nobody be there to do it."""
        ...

    def pods(self) -> tuple[Runner, ...]:
        """The runners that there are."""
        ...

    def unplaced(self) -> str:
        """Why a pod of it has no node; empty: all have one."""
        ...

    def trouble(self) -> str:
        """Why it will never run; empty: nothing is known that speaks against it."""
        ...

    def log(self, pod: str) -> Iterator[bytes]:
        """What k6 writes there, from its first byte, until it ends."""
        ...

    def second(self, pod: str) -> int:
        """Which second since 1970 the pod's clock shows."""
        ...

    def stop(self, pod: str) -> None: ...

    def end(self) -> None:
        """Removes the TestRun and all that belongs to it; safe when nothing of it is there."""
        ...


class Pulse(Noun, frozen=True, kw_only=True):
    """The load over its last seconds, for progress lines: requests a second, bad ones, p95 in seconds."""

    rate: float = 0.0
    bad: int = 0
    p95: float | None = None


class LoadWindow(Protocol):
    """A sliding window over the samples of a load that is running."""

    def sli(self, provider: LoadProvider, *, now: int) -> tuple[float, float] | None:
        """At worst and at best, unknowns counted once as bad and once as good: a share, or a quantile in seconds. None: nothing was due."""
        ...

    def pulse(self, *, now: int) -> Pulse: ...


class Locator(Protocol):
    """Resolves the names of endpoints."""

    def resolve(self, name: str) -> Endpoint:
        """Raises UsageError naming the endpoints that there are."""
        ...


class Journal(Protocol):
    """Append-only; a line is on disk when ``write`` returns (``sync`` for those that must survive a lost machine)."""

    def write(self, event: AnyEvent, *, sync: bool = False) -> None: ...

    def seal(self, at: int) -> None: ...


class Ledger(Protocol):
    """The undo records of one environment, durable. Every method returns after fsync, or raises and is not trusted again."""

    def prepare(self, undos: Sequence[Undo], *, epoch: int) -> None: ...

    def advance(self, record: UndoRecord) -> None: ...

    def records(self) -> tuple[UndoRecord, ...]:
        """The newest word on every record, oldest record first."""
        ...

    def open(self) -> tuple[UndoRecord, ...]:
        """All records that are not closed, newest first."""
        ...

    def snapshot(self, run: str, world: Mapping[str, Json]) -> None:
        """Keeps what the environment looked like before the run, for the audit of whoever heals."""
        ...


class Lock(Protocol):
    """One holder an environment, with an epoch that only grows."""

    epoch: int

    def still_mine(self) -> bool:
        """Without asking anybody, because it is asked all the time."""
        ...

    def regain(self) -> bool:
        """Asks whoever knows. False: it has gone to somebody else, whose it is now to put things back."""
        ...

    def cord(self) -> str:
        """Words when somebody asked every run of the environment to halt; as far as is known without asking."""
        ...

    def release(self) -> None: ...


class Place(Protocol):
    """An environment that is up: what a session holds while it runs."""

    environment: Environment

    def endpoint(self, name: str) -> Endpoint: ...

    def settle(self) -> None:
        """Brings a sandbox's workload back to its declared spread; elsewhere does nothing."""
        ...

    def exposure(self, since: int) -> Mapping[str, int]:
        """Connections by instance since an instant, where the environment can count them; empty elsewhere."""
        ...

    def lateness(self) -> float:
        """How late the environment's own control plane runs, in seconds; 0 where that is not ours."""
        ...

    def close(self) -> None: ...


class Watcher(Protocol):
    """Told what happens, for progress lines and reports. Never raises, never blocks for long."""

    def saw(self, event: AnyEvent) -> None: ...
