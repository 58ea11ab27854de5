"""
The report of a run that died, made from its journal and from what the watchdog did after it.

Called by ``processes.aftermath``, which the watchdog starts when it has healed: reporting may fail without harm to the way back.
"""

from __future__ import annotations

from chaosfw.analysis.fold import fold
from chaosfw.analysis.judge import judged
from chaosfw.analysis.summary import run_line
from chaosfw.assembly.publishing import publish
from chaosfw.model import event as e
from chaosfw.model.event import AnyEvent
from chaosfw.model.record import RunLine
from chaosfw.model.struct import but
from chaosfw.safety.fence import start_time
from chaosfw.safety.watchdog import Note
from chaosfw.store.folder import GameDayFolder, RunFolder
from chaosfw.store.journal import read_journal, write_aftermath
from chaosfw.timing import SYSTEM


def tell(folder: GameDayFolder, *, runs: str, note: Note) -> int:
    """Ends every run of the dead process that has no record yet, then the game day where its owner is gone too; how many it ended."""
    dead = [(run, line) for run in folder.runs() if (line := run.read_line()) and line.run.startswith(runs) and not run.record.exists()]
    for run, line in dead:
        _end(run, line, note)
    owner = folder.owner()
    if dead and (owner is None or start_time(owner.pid) != owner.started):
        day = folder.read()
        publish(folder, day if owner is None else but(day, ended=SYSTEM.wall_ns()))
        folder.tidy()
    return len(dead)


def _end(run: RunFolder, line: RunLine, note: Note) -> None:
    if not run.journal.exists():
        run.write_line(but(line, sentence="Inconclusive: the test run died before anything was done", safety="clean"))
        return
    write_aftermath(run.journal, _events(line.run, note))
    events, _ = read_journal(run.journal)
    record = but(judged(fold(events, run.samples, sealed=False), final=True), slug=run.path.name)
    run.write_record(record)
    run.write_line(but(run_line(record, run.name, line.test), series=line.series))


def _events(run: str, note: Note) -> tuple[AnyEvent, ...]:
    """What the watchdog did for this run, as the runner would have written it."""
    mine = [record for record in note.records if record.undo.run == run]
    left = sum(record.state != "closed" for record in mine)
    how = f"the watchdog put {len(mine) - left} of {len(mine)} back in {note.took:.2g} s" if mine else "nothing was left to put back"
    began = e.HealBegan(at=note.died, by="watchdog", fenced=note.fenced)
    moved = [e.UndoMoved(at=note.ended, record=record, what=f"by the watchdog: {record.reason}") for record in mine]
    healed: tuple[AnyEvent, ...] = (began, *moved, e.HealEnded(at=note.ended, ok=not left, open=left, by="watchdog"))
    audited = e.Audited(at=note.ended, residue=note.residue, foreign=() if note.residue is not None else ("the watchdog could not look",))
    return (e.Halted(at=note.died, reason=f"the test run died ({note.why}); {how}"), *(healed if mine else ()), audited)
