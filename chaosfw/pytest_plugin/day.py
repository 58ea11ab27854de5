"""
One pytest session as a game day: its folder, its seed, its session, and what pytest is told about verdicts.

Called by ``plugin`` only. Thin: what an experiment does is in ``assembly``, what is judged in ``analysis``.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from chaosfw.assembly.chaos import Chaos, Deviated, Inconclusive, ResidueLeft
from chaosfw.assembly.environments import command_words
from chaosfw.assembly.loads import not_here
from chaosfw.assembly.publishing import publish, report_paths
from chaosfw.assembly.session import Session, new_seed, settings_as_json, versions
from chaosfw.authoring.experiments import ATTRIBUTE, Experiment, at
from chaosfw.errors import ChaosfwError, Refused, UsageError
from chaosfw.model.experiment import Experiment as ExperimentNoun
from chaosfw.model.plan import Plan
from chaosfw.model.record import GameDay, Record, RunLine
from chaosfw.model.verdict import Safety, Verdict
from chaosfw.pytest_plugin.plugin import body_key, item_key, run_name
from chaosfw.pytest_plugin.progress import Progress
from chaosfw.reporting import terminal
from chaosfw.safety.fence import start_time
from chaosfw.settings import load
from chaosfw.store.folder import GameDayFolder, Owner, runs_in
from chaosfw.timing import SYSTEM

RESIDUE, REFUSED, INCONCLUSIVE = 12, 11, 10
"""Exit codes of our own (docs/reference/exit-codes.md)."""


class Day:
    """The game day of one pytest process; under xdist the workers share the controller's folder."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        option = config.option
        flags = {
            "environment": option.chaos_environment,
            "reports": option.chaos_reports,
            "seed": option.chaos_seed,
            "lock_timeout": option.chaos_lock_timeout,
            "limits": option.chaos_limit,
        }
        try:
            self.settings = load(Path(config.rootpath), variables=os.environ, flags=flags)
            self.settings.chosen()
        except ChaosfwError as trouble:
            raise pytest.UsageError(str(trouble)) from trouble
        given = getattr(config, "workerinput", {})
        self.is_worker = "chaosfw_folder" in given
        """Whether the game day is another process's, which ends it."""
        self.started = SYSTEM.wall_ns()
        self.seed: int = given.get("chaosfw_seed") or self.settings.seed or new_seed()
        self._folder = GameDayFolder.open(Path(given["chaosfw_folder"])) if "chaosfw_folder" in given else None
        self.only_plan: bool = option.chaos_plan
        self.replay = _plans(option.chaos_replay) if option.chaos_replay else {}
        self._session: Session | None = None
        self._control_plane = ""
        """Of the sandbox that was used; one that was joined need not be what the settings say."""
        self._declared = 0
        self._plans: list[str] = []
        self._exit: int | None = None

    @property
    def folder(self) -> GameDayFolder:
        """Made when the first experiment needs it: a collection that finds none leaves nothing."""
        if self._folder is None:
            self._folder = GameDayFolder.create(self.settings.reports, wall_ns=self.started)
            self._folder.write(self._day(()))  # for whoever has to end it when this process dies
            self._folder.claim(Owner(pid=os.getpid(), started=start_time(os.getpid())))
        return self._folder

    def zones(self) -> tuple[str, ...]:
        return tuple(self.settings.chosen().zones)

    def collected(self, items: list[pytest.Item]) -> None:
        """Keywords: the mark, the names of faults, services and the environment."""
        self._declared = len(items)
        for item in items:
            item.add_marker(pytest.mark.chaos)
            item.extra_keyword_matches.add(self.settings.environment)
            try:
                experiment = experiment_of(item)
            except ChaosfwError:
                continue  # told when the item runs
            for action in experiment.actions:
                item.extra_keyword_matches.update(action.provider.name.replace("_", ".").split("."))
            if experiment.load is not None:
                item.extra_keyword_matches.add(experiment.load.endpoint)

    # -- one experiment -------------------------------------------------------------------------------------------------

    def experiment(self, item: pytest.Item) -> Iterator[Chaos]:
        """The life of the fixture ``chaos``: prepare, hand over, conclude."""
        chaos = self.prepared(item)
        yield chaos
        self.concluded(item, chaos)

    def prepared(self, item: pytest.Item) -> Chaos:
        """Targets found, guards asked. Raises Refused, or skips when only the plan was wanted."""
        experiment = experiment_of(item)
        if self.replay and experiment.title not in self.replay:
            pytest.skip(f"not in what is replayed: {', '.join(map(repr, sorted(self.replay)))}")
        if why := not_here(experiment.load, k6=self.settings.k6):
            pytest.skip(f"{why}; it has not run")
        progress = Progress(self.config, title=item.name)
        repeat, series = _repeat(item)
        chaos = Chaos(
            self.session(),
            experiment,
            item.nodeid,
            watchers=(progress,),
            on_loop=progress.follow,
            series=series,
            repeat=repeat,
            controls=item.config.option.chaos_controls,
        )
        item.stash[item_key] = chaos
        try:
            chaos.prepare(only_plan=self.only_plan)
        finally:
            if self.only_plan and chaos.plan is not None:
                self._plans.append(chaos.preview())
        if self.only_plan:
            pytest.skip("only planned (--chaos-plan)")
        return chaos

    def concluded(self, item: pytest.Item, chaos: Chaos) -> None:
        """Audits and judges for good. Raises for residue, and for a verdict that the body swallowed."""
        how, words = item.stash.get(body_key, ("never-ran", ""))
        if chaos.interrupted:
            how, words = "error", f"stopped by {chaos.interrupted}"
        record = chaos.conclude(how=how, message=words)
        if record is None:
            return
        self._told(item, record)
        if chaos.interrupted:
            self._say(f"{item.name}: {record.judgement.safety_sentence}")
            return  # pytest is on its way out, with the exit code of the day
        judgement = record.judgement
        if judgement.safety is not Safety.clean:
            raise ResidueLeft(f"{judgement.safety.value}: {judgement.safety_sentence}", hint="chaosfw heal; chaosfw audit")
        if judgement.verdict is Verdict.held or _was_told(item):
            return
        raise (Deviated if judgement.verdict is Verdict.deviated else Inconclusive)(judgement.sentence)

    def session(self) -> Session:
        if self._session is None:
            option = self.config.option
            self._session = Session(
                settings=self.settings,
                folder=self.folder,
                seed=self.seed,
                approved=tuple(option.chaos_approved or ()),
                heal_first=option.chaos_heal_first and not self.only_plan,
                replay=self.replay,
                say=self._say,
            )
        return self._session

    def _told(self, item: pytest.Item, record: Record) -> None:
        """JUnit properties."""
        judgement = record.judgement
        item.user_properties += [
            ("chaos_verdict", judgement.verdict.value),
            ("chaos_safety", judgement.safety.value),
            ("chaos_sentence", judgement.sentence),
            ("chaos_run", record.slug),
        ]

    # -- pytest's reports -----------------------------------------------------------------------------------------------

    def reported(self, item: pytest.Item, call: pytest.CallInfo[None], report: Any) -> None:
        """Verdicts and refusals in their own words; remembers how the body ended."""
        trouble = call.excinfo.value if call.excinfo is not None else None
        if isinstance(trouble, Deviated | Inconclusive | Refused | ResidueLeft):
            _unhidden(report)
            verdict = {Inconclusive: "inconclusive", Refused: "refused", Deviated: "deviated"}.get(type(trouble), "residue")
            report.chaos_verdict = verdict
            chaos = item.stash.get(item_key, None)
            report.longrepr = _words(trouble, chaos)
        elif isinstance(trouble, ChaosfwError) and report.failed:
            report.longrepr = str(trouble)
        if call.when == "call":
            item.stash[body_key] = _body(trouble)
            item.stash[told_key] = report.failed

    def _say(self, sentence: str) -> None:
        """A sentence on the terminal, now: what pytest captures is read when it is too late, or never."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        capture = self.config.pluginmanager.get_plugin("capturemanager")
        if reporter is None:
            return
        with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
            reporter.ensure_newline()
            reporter.write_line(f"chaosfw: {sentence}")

    # -- the end --------------------------------------------------------------------------------------------------------

    def finish(self, session: pytest.Session, exitstatus: int) -> None:
        """Everything down, then the report, then the exit code."""
        if self._session is not None:
            if self._session.place is not None:
                self._control_plane = self._session.place.environment.control_plane
            self._session.close()
        if self.config.option.collectonly:
            return
        if self.is_worker or self._folder is None:
            if self._declared and not self.is_worker and not self.only_plan and exitstatus in (0, 5):
                self._exit = session.exitstatus = INCONCLUSIVE
            return
        lines = self.folder.collect()
        self._exit = session.exitstatus = exit_code(exitstatus, lines, only_plan=self.only_plan)
        if (told := getattr(self.config, "workeroutput", None)) is not None:
            told["chaosfw_exit"] = self._exit
        publish(self.folder, self._day(lines))
        self.folder.tidy()

    def _day(self, lines: tuple[RunLine, ...]) -> GameDay:
        chosen = self.settings.chosen()
        return GameDay(
            name=self.folder.name,
            started=self.started,
            ended=SYSTEM.wall_ns(),
            environment=chosen.name,
            environment_kind=chosen.kind,
            profile=chosen.profile if chosen.kind == "sandbox" else "",
            control_plane=self._control_plane,
            command=command_words(["pytest", *self.config.invocation_params.args, *self._seed_flag()]),
            seed=self.seed,
            versions=versions(),
            settings=dict(settings_as_json(self.settings)),
            runs=lines,
            exit_code=self._exit,
        )

    def _seed_flag(self) -> list[str]:
        """What makes the same command choose the same victims again."""
        return [] if self.config.option.chaos_seed is not None else ["--chaos-seed", str(self.seed)]

    def summarise(self, reporter: Any) -> None:
        """The game day in a few lines at pytest's end."""
        for plan in self._plans:
            reporter.write_line(plan)
        for note in () if self.is_worker else self.settings.notes:
            reporter.write_line(f"chaosfw: warning: {note}", yellow=True)
        if self.is_worker or self._folder is None or self.only_plan:
            return
        reporter.section("chaos game day")
        for line in terminal.lines(self._day(self.folder.collect())):
            reporter.write_line(line)
        reporter.write_line(f"report: {os.path.relpath(report_paths(self.folder.path)[0])}   seed: {self.seed}")


