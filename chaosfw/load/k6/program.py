"""
The k6 binary: where it is, which version, with which flags, what a script declares, and what its exit codes mean.

Used by the driver in the pytest process, and by the collector for the exit code. It starts k6 only to ask it something.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from chaosfw.errors import DriverError, UsageError
from chaosfw.load.k6.rows import OUTPUT

ASK = 20.0
"""Seconds for a version or an inspection."""

TAGS = ("status", "error_code", "error", "check", "vu")
"""System tags that the collector reads. Those that a script's thresholds name come on top; each other would be bytes for every point."""

GOGC = "400"
"""Percent that k6's memory may grow between two collections; Go's own is 100."""
ROOMY = 100
"""VUs, of some MB each: of more, memory could become what the machine has least of."""

CSV = {"K6_NO_USAGE_REPORT": "true", "K6_CSV_TIME_FORMAT": "unix_nano", "K6_CSV_SAVE_INTERVAL": "100ms"}
"""Variables of every k6 whose points we read."""

HOW_TO_GET = "https://grafana.com/docs/k6/latest/set-up/install-k6/, or k6 = 'path/to/k6' in [tool.chaosfw], or CHAOSFW_K6"

EXITS = {
    0: "the script came to its end",
    97: "its cloud run failed",
    98: "its cloud did not tell its progress",
    99: "a threshold was crossed (exit code 99)",
    100: "setup() took too long",
    101: "teardown() took too long",
    102: "it took too long",
    103: "it was stopped over its REST API",
    104: "the script's options are not valid",
    105: "it was told to stop by a signal",
    106: "its REST API could not start",
    107: "the script raised an exception (exit code 107)",
    108: "the script called test.abort() (exit code 108)",
    109: "k6 itself broke down (exit code 109)",
    110: "the script marked the test as failed (exit code 110)",
}
"""Why k6 ended (errext/exitcodes/codes.go of k6 2.0)."""

ARRIVALS = ("constant-arrival-rate", "ramping-arrival-rate")
"""Executors that start iterations on a schedule, whether or not earlier ones are through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a script says of itself. ``seconds`` 0: it says not how long. ``rate``: most arrivals a second, of all scenarios."""

    executors: tuple[str, ...] = ()
    seconds: float = 0.0
    rate: float = 0.0
    vus: int = 0
    """VUs that are there before they are needed, of the scenarios with arrivals."""
    tags: tuple[str, ...] = ()
    """Named in its thresholds: ``http_req_duration{name:front}``."""
    thresholds: bool = False
    """It has some, or they may come from k6's own settings on this machine."""
    only_vus: bool = field(default=False)
    """It declares ``vus`` or nothing: whoever runs it may say how many, and for how long."""

    @property
    def open(self) -> bool:
        return bool(self.executors) and all(one in ARRIVALS for one in self.executors)


def find(wanted: str) -> str:
    """The binary: as set, or on PATH. Raises UsageError that says how to get one."""
    found = shutil.which(wanted or "k6")
    if found is None:
        raise UsageError(
            f"the load asks for k6, and {wanted!r} is no program" if wanted else "the load asks for k6, which is not on PATH",
            hint=HOW_TO_GET,
        )
    return found


@cache
def version(binary: str) -> tuple[int, int, int]:
    """Of ``k6 version``. Raises DriverError for something that is no k6, UsageError for one before 1.0."""
    told = _versions(binary)
    match = re.search(r"\bv(\d+)\.(\d+)\.(\d+)", told)
    if match is None:
        raise DriverError(f"{binary} is no k6: it says {told.strip()[:100]!r}", hint=HOW_TO_GET)
    major, minor, patch = (int(one) for one in match.groups())
    if major < 1:
        raise UsageError(f"{binary} is k6 {major}.{minor}.{patch}, 1.0 or later was expected", hint=HOW_TO_GET)
    return major, minor, patch


def compact(binary: str) -> bool:
    """Whether it has our output in it, of the version that we read (``chaosfw build-k6``)."""
    return re.search(rf"\b{OUTPUT} \[output\]", _versions(binary)) is not None


@cache
def _versions(binary: str) -> str:
    return _ask([binary, "version"])


def declared(binary: str, file: str, *, env: Mapping[str, str]) -> Declared:
    """What ``k6 inspect`` says. Raises DriverError with k6's own words when the script can not be read."""
    told = _ask([binary, "inspect", *flags(env), file])
    options: dict[str, Any] = json.loads(told[told.index("{") :])
    scenarios: dict[str, Any] = options.get("scenarios") or {}
    tags = tuple(sorted({tag for name in options.get("thresholds") or () for tag in re.findall(r"[{,]\s*(\w+)\s*:", name)}))
    thresholds = bool(options.get("thresholds")) or _may_have_more(env)
    if not scenarios:
        return replace(_plain(options), tags=tags, thresholds=thresholds)
    arrivals = [one for one in scenarios.values() if one.get("executor") in ARRIVALS]
    return Declared(
        tags=tags,
        thresholds=thresholds,
        executors=tuple(str(one.get("executor")) for one in scenarios.values()),
        seconds=max(_lasts(one) for one in scenarios.values()),
        rate=sum(_rate(one) for one in arrivals),
        vus=sum(int(one.get("preAllocatedVUs") or 0) for one in arrivals),
    )


