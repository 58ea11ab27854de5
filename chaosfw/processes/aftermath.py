"""
Main of what comes after a run that died: ``python -m chaosfw.processes.aftermath FOLDER RUNS``, the watchdog's note on standard input.
Writes the report of the runs that can not write it themselves any more.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from chaosfw.assembly.aftermath import tell
from chaosfw.safety.watchdog import Note
from chaosfw.store.folder import GameDayFolder


def main() -> None:
    note = msgspec.json.decode(sys.stdin.buffer.read(), type=Note)
    told = tell(GameDayFolder.open(Path(sys.argv[1])), runs=sys.argv[2], note=note)
    print(f"reported {told} run(s) that died", flush=True)


if __name__ == "__main__":
    main()