def _repeat(item: pytest.Item) -> tuple[int, str]:
    """Which repetition an item is, and the name that all of them have without it; empty where it is the only one."""
    if item.config.option.chaos_repeat < 2:
        return 0, ""
    callspec = getattr(item, "callspec", None)
    number = callspec.params.get("chaos_repeat", 0) if callspec is not None else getattr(item, "chaos_repeat", 0)
    head, bracket, inside = item.nodeid.rpartition("[")
    kept = "-".join(part for part in inside.removesuffix("]").replace(run_name(number), "", 1).split("-") if part)
    return number, head + (f"[{kept}]" if kept else "") if bracket else item.nodeid


def _plans(given: str) -> dict[str, Plan]:
    """The plans of a run or of a whole game day, by title. Raises pytest.UsageError in words."""
    try:
        found = [run.read_plan() for run in runs_in(Path(given))]
    except ChaosfwError as trouble:
        raise pytest.UsageError(f"--chaos-replay: {trouble}") from trouble
    return {plan.experiment.title: plan for plan in found}


def exit_code(status: int, lines: tuple[RunLine, ...], *, only_plan: bool) -> int:
    """The first that applies: pytest's own 3 and 4 · 12 residue · 2 · 1 · 11 refused or blocked · 10 inconclusive or nothing run · 0."""
    verdicts = {line.verdict for line in lines}
    ran = [line for line in lines if line.verdict in ("held", "deviated", "inconclusive")]
    if status in (3, 4):
        return status
    if any(line.safety != "clean" for line in ran):
        return RESIDUE
    if status == 2:
        return 2
    if only_plan:
        return REFUSED if verdicts & {"refused", "blocked"} else 0
    if "deviated" in verdicts:
        return 1
    if verdicts & {"refused", "blocked"}:
        return REFUSED
    if "inconclusive" in verdicts or not ran:
        return INCONCLUSIVE
    return status


