"""
``chaosfw``: one function a command, each printing words for a person and returning an exit code for a script.

Exit codes: 0 done · 1 worse (``compare``) · 2 wrong usage · 3 could not be done · 11 refused · 12 something is still to be put back.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from chaosfw.cli import building, gamedays, putting_back, reaping, sandboxes
from chaosfw.errors import ChaosfwError, Refused, UsageError
from chaosfw.load.k6.build import VERSION
from chaosfw.quantities import share
from chaosfw.sandbox.spec import CONTROL_PLANES, MACHINE_STATES

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script."""
    given = parser().parse_args(_fenced(sys.argv[1:] if arguments is None else arguments))
    try:
        return int(given.run(given))
    except ChaosfwError as trouble:
        print(f"chaosfw: {trouble}", file=sys.stderr)
        return 11 if isinstance(trouble, Refused) else 2 if isinstance(trouble, UsageError) else 3
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _fenced(arguments: Sequence[str]) -> list[str]:
    """Everything after ``plan`` is pytest's, flags too: argparse needs to be told where its own end."""
    if arguments and arguments[0] == "plan" and arguments[1:2] not in (["-h"], ["--help"]):
        return ["plan", "--", *arguments[1:]]
    return list(arguments)


def parser() -> argparse.ArgumentParser:
    """All commands and their flags."""
    top = argparse.ArgumentParser(prog="chaosfw", description="chaos engineering as pytest; `pytest experiments/` runs the experiments")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _sandbox(commands.add_parser("sandbox", help="the embedded cluster: up, down, status, env"))
    plan = commands.add_parser("plan", help="what each experiment would do to whom, without doing it")
    plan.add_argument("pytest", nargs=argparse.REMAINDER, help="folders, files and flags for pytest (default: experiments/)")
    plan.set_defaults(run=gamedays.plan)
    _put_back(commands.add_parser("heal", help="put back what an earlier run left, from its ledger"), putting_back.heal)
    _put_back(commands.add_parser("audit", help="what is left of faults: open undo records, marks, cordons"), putting_back.audit)
    stop = commands.add_parser("halt", help="stop every run of an environment: it heals at once, and no new one starts")
    stop.add_argument("--reason", default="", help="why, for those who find it stopped")
    stop.add_argument("--lift", action="store_true", help="let runs start again")
    _put_back(stop, putting_back.stop)
    reap = commands.add_parser("reap", help="the healer that lives in a cluster (deploy/reaper/): puts back what dead runs published")
    reap.add_argument("--namespace", help="where runs publish: the environment's state_namespace (default: POD_NAMESPACE)")
    reap.add_argument("--kubeconfig", type=Path, help="credentials (default: those of this pod's service account)")
    reap.add_argument("--health", type=int, metavar="PORT", help="serve /healthz there")
    reap.set_defaults(run=reaping.reap)
    compare = commands.add_parser("compare", help="two runs, or two game days, beside each other: what differs by more than matters")
    compare.add_argument("first", type=Path, help="a run's folder, or a game day's")
    compare.add_argument("second", type=Path, help="what it is compared with")
    shares = partial(_share, of="--availability"), partial(_share, of="--latency")
    compare.add_argument("--availability", type=shares[0], default=0.001, metavar="POINTS", help="what matters, as 0.1%% (the default)")
    compare.add_argument("--latency", type=shares[1], default=0.1, metavar="RATIO", help="what matters of p95, as 10%% (the default)")
    compare.set_defaults(run=gamedays.compare)
    export = commands.add_parser("export", help="a run as a test of alert rules, for promtool")
    export.add_argument("of", type=Path, metavar="RUN", help="a run's folder: reports/latest/runs/…")
    export.add_argument("--out", type=Path, default=Path("promtool"), metavar="FOLDER", help="where to (default: promtool)")
    export.add_argument("--rules", type=Path, nargs="+", default=[], metavar="FILE", help="rules of your own, instead of the SLO's")
    export.add_argument("--good", default="", metavar="SERIES", help="the series of good requests that they look at")
    export.add_argument("--bad", default="", metavar="SERIES", help="and of bad ones")
    export.set_defaults(run=gamedays.export)
    k6 = commands.add_parser("build-k6", help="build a k6 whose recording costs next to nothing; needs Go")
    k6.add_argument("--version", default=VERSION, help=f"of k6 (default: {VERSION})")
    k6.add_argument("--with", dest="others", action="append", default=[], metavar="MODULE", help="another extension that it shall have")
    k6.add_argument("--out", type=Path, metavar="FILE", help="where to (default: the user's cache)")
    k6.set_defaults(run=building.build_k6)
    report = commands.add_parser("report", help="write a game day's report again from its records")
    report.add_argument(
        "folder", nargs="?", type=Path, default=Path("reports/latest"), help="a game day's folder (default: reports/latest)"
    )
    report.set_defaults(run=gamedays.report)
    return top


