"""What a reaper, the healer that lives in the cluster, says about the runs that published something to put back."""

from __future__ import annotations

from chaosfw.model.struct import Noun


class Word(Noun, frozen=True, kw_only=True):
    """A reaper has read what is to put back, with the credentials that it heals with. ``lacking``: why it could not put all of it back."""

    by: str
    lacking: tuple[str, ...] = ()


class Publication(Noun, frozen=True, kw_only=True):
    """One run's undo records on the target."""

    run: str
    word: Word | None = None
