"""
Everything chaosfw raises, in one tree. Each class says whose fault it is, so that the doors (pytest, the CLI) can choose
an exit code and a tone without reading messages.

::

    ChaosfwError
    ├── UsageError            the caller wrote something that cannot be right (a value, a name, a file)
    │   └── DefinitionError   all problems of one file or of one experiment at once
    ├── Refused               chaosfw declines to touch anything; nothing was changed
    ├── EnvironmentTrouble    the place we were pointed at does not answer, or answers as someone else
    ├── DriverError           code outside chaosfw (a Chaos Toolkit driver, a tool) failed
    ├── LedgerDamaged         the undo ledger cannot be trusted
    ├── LockTaken             somebody else holds the environment
    └── SandboxError          the embedded cluster could not do what it promises

Nothing here formats for a terminal; a ``hint`` travels beside the message and is printed on a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "ChaosfwError",
    "DefinitionError",
    "DriverError",
    "EnvironmentTrouble",
    "LedgerDamaged",
    "LockTaken",
    "Refused",
    "SandboxError",
    "UsageError",
]


class ChaosfwError(Exception):
    """Base of all errors of chaosfw. ``hint`` says what to do about it; empty when there is nothing to say."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class UsageError(ChaosfwError):
    """A value, a name or a setting that cannot be right."""


class NoSandbox(UsageError):
    """No sandbox runs: whatever was in one is gone with it."""


class DefinitionError(UsageError):
    """Every problem of one definition, found in one pass: ``problems`` holds a line each."""

    def __init__(self, where: str, problems: Iterable[str], *, hint: str = "") -> None:
        self.where = where
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{where}: {len(self.problems)} problem(s)\n{lines}", hint=hint)


class Refused(ChaosfwError):
    """Not injecting. Nothing was changed. ``reasons`` are all of them, as ``(slug, sentence)``."""

    def __init__(self, what: str, reasons: Iterable[tuple[str, str]], *, hint: str = "") -> None:
        self.what = what
        self.reasons = tuple(reasons)
        lines = "\n".join(f"  {slug}: {sentence}" for slug, sentence in self.reasons)
        super().__init__(f"not injecting: {what}\n{lines}", hint=hint)


class EnvironmentTrouble(ChaosfwError):
    """The environment does not answer, or is not the declared one."""


class DriverError(ChaosfwError):
    """A driver or an outside tool failed; the original is chained."""


class LedgerDamaged(ChaosfwError):
    """The undo ledger is damaged in the middle: what it says cannot be trusted."""


class LockTaken(ChaosfwError):
    """Another run holds the lock of this environment; the message names the holder."""


class SandboxError(ChaosfwError):
    """The embedded cluster failed, or was asked for something it does not do."""
