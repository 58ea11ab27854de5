"""
What drivers there are: FaultKinds by name and by the provider function they adorn, auditors, and the dispatch of the
executor's child, the only process that imports this module: it imports every driver.

Third parties add kinds by the entry point group ``chaosfw.faults``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points

import msgspec

from chaosfw.drivers.kubernetes import lease, look, published, reapers, rights, standing
from chaosfw.drivers.kubernetes.audit import KubernetesAuditor
from chaosfw.drivers.kubernetes.cluster import here
from chaosfw.drivers.kubernetes.cordon import Cordon, Drain, ZoneDrain
from chaosfw.drivers.kubernetes.deleted import Delete
from chaosfw.drivers.kubernetes.kill import Kill
from chaosfw.drivers.kubernetes.machines import Machine
from chaosfw.drivers.kubernetes.node_deleted import DeleteNode
from chaosfw.drivers.kubernetes.paused import Pause
from chaosfw.drivers.kubernetes.sight import Sights
from chaosfw.drivers.kubernetes.workloads import Image, RolloutRestart, Scale, Selector, Taint
from chaosfw.drivers.toolkit import calls
from chaosfw.drivers.toolkit.plain import Plain
from chaosfw.errors import UsageError
from chaosfw.model.activity import Action, PythonProvider
from chaosfw.model.environment import Environment
from chaosfw.model.fault import Bound, RunMark, Undo, UndoRecord
from chaosfw.model.lease import Held
from chaosfw.model.struct import Json, to_json
from chaosfw.ports import FaultKind, KindCall, ProviderCall
from chaosfw.timing import SYSTEM

PLAIN = Plain(find=lambda stated: look.victims(here(), stated))
WARM = (
    "chaosfw.drivers.kubernetes.cordon",
    "chaosfw.drivers.kubernetes.audit",
    "chaosk8s.pod.actions",
    "chaosk8s.pod.probes",
    "chaosk8s.node.actions",
)
"""Modules that the executor imports before the first experiment, so that no import falls into a measured phase."""


@cache
def kinds() -> dict[str, FaultKind]:
    """FaultKinds by name and version."""
    found: list[FaultKind] = [PLAIN, Kill(), Cordon(), Drain(), ZoneDrain()]
    found += [Scale(), Taint(), Selector(), Image(), RolloutRestart(), Delete(), DeleteNode(), Pause(), Machine()]
    for point in entry_points(group="chaosfw.faults"):
        found.append(point.load()())
    return {kind.name: kind for kind in found}


def kind_for(action: Action) -> FaultKind:
    """The kind that adorns the action's provider; the plain one when nobody does."""
    if isinstance(action.provider, PythonProvider):
        for kind in kinds().values():
            if action.provider.name in kind.functions:
                return kind
    return PLAIN


def provider_call(request: ProviderCall) -> Json:
    """Runs in the executor: one activity through chaoslib."""
    return calls.call(request)


def kind_call(request: KindCall) -> Json:
    """Runs in the executor: one verb of a FaultKind, or one look at the environment."""
    verb = _VERBS.get(request.verb)
    if verb is None:
        raise UsageError(f"unknown verb {request.verb!r} for {request.kind}", hint="verbs: " + ", ".join(sorted(_VERBS)))
    return verb(request.kind, request.data)


def _bind(kind: str, data: Json) -> Json:
    action = calls.configured(msgspec.convert(data["action"], Action))
    environment = msgspec.convert(data["environment"], Environment)
    adorned = kinds()[kind] if kind else kind_for(action)
    if action.victims is not None and adorned is not PLAIN:
        raise UsageError(f"{action.name!r}: {adorned.name} finds its victims itself", hint="leave out victims=")
    return to_json(adorned.bind(action, environment, seed=data["seed"], mark=msgspec.convert(data["mark"], RunMark)))


def _bitten(kind: str, data: Json) -> Json:
    return to_json(_known(kind).bitten(msgspec.convert(data, Bound)))


def _revert(kind: str, data: Json) -> Json:
    return to_json(_known(kind).revert(msgspec.convert(data["record"], UndoRecord), epoch=data["epoch"]))