def _share(text: str, *, of: str) -> float:
    try:
        return share(text, what=of)
    except UsageError as trouble:
        raise argparse.ArgumentTypeError(trouble.message) from trouble


def _sandbox(sandbox: argparse.ArgumentParser) -> None:
    verbs = sandbox.add_subparsers(required=True, metavar="VERB")
    up = verbs.add_parser("up", help="start one that stays until `down`")
    up.add_argument("--nodes", type=int, help="how many nodes (default: the environment's, or 3)")
    up.add_argument("--hollow-nodes", type=int, metavar="N", help="so many more that are records only (default: the environment's, or 0)")
    up.add_argument("--zones", help="their zones, separated by commas")
    up.add_argument("--environment", help="the declared environment whose manifests and images it gets")
    up.add_argument("--control-plane", choices=CONTROL_PLANES, help="ours, or the one that Kubernetes ships (default: the environment's)")
    up.add_argument("--empty", action="store_true", help="without any manifests")
    up.set_defaults(run=sandboxes.up)
    build = verbs.add_parser("build-control-plane", help="build etcd and Kubernetes' own control plane, once; needs Go")
    build.set_defaults(run=sandboxes.build_control_plane)
    node = verbs.add_parser("node", help="switch a node's machine off, freeze it, cut it off from the others, or bring it back")
    node.add_argument("node", help="its name")
    node.add_argument(
        "state", choices=MACHINE_STATES, help="off: without power; frozen: stands still; cut: runs, and nothing reaches it; on"
    )
    node.add_argument("directory", nargs="?", type=Path, help="which sandbox (default: CHAOSFW_SANDBOX, or the only one)")
    node.set_defaults(run=sandboxes.node)
    for name, run, words in (
        ("down", sandboxes.down, "stop it, whoever uses it"),
        ("status", sandboxes.status, "what runs"),
        ("env", sandboxes.env, "variables for a shell: eval $(chaosfw sandbox env)"),
    ):
        verb = verbs.add_parser(name, help=words)
        verb.add_argument("directory", nargs="?", type=Path, help="which one (default: CHAOSFW_SANDBOX, or the only one)")
        verb.set_defaults(run=run)


def _put_back(command: argparse.ArgumentParser, run: Command) -> None:
    command.add_argument("--environment", help="the declared environment (default: the configured one)")
    command.add_argument("--sandbox", type=Path, help="a running sandbox's directory (default: CHAOSFW_SANDBOX)")
    if run is putting_back.heal:
        command.add_argument("--dry-run", action="store_true", help="only show what is open")
        command.add_argument("--run", dest="whose", default="", metavar="RUN", help="only records of runs whose id begins so")
        command.add_argument("--all", action="store_true", help="every declared environment, one after the other")
        command.add_argument("--from-target", action="store_true", help="also what only the target knows: published records and marks")
        command.add_argument("--play-rollbacks", action="store_true", help="with --from-target: also rollbacks that are code, found there")
        command.add_argument("--by-hand", metavar="RECORD", help="close one record, because you have put it back yourself")
    command.set_defaults(run=run)


if __name__ == "__main__":
    sys.exit(main())
