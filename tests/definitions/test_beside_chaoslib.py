"""What Chaos Toolkit's own validation accepts, we read, or say where it is not supported yet; what it refuses, so do we."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from chaoslib.caching import cache_activities, clear_cache
from chaoslib.exceptions import ChaosException
from chaoslib.experiment import ensure_experiment_is_valid

from chaosfw.errors import DefinitionError
from tests.definitions.conftest import ACTION, PROBE, PYTHON, Read, Wrong, whole

ROOT = Path(__file__).parents[2]


def hypothesis(*probes: dict[str, Any]) -> dict[str, Any]:
    return whole(steady_state_hypothesis={"title": "up", "probes": list(probes)})


def tolerated(tolerance: Any) -> dict[str, Any]:
    return hypothesis({**PROBE, "tolerance": tolerance})


def act(**changes: Any) -> dict[str, Any]:
    return {**ACTION, **changes}


READ: dict[str, dict[str, Any]] = {
    "smallest": whole(method=[], steady_state_hypothesis=None),
    "empty method": whole(method=[]),
    "no rollbacks": whole(rollbacks=None),
    "tags": whole(tags=["a", "b"], contributions={"reliability": "high"}, version="1.0.0"),
    "somebody else's extension": whole(extensions=[{"name": "theirs", "anything": [1]}]),
    "configuration": whole(configuration={"a": 1, "b": {"type": "env", "key": "PATH"}, "c": {"d": "e"}}),
    "dynamic configuration": whole(configuration={"now": {"type": "probe", "name": "n", "provider": {**PYTHON, "arguments": {"url": ""}}}}),
    "secrets": whole(secrets={"s": {"t": {"type": "env", "key": "PATH"}}}),
    "runtime": whole(runtime={"rollbacks": {"strategy": "always"}, "hypothesis": {"strategy": "continuously"}}),
    "pauses": whole(method=[act(pauses={"before": 1, "after": 0.5})]),
    "a probe's pauses": whole(method=[{**PROBE, "name": "see", "pauses": {"before": 1, "after": 0.5}}, act()]),
    "a probe in the background": whole(method=[{**PROBE, "name": "see", "background": True}, act()]),
    "a ref in the background": whole(method=[{"ref": "ready", "background": True}, act()]),
    "a hypothesis' probe in the background": hypothesis({**PROBE, "background": True}),
    "a configured pause": whole(method=[act(pauses={"before": "${wait}"})], configuration={"wait": 1.5}),
    "a pause from the environment": whole(
        method=[act(pauses={"before": "${wait}"})],
        configuration={"wait": {"type": "env", "key": "NOBODY_SETS_THIS", "default": "2", "env_var_type": "float"}},
    ),
    "half a pause": whole(method=[act(pauses={"after": 1})]),
    "background": whole(method=[act(background=True), act(name="b", background=False)]),
    "refs": whole(method=[{"ref": "ready"}, {"ref": "z"}, act(name="z")]),
    "probe in the method": whole(method=[{**PROBE, "name": "see"}, act()]),
    "http": whole(method=[act(provider={"type": "http", "url": "http://x", "method": "POST", "timeout": 3, "arguments": {"a": 1}})]),
    "http timeouts": whole(method=[act(provider={"type": "http", "url": "http://x", "timeout": [1, 2.5]})]),
    "process": whole(method=[act(provider={"type": "process", "path": "ls", "arguments": ["-l"], "timeout": 3})]),
    "process with a text": whole(method=[act(provider={"type": "process", "path": "ls", "arguments": "-l"})]),
    "provider secrets": whole(method=[act(provider={**PYTHON, "secrets": ["s"]})], secrets={"s": {"a": "b"}}),
    "unknown keys": whole(notes="mine", method=[act(notes="mine")]),
    "tolerance: number": tolerated(200),
    "tolerance: true": tolerated(True),
    "tolerance: text": tolerated("OK"),
    "tolerance: choices": tolerated([200, 201, 204]),
    "tolerance: two numbers": tolerated([200, 204]),
    "tolerance: range": tolerated({"type": "range", "range": [1.5, 3]}),
    "tolerance: regex": tolerated({"type": "regex", "pattern": "^ok$", "target": "body"}),
    "tolerance: jsonpath": tolerated({"type": "jsonpath", "path": "$.items[*]", "count": 3, "target": "body"}),
    "tolerance: probe": tolerated({**PROBE, "name": "judge", "provider": PYTHON}),
}
NOT_YET: dict[str, dict[str, Any]] = {
    "controls": whole(controls=[{"name": "c", "provider": {"type": "python", "module": "chaoslib.types"}}]),
    "an activity's controls": whole(method=[act(controls=[{"name": "c", "provider": {"type": "python", "module": "chaoslib.types"}}])]),
    "no rollbacks ever": whole(runtime={"rollbacks": {"strategy": "never"}}),
    "a pause in the hypothesis": hypothesis({**PROBE, "pauses": {"before": 1}}),
    "a pause on a rollback": whole(rollbacks=[act(name="back", pauses={"after": 1})]),
    "a pause from a secret": whole(method=[act(pauses={"before": "${wait}"})], secrets={"s": {"wait": 3}}),
    "a pause that a probe finds out": whole(
        method=[act(pauses={"before": "${wait}"})],
        configuration={"wait": {"type": "probe", "name": "n", "provider": {**PYTHON, "arguments": {"url": ""}}}},
    ),
}
REFUSED: dict[str, dict[str, Any]] = {
    "no type": whole(method=[act(type=None)]),
    "unknown type": whole(method=[act(type="thing")]),
    "no name": whole(method=[act(name="")]),
    "no title": whole(title=""),
    "empty func": whole(method=[act(provider={**PYTHON, "func": ""})]),
    "no provider": whole(method=[act(provider=None)]),
    "unknown provider": whole(method=[act(provider={"type": "lambda"})]),
    "no url": whole(method=[act(provider={"type": "http"})]),
    "no path": whole(method=[act(provider={"type": "process"})]),
    "no func": whole(method=[act(provider={"type": "python", "module": "probes.shop"})]),
    "ref to nobody": whole(method=[{"ref": "nobody"}]),
    "empty ref": whole(method=[{"ref": ""}]),
    "background in words": whole(method=[act(background="true")]),
    "pause in words": whole(method=[act(pauses={"before": "soon"})]),
    "no tolerance": hypothesis({key: value for key, value in PROBE.items() if key != "tolerance"}),
    "unknown tolerance": tolerated({"type": "thing"}),
    "broken regex": tolerated({"type": "regex", "pattern": "("}),
    "empty jsonpath": tolerated({"type": "jsonpath", "path": ""}),
    "range of one": tolerated({"type": "range", "range": [1]}),
    "range of words": tolerated({"type": "range", "range": ["a", "b"]}),
}


def stock_says(content: dict[str, Any]) -> str:
    """Empty when stock Chaos Toolkit accepts the file."""
    content = copy.deepcopy(content)
    cache_activities(content)
    try:
        ensure_experiment_is_valid(content)
    except ChaosException as trouble:
        return str(trouble) or type(trouble).__name__
    finally:
        clear_cache()
    return ""


@pytest.mark.parametrize("name", READ)
def test_what_chaos_toolkit_accepts_is_read(read: Read, name: str) -> None:
    assert stock_says(READ[name]) == ""
    assert read(READ[name]).title == "t"


@pytest.mark.parametrize("name", NOT_YET)
def test_what_is_not_supported_says_so_and_where(wrong: Wrong, name: str) -> None:
    (found,) = wrong(NOT_YET[name])

    assert stock_says(NOT_YET[name]) == ""
    assert "not supported" in found
    assert found.startswith("it.json:")


@pytest.mark.parametrize("name", REFUSED)
def test_what_chaos_toolkit_refuses_is_refused(wrong: Wrong, name: str) -> None:
    assert stock_says(REFUSED[name]) != ""
    assert wrong(REFUSED[name])


def test_our_own_files_are_valid_for_stock_chaos(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSFW_ENDPOINT_SHOP_MYAPP", "http://127.0.0.1:1")
    for path in sorted((ROOT / "experiments").glob("*.json")):
        content = json.loads(path.read_text())

        assert stock_says(content) == ""
        assert read(content).title == content["title"]


def test_a_mistake_in_our_block_is_ours_to_refuse(read: Read) -> None:
    content = whole(extensions=[{"name": "chaosfw", "load": 3}])

    assert stock_says(content) == ""
    with pytest.raises(DefinitionError, match=r"load"):
        read(content)
