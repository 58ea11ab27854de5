"""
Decides one run, without I/O: every input gives the commands that follow from it. So every interleaving can be tested on a
fake clock, and a run can be cut at any event.

::

    baseline ── normal throughout? ── inject ── proven? ── hold ── heal ── recover ── drain ── done
        └── no: drain                    └── no, or Stop: heal ──────────────┘ (after a Stop there is no recover)

Called by ``loop``. It measures nothing and judges nothing; whether a round was good enough is only asked where the answer
decides whether to break something (a system that is not normal is never injected into).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chaosfw.engine import words as w
from chaosfw.model import event as e
from chaosfw.model.activity import LoadProvider, Probe, Step
from chaosfw.model.event import Phase
from chaosfw.model.fault import UndoState
from chaosfw.model.plan import Plan
from chaosfw.planning.foreign import concerns, why_foreign
from chaosfw.timing import nanoseconds

PROOF_EVERY = 0.1
"""Seconds between looks at an effect that has not shown yet."""
PROOF_PATIENCE = 10.0
"""Seconds that an effect may take to show after its call returned."""
HOLD_PROOF_EVERY = 1.0
"""Seconds between looks at an effect that is in."""
LAST_PROOF = 3.0
"""Seconds that the last look before healing may take."""
BLIND_LOOKS = 3
"""Looks in a row that may see nothing while a fault is in: after that the fault may have cut its own way back, and the run halts."""
LATE = 0.25
"""Seconds after its time-out at which a probe counts as not answering: the executor's own way back is in it."""
ROUND_MINIMUM = 5
"""Evaluations of the hypothesis in a baseline, unless the experiment is a stock file."""
WARM_UP = 1.0
"""Seconds of load before a baseline whose hypothesis reads the load: its first look must find requests. They are not judged."""
EXPOSURE = 5.0
"""Seconds that counting who served may take."""


@dataclass(slots=True)
class Round:
    """One evaluation that is under way."""

    due: int
    waiting: set[str]
    deadline: int
    seen: list[bool | None] = field(default_factory=list)
    before_rollbacks: bool = False
    beside: int | None = None
    """Position in the method of a probe in the background; None for all others."""


