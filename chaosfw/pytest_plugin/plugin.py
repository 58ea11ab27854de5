"""
Entry point of the pytest plugin: options, fixtures, collection of Chaos Toolkit files.

Imported by every pytest run of everybody who has chaosfw installed, so it imports pytest and the standard library only. The
rest is in ``day``, which is imported when the first chaos experiment is collected or asked for.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

SUFFIXES = (".json", ".yaml", ".yml")
FOLDER = "experiments"
"""Name of the folder whose Chaos Toolkit files are items."""

item_key = pytest.StashKey[Any]()
"""The ``Chaos`` of an item."""
body_key = pytest.StashKey[tuple[str, str]]()
"""How an item's body ended: ``passed``, ``failed`` or ``error``, and its words."""
day_key = pytest.StashKey[Any]()
"""The ``Day`` of a session."""
worker_exit_key = pytest.StashKey[int]()
"""Of an xdist controller: the largest exit code of game days that its workers held on their own."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaosfw", "chaos engineering")
    group.addoption("--chaos-plan", action="store_true", help="show what each experiment would do to whom, and do nothing")
    approved = "run only what was approved: the digest of a plan or an intent; repeatable"
    group.addoption("--chaos-approved", action="append", metavar="DIGEST", help=approved)
    group.addoption("--chaos-replay", metavar="RUN", help="hit the same targets again: the folder of a run or of a game day")
    group.addoption("--chaos-heal-first", action="store_true", help="put back what an earlier run left, instead of refusing to start")
    repeat = "run each experiment so often, each time with its own choice of victims; the report says how many of how many held"
    group.addoption("--chaos-repeat", type=int, default=1, metavar="N", help=repeat)
    controls = "before each experiment, see what its load and probes say with nothing broken, and of a server that refuses everything"
    group.addoption("--chaos-controls", action="store_true", help=controls)
    group.addoption("--chaos-seed", type=int, metavar="N", help="repeat the choice of victims of an earlier game day")
    group.addoption("--chaos-environment", metavar="NAME", help="the declared environment to use")
    group.addoption("--chaos-reports", metavar="DIR", help="where game days are written (default: reports)")
    group.addoption(
        "--chaos-limit", action="append", metavar="NAME=VALUE", help="narrow a limit: pods, nodes, zones, budget or protect; repeatable"
    )
    group.addoption("--chaos-lock-timeout", metavar="DURATION", help="how long to wait for an environment that is in use")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chaos: a chaos experiment; set by @cf.experiment, and carries its faults as keywords")
    config.addinivalue_line(
        "markers", "sandbox(nodes, zones, profile, control_plane, manifests, images): what the fixture `sandbox` is to be"
    )
    if config.option.chaos_repeat < 1:
        raise pytest.UsageError(f"--chaos-repeat is {config.option.chaos_repeat}: at least 1 was expected")
    if _is_controller_of_experiments(config):
        day_of(config)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A Chaos Toolkit file in a folder named ``experiments`` is an item."""
    if file_path.suffix not in SUFFIXES or FOLDER not in file_path.parts:
        return None
    files = import_module("chaosfw.pytest_plugin.files")
    return files.collected(file_path, parent)  # type: ignore[no-any-return]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``chaos_zone``: one test for each declared zone."""
    if "chaos_zone" in metafunc.fixturenames:
        try:
            zones = day_of(metafunc.config).zones()
        except pytest.UsageError:
            zones = ()  # told once all is collected, and without the way here
        metafunc.parametrize("chaos_zone", zones)
    often = metafunc.config.option.chaos_repeat
    if often > 1 and "chaos" in metafunc.fixturenames:
        metafunc.fixturenames.append("chaos_repeat")
        metafunc.parametrize("chaos_repeat", range(often), ids=[run_name(number) for number in range(often)], indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the experiments, with their faults as keywords for ``-k``."""
    declared = [item for item in items if _declaration(item) is not None or hasattr(item, "chaos_experiment")]
    if declared:
        day_of(config).collected(declared)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Remembers how a body ended; verdicts are told in their own words instead of a traceback."""
    outcome = yield
    if item.stash.get(item_key, None) is not None or (call.when == "setup" and _is_experiment(item)):
        day_of(item.config).reported(item, call, outcome.get_result())


def pytest_report_teststatus(report: Any) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    if getattr(report, "chaos_verdict", "") == "inconclusive" and report.failed:
        return "failed" if report.when == "call" else "error", "I", ("INCONCLUSIVE", {"yellow": True})
    if getattr(report, "chaos_verdict", "") == "refused" and report.failed:
        return "error", "R", ("REFUSED", {"red": True})
    return None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Ends the game day: report, exit code, everything down."""
    day = session.config.stash.get(day_key, None)
    if day is not None:
        day.finish(session, int(exitstatus))
    elif exitstatus in (0, 5) and (told := session.config.stash.get(worker_exit_key, 0)):
        session.exitstatus = told


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    day = config.stash.get(day_key, None)
    if day is not None:
        day.summarise(terminalreporter)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: workers write into the controller's game day, with its seed. A run without experiments is left alone."""
    day = node.config.stash.get(day_key, None)
    if day is None:
        return
    node.workerinput["chaosfw_folder"] = str(day.folder.path)
    node.workerinput["chaosfw_seed"] = day.seed


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """xdist: a worker whose experiments the controller did not foresee tells its exit code, which outranks a green one."""
    told = int((getattr(node, "workeroutput", None) or {}).get("chaosfw_exit", 0))
    node.config.stash[worker_exit_key] = max(told, node.config.stash.get(worker_exit_key, 0))


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The experiment of this test: its targets are found and its guards asked now; ``chaos.run()`` executes it."""
    yield from day_of(request.config).experiment(request.node)


@pytest.fixture
def chaos_repeat(request: pytest.FixtureRequest) -> int:
    """Which repetition of its experiment this test is, from 0; asked for by nobody but ``--chaos-repeat``."""
    return int(getattr(request, "param", 0))


@pytest.fixture
def sandbox(request: pytest.FixtureRequest, start_sandbox: Any) -> Iterator[Any]:
    """A local Kubernetes of this test's own, gone after it. ``@pytest.mark.sandbox(nodes=5, manifests="deploy")`` says what it is to be."""
    mark = request.node.get_closest_marker("sandbox")
    if mark is not None and mark.args:
        raise pytest.UsageError("@pytest.mark.sandbox takes names only, as in @pytest.mark.sandbox(nodes=5)")
    with start_sandbox(**(mark.kwargs if mark is not None else {})) as started:
        yield started


@pytest.fixture(scope="session")
def start_sandbox(request: pytest.FixtureRequest) -> Iterator[Any]:
    """``start_sandbox(nodes=5)`` starts one more; whatever is still up at the end of the session is stopped then."""
    started: list[Any] = []

    def start(**options: Any) -> Any:
        alone, errors = import_module("chaosfw.assembly.alone"), import_module("chaosfw.errors")
        try:
            started.append(alone.start(options, at=request.config.rootpath))
        except errors.UsageError as trouble:
            raise pytest.UsageError(f"{trouble.message}; {trouble.hint}") from None
        return started[-1]

    yield start
    for one in started:
        one.close()


def run_name(number: int) -> str:
    """What a repetition is called in a test's id."""
    return f"run-{number + 1}"


def day_of(config: pytest.Config) -> Any:
    """The game day of this session, made when it is first asked for."""
    if day_key not in config.stash:
        config.stash[day_key] = import_module("chaosfw.pytest_plugin.day").Day(config)
    return config.stash[day_key]


def _declaration(item: pytest.Item) -> Any:
    return getattr(getattr(item, "obj", None), "__chaosfw_experiment__", None)


def _is_experiment(item: pytest.Item) -> bool:
    return _declaration(item) is not None or hasattr(item, "chaos_experiment") or "chaos" in getattr(item, "fixturenames", ())


def _is_controller_of_experiments(config: pytest.Config) -> bool:
    """An xdist controller collects nothing itself, but owns the folder; it is one when its arguments name a folder of experiments."""
    distributed = bool(getattr(config.option, "numprocesses", None)) and not hasattr(config, "workerinput")
    return distributed and any(FOLDER in Path(str(argument).partition("::")[0]).resolve().parts for argument in config.args)
