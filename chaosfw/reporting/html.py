"""
The page: one self-contained file that needs no network, no script and no colour. Called by the plugin and by ``chaosfw report``.

What it says is in ``view``; here it is only put into the templates, where everything is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import jinja2
from markupsafe import Markup

from chaosfw.model.record import GameDay, Record
from chaosfw.reporting.view import page

FALLBACK = {
    "grid": 'fill="none" stroke="#ddd"',
    "ground": 'fill="#f3ead9"',
    "phase": 'fill="#d9dee6"',
    "good": 'fill="#8aa4c8"',
    "bad": 'fill="#b3261e"',
    "unknown": 'fill="#bbbbbb"',
    "proven": 'fill="#a15c00"',
    "healing": 'fill="#1a6e3c"',
    "fault": 'fill="#a15c00"',
    "heal": 'fill="#1a6e3c"',
    "out": 'fill="#b3261e"',
    "yes": 'fill="#1a6e3c"',
}
"""How filled shapes look where a server's policy takes even inline styles away (Jenkins'); all others are drawn as lines."""


def render(day: GameDay, records: Sequence[Record]) -> str:
    """The page of a game day as text."""
    return _environment().get_template("report.html.j2").render(page=page(day, records))


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("chaosfw.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["drawn"] = drawn
    return made


def drawn(look: str) -> Markup:
    """Presentation attributes of a shape, from its class."""
    found = next((FALLBACK[word] for word in reversed(look.split()) if word in FALLBACK), None)
    if found is None:
        found = next((FALLBACK[word] for word in look.split() if word in FALLBACK), 'fill="none" stroke="#666"')
    return Markup(found)  # constants of this module only
