"""One row of figures, and the table that they are printed in."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("chaosfw", "pytest", "chaostoolkit-lib", "kubernetes", "aiohttp", "numpy", "msgspec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Several measurements of one thing. ``goal`` in the same unit; None where nothing is claimed."""

    name: str
    values: Sequence[float]
    unit: str = "s"
    goal: float | None = None

    def __str__(self) -> str:
        goal = "" if self.goal is None else f"≤ {self.goal:g} {self.unit}"
        met = "" if self.goal is None else "met" if statistics.median(self.values) <= self.goal else "MISSED"
        low, middle, high = min(self.values), statistics.median(self.values), max(self.values)
        return f"{self.name:<62}{len(self.values):>4}{low:>10.3f}{middle:>10.3f}{high:>10.3f} {self.unit:<3}{goal:>12} {met}"


def machine() -> str:
    """What the figures were made on and with."""
    bytecode = "; bytecode is NOT cached: every start compiles" if sys.dont_write_bytecode else ""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, load {load}\n"
        f"Python {platform.python_version()}, " + ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))) + bytecode
    )


def show(rows: Iterable[Row]) -> None:
    """Prints machine, versions and each row as soon as it is measured."""
    print(machine() + "\n")
    print(f"{'what':<62}{'n':>4}{'least':>10}{'median':>10}{'most':>10}{'goal':>16}")
    for row in rows:
        print(row)
        sys.stdout.flush()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
