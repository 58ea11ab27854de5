"""
One experiment in the hands of a test: discover and guard in setup, run in the test, conclude in teardown.

Called by the pytest plugin and by Chaos Toolkit items. Joins the rooms and decides nothing that belongs to one of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import msgspec

from chaosfw.analysis.fold import fold
from chaosfw.analysis.judge import judged
from chaosfw.analysis.summary import run_line, unended
from chaosfw.assembly.controls import Controls
from chaosfw.assembly.environments import AnyPlace
from chaosfw.assembly.halting import conditions
from chaosfw.assembly.loads import load_driver, with_digest
from chaosfw.assembly.monitoring import monitored
from chaosfw.assembly.pulse import SampleWindow
from chaosfw.assembly.session import Session, settings_as_json, versions
from chaosfw.engine.loop import Loop, Tools
from chaosfw.engine.machine import Machine
from chaosfw.errors import ChaosfwError, DriverError, Refused, UsageError
from chaosfw.model import event as e
from chaosfw.model.activity import Action, HttpProvider, ProcessProvider, PythonProvider
from chaosfw.model.environment import Target
from chaosfw.model.event import Phase
from chaosfw.model.experiment import Experiment
from chaosfw.model.facts import EndpointFacts, Facts
from chaosfw.model.fault import Bound, RunMark
from chaosfw.model.load import Endpoint, Load
from chaosfw.model.plan import Plan, Refusal
from chaosfw.model.reaping import Word
from chaosfw.model.record import Record, RunLine
from chaosfw.model.struct import Json, but, to_json
from chaosfw.model.verdict import Judgement, Safety, Verdict
from chaosfw.planning import digests
from chaosfw.planning.activities import Activity, everywhere
from chaosfw.planning.approval import unapproved
from chaosfw.planning.endpoints import stood
from chaosfw.planning.guards import refusals, shares_claimed, suppressed
from chaosfw.planning.namespaces import translated
from chaosfw.planning.preview import preview
from chaosfw.planning.price import expected_seconds, planned_price
from chaosfw.planning.replay import deviations
from chaosfw.planning.rollbacks import with_rollbacks
from chaosfw.ports import LoadDriver, LoadRun, LoadWindow, Lock, Reached, Watcher
from chaosfw.quantities import duration
from chaosfw.safety import audit, fence
from chaosfw.settings import narrowed
from chaosfw.store.folder import RunFolder
from chaosfw.store.journal import JournalFile, read_journal
from chaosfw.timing import boot_id, iso, nanoseconds

LOOK = 15.0
"""Seconds that one look at the environment may take before or after a run."""
REAPER = 10.0
"""Seconds that the reaper in the cluster may take to say that it watches over a run."""
MARK_GRACE = 600.0
"""Seconds for putting back, and for clocks that differ, beyond the longest run: after them a mark has expired."""
SCHEMA = 1


class Deviated(AssertionError):
    """The experiment's verdict is *deviated*: a promise was broken, and that is proven."""


class Inconclusive(AssertionError):
    """Neither proven nor refuted: the run says nothing about the promise."""


class ResidueLeft(ChaosfwError):
    """A run changed something and did not put it back, or nobody could see whether it did."""


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """``lost`` are certain bad requests over the whole run; ``unknown`` count neither way."""

    lost: int
    unknown: int
    sent: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What ``chaos.run()`` returns: verdict and figures, before the test's own asserts."""

    record: Record

    @property
    def verdict(self) -> Verdict:
        return self.record.judgement.verdict

    @property
    def judgement(self) -> Judgement:
        return self.record.judgement

    @property
    def load(self) -> LoadFigures:
        """Raises UsageError when the experiment had no load."""
        if self.record.load is None:
            raise UsageError("this experiment has no load", hint="load=cf.Load(…)")
        total = self.record.load.total
        return LoadFigures(lost=total.bad, unknown=total.unknown, sent=total.intended - total.unknown)

    @property
    def time_to_recover(self) -> float | None:
        """Seconds from impact to stably normal, the worse end; None when it did not recover."""
        return next((one.high for one in self.record.recovery), None)


