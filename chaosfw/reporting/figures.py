"""
Numbers in words: never more digits than the data has, units always, ``≤`` and ranges where the truth is an interval.

Called by the views of this room; knows nothing of records.
"""

from __future__ import annotations

import math
import re

from chaosfw.model.struct import Json

NONE = "–"
"""Shown where there is no figure."""

LONGEST = 240
"""Characters of somebody else's value or error that are shown; the rest is in the record."""

_PLACES = re.compile(
    r"(?<![\w/:.\-])/(?:bin|builds|data|dev|etc|home|lib|media|mnt|opt|private|proc|root|run|srv|tmp|usr|Users|var|work|workspace)/[^\s\"'<>,;)\]]+"
)


def count(number: float) -> str:
    """``1,107``."""
    return f"{number:,.0f}"


def seconds(value: float | None) -> str:
    """A length of time: ``4 ms``, ``0.18 s``, ``3.2 s``, ``2 min 5 s``. None: it did not end, or is not known."""
    if value is None:
        return NONE
    if math.isinf(value):
        return "∞"
    size = abs(value)
    if size == 0:
        return "0 s"
    if size < 0.001:
        return "< 1 ms"
    if size < 0.01:
        return f"{value * 1000:.2g} ms"
    if size < 0.9995:
        return f"{value * 1000:.0f} ms"
    if size < 99.95:
        return f"{value:.1f} s"
    return _long(round(value))


def signed(value: float, *, digits: int = 1) -> str:
    """Seconds before or after: ``+3.2 s``, ``−0.5 s``, ``0.0 s``."""
    words = f"{value:+.{digits}f}"
    return f"{words[1:] if not float(words) else words.replace('-', '−')} s"


def length(value: float) -> str:
    """A length that somebody wrote: ``5 s``, ``1 min 30 s``, ``30 d``, no digits added."""
    if value < 1:
        return f"{value * 1000:g} ms"
    return f"{value:g} s" if value < 90 or value != int(value) else _long(int(value))


def between(low: float | None, high: float | None) -> str:
    """An interval of seconds: one figure when both ends read the same, ``≥`` when it did not end, ``≤`` from nothing."""
    if low is None and high is None:
        return "did not end"
    if high is None:
        return f"≥ {seconds(low)}"
    if low is None or (low <= 0 < high):
        return f"≤ {seconds(high)}"
    return seconds(high) if seconds(low) == seconds(high) else f"{seconds(low)} to {seconds(high)}"


def share(value: float) -> str:
    """A percentage, two significant digits of what is missing or there: ``0.042 %``, ``12 %``, ``99.82 %``. Never 100 % unless all."""
    if value <= 0:
        return "0 %" if value == 0 else f"{value * 100:.2g} %"
    if value < 0.00001:
        return "< 0.001 %"
    if value < 0.1:
        return f"{_plain(value * 100)} %"
    if value >= 1 or value < 0.9:
        return f"{value * 100:.3g} %" if value < 10 else f"{value * 100:,.0f} %"
    digits = min(4, max(0, 1 - math.floor(math.log10((1 - value) * 100))))
    floored = math.floor(value * 100 * 10**digits + 1e-9) / 10**digits
    return f"{_trimmed(f'{floored:.{digits}f}')} %"


def shares(low: float, high: float) -> str:
    """An interval of shares."""
    if share(low) == share(high):
        return share(high)
    return f"≤ {share(high)}" if low <= 0 else f"{share(low)} to {share(high)}"


def target(value: float) -> str:
    """A share that somebody wrote: ``99.9 %``."""
    return f"{value * 100:.10g} %"


def number(value: float) -> str:
    """Three significant digits at most, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def value(given: Json) -> str:
    """What a probe or an action gave, shortened."""
    if given is None:
        return NONE
    if isinstance(given, dict) and "status" in given and "body" in given:
        return f"status {given['status']}"
    if isinstance(given, dict) and set(given) == {"tolerated", "value"}:
        return value(given["value"])
    if isinstance(given, float) and not isinstance(given, bool):
        return number(given)
    return short(str(given))


def short(text: str) -> str:
    """At most ``LONGEST`` characters, without this machine's paths."""
    text = scrubbed(text).strip()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text):,} characters)"


def scrubbed(text: str) -> str:
    """``text`` with absolute paths cut down to their last two parts: a report is passed on, the machine's folders are not."""
    return _PLACES.sub(lambda found: "…/" + "/".join(found[0].rstrip("/").split("/")[-2:]), text)


def plural(number: int, word: str, many: str = "") -> str:
    """``1 promise``, ``2 promises``."""
    return f"{number:,} {word if number == 1 else many or word + 's'}"


def joined(parts: list[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def _plain(number: float) -> str:
    """Two significant digits, never an exponent."""
    digits = max(0, 1 - math.floor(math.log10(abs(number))))
    return _trimmed(f"{number:.{digits}f}")


def _trimmed(digits: str) -> str:
    """Without zeros at the end of a fraction."""
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _long(whole: int) -> str:
    parts = []
    for size, word in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if whole >= size:
            parts.append(f"{whole // size} {word}")
            whole %= size
    return " ".join(parts[:2]) or "0 s"