def experiment_of(item: pytest.Item) -> ExperimentNoun:
    """What a test declared, with its own parameters. Raises UsageError for a test without ``@cf.experiment``."""
    if (ready := getattr(item, "chaos_experiment", None)) is not None:
        return ready  # type: ignore[no-any-return]
    what = getattr(getattr(item, "obj", None), ATTRIBUTE, None)
    if what is None:
        raise UsageError(f"{item.nodeid} takes the fixture chaos without an experiment", hint="put @cf.experiment(…) above it")
    made = what if isinstance(what, Experiment) else _called(what, item)
    if not isinstance(made, Experiment):
        raise UsageError(f"{item.nodeid}: {what.__name__}() made {type(made).__name__}, an Experiment was expected")
    file, line, _ = item.location
    return at(made.noun, file=file, line=(line or 0) + 1, name=item.name)


def _called(what: Any, item: pytest.Item) -> Any:
    given = getattr(getattr(item, "callspec", None), "params", {})
    wanted = list(inspect.signature(what).parameters)
    missing = [name for name in wanted if name not in given]
    if missing:
        known = ", ".join(given) or "none"
        raise UsageError(
            f"{item.nodeid}: {what.__name__}() wants {missing[0]!r}, which is no parameter of the test", hint=f"parameters: {known}"
        )
    return what(**{name: given[name] for name in wanted})