def _healed(kind: str, data: Json) -> Json:
    return to_json(_known(kind).healed(msgspec.convert(data, Undo)))


def _snapshot(kind: str, data: Json) -> Json:
    environment = msgspec.convert(data, Environment)
    return dict(KubernetesAuditor().snapshot(environment)) if environment.kubeconfig else {}


def _facts(kind: str, data: Json) -> Json:
    return to_json(standing.facts(here()))


def _lacking(kind: str, data: Json) -> Json:
    return list(rights.lacking(here(), msgspec.convert(data, list[Bound])))


def _lease(kind: str, data: Json) -> Json:
    """``held``, ``take``, ``renew``, ``release``, ``pull`` or ``lift``."""
    given = dict(data)
    verb = given.pop("verb")
    if verb not in ("held", "take", "renew", "release", "pull", "lift"):
        raise UsageError(f"unknown verb {verb!r} of a lease")
    answer = getattr(lease, verb)(here(), **given)
    return to_json(answer) if isinstance(answer, Held) else answer


def _publish(kind: str, data: Json) -> Json:
    undos = msgspec.convert(data["undos"], list[Undo])
    published.publish(here(), run=data["run"], namespace=data["namespace"], undos=undos)
    return None


def _withdraw(kind: str, data: Json) -> Json:
    published.withdraw(here(), run=data["run"], namespace=data["namespace"])
    return None


def _published(kind: str, data: Json) -> Json:
    return [to_json(record) for record in published.records(here(), namespace=data["namespace"])]


def _reaper(kind: str, data: Json) -> Json:
    """What a reaper does, and what is asked of one: see ``drivers.kubernetes.reapers``."""
    given = dict(data)
    verb = given.pop("verb")
    ours = [name for name in kinds() if name != PLAIN.name]
    match verb:
        case "beat" | "leave" | "known" | "word_on" | "publications":
            return msgspec.to_builtins(getattr(reapers, verb)(here(), **given))
        case "vow" | "withdraw_if_done":
            return msgspec.to_builtins(getattr(reapers, verb)(here(), revertible=ours, **given))
        case "revertible":
            return [to_json(record) for record in published.records(here(), **given) if record.undo.fault in ours]
        case "tell":
            return reapers.tell(here(), record=msgspec.convert(given["record"], UndoRecord), who=given["who"], what=given["what"])
        case _:
            raise UsageError(f"unknown verb {verb!r} of a reaper")


def _delivered(kind: str, data: Json) -> Json:
    return standing.delivered(here(), msgspec.convert(data, list[Bound]))


def _see(kind: str, data: Json) -> Json:
    """What the cluster was seen to do since a cursor; the first look starts the watches and has nothing to tell."""
    cursor, told = _sights(os.environ.get("KUBECONFIG", "")).since(int(data["since"]))
    return {"cursor": cursor, "saw": [to_json(one) for one in told]}


@cache
def _sights(kubeconfig: str) -> Sights:
    found = Sights(here(), clock=SYSTEM)
    found.open()
    return found


def _serving(kind: str, data: Json) -> Json:
    return [to_json(one) for one in look.serving(here(), namespace=data["namespace"], name=data["name"])]


def _ping(kind: str, data: Json) -> Json:
    """The canary: the environment answers to these credentials."""
    return to_json(look.identity(here()))


_VERBS: dict[str, Callable[[str, Json], Json]] = {
    "bind": _bind,
    "bitten": _bitten,
    "revert": _revert,
    "healed": _healed,
    "snapshot": _snapshot,
    "facts": _facts,
    "lacking": _lacking,
    "delivered": _delivered,
    "lease": _lease,
    "publish": _publish,
    "withdraw": _withdraw,
    "published": _published,
    "reaper": _reaper,
    "see": _see,
    "serving": _serving,
    "identity": _ping,
}


def _known(kind: str) -> FaultKind:
    if kind in kinds():
        return kinds()[kind]
    raise UsageError(f"unknown fault kind {kind!r}", hint="known here: " + ", ".join(sorted(kinds())))
