"""
Runs ``reports/samples/workspace`` in a temporary folder, one experiment and one embedded cluster at a time, and keeps page and
summary of each. Fails when a run did not end in the verdict that its sample is about: nothing is kept then.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from chaosfw.assembly.environments import sandbox_spec
from chaosfw.sandbox import public as sandbox
from chaosfw.settings import load

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "reports" / "samples"
LARGEST = 200_000
"""Bytes of one page."""


@dataclass(frozen=True)
class Sample:
    """What a sample must come to."""

    test: str
    verdict: str
    safety: str = "clean"


WANTED = {
    "held": Sample("test_held", "held"),
    "one-replica": Sample("test_one_replica", "deviated"),
    "undone-behind-our-back": Sample("test_undone_behind_our_back", "inconclusive"),
    "wrong-selector": Sample("test_wrong_selector", "refused", "unknown"),
    "revert-fails": Sample("test_revert_fails", "inconclusive", "residue"),
}


def main(names: list[str]) -> int:
    for name in names or list(WANTED):
        if name not in WANTED:
            print(f"unknown sample {name!r}; there are: {', '.join(WANTED)}")
            return 2
        with tempfile.TemporaryDirectory() as folder:
            workspace = Path(folder) / "workspace"
            shutil.copytree(SAMPLES / "workspace", workspace, ignore=shutil.ignore_patterns("__pycache__"))
            trouble = made(name, WANTED[name], workspace)
        if trouble:
            print(f"{name}: {trouble}")
            return 1
    return 0


def made(name: str, sample: Sample, workspace: Path) -> str:
    """Runs one; an empty string when it became what it should, else why not."""
    settings = load(workspace, variables={}, flags={})
    with sandbox.start(sandbox_spec(settings, settings.chosen()), timeout=60.0) as cluster:
        output = run(sample, workspace, cluster)
    found = workspace / "reports" / "latest"
    if not (found / "gameday.json").exists():
        return f"it left no game day:\n{output}"
    (line,) = json.loads((found / "gameday.json").read_text())["runs"]
    if (line["verdict"], line["safety"]) != (sample.verdict, sample.safety):
        return f"it came to {line['verdict']} and {line['safety']}, wanted was {sample.verdict} and {sample.safety}:\n{output}"
    return kept(name, found)


def run(sample: Sample, workspace: Path, cluster: sandbox.Sandbox) -> str:
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "CHAOSFW_"))}
    variables |= {"CHAOSFW_SANDBOX": str(cluster.directory), "PYTHONPATH": str(workspace), "KUBECONFIG_OF_MEDDLER": str(cluster.kubeconfig)}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "experiments/", "-k", sample.test, "--chaos-seed", "7"]
    done = subprocess.run(command, cwd=workspace, env=variables, capture_output=True, text=True, timeout=180, check=False)
    return done.stdout + done.stderr


def kept(name: str, found: Path) -> str:
    """Copies page and summary, unless they are too large or tell of this machine."""
    target = SAMPLES / name
    texts = {file: (found / file).read_text() for file in ("report.html", "summary.md")}
    for file, text in texts.items():
        if len(text.encode()) > LARGEST:
            return f"{file} has {len(text.encode()):,} bytes, at most {LARGEST:,} are allowed"
        if told := re.search(rf"{re.escape(tempfile.gettempdir())}/|{re.escape(str(ROOT))}|{re.escape(str(Path.home()))}/", text):
            return f"{file} tells of this machine: {text[told.start() - 60 : told.end() + 60]!r}"
    target.mkdir(exist_ok=True)
    for file, text in texts.items():
        (target / file).write_text(text)
    print(f"{name}: {target.relative_to(ROOT)}/report.html, {len(texts['report.html']):,} characters")
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