def _body(trouble: BaseException | None) -> tuple[str, str]:
    if trouble is None or isinstance(trouble, Deviated | Inconclusive):
        return "passed", ""
    if isinstance(trouble, AssertionError):
        return "failed", str(trouble)
    return "error", f"{type(trouble).__name__}: {trouble}"


def _unhidden(report: Any) -> None:
    """A verdict that an xfail mark made a skip, in whichever phase, is a failure all the same, and says what was ignored."""
    if report.skipped and hasattr(report, "wasxfail"):
        report.outcome = "failed"
        del report.wasxfail
        report.sections.append(("chaosfw", "the xfail above it hides no verdict"))


def _was_told(item: pytest.Item) -> bool:
    """Whether the body failed in pytest's eyes. A body that swallowed its verdict did not, nor one whose assert an xfail mark hid."""
    return bool(item.stash.get(told_key, False))


told_key = pytest.StashKey[bool]()


def _words(trouble: BaseException, chaos: Chaos | None) -> str:
    lines = [str(trouble)]
    outcome = chaos.outcome if chaos is not None else None
    if outcome is not None and isinstance(trouble, Deviated | Inconclusive):
        judgement = outcome.judgement
        lines += [f"  ✗ {one.claim}: {one.reason or one.measured}" for one in judgement.findings if one.truth == "false"]
        lines += [f"  ? {one.claim}: {one.reason or one.measured}" for one in judgement.findings if one.truth == "undecided"]
        lines += [f"  - {one.reason}" for one in judgement.unmet]
        lines += [f"  would be: {one}" for one in judgement.would_be]
    return "\n".join(dict.fromkeys(lines))
