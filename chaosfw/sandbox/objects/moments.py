"""
Time stamps as the API writes them, and durations as kubectl shows them. Pure: the caller brings the clock.
"""

from __future__ import annotations

from datetime import UTC, datetime

NANOSECONDS = 1_000_000_000


def stamp(wall_ns: int) -> str:
    """``metav1.Time``: whole seconds."""
    return datetime.fromtimestamp(wall_ns // NANOSECONDS, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_stamp(wall_ns: int) -> str:
    """``metav1.MicroTime``."""
    return datetime.fromtimestamp(wall_ns / NANOSECONDS, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> float:
    """Seconds since 1970 of either form."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def age(text: str | None, now: float) -> str:
    """How long ago, in kubectl's words; ``<unknown>`` without a time."""
    return duration(now - parse(text)) if text else "<unknown>"


def duration(seconds: float) -> str:
    """``5s``, ``3m20s``, ``5h2m``, ``3d4h``, ``2y10d``: two units while small, one when large."""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return _two(days // 365, "y", days % 365, "d") if days < 8 * 365 else f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