def command(
    binary: str,
    file: str,
    *,
    stream: str,
    env: Mapping[str, str],
    vus: int = 0,
    seconds: float = 0.0,
    tags: Sequence[str] = TAGS,
    thresholds: bool = True,
) -> list[str]:
    """
    ``k6 run``, without usage reports, summary, REST API and colours; points go to ``stream``, by our output if it has that. Where there
    are no ``thresholds``, k6 is told not to look for any: it would sum every metric of every request up, and keep each duration in memory,
    for nobody.
    """
    silent = "--summary-mode=disabled" if version(binary) >= (1, 3, 0) else "--no-summary"
    found = [binary, "run", "--quiet", "--no-usage-report", "--no-color", "--address", "", silent, "--log-output=stderr"]
    found += ["--system-tags", ",".join(tags), "--out", f"{OUTPUT if compact(binary) else 'csv'}={stream}", *flags(env)]
    found += ["--vus", str(vus), "--duration", f"{seconds:.0f}s"] if vus else []
    found += [] if thresholds else ["--no-thresholds"]
    return [*found, file]


def arguments(*, env: Mapping[str, str], vus: int, seconds: float, tags: Sequence[str]) -> list[str]:
    """
    Of ``k6 run`` in a pod of k6-operator, whose points go to the log, and k6's own summary after them. The operator parts them at spaces:
    a variable with one in it is in the pod's environment only.
    """
    found = ["--out", "csv=-", "--no-color", "--system-tags", ",".join(tags)]
    found += flags({name: value for name, value in env.items() if value and not re.search(r"\s", value)})
    return [*found, "--vus", str(vus), "--duration", f"{seconds:.0f}s"] if vus else found


def surroundings(given: Mapping[str, str], *, vus: int = 0) -> dict[str, str]:
    """
    The environment of k6: nothing is reported and nothing downloaded. Writing each request down makes garbage, so with at most
    ``ROOMY`` ``vus`` k6 collects it less often, unless GOGC is set already.
    """
    told = {"K6_AUTO_EXTENSION_RESOLUTION": "false", "K6_BINARY_PROVISIONING": "false"}
    room = {"GOGC": GOGC} if 0 < vus <= ROOMY else {}
    return {**room, **given, **told, **CSV}


def flags(env: Mapping[str, str]) -> list[str]:
    return [word for name, value in env.items() for word in ("-e", f"{name}={value}")]


def ending(code: int) -> str:
    """Why k6 ended, in words."""
    if code < 0:
        return f"k6 was killed by signal {-code}"
    return f"k6: {EXITS.get(code, f'exit code {code}')}"


def _may_have_more(env: Mapping[str, str]) -> bool:
    """Thresholds that ``k6 inspect`` does not tell of: from a variable, or a settings file, which k6 looks for in the user's folder."""
    known = {**os.environ, **env}
    folder = Path(known.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    folders = (folder, Path.home() / "Library" / "Application Support")
    places = [one / inner / "config.json" for one in folders for inner in ("k6", "loadimpact/k6")]
    return "K6_THRESHOLDS" in known or "K6_CONFIG" in known or any(one.exists() for one in places)


def _plain(options: Mapping[str, Any]) -> Declared:
    """vus, duration, iterations and stages, the short forms."""
    if options.get("stages"):
        return Declared(executors=("ramping-vus",), seconds=_lasts(options))
    if options.get("iterations"):
        return Declared(executors=("shared-iterations",))
    if options.get("duration"):
        return Declared(executors=("constant-vus",), seconds=_lasts(options), only_vus=True)
    return Declared(executors=("constant-vus",), only_vus=True)


def _lasts(scenario: Mapping[str, Any]) -> float:
    """Seconds until it ends, without the grace that the last iterations get; 0 where a number of iterations ends it."""
    stages = sum(_length(one.get("duration")) for one in scenario.get("stages") or ())
    length = stages or _length(scenario.get("duration"))
    return _length(scenario.get("startTime")) + length if length else 0.0


def _rate(scenario: Mapping[str, Any]) -> float:
    """Most arrivals a second."""
    unit = _length(scenario.get("timeUnit")) or 1.0
    targets = [scenario.get("rate"), scenario.get("startRate"), *[one.get("target") for one in scenario.get("stages") or ()]]
    return max((float(one) for one in targets if one), default=0.0) / unit


def _length(text: Any) -> float:
    """Seconds of a Go duration: ``1m30s``."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(amount) * units[unit] for amount, unit in re.findall(r"([\d.]+)(h|ms|m|s)", str(text or "")))


def _ask(words: Sequence[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, timeout=ASK, env=surroundings(os.environ), check=False)
    except (OSError, subprocess.TimeoutExpired) as trouble:
        raise DriverError(f"{words[0]} {words[1]}: {trouble}", hint=HOW_TO_GET) from trouble
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        match = re.search(r'msg="((?:[^"\\]|\\.)*)"', said)
        raise DriverError(f"k6 can not read {Path(words[-1]).name}: {match.group(1) if match else said[-500:]}")
    return done.stdout.decode(errors="replace")
