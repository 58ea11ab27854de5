"""
``chaosfw build-k6``: makes a k6 that has our output in it, and says how it is used.
"""

from __future__ import annotations

import argparse
import sys

from chaosfw.load.k6.build import build


def build_k6(given: argparse.Namespace) -> int:
    """Tells on stderr how far it is, each five seconds; on stdout only where the program is."""
    place = build(_told, version=given.version, others=given.others, out=given.out)
    print(place)
    _told(f"use it:  k6 = {str(place)!r} in [tool.chaosfw], or CHAOSFW_K6")
    return 0


def _told(words: str) -> None:
    print(f"chaosfw: {words}", file=sys.stderr, flush=True)
