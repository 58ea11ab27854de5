"""
A lost machine may cut the ledger at any byte. For every length of a real ledger, and for every state that the target could be in
then, the real heal runs against the real API: afterwards the node is as before, unmarked, and no record is open.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.heal.lane import differences, world
from chaosfw.assembly.catalogue import kind_call
from chaosfw.drivers.kubernetes import look, marks, nodes
from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.model.fault import Undo, UndoRecord, UndoState
from chaosfw.model.struct import Json, but
from chaosfw.ports import KindCall, ProviderCall
from chaosfw.safety.heal import heal
from chaosfw.safety.ledger import FILE, LedgerFile
from chaosfw.timing import SYSTEM

NODE = "node-1"
APPLIED = {0: (False,), 1: (False,), 2: (False, True), 3: (True,), 4: (True, False), 5: (False,)}
"""Whether the fault can be in, by whole lines of the ledger: prepared, armed (then the call), in, healing (then the revert), closed."""


class Direct:
    """ports.Caller in this process: the kinds themselves, without an executor between."""

    def kind(self, kind: str, verb: str, data: Json, *, timeout: float) -> Json:
        return kind_call(KindCall(kind=kind, verb=verb, data=data))

    def provider(self, call: ProviderCall, *, timeout: float) -> Json:
        raise NotImplementedError


def cuts(cluster: Cluster, lengths: Sequence[int] | None = None) -> Iterator[tuple[int, bool, tuple[str, ...], int]]:
    """Each length and state of the target: ``(bytes, applied, what is otherwise afterwards, open records)``."""
    os.environ["KUBECONFIG"] = cluster.kubeconfig
    before = world(cluster)
    undo = _undo(cluster)
    whole = _ledger(undo)
    for length in lengths if lengths is not None else range(len(whole) + 1):
        part = whole[:length]
        for applied in APPLIED[part.count(b"\n")]:
            if applied:
                nodes.cordon(cluster, NODE, mark=marks.text(undo, expiry=""))
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / FILE).write_bytes(part)
                ledger = LedgerFile(Path(folder))
                heal(ledger=ledger, caller=Direct(), clock=SYSTEM, epoch=9, by="the test", told=lambda record, what: None)
                yield length, applied, differences(before, world(cluster)), len(ledger.open())


def size(cluster: Cluster) -> int:
    """Bytes of the whole ledger."""
    return len(_ledger(_undo(cluster)))


def seams(cluster: Cluster) -> list[int]:
    """Lengths at the end of each line, one byte less and one more."""
    whole = _ledger(_undo(cluster))
    ends = [number + 1 for number, byte in enumerate(whole) if byte == ord("\n")]
    return [length for end in ends for length in (end - 1, end, end + 1) if length <= len(whole)]


def _undo(cluster: Cluster) -> Undo:
    subject = look.node_target(cluster.get(nodes.path(NODE)))
    ours = {"unschedulable": True, "marked": True}
    return Undo(id="cut.node-1", run="cut", fault="kubernetes.cordon/1", environment="sandbox", subject=subject, before=False, ours=ours)


def _ledger(undo: Undo) -> bytes:
    record = UndoRecord(undo=undo, state=UndoState.armed, epoch=1)
    with tempfile.TemporaryDirectory() as folder:
        ledger = LedgerFile(Path(folder))
        ledger.prepare([undo], epoch=1)
        ledger.advance(record)
        ledger.advance(but(record, state=UndoState.in_))
        ledger.advance(but(record, state=UndoState.healing, epoch=2, by="runner", was=UndoState.in_))
        ledger.advance(but(record, state=UndoState.closed, epoch=2, by="runner", was=UndoState.in_, ending="restored"))
        return (Path(folder) / FILE).read_bytes()
