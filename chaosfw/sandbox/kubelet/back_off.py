"""
How long a crashing container waits: 0, 10, 20, 40 … 300 s after its end, forgotten when it has run for ten minutes.
"""

from __future__ import annotations

from typing import Final

FIRST: Final = 10.0
LONGEST: Final = 300.0
FORGIVEN_AFTER: Final = 600.0


class BackOff:
    def __init__(self) -> None:
        self._next = 0.0

    def after_exit(self, *, ran: float) -> float:
        """Seconds to wait after this exit."""
        if ran >= FORGIVEN_AFTER:
            self._next = 0.0
        wait = self._next
        self._next = min(LONGEST, wait * 2 or FIRST)
        return wait
