"""
Logical namespaces made real: an experiment is written with the names that its authors use, and an environment says which
namespace each of them is there (``namespaces = { shop = "shop-stg" }``).

Called when an experiment is located for an environment, after its intent was digested: the intent is about what was written. A name
that is no logical one stays as it is; whether it may be touched is for the guard ``namespaces`` to say. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from chaosfw.model.activity import Action, Probe, PythonProvider
from chaosfw.model.experiment import Experiment
from chaosfw.model.struct import Json, but
from chaosfw.planning.activities import Activity, everywhere

ARGUMENTS = {"chaosfw.activities.": ("namespace",), "chaosk8s.": ("ns", "namespace", "pod_namespace")}
"""Modules by what their name begins with, and the arguments of their functions that name a namespace."""
SELECTED = ("workload", "hosting", "pods")
"""Parts of an action's selection that have a namespace of their own, beside the one of the selection itself."""


def real(name: str, namespaces: Mapping[str, str]) -> str:
    """The namespace that a name means in this environment. Never followed twice: a real name may be somebody else's logical one."""
    return namespaces.get(name, name)


def translated(experiment: Experiment, namespaces: Mapping[str, str]) -> Experiment:
    """The experiment with every namespace that it names replaced by the environment's."""

    def change(activity: Activity) -> Activity:
        made = but(activity, provider=_with_arguments(activity.provider, namespaces))
        return but(made, select=_selection(made.select, namespaces)) if isinstance(made, Action) else made

    return everywhere(experiment, change) if namespaces else experiment


def named(activity: Action | Probe) -> tuple[str, ...]:
    """The namespaces that an activity names, each once."""
    return tuple(dict.fromkeys(_names(activity)))


def words(namespaces: Mapping[str, str]) -> str:
    """Which names there are to write, and what each means here: ``bank, shop (here shop-stg)``."""
    return ", ".join(name if name == here else f"{name} (here {here})" for name, here in sorted(namespaces.items()))


def _with_arguments(provider: Json, namespaces: Mapping[str, str]) -> Json:
    if not isinstance(provider, PythonProvider):
        return provider
    keys = _keys(provider)
    return but(provider, arguments={key: _made_real(one, namespaces) if key in keys else one for key, one in provider.arguments.items()})


def _selection(select: Mapping[str, Json], namespaces: Mapping[str, str]) -> dict[str, Json]:
    made = dict(select)
    for part in (one for one in SELECTED if isinstance(made.get(one), dict)):
        made[part] = _selection(made[part], namespaces)
    return {**made, "namespace": _made_real(made["namespace"], namespaces)} if "namespace" in made else made


def _made_real(value: Json, namespaces: Mapping[str, str]) -> Json:
    return real(value, namespaces) if isinstance(value, str) else value


def _names(activity: Action | Probe) -> Iterator[str]:
    select = activity.select if isinstance(activity, Action) else {}
    for place in (select, *(select[part] for part in SELECTED if isinstance(select.get(part), dict))):
        if isinstance(name := place.get("namespace"), str):
            yield name
    if isinstance(provider := activity.provider, PythonProvider):
        yield from (one for key in _keys(provider) if isinstance(one := provider.arguments.get(key), str))


def _keys(provider: PythonProvider) -> tuple[str, ...]:
    return next((keys for begin, keys in ARGUMENTS.items() if provider.module.startswith(begin)), ())
