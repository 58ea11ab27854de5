"""
Calls a provider the way Chaos Toolkit does: ``run_activity`` for one activity, ``within_tolerance`` where only it can judge.

Called in the executor. Its Runner is not used: it exits 0 when an action fails, and keeps its own idea of a verdict.
"""

from __future__ import annotations

import copy
import json
import threading
from typing import Any

from chaoslib import substitute
from chaoslib.activity import run_activity
from chaoslib.configuration import load_configuration, load_dynamic_configuration
from chaoslib.exceptions import ActivityFailed, ChaosException
from chaoslib.hypothesis import within_tolerance
from chaoslib.secret import load_secrets

from chaosfw.errors import DriverError
from chaosfw.model.activity import Action, HttpProvider, ProcessProvider, PythonProvider
from chaosfw.model.struct import Json, but
from chaosfw.model.tolerance import ToolkitTolerance
from chaosfw.ports import ProviderCall

BODY = 20_000
"""Longest text of a value that is kept, in characters: a journal is not a place for whole pages."""


def call(request: ProviderCall) -> Json:
    """The provider's value. Raises DriverError with the driver's own words."""
    configuration, secrets = resolved(request.configuration, request.secrets)
    activity = to_toolkit(request)
    try:
        value = run_activity(activity, configuration, secrets)
        if isinstance(request.tolerance, ToolkitTolerance):
            tolerated = within_tolerance(request.tolerance.value, value, configuration=configuration, secrets=secrets)
            value = {"tolerated": bool(tolerated), "value": value}
    except ActivityFailed as failed:
        raise DriverError(str(redacted(str(failed), secrets))) from failed
    except Exception as trouble:  # a function that is not there, a value that can not be looked into
        raise DriverError(str(redacted(f"{type(trouble).__name__}: {trouble}", secrets))) from trouble
    return redacted(shortened(value), secrets)


def resolved(configuration: dict[str, Any], secrets: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and secrets with their values. Dynamic configuration is asked once for each executor, as Chaos Toolkit does."""
    key = json.dumps([configuration, secrets], sort_keys=True)
    with _guard:
        if key not in _resolved:
            _resolved[key] = _resolve(configuration, secrets)
        return _resolved[key]


def _resolve(configuration: dict[str, Any], secrets: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        found = load_configuration(copy.deepcopy(configuration))
        loaded = load_secrets(copy.deepcopy(secrets), found)
        return load_dynamic_configuration(found, loaded), loaded
    except ChaosException as trouble:
        raise DriverError(f"configuration: {trouble}") from trouble


def configured(action: Action) -> Action:
    """The action with ``${name}`` of its configuration put into its arguments, so that targets can be found. Secrets stay names."""
    if not isinstance(action.provider, PythonProvider) or not action.configuration:
        return action
    configuration, _ = resolved(action.configuration, action.secrets)
    return but(action, provider=but(action.provider, arguments=substitute(action.provider.arguments, configuration, {}) or {}))


_resolved: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
_guard = threading.Lock()


def to_toolkit(request: ProviderCall) -> dict[str, Any]:
    """The activity in Chaos Toolkit's own words."""
    activity: dict[str, Any] = {"type": "probe" if request.probe else "action", "name": request.name}
    if isinstance(request.tolerance, ToolkitTolerance):
        activity["tolerance"] = request.tolerance.value
    activity["provider"] = _provider(request)
    return activity


def _provider(request: ProviderCall) -> dict[str, Any]:
    provider = request.provider
    if isinstance(provider, PythonProvider):
        made: dict[str, Any] = {"type": "python", "module": provider.module, "func": provider.func, "arguments": dict(provider.arguments)}
        if provider.secrets:
            made["secrets"] = list(provider.secrets)
        return made
    if isinstance(provider, HttpProvider):
        made = {
            "type": "http",
            "url": provider.url,
            "method": provider.method,
            "timeout": provider.timeout,
            "verify_tls": provider.verify_tls,
        }
        return made | {key: value for key, value in (("headers", provider.headers), ("arguments", provider.arguments)) if value}
    if isinstance(provider, ProcessProvider):
        made = {"type": "process", "path": provider.path, "timeout": provider.timeout}
        return made | ({"arguments": provider.arguments} if provider.arguments else {})
    raise DriverError(f"{request.name!r} reads the load, which only the runner can")


def shortened(value: Json) -> Json:
    """The value with long texts cut, marked as such."""
    if isinstance(value, str) and len(value) > BODY:
        return value[:BODY] + f"… ({len(value)} characters)"
    if isinstance(value, dict):
        return {key: shortened(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [shortened(one) for one in value]
    return value


def redacted(value: Json, secrets: Json) -> Json:
    """The value with every secret replaced wherever its text appears."""
    hidden = sorted(_texts(secrets), key=len, reverse=True)
    return _hide(value, hidden) if hidden else value


def _hide(value: Json, hidden: list[str]) -> Json:
    if isinstance(value, str):
        for secret in hidden:
            value = value.replace(secret, "•••")
        return value
    if isinstance(value, dict):
        return {key: _hide(one, hidden) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_hide(one, hidden) for one in value]
    return value


def _texts(secrets: Json) -> set[str]:
    if isinstance(secrets, str):
        return {secrets} if len(secrets) > 3 else set()
    if isinstance(secrets, dict):
        return set().union(*(_texts(one) for one in secrets.values())) if secrets else set()
    return set()