@dataclass(slots=True)
class Chaos:
    """The fixture ``chaos`` of one test."""

    session: Session
    experiment: Experiment
    test: str
    watchers: tuple[Watcher, ...] = ()
    series: str = ""
    """The experiment that this run repeats, where it is one of several."""
    repeat: int = 0
    """Which of them: each chooses its victims by a seed of its own."""
    controls: bool = False
    """Whether load and probes are tried before the run, with nothing broken and with everything."""
    plan: Plan | None = None
    outcome: Outcome | None = None
    _folder: RunFolder | None = None
    _journal: JournalFile | None = None
    _lock: Lock | None = None
    _ran: bool = False
    _concluded: bool = False
    on_loop: Callable[[Loop], None] = lambda loop: None
    """Told about the loop of a run, for progress lines."""
    id: str = ""
    interrupted: str = ""
    """The signal that ended the run, if one did."""
    _ready: tuple[EndpointFacts, ...] = ()
    """The endpoints of the load's Service as they were when planned."""
    _published: bool = False
    _reaper: str = ""
    _refusals: tuple[Refusal, ...] = ()
    _suppressed: tuple[str, ...] = ()
    """Guards that would have refused and were not asked, each with its reason."""
    _load_groups: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.id = self.id or f"{self.session.runs}{secrets.token_hex(3)}"

    # -- setup ----------------------------------------------------------------------------------------------------------

    def prepare(self, *, only_plan: bool = False) -> Plan:
        """
        Finds the targets and asks every guard. Raises Refused naming all reasons; nothing has been changed then.

        With ``only_plan`` the lock is given back and no run folder is made.
        """
        self.experiment = with_defaults(self.experiment, self.session.settings.defaults)
        self.experiment = with_digest(self.experiment, root=self.session.settings.rootdir)
        self.experiment = but(self.experiment, halt=self.experiment.halt + conditions(self.session.settings.chosen()))
        if self.session.blocked_by:
            self._refuse([Refusal(slug="blocked", sentence=f"blocked by {self.session.blocked_by}")], blocked=self.session.blocked_by)
        place = self._opened()
        assert self.session.ledger is not None
        if pulled := self.session.cord():
            self._refuse([Refusal(slug="halted", sentence=pulled, hint="chaosfw halt --lift lets runs start again")])
        try:
            self._lock = self.session.take_lock(self.test)
            if pulled := self._lock.cord():
                self._refuse([Refusal(slug="halted", sentence=pulled, hint="chaosfw halt --lift lets runs start again")])
            if self.session.heal_first:
                self.session.put_back(epoch=self._lock.epoch)
            if still := self.session.ledger.open():
                names = ", ".join(str(record.undo.subject) for record in still)
                self._refuse([Refusal(slug="open-records", sentence=f"an earlier run was not put back: {names}", hint="chaosfw heal")])
            place.settle()
            self.plan, facts, found = self._bound()
            self._reaper = facts.reaper
            limits = narrowed(place.environment.limits, self.experiment.limits)
            asked, self._suppressed = suppressed(refusals(self.plan, facts, limits), self.plan)
            found += asked
            found += deviations(self.plan, self.past, facts) if self.past is not None else ()
            found += [] if only_plan else unapproved(self.plan, approved=self.session.approved, required=self._approval())
            if found:
                self._refuse(found)
            if only_plan:
                self._release()
            else:
                self._take_snapshot()
        except Refused:
            self._release()
            raise
        except ChaosfwError as trouble:
            self._release()
            self._refuse([Refusal(slug="environment", sentence=trouble.message, hint=trouble.hint)])
        except BaseException:
            self._release()
            raise
        assert self.plan is not None
        return self.plan

    def preview(self) -> str:
        """The plan in words, with what guards said; empty where there is none."""
        if self.plan is None:
            return ""
        return preview(self.plan, refusals=self._refusals, suppressed=self._suppressed, reaper=self._reaper)

    @property
    def past(self) -> Plan | None:
        """The plan that is replayed, if one is."""
        return self.session.replay.get(self.experiment.title)

    @property
    def seed(self) -> int:
        """What chooses: the game day's seed, or that of the run that is replayed."""
        return self.past.seed if self.past is not None else self.session.seed + self.repeat

    def _approval(self) -> str:
        return self.session.settings.chosen().approval

    def _opened(self) -> AnyPlace:
        """The environment, up. One that does not come up is not tried again for every experiment of the day."""
        try:
            return self.session.open()
        except ChaosfwError as trouble:
            self.session.blocked_by = f"{self.test}: {trouble.message}"
            self._refuse([Refusal(slug="environment", sentence=trouble.message, hint=trouble.hint)])

    def _bound(self) -> tuple[Plan, Facts, list[Refusal]]:
        """The plan with every action bound to what was found, the facts, and what could not be bound."""
        place = self.session.open()
        found: list[Refusal] = []
        experiment = self._located(found)
        facts = (
            msgspec.convert(self.session.caller.kind("", "facts", None, timeout=LOOK), Facts) if place.environment.kubeconfig else Facts()
        )
        bound: list[Bound] = []
        mark = self._mark(experiment)
        for action in experiment.actions:
            made = self._bind(action, mark, found)
            bound += [made] if made is not None else []
        plan = Plan(
            experiment=experiment,
            environment=place.environment,
            seed=self.seed,
            bound=_ordered(with_rollbacks(bound, experiment.rollbacks, mark=mark, environment=place.environment.name)),
            exposed=self._exposed(found),
        )
        if place.environment.kubeconfig:
            asked = [to_json(one) for one in plan.bound]
            lacking, delivered = (self.session.caller.kind("", verb, asked, timeout=LOOK) for verb in ("lacking", "delivered"))
            facts = but(facts, lacking=tuple(lacking), delivered=delivered, reaper=self._ask_reaper("known", timeout=LOOK))
        heals = bool(bound) and all(one.self_heals and not one.undo for one in bound)
        seconds = expected_seconds(experiment, heals_itself=heals)
        if experiment.load is not None and not any(one.slug == "endpoints" for one in found):
            found += self._unfit_load(seconds)
        requests, share = planned_price(experiment, seconds=seconds)
        plan = but(
            plan,
            intent=digests.intent(self.experiment, place.environment.name),
            price_requests=requests,
            price_budget=share,
            seconds=seconds,
        )
        return but(plan, digest=digests.plan_digest(plan)), facts, found

    def _exposed(self, found: list[Refusal]) -> tuple[Target, ...]:
        """The ready endpoints that lead to the load now; remembered, because they must still be so when the fault is injected."""
        self._ready = ()
        if self.experiment.load is None or any(one.slug == "endpoints" for one in found):
            return ()
        try:
            self._ready = self._serving()
        except DriverError as trouble:
            found.append(Refusal(slug="endpoints", sentence=trouble.message.removeprefix("UsageError: "), hint=trouble.hint))
        return tuple(one.target for one in self._ready)

    def _serving(self) -> tuple[EndpointFacts, ...]:
        endpoint = self._load_endpoint()
        if endpoint is None or not endpoint.service:
            return ()
        namespace, _, name = endpoint.service.partition("/")
        answer = self.session.caller.kind("", "serving", {"namespace": namespace, "name": name}, timeout=LOOK)
        return msgspec.convert(answer, tuple[EndpointFacts, ...])

    def _mark(self, experiment: Experiment) -> RunMark:
        """Whose the faults of this run are. It expires when even a run that takes twice as long, and its heal, must be over."""
        assert self._lock is not None
        longest = expected_seconds(experiment, heals_itself=False) * 2 + MARK_GRACE
        return RunMark(run=self.id, epoch=self._lock.epoch, expiry=iso(self.session.clock.wall_ns() + nanoseconds(longest)))

    def _bind(self, action: Action, mark: RunMark, found: list[Refusal]) -> Bound | None:
        assert self.session.place is not None
        asked = {
            "action": to_json(action),
            "environment": to_json(self.session.place.environment),
            "seed": self.seed,
            "mark": to_json(mark),
        }
        try:
            return msgspec.convert(self.session.caller.kind("", "bind", asked, timeout=LOOK), Bound)
        except DriverError as trouble:
            sentence = trouble.message.removeprefix("UsageError: ")
            found.append(Refusal(slug="targets", sentence=sentence, hint=trouble.hint))
            return None

    def _located(self, found: list[Refusal]) -> Experiment:
        """The experiment with every logical namespace replaced by the real one, and every endpoint's name by its URL."""
        assert self.session.place is not None

        def url(name: str, path: str) -> str:
            assert self.session.place is not None
            try:
                return self.session.place.endpoint(name).url.rstrip("/") + path
            except ChaosfwError as trouble:
                refusal = Refusal(slug="endpoints", sentence=trouble.message, hint=trouble.hint)
                if refusal not in found:
                    found.append(refusal)
                return f"unresolved:{name}"

        if self.experiment.load is not None:
            url(self.experiment.load.endpoint, "")
        return located(translated(self.experiment, self.session.place.environment.namespaces), url)

    def _take_snapshot(self) -> None:
        """What a healer will need, where it will look for it. Nothing is kept when that fails: nothing has been broken."""
        assert self.plan is not None
        assert self.session.ledger is not None
        self._folder = self.session.folder.new_run(self.experiment.title or self.test)
        self._folder.write_plan(self.plan)
        self._folder.write_line(but(unended(self.id, self._folder.name, self.experiment.title, self.test), series=self.series))
        world = self.session.caller.kind("", "snapshot", to_json(self.plan.environment), timeout=LOOK)
        self.session.ledger.snapshot(self.id, world)
        try:
            self._publish()
        except BaseException:  # Ctrl-C too, while the reaper is waited for
            self._forget()
            raise

    def _publish(self) -> None:
        assert self.plan is not None
        undos = [to_json(undo) for bound in self.plan.bound for undo in bound.undo]
        if not (undos and self.plan.environment.kubeconfig):
            return
        asked = {"run": self.id, "namespace": self.plan.environment.state_namespace, "undos": undos}
        self.session.caller.kind("", "publish", asked, timeout=LOOK)
        self._published = True
        if self._reaper and (why := self._reaper_lacks()):
            where = self.plan.environment.state_namespace
            self._refuse([Refusal(slug="way-back", sentence=why, hint=f"kubectl logs -n {where} deployment/reaper")])

    def _reaper_lacks(self) -> str:
        """Why the reaper can not be relied on, as its own word on what was just published tells; empty when it can."""
        assert self.plan is not None
        if self.plan.environment.accept_manual_heal:
            return ""
        began, told = self.session.clock.monotonic_ns(), False
        while (word := msgspec.convert(self._ask_reaper("word_on", run=self.id, timeout=LOOK), Word | None)) is None:
            waited = self.session.clock.monotonic_ns() - began
            if waited >= nanoseconds(1.0) and not told:
                self.session.say(f"waiting up to {REAPER:g} s for {self._reaper} to say that it watches over this run")
                told = True
            if waited >= nanoseconds(REAPER):
                return f"{self._reaper} gave no word within {REAPER:g} s that it watches over this run: it may be dead"
            self.session.clock.sleep(0.05)
        return f"{word.by} could not put everything back: it may not {', '.join(word.lacking)}" if word.lacking else ""

    def _ask_reaper(self, verb: str, *, timeout: float, **data: Json) -> Json:
        assert self.session.place is not None
        asked = {"verb": verb, "namespace": self.session.place.environment.state_namespace, **data}
        return self.session.caller.kind("", "reaper", asked, timeout=timeout)

    def _refuse(self, reasons: Sequence[Refusal], *, blocked: str = "") -> NoReturn:
        """Writes the refusal into the game day, then raises it."""
        self._refusals = tuple(reasons)
        folder = self._folder or self.session.folder.new_run(self.experiment.title or self.test)
        wall = self.session.clock.wall_ns()
        record = Record(
            run=self.id,
            title=self.experiment.title,
            slug=folder.path.name,
            plan=self.plan,
            refusals=tuple(reasons),
            blocked_by=blocked,
            wall=wall,
            versions=versions(),
        )
        folder.write_record(record)
        folder.write_line(self._line(record, folder))
        raise Refused(
            self.experiment.title or self.test,
            [(one.slug, one.sentence + (f"\n      hint: {one.hint}" if one.hint else "")) for one in reasons],
        )

    def _line(self, record: Record, folder: RunFolder) -> RunLine:
        return but(run_line(record, folder.name, self.test), series=self.series)

    # -- call -----------------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """
        Breaks what the experiment says, puts it back, and judges. Once a test.

        Raises Deviated or Inconclusive with the verdict's own words; the outcome is in ``chaos.outcome`` all the same.
        """
        if self._ran:
            raise UsageError("chaos.run() was called twice: one experiment a test")
        if self.plan is None or self._folder is None:
            raise UsageError("chaos.run() outside its test", hint="take the fixture `chaos` and declare @cf.experiment(…)")
        self._ran = True
        self._execute(self.plan, self._folder)
        self.outcome = Outcome(self._judged(final=False))
        judgement = self.outcome.judgement
        if judgement.verdict is Verdict.deviated:
            raise Deviated(judgement.sentence)
        if judgement.verdict is Verdict.inconclusive:
            raise Inconclusive(judgement.sentence)
        return self.outcome

    def _execute(self, plan: Plan, folder: RunFolder) -> None:
        clock = self.session.clock
        assert self.session.ledger is not None
        assert self._lock is not None
        self._journal = folder.open_journal()
        opened = e.RunOpened(
            at=clock.monotonic_ns(),
            schema=SCHEMA,
            run=self.id,
            plan=plan,
            wall=clock.wall_ns(),
            boottime=clock.boottime_ns(),
            boot_id=boot_id(),
            versions=versions(),
            settings=dict(settings_as_json(self.session.settings)),
            suppressed=self._suppressed,
        )
        loop = Loop(
            Machine(plan),
            Tools(
                clock=clock,
                journal=self._journal,
                ledger=self.session.ledger,
                lock=self._lock,
                writer=self.session.writer,
                reader=self.session.reader,
                healer=self.session.healer,
                exposure=self._exposure,
                load=self._load_driver(),
                endpoint=self._load_endpoint(),
                window=_window(plan.experiment.load),
                out=folder.path,
                watchers=self.watchers,
                started=self._load_started,
                sees=bool(plan.environment.kubeconfig),
                cord=self._lock.cord,
                beat=self.session.beat,
            ),
        )
        for event in (opened, e.PhaseBegan(at=clock.monotonic_ns(), phase=Phase.preflight)):
            self._journal.write(event, sync=True)
            for watcher in self.watchers:
                watcher.saw(event)
        if self.controls:
            self._journal.write(self._controlled(plan, folder))

        def stop(reason: str) -> None:
            self.interrupted = reason
            loop.stop(reason)

        silence = self.session.listen(stop)
        self.on_loop(loop)
        try:
            loop.run()
        finally:
            silence()
        if self.interrupted:
            raise KeyboardInterrupt(f"{self.interrupted}: the run was stopped and put back")

    def _controlled(self, plan: Plan, folder: RunFolder) -> e.Controlled:
        """Before anything is touched. It asks the system, and a server of ours in its place."""
        made = Controls(
            plan.experiment,
            driver=self._load_driver(),
            endpoint=self._load_endpoint(),
            out=folder.path,
            caller=self.session.caller,
            clock=self.session.clock,
        )
        self.session.say("controls: load and probes with nothing broken, then at a server that refuses everything")
        return e.Controlled(at=self.session.clock.monotonic_ns(), quiet=made.quiet(), loud=made.loud())

    def _load_started(self, run: object) -> None:
        pid = getattr(getattr(run, "generator", None), "pid", 0)
        if pid:
            self._load_groups = [pid]
            script = self.experiment.load.script if self.experiment.load is not None else None
            if script is None or not script.pods:  # a healer must not kill the one who takes the pods away when we are gone
                self.session.record_writers((pid, ""))

    def _load_driver(self) -> LoadDriver | None:
        load = self.experiment.load
        settings = self.session.settings
        if load is None:
            return None
        kubeconfig = self.session.place.environment.kubeconfig if self.session.place is not None else ""
        return load_driver(load.driver, root=settings.rootdir, k6=settings.k6, kubeconfig=kubeconfig)

    def _unfit_load(self, seconds: float) -> list[Refusal]:
        """What its generator says of the load before anything is touched."""
        load, driver, endpoint = self.experiment.load, self._load_driver(), self._load_endpoint()
        assert load is not None and driver is not None and endpoint is not None
        said = driver.check(load, at=endpoint, seconds=seconds, claims=bool(shares_claimed(self.experiment)))
        return [Refusal(slug="load", sentence=sentence, hint=hint) for sentence, hint in said]

    def _load_endpoint(self) -> Endpoint | None:
        assert self.session.place is not None
        return self.session.place.endpoint(self.experiment.load.endpoint) if self.experiment.load is not None else None

    def _exposure(self, since: int) -> Reached:
        """Who served, where the environment counts it, and which of the planned endpoints stood ready all the time since."""
        assert self.session.place is not None
        served = dict(self.session.place.exposure(since))
        how = "data plane" if served else "marker"
        if served or not self._ready:
            return Reached(served=served, how=how)
        try:
            ready, passing = stood(self._ready, self._serving())
        except ChaosfwError:
            return Reached(served=served, how=how)  # not seen: nothing is inferred then
        return Reached(served=served, how=how, ready=ready, passing=passing)

    # -- teardown -------------------------------------------------------------------------------------------------------

    def conclude(self, *, how: str, message: str = "") -> Record | None:
        """
        Hears how the test's body ended, audits, seals, judges for good, and lets the lock go. ``how``: ``passed``,
        ``failed``, ``error`` or ``never-ran``. None when there was nothing to run (refused, or only planned).
        """
        if self._concluded or self._folder is None or self.plan is None:
            self._release()
            return None
        self._concluded = True
        try:
            return self._conclude(how, message)
        finally:
            self._release()

    def _conclude(self, how: str, message: str) -> Record:
        assert self._folder is not None
        clock = self.session.clock
        if self._journal is None:
            return self._never_ran(message)
        journal = self._journal
        journal.write(e.BodyEnded(at=clock.monotonic_ns(), how=how, message=message[:2000]))
        if server := self.session.settings.chosen().prometheus:
            events, _ = read_journal(self._folder.journal)
            journal.write(monitored(events, server=server, caller=self.session.caller, clock=clock))
        journal.write(e.PhaseBegan(at=clock.monotonic_ns(), phase=Phase.audit))
        journal.write(self._audited())
        journal.seal(clock.monotonic_ns())
        journal.close()
        record = self._judged(final=True)
        self._folder.write_record(record)
        self._folder.write_line(self._line(record, self._folder))
        self._block_others(record)
        if record.judgement.safety is Safety.clean:
            self._forget()
        return record

    def _forget(self) -> None:
        """Nothing is open and nothing is left: what was kept for a healer goes."""
        assert self.session.ledger is not None and self.plan is not None
        if self._published:
            asked = {"run": self.id, "namespace": self.plan.environment.state_namespace}
            try:
                self.session.healer().kind("", "withdraw", asked, timeout=LOOK)
            except ChaosfwError as trouble:
                self.session.say(f"the published undo records of {self.id} are still there: {trouble.message}")
        self.session.ledger.forget(self.id)

    def _never_ran(self, message: str) -> Record:
        """The body never called ``chaos.run()``: nothing was changed, nothing is proven."""
        assert self._folder is not None
        assert self.session.ledger is not None
        record = Record(
            run=self.id,
            title=self.experiment.title,
            slug=self._folder.path.name,
            plan=self.plan,
            wall=self.session.clock.wall_ns(),
            versions=versions(),
            body_message=message,
            audited=True,
            residue=(),
        )
        record = judged(record, final=True)
        self._folder.write_record(record)
        self._folder.write_line(self._line(record, self._folder))
        self._forget()
        return record

    def _audited(self) -> e.Audited:
        assert self.session.ledger is not None
        assert self.plan is not None
        clock = self.session.clock
        began = clock.monotonic_ns()
        try:
            after = self.session.healer().kind("", "snapshot", to_json(self.plan.environment), timeout=LOOK)
            before = self.session.ledger.world_before(self.id)
            mine = [record for record in self.session.ledger.records() if record.undo.run == self.id]
        except ChaosfwError as trouble:
            return e.Audited(at=clock.monotonic_ns(), residue=None, foreign=(f"the audit could not look: {trouble.message}",))
        if before is None:
            return e.Audited(at=clock.monotonic_ns(), residue=None, foreign=("the snapshot from before the run is missing",))
        residue, foreign = audit.compare(before, after, mine)
        alive = tuple(f"process {pid} of the load still runs" for pid in self._load_groups if fence.start_time(pid))
        took = (clock.monotonic_ns() - began) / 1e9
        return e.Audited(at=clock.monotonic_ns(), residue=residue + alive, foreign=foreign, took=took)

    def _judged(self, *, final: bool) -> Record:
        assert self._folder is not None
        events, sealed = read_journal(self._folder.journal)
        record = judged(fold(events, self._folder.samples, sealed=sealed), final=final)
        return but(record, slug=self._folder.path.name)

    def _block_others(self, record: Record) -> None:
        """After residue or without recovery, the rest of this environment's experiments would measure our own damage."""
        unhealed = any(one.state != "closed" for one in record.undo)
        if record.judgement.safety is not Safety.clean or unhealed:
            self.session.blocked_by = f"{self.test}: {record.judgement.safety_sentence or 'not put back'}"
        elif any(finding.slug == "recovered" and finding.truth == "false" for finding in record.judgement.findings):
            self.session.blocked_by = f"{self.test}: the system did not recover"

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def with_defaults(experiment: Experiment, defaults: object) -> Experiment:
    """The experiment with the settings' defaults where its author wrote nothing."""
    given = defaults if isinstance(defaults, dict) else dict(defaults)  # type: ignore[call-overload]
    changes = {name: duration(value, what=name) for name, value in given.items() if name in experiment.defaults}
    return but(experiment, **changes) if changes else experiment


