"""Declared places that may be touched, and the things found in them."""

from __future__ import annotations

from typing import Literal

from chaosfw.model.load import Endpoint
from chaosfw.model.struct import Noun


class Target(Noun, frozen=True, kw_only=True):
    """One thing found in an environment that a fault will hit or that an undo record is about."""

    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    zone: str = ""
    node: str = ""

    def __str__(self) -> str:
        place = f" in {self.zone}" if self.zone else ""
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}{place}"


class Limits(Noun, frozen=True, kw_only=True):
    """Blast radius. A share (0.34) or a count; None: not limited."""

    pods: float | int | None = 0.34
    nodes: float | int | None = 1
    zones: float | int | None = 1
    budget: float | None = 0.05
    """Largest planned share of the SLO window's error budget that one run may cost."""
    protect: tuple[str, ...] = ("chaos=never",)
    """Label selectors; whatever matches is never hit."""
    opt_in: tuple[str, ...] = ()
    """Label selectors; where there are any, only what matches one is hit: itself, its workload, or its namespace."""
    min_ready: float | int | None = None
    """Pods of each workload that is hit which have to stay ready."""


class Identity(Noun, frozen=True, kw_only=True):
    """Who the environment says it is: the UID of kube-system and the API server. Compared before the first fault."""

    server: str = ""
    uid: str = ""


class Environment(Noun, frozen=True, kw_only=True):
    """A declared place. ``namespaces`` are the only ones that may be touched (empty in the sandbox: all but kube-*)."""

    name: str
    kind: Literal["sandbox", "kubernetes"]
    identity: Identity = Identity()
    namespaces: dict[str, str] = {}
    endpoints: tuple[Endpoint, ...] = ()
    zones: tuple[str, ...] = ()
    limits: Limits = Limits()
    beside: Limits | None = None
    """Narrower limits from outside the settings file that can not be compared with ``limits`` (a count and a share): both are asked."""
    kubeconfig: str = ""
    """Path of the kubeconfig written for this run; empty where there is no cluster."""
    state: str = ""
    """Directory of this environment's ledger and lock."""
    accept_manual_heal: str = ""
    """Why a real environment is used although nothing outside this host would heal it; printed in the report."""
    state_namespace: str = "default"
    """Namespace of a cluster in which the undo records of a run are published while it is on."""
    hours: tuple[str, ...] = ()
    """When it may be broken: ``mon-fri 09:00-17:00 Europe/Berlin``. Empty: always."""
    budget_left: float | None = None
    """Share of the error budget that is left, as somebody measured it; None: nobody said."""
    suppress: dict[str, str] = {}
    """Guards that are not asked here, and why: the verdict's sentence shows it."""
    profile: str = ""
    """Time profile of a sandbox, printed wherever its figures are."""
    control_plane: str = ""
    """``embedded`` or ``kubernetes``, of a sandbox."""