class Machine:
    """``step`` takes an input and gives the commands that follow. Deterministic: equal inputs, equal commands."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.experiment = plan.experiment
        self.phase = Phase.preflight
        self.finished = False
        self.touched = False
        """Whether an undo record or a call exists: from then on there is something to heal."""
        self._until = 0
        self._baseline_from = 0
        self._next_round: int | None = None
        self._number = 0
        self._rounds: dict[int, Round] = {}
        self._all_normal = True
        self._steps = list(self.experiment.method)
        self._position = -1
        self._action = -1
        self._waiting_for = ""
        self._alone: dict[int, Probe] = {}
        """Probes of the method that were asked, by the number of their round."""
        self._beside: set[int] = set()
        """Positions of probes in the background that are not through: the method does not end before them."""
        self._wake: dict[str, int] = {}
        self._proving: set[int] = set()
        self._proven: dict[int, int] = {}
        self._pending_calls: set[int] = set()
        self._last_looks: set[int] = set()
        self._stopped = ""
        self._load_on = False
        self._asked = 0
        self._blind = 0

    @property
    def next_wake(self) -> int | None:
        """The instant at which a Tick is wanted, whatever else happens."""
        due = [*self._wake.values(), *(one.deadline for one in self._rounds.values())]
        due += [self._next_round] if self._next_round is not None else []
        return min(due, default=None)

    def step(self, seen: w.Input) -> list[w.Command]:
        """The commands that follow from one input. After ``finished`` nothing follows from anything."""
        if self.finished:
            return []
        handler = getattr(self, f"_on_{type(seen).__name__.lower()}")
        commands: list[w.Command] = handler(seen)
        return commands + self._passed(seen.at)

    # -- inputs ---------------------------------------------------------------------------------------------------------

    def _on_begin(self, seen: w.Begin) -> list[w.Command]:
        if self.experiment.load is None:
            return self._begin_baseline(seen.at)
        self._waiting_for = "load"
        return [w.StartLoad()]

    def _on_tick(self, seen: w.Tick) -> list[w.Command]:
        return []

    def _on_loadup(self, seen: w.LoadUp) -> list[w.Command]:
        assert self.experiment.load is not None
        self._load_on = True
        began = e.LoadBegan(at=seen.at, generator=seen.generator, endpoint=self.experiment.load.endpoint, url=seen.url)
        commands: list[w.Command] = [w.Write(event=began)]
        on = max(seen.at, seen.generator.on)
        if not self._watches_load():
            return commands + self._begin_baseline(on)
        self._waiting_for = "warm"
        self._wake["warm"] = on + nanoseconds(WARM_UP)
        return commands

    def _watches_load(self) -> bool:
        """Whether the hypothesis reads the load, whose window is empty at first."""
        hypothesis = self.experiment.steady_state
        return hypothesis is not None and any(isinstance(probe.provider, LoadProvider) for probe in hypothesis.probes)

    def _on_loaddown(self, seen: w.LoadDown) -> list[w.Command]:
        expected = self._waiting_for == "drain"
        self._load_on = False
        commands: list[w.Command] = [w.Write(event=e.LoadEnded(at=seen.at, seal=seen.seal, reason=seen.reason, asked=self._asked))]
        if expected:
            return commands + self._finish(seen.at)
        return commands + self._stop(seen.at, f"the load ended by itself: {seen.reason or 'no reason given'}")

    def _on_probeanswered(self, seen: w.ProbeAnswered) -> list[w.Command]:
        current = self._rounds.get(seen.round)
        if current is None or seen.probe not in current.waiting:
            return []  # too late: the round has been closed without it
        alone = current.due < 0
        event = e.ProbeSeen(
            at=seen.at,
            probe=seen.probe,
            round=seen.round,
            due=abs(current.due),
            value=seen.value,
            ok=seen.ok,
            error=seen.error,
            alone=alone,
        )
        current.waiting.discard(seen.probe)
        current.seen.append(seen.ok)
        return [w.Write(event=event), *self._closed_rounds(seen.at)]

    def _on_prepared(self, seen: w.Prepared) -> list[w.Command]:
        if self._waiting_for != f"prepared {seen.index}":
            return []
        self.touched = True
        commands: list[w.Command] = [w.Write(event=e.UndoMoved(at=seen.at, record=record)) for record in seen.records]
        action = self.plan.bound[seen.index].action
        self._pending_calls.add(seen.index)
        self._waiting_for = f"call {seen.index}"
        self._wake["call"] = seen.at + nanoseconds(action.timeout)
        commands.append(w.Write(event=e.CallBegan(at=seen.at, action=action.name, index=seen.index), sync=True))
        commands.append(w.Call(index=seen.index))
        if action.background:
            self._wake.pop("call", None)
            return commands + self._begin_proof(seen.at, seen.index)
        return commands

    def _on_callanswered(self, seen: w.CallAnswered) -> list[w.Command]:
        if seen.index not in self._pending_calls:
            return []
        self._pending_calls.discard(seen.index)
        action = self.plan.bound[seen.index].action
        ended = e.CallEnded(at=seen.at, action=action.name, index=seen.index, ok=seen.ok, value=seen.value, error=seen.error)
        commands: list[w.Command] = [w.Write(event=ended)]
        if not seen.ok:
            return commands + self._stop(seen.at, f"the fault's own call failed: {action.name!r}: {seen.error}")
        if self._waiting_for != f"call {seen.index}":
            return commands
        self._wake.pop("call", None)
        return commands + self._begin_proof(seen.at, seen.index)

    def _on_proofanswered(self, seen: w.ProofAnswered) -> list[w.Command]:
        self._proving.discard(seen.index)
        self._last_looks.discard(seen.index)
        if self.phase not in (Phase.inject, Phase.hold):
            return []
        bound = self.plan.bound[seen.index]
        proved = e.Proved(at=seen.at, action=bound.action.name, index=seen.index, asked=seen.asked, proof=seen.proof, during=self.phase)
        commands: list[w.Command] = [w.Write(event=proved)]
        if self._waiting_for == f"proof {seen.index}":
            if seen.proof.holds or not bound.provable:
                self._proven[seen.index] = seen.at
                self._wake.pop("proof deadline", None)
                self._wake.pop("proof", None)
                return [*commands, w.MarkIn(index=seen.index), *self._next_step(seen.at, pause=bound.action.pause_after)]
            self._wake["proof"] = seen.at + nanoseconds(PROOF_EVERY)
            return commands
        self._blind = self._blind + 1 if seen.proof.holds is None and bound.provable else 0
        if self._blind >= BLIND_LOOKS and self._waiting_for == "":
            return commands + self._stop(seen.at, f"the environment can not be seen any more ({seen.proof.what}): the way back may be cut")
        if self._waiting_for == "last proofs" and not self._last_looks:
            return commands + self._begin_heal(seen.at)
        return commands

    def _on_undostepped(self, seen: w.UndoStepped) -> list[w.Command]:
        return [w.Write(event=e.UndoMoved(at=seen.at, record=seen.record, what=seen.what), sync=seen.record.state is UndoState.closed)]

    def _on_healstarted(self, seen: w.HealStarted) -> list[w.Command]:
        return [w.Write(event=e.HealBegan(at=seen.at, fenced=seen.fenced))]

    def _on_healdone(self, seen: w.HealDone) -> list[w.Command]:
        commands: list[w.Command] = [w.Write(event=e.HealEnded(at=seen.at, ok=seen.left_open == 0, open=seen.left_open), sync=True)]
        if self._stopped:
            return commands + self._begin_drain(seen.at)
        return commands + self._begin_recover(seen.at)

    def _on_served(self, seen: w.Served) -> list[w.Command]:
        if self._waiting_for != "served":
            return []
        self._wake.pop("served", None)
        found = seen.reached
        event = e.Exposed(at=seen.at, served=found.served, how=found.how, ready=found.ready, passing=found.passing)
        return [w.Write(event=event), *self._begin_inject(seen.at)]

    def _on_saw(self, seen: w.Saw) -> list[w.Command]:
        return self.saw(seen.told)

    def saw(self, told: e.ClusterSaw) -> list[w.Command]:
        """What to write about a sighting; asked for those as well that were told after the end."""
        if told.subject is not None and told.subject.namespace and not concerns(self.plan, told.subject):
            return []
        commands: list[w.Command] = [w.Write(event=told)]
        if why := why_foreign(told, self.plan, called=self.touched):
            commands.append(w.Write(event=e.Contaminated(at=told.at, reason=why)))
        return commands

    def _on_stop(self, seen: w.Stop) -> list[w.Command]:
        return self._stop(seen.at, seen.reason)

    # -- time -----------------------------------------------------------------------------------------------------------

    def _passed(self, now: int) -> list[w.Command]:
        """What is due by now: rounds to close and to open, waits that are over."""
        commands = self._closed_rounds(now)
        if self._next_round is not None and now >= self._next_round and not self.finished:
            commands += self._open_round(self._next_round)
            self._next_round = _after(self._next_round, every=nanoseconds(self.experiment.probe_every), now=now)
        for name in [name for name, at in self._wake.items() if now >= at]:
            if name in self._wake and not self.finished:
                del self._wake[name]
                commands += getattr(self, "_due_" + name.partition(":")[0].replace(" ", "_"))(now, name.partition(":")[2])
        return commands

    def _due_warm(self, now: int, _: str) -> list[w.Command]:
        return self._begin_baseline(now)

    def _due_baseline(self, now: int, _: str) -> list[w.Command]:
        """The baseline's time is over: wait for what is still out, then look at it."""
        self._next_round = None
        self._waiting_for = "baseline rounds"
        return self._baseline_complete(now)

    def _due_call(self, now: int, _: str) -> list[w.Command]:
        index = self._action
        self._pending_calls.discard(index)
        action = self.plan.bound[index].action
        error = f"no answer within {action.timeout:g} s"
        ended = e.CallEnded(at=now, action=action.name, index=index, ok=False, error=error)
        return [w.Write(event=ended), *self._stop(now, f"the fault's own call failed: {action.name!r}: {error}")]

    def _due_proof(self, now: int, _: str) -> list[w.Command]:
        return self._look(self._action)

    def _due_proof_deadline(self, now: int, _: str) -> list[w.Command]:
        action = self.plan.bound[self._action].action
        return self._stop(now, f"the effect of {action.name!r} did not show within {PROOF_PATIENCE:g} s")

    def _due_hold_proof(self, now: int, _: str) -> list[w.Command]:
        self._wake["hold proof"] = now + nanoseconds(HOLD_PROOF_EVERY)
        return [command for index in self._proven for command in self._look(index)]

    def _due_hold(self, now: int, _: str) -> list[w.Command]:
        self._wake.pop("hold proof", None)
        if self.experiment.stock and self.experiment.steady_state is not None:
            self._waiting_for = "second look"
            return self._open_round(now, before_rollbacks=True)
        return self._last_proofs(now)

    def _due_last_proofs(self, now: int, _: str) -> list[w.Command]:
        return self._begin_heal(now) if self._waiting_for == "last proofs" else []

    def _due_pause(self, now: int, _: str) -> list[w.Command]:
        return self._take_step(now)

    def _due_ask(self, now: int, position: str) -> list[w.Command]:
        return self._ask_beside(now, int(position))

    def _due_beside(self, now: int, position: str) -> list[w.Command]:
        """A probe in the background has answered and paused; the last of them ends a method that waits for it."""
        self._beside.discard(int(position))
        return self._begin_hold(now) if self._waiting_for == "background" and not self._beside else []

    def _due_served(self, now: int, _: str) -> list[w.Command]:
        return self._begin_inject(now)

    def _due_recover(self, now: int, _: str) -> list[w.Command]:
        self._next_round = None
        self._waiting_for = "recover rounds"
        return self._recover_complete(now)

    # -- phases ---------------------------------------------------------------------------------------------------------

    def _begin_baseline(self, at: int) -> list[w.Command]:
        self._waiting_for = ""
        self._baseline_from = at
        lasts = nanoseconds(self.experiment.baseline)
        if self.experiment.steady_state is not None:
            self._next_round = at
            if not self.experiment.stock:
                lasts = max(lasts, nanoseconds(self.experiment.probe_every) * (ROUND_MINIMUM - 1))
        self._wake["baseline"] = at + lasts
        return self._enter(Phase.baseline, at, until=at + lasts)

    def _baseline_complete(self, now: int) -> list[w.Command]:
        if self._waiting_for != "baseline rounds" or self._rounds:
            return []
        if not self._all_normal:
            self._stopped = "the system was not normal before the fault"
            return self._begin_drain(now)
        if not self.plan.bound:
            return self._begin_drain(now)
        if self._load_on:
            self._waiting_for = "served"
            self._wake["served"] = now + nanoseconds(EXPOSURE)
            return [w.CountServed(since=self._baseline_from)]
        return self._begin_inject(now)

    def _begin_inject(self, now: int) -> list[w.Command]:
        self._waiting_for = ""
        if self.experiment.steady_state is not None and (self.experiment.throughout or not self.experiment.stock):
            self._next_round = now
        return [*self._enter(Phase.inject, now, until=0), *self._next_step(now, pause=0.0)]

    def _next_step(self, now: int, *, pause: float) -> list[w.Command]:
        """On to the next step of the method, after ``pause`` seconds."""
        self._position += 1
        self._waiting_for = "step"
        if self._position < len(self._steps):
            step = self._steps[self._position]
            pause += 0.0 if _keeps_to_itself(step) else step.pause_before
        if pause > 0:
            self._wake["pause"] = now + nanoseconds(pause)
            return []
        return self._take_step(now)

    def _take_step(self, now: int) -> list[w.Command]:
        if self._position >= len(self._steps):
            return self._end_method(now)
        step = self._steps[self._position]
        if isinstance(step, Probe):
            return self._start_beside(now, step) if step.background else self._ask_alone(now, step)
        self._action += 1
        self._waiting_for = f"prepared {self._action}"
        return [w.Prepare(index=self._action)]

    def _ask_alone(self, now: int, probe: Probe) -> list[w.Command]:
        """A probe of the method: recorded, not judged as part of the hypothesis; the next step waits for it."""
        asked = self._ask(now, probe)
        self._waiting_for = f"alone {self._number}"
        return asked

    def _start_beside(self, now: int, probe: Probe) -> list[w.Command]:
        """A probe in the background, its own pause before it; the method goes on."""
        self._beside.add(self._position)
        if probe.pause_before > 0:
            self._wake[f"ask:{self._position}"] = now + nanoseconds(probe.pause_before)
            return self._next_step(now, pause=0.0)
        return [*self._ask_beside(now, self._position), *self._next_step(now, pause=0.0)]

    def _ask_beside(self, now: int, position: int) -> list[w.Command]:
        probe = self._steps[position]
        assert isinstance(probe, Probe)
        return self._ask(now, probe, beside=position)

    def _ask(self, now: int, probe: Probe, *, beside: int | None = None) -> list[w.Command]:
        self._number += 1
        deadline = now + nanoseconds(probe.timeout + LATE)
        self._rounds[self._number] = Round(due=-now, waiting={probe.name}, deadline=deadline, beside=beside)
        self._alone[self._number] = probe
        return [w.Ask(round=self._number, probes=(probe,))]

    def _end_method(self, now: int) -> list[w.Command]:
        """On to hold, when the probes in the background are through."""
        if not self._beside:
            return self._begin_hold(now)
        self._waiting_for = "background"
        return []

    def _begin_proof(self, now: int, index: int) -> list[w.Command]:
        self._waiting_for = f"proof {index}"
        self._wake["proof deadline"] = now + nanoseconds(PROOF_PATIENCE)
        return self._look(index)

    def _look(self, index: int) -> list[w.Command]:
        if index in self._proving:
            return []  # the last look has not come back
        self._proving.add(index)
        return [w.Prove(index=index)]

    def _begin_hold(self, now: int) -> list[w.Command]:
        self._waiting_for = ""
        proven = max(self._proven.values(), default=now)
        until = max(now, proven + nanoseconds(self.experiment.lasts))
        self._wake["hold"] = until
        self._wake["hold proof"] = now + nanoseconds(HOLD_PROOF_EVERY)
        return self._enter(Phase.hold, now, until=until)

    def _last_proofs(self, now: int) -> list[w.Command]:
        """One more look at every effect, which must still be in, before it is taken away."""
        self._waiting_for = "last proofs"
        self._wake["last proofs"] = now + nanoseconds(LAST_PROOF)
        self._last_looks = set(self._proven)
        self._proving -= self._last_looks
        if not self._last_looks:
            return self._begin_heal(now)
        return [command for index in sorted(self._last_looks) for command in self._look(index)]

    def _begin_heal(self, now: int) -> list[w.Command]:
        self._waiting_for = "heal"
        for name in ("hold", "hold proof", "last proofs", "call", "proof", "proof deadline", "pause", "baseline", "served"):
            self._wake.pop(name, None)
        for position in self._beside:
            self._wake.pop(f"ask:{position}", None)
            self._wake.pop(f"beside:{position}", None)
        return [*self._enter(Phase.heal, now, until=0), w.Heal()]

    def _begin_recover(self, now: int) -> list[w.Command]:
        self._waiting_for = ""
        until = max(self._deadline(now) + nanoseconds(self.experiment.stable_for), now)
        if self.experiment.steady_state is not None and self._next_round is None:
            self._next_round = now
        self._wake["recover"] = until
        return self._enter(Phase.recover, now, until=until)

    def _deadline(self, healed: int) -> int:
        """By when impact must have ended: counted from the heal, or from the fault where all faults heal themselves."""
        proven = max(self._proven.values(), default=healed)
        alone = all(bound.self_heals and not bound.undo for bound in self.plan.bound)
        start = min(healed, proven + nanoseconds(self.experiment.recover_within)) if alone else healed
        return proven + nanoseconds(self.experiment.recover_within) if alone else start + nanoseconds(self.experiment.recover_within)

    def _recover_complete(self, now: int) -> list[w.Command]:
        return self._begin_drain(now) if self._waiting_for == "recover rounds" and not self._rounds else []

    def _begin_drain(self, now: int) -> list[w.Command]:
        self._next_round = None
        self._rounds.clear()
        self._wake.clear()
        if self._load_on:
            self._waiting_for = "drain"
            self._asked = now
            return [w.StopLoad()]
        return self._finish(now)

    def _finish(self, now: int) -> list[w.Command]:
        self.finished = True
        self._next_round = None
        self._rounds.clear()
        self._wake.clear()
        return [*self._enter(Phase.judge, now, until=0), w.Finish()]

    def _stop(self, now: int, reason: str) -> list[w.Command]:
        """Heal now. Only the first reason counts; a stop during heal or drain is noted and changes nothing."""
        commands: list[w.Command] = [w.Write(event=e.Halted(at=now, reason=reason), sync=True)]
        first, self._stopped = not self._stopped, self._stopped or reason
        if self._waiting_for == "heal":
            return commands
        if self._waiting_for == "drain":
            return commands
        if self.phase is Phase.recover:
            return commands + self._begin_drain(now)
        if not first:
            return commands
        self._next_round = None
        if self.touched or self._waiting_for.startswith("prepared"):
            return commands + self._begin_heal(now)
        if self._waiting_for == "load":
            return commands + self._finish(now)
        return commands + self._begin_drain(now)

    def _enter(self, phase: Phase, at: int, *, until: int) -> list[w.Command]:
        self.phase = phase
        return [w.Write(event=e.PhaseBegan(at=at, phase=phase)), w.Enter(phase=phase, until=until)]

    # -- rounds ---------------------------------------------------------------------------------------------------------

    def _open_round(self, due: int, *, before_rollbacks: bool = False) -> list[w.Command]:
        assert self.experiment.steady_state is not None
        probes = self.experiment.steady_state.probes
        self._number += 1
        deadline = due + nanoseconds(max(probe.timeout for probe in probes) + LATE)
        names = {probe.name for probe in probes}
        self._rounds[self._number] = Round(due=due, waiting=names, deadline=deadline, before_rollbacks=before_rollbacks)
        return [w.Ask(round=self._number, probes=probes)]

    def _closed_rounds(self, now: int) -> list[w.Command]:
        """Closes rounds that are complete or too late, oldest first."""
        commands: list[w.Command] = []
        for number, one in sorted(self._rounds.items()):
            if one.waiting and now < one.deadline:
                continue
            del self._rounds[number]
            for probe in sorted(one.waiting):
                silent = e.ProbeSeen(at=now, probe=probe, round=number, due=abs(one.due), error="no answer in time", alone=one.due < 0)
                commands.append(w.Write(event=silent))
                one.seen.append(None)
            commands += self._alone_done(now, number, one) if one.due < 0 else self._round_done(now, number, one)
        return commands

    def _alone_done(self, now: int, number: int, one: Round) -> list[w.Command]:
        pause = self._alone.pop(number).pause_after
        if one.beside is not None and self.phase is Phase.inject:
            self._wake[f"beside:{one.beside}"] = now + nanoseconds(pause)
            return []
        return self._next_step(now, pause=pause) if self._waiting_for == f"alone {number}" else []

    def _round_done(self, now: int, number: int, one: Round) -> list[w.Command]:
        ok = False if False in one.seen else None if None in one.seen else True
        if self.phase is Phase.baseline:
            self._all_normal = self._all_normal and ok is True
        seen = e.RoundSeen(at=now, round=number, due=one.due, ok=ok, before_rollbacks=one.before_rollbacks)
        commands: list[w.Command] = [w.Write(event=seen)]
        if one.before_rollbacks and self._waiting_for == "second look":
            return commands + self._last_proofs(now)
        return commands + self._baseline_complete(now) + self._recover_complete(now)


def _keeps_to_itself(step: Step) -> bool:
    """A probe in the background pauses beside the method, as Chaos Toolkit's threads do."""
    return isinstance(step, Probe) and step.background


def _after(due: int, *, every: int, now: int) -> int:
    """The next scheduled instant after ``due`` that is still to come: evaluations that were missed are not made up for."""
    missed = max(0, (now - due) // every)
    return int(due + every * (missed + 1))