def located(experiment: Experiment, url: Callable[[str, str], str]) -> Experiment:
    """The experiment with ``{"$endpoint": name, "path": p}`` replaced wherever it stands."""

    def json(value: Json) -> Json:
        if isinstance(value, dict):
            if "$endpoint" in value:
                return url(str(value["$endpoint"]), str(value.get("path", "")))
            return {key: json(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [json(one) for one in value]
        return value

    def change(activity: Activity) -> Activity:
        provider = activity.provider
        if isinstance(provider, HttpProvider):
            return but(activity, provider=but(provider, url=json(provider.url)))
        if isinstance(provider, PythonProvider | ProcessProvider):
            return but(activity, provider=but(provider, arguments=json(provider.arguments)))
        return activity

    return everywhere(experiment, change)


def _ordered(bound: Sequence[Bound]) -> tuple[Bound, ...]:
    """Undo records numbered over the whole plan, so that the newest is put back first."""
    number = 0
    made: list[Bound] = []
    for one in bound:
        undos = []
        for undo in one.undo:
            undos.append(but(undo, order=number))
            number += 1
        made.append(but(one, undo=tuple(undos)))
    return tuple(made)


def _window(load: Load | None) -> Callable[[LoadRun], LoadWindow] | None:
    return (lambda run: SampleWindow(run, load)) if load is not None else None
