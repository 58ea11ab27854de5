"""
A fault bound to targets, the data that puts it back, and the proofs about it.

An :class:`Undo` names its FaultKind and version, so any process that has the ledger and the executor can heal.
"""

from __future__ import annotations

import enum
from typing import Literal

from chaosfw.model.activity import Action
from chaosfw.model.environment import Target
from chaosfw.model.struct import Json, Noun

PLAIN = "toolkit.plain/1"
"""The kind of everything that no other kind adorns: a call, put back by the calls that its author named."""


class UndoState(enum.StrEnum):
    """``prepared → armed → in → healing → closed``; ``stuck`` can go back to ``healing`` (docs/protocols/heal.md)."""

    prepared = "prepared"
    armed = "armed"
    in_ = "in"
    healing = "healing"
    closed = "closed"
    stuck = "stuck"


Ending = Literal["never-applied", "restored", "by-other", "superseded", "gone", "expired"]


class RunMark(Noun, frozen=True, kw_only=True):
    """
    Whose a fault is: what the marks on changed objects and the undo records say about the run that made them. It is made anew for each
    run, so no digest is over it.
    """

    run: str
    epoch: int = 0
    """The lock's, when the action was bound."""
    expiry: str = ""
    """
    Wall clock, ISO 8601: when the run is over for certain. A label for people and for whoever sweeps up inside a cluster; no deadline of
    ours is taken from it.
    """


class Undo(Noun, frozen=True, kw_only=True):
    """How to put one object back. ``before`` is b, ``ours`` is i of docs/protocols/heal.md; their shape is the FaultKind's own."""

    id: str
    run: str
    fault: str
    """FaultKind and version, ``kubernetes.cordon/1``."""
    environment: str
    subject: Target
    before: Json = None
    ours: Json = None
    order: int = 0
    """Put back in descending order: a later fault may depend on an earlier one."""
    epoch: int = 0
    """The lock's, when the action was bound; 0 in records of versions that did not note it."""
    intended: tuple[Ending, ...] = ("restored",)
    """The endings that count as closed as intended."""


class UndoRecord(Noun, frozen=True, kw_only=True):
    """An undo and where it stands, as the ledger tells it."""

    undo: Undo
    state: UndoState
    ending: Ending | None = None
    epoch: int = 0
    by: str = ""
    reason: str = ""
    was: UndoState | None = None
    """Where it stood when the first healer took it: a healer that dies half-way must not make the next one forget that."""


class Bound(Noun, frozen=True, kw_only=True):
    """An action whose arguments name exactly what will be hit. ``action.provider`` is what the engine calls."""

    action: Action
    fault: str
    """FaultKind and version; ``toolkit.plain/1`` for an action without one."""
    targets: tuple[Target, ...] = ()
    changes: tuple[str, ...] = ()
    """In words, for the plan: ``cordon node-2``, ``evict shop/myapp-1``."""
    undo: tuple[Undo, ...] = ()
    provable: bool = True
    """False: nothing can prove the effect, so the experiment can never be held."""
    self_heals: bool = False
    hits: int | None = None
    """
    How many of the targets are hit, where their author names them and nobody chose: any of them may be. None: the targets are what is hit.
    """


class Proof(Noun, frozen=True, kw_only=True):
    """Whether something is so, seen by a fresh read. ``holds`` None: could not be seen."""

    holds: bool | None
    what: str
    victims: tuple[str, ...] = ()
    """Names of the instances that the effect was seen on, as the load's marker names them."""


class Reverted(Noun, frozen=True, kw_only=True):
    """What one revert did."""

    ending: Ending | None
    """None: not done yet; try again (a conflict, an unreachable server)."""
    what: str
    retry: bool = False
