"""``chaosfw sandbox``: the embedded cluster as a tool of its own."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
from pathlib import Path

from chaosfw.assembly.environments import sandbox_spec
from chaosfw.errors import UsageError
from chaosfw.sandbox import public as sandbox
from chaosfw.sandbox.upstream.build import build
from chaosfw.settings import load


def up(given: argparse.Namespace) -> int:
    """Starts one and prints how to use it."""
    settings = load(Path.cwd(), variables=os.environ, flags={"environment": given.environment})
    spec = sandbox_spec(settings, settings.chosen())
    changes: dict[str, object] = {"nodes": given.nodes} if given.nodes is not None else {}
    if given.hollow_nodes is not None:
        changes["hollow_nodes"] = given.hollow_nodes
    if given.zones:
        changes["zones"] = tuple(zone.strip() for zone in given.zones.split(",") if zone.strip())
    if given.control_plane:
        changes["control_plane"] = given.control_plane
    if given.empty:
        changes["manifests"] = ()
    directory = sandbox.up(dataclasses.replace(spec, **changes))  # type: ignore[arg-type]  # names are the dataclass's own
    print(f"sandbox up: {directory}")
    for name, value in sorted(sandbox.env(directory).items()):
        print(f"  {name}={value}")
    print(f"use it:  eval $(chaosfw sandbox env {directory})   then kubectl, chaos, pytest experiments/")
    print(f"end it:  chaosfw sandbox down {directory}")
    return 0


def build_control_plane(given: argparse.Namespace) -> int:
    """Tells on stderr how far it is, each five seconds."""
    place = build(lambda words: print(f"chaosfw: {words}", file=sys.stderr, flush=True))
    print(place)
    return 0


def down(given: argparse.Namespace) -> int:
    directory = chosen(given.directory)
    sandbox.down(directory)
    print(f"sandbox down: {directory}")
    return 0


def status(given: argparse.Namespace) -> int:
    told = sandbox.status(chosen(given.directory))
    print(f"sandbox {told['directory']}")
    print(f"  server    {told.get('server', '?')} ({told.get('control_plane', '?')} control plane)")
    for node, zone in (told.get("nodes") or {}).items():
        state = (told.get("machines") or {}).get(node, "on")
        print(f"  node      {node} in {zone}{'' if state == 'on' else f', {state}'}")
    hollow = {name: state for name, state in (told.get("machines") or {}).items() if name not in (told.get("nodes") or {})}
    if hollow:
        silent = [f"{name} is {state}" for name, state in hollow.items() if state != "on"]
        print(f"  hollow    {len(hollow)} nodes that are records only{''.join(f', {one}' for one in silent)}")
    for name, pids in (told.get("processes") or {}).items():
        print(f"  {name:<9} {len(pids)} process{'es' if len(pids) != 1 else ''}: {', '.join(map(str, pids))}")
    print(f"  users     {told.get('leases', 0)}{', pinned until down' if told.get('pinned') else ''}")
    return 0


def node(given: argparse.Namespace) -> int:
    """Switches a node's machine off, freezes it, cuts it off, or brings it back."""
    with sandbox.join(chosen(given.directory)) as joined:
        joined.machine(given.node, given.state)
    print(f"{given.node} is {given.state}")
    return 0


def env(given: argparse.Namespace) -> int:
    """Shell assignments, quoted."""
    for name, value in sorted(sandbox.env(chosen(given.directory)).items()):
        print(f"export {name}={shlex.quote(value)}")
    return 0


def chosen(directory: Path | None) -> Path:
    """The sandbox that is meant. Raises UsageError when there is none, or more than one and none was named."""
    if directory is not None:
        return directory
    if named := os.environ.get(sandbox.VARIABLE):
        return Path(named)
    running = sandbox.running()
    if len(running) == 1:
        return running[0]
    if not running:
        raise UsageError("no sandbox runs", hint="chaosfw sandbox up starts one")
    raise UsageError(f"{len(running)} sandboxes run: which one?", hint="name its directory: " + ", ".join(map(str, running)))
