"""The table "Every key" of the reference is what the parser does: each key in a small file, beside the same file without it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from chaosfw.definitions.toolkit_file import ACTIVITY, TOP
from chaosfw.model.experiment import Experiment, Origin
from chaosfw.model.struct import but
from tests.definitions.conftest import ACTION, PROBE, PYTHON, Read, Wrong, whole
from tests.definitions.test_beside_chaoslib import stock_says

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "chaos-toolkit.md"
File = dict[str, Any]

CONTROL = [{"name": "c", "provider": {"type": "python", "module": "chaoslib.types"}}]
HTTP = {"type": "http", "url": "http://127.0.0.1:1/"}
PROCESS = {"type": "process", "path": "true"}
BACK = {**ACTION, "name": "back"}
SECRET = {"s": {"wait": "3"}}
ASKED = {"wait": {"type": "probe", "name": "n", "provider": {**PYTHON, "arguments": {"url": ""}}}}


def act(**changes: Any) -> File:
    return whole(method=[{**ACTION, **changes}])


def look(**changes: Any) -> File:
    """A file with one probe in its hypothesis."""
    return whole(steady_state_hypothesis={"title": "up", "probes": [{**PROBE, **changes}]})


def python(**changes: Any) -> File:
    return act(provider={**PYTHON, **changes})


def http(**changes: Any) -> File:
    return act(provider={**HTTP, **changes})


def process(**changes: Any) -> File:
    return act(provider={**PROCESS, **changes})


def tolerated(**changes: Any) -> File:
    return look(tolerance={"type": "jsonpath", "path": "$.a", **changes})


def ranged(**changes: Any) -> File:
    return look(tolerance={"type": "range", "range": [1, 3], **changes})


def waiting(**top: Any) -> File:
    return whole(method=[{**ACTION, "pauses": {"before": "${wait}"}}], **top)


CHANGED: dict[str, tuple[File, File]] = {
    "title": (whole(title="u"), whole()),
    "configuration": (whole(configuration={"a": 1}), whole()),
    "secrets": (whole(secrets=SECRET), whole()),
    "steady-state-hypothesis": (whole(), whole(steady_state_hypothesis=None)),
    "method": (whole(), whole(method=[])),
    "rollbacks": (whole(rollbacks=[BACK]), whole()),
    "extensions": (whole(extensions=[{"name": "chaosfw", "lasts": "3s"}]), whole(extensions=[{"name": "theirs", "lasts": "3s"}])),
    "runtime.hypothesis.strategy": (whole(runtime={"hypothesis": {"strategy": "continuously"}}), whole()),
    "steady-state-hypothesis.title": (whole(steady_state_hypothesis={"title": "well", "probes": [PROBE]}), whole()),
    "steady-state-hypothesis.probes": (whole(), whole(steady_state_hypothesis={"title": "up"})),
    "activity.type": (act(type="probe"), act()),
    "activity.name": (act(name="other"), act()),
    "activity.provider": (act(provider=HTTP), act()),
    "activity.ref": (whole(method=[ACTION, {"ref": "ready"}]), whole()),
    "activity.tolerance": (look(tolerance=404), look()),
    "activity.background": (act(type="probe", background=True), act(type="probe")),
    "activity.pauses": (act(type="probe", pauses={"before": 1}), act(type="probe")),
    "python.module": (
        python(module="chaosfw.activities.net", func="tcp_accepts", arguments={"address": "x"}),
        python(func="tcp_accepts", arguments={"address": "x"}),
    ),
    "python.func": (python(func="answering_pod"), python(func="other")),
    "python.arguments": (python(arguments={"url": "y"}), python()),
    "python.secrets": (python(secrets=["s"]), python()),
    "http.url": (http(url="http://127.0.0.1:2/"), http()),
    "http.method": (http(method="POST"), http()),
    "http.headers": (http(headers={"a": "b"}), http()),
    "http.arguments": (http(arguments={"a": "b"}), http()),
    "http.verify_tls": (http(verify_tls=False), http()),
    "http.timeout": (http(timeout=2), http()),
    "process.path": (process(path="false"), process()),
    "process.arguments": (process(arguments="-x"), process()),
    "process.timeout": (process(timeout=2), process()),
    "tolerance.type": (look(tolerance={"type": "regex", "pattern": "1"}), look(tolerance=1)),
    "tolerance.range": (ranged(range=[1, 4]), ranged()),
    "tolerance.pattern": (look(tolerance={"type": "regex", "pattern": "a"}), look(tolerance={"type": "regex", "pattern": "b"})),
    "tolerance.path": (tolerated(path="$.b"), tolerated()),
    "tolerance.count": (tolerated(count=2), tolerated()),
    "tolerance.expect": (tolerated(expect=2), tolerated()),
    "tolerance.target": (tolerated(target="body"), tolerated()),
}
"""Supported: the file with the key says something else than the file without it."""

IGNORED: dict[str, File] = {
    "version": whole(version="1.0.0"),
    "description": whole(description="something else"),
    "tags": whole(tags=["a"]),
    "contributions": whole(contributions={"reliability": "high"}),
    "runtime.rollbacks.strategy": whole(runtime={"rollbacks": {"strategy": "deviated"}}),
    "activity.timeout": act(timeout=3),
    "activity.configuration": act(configuration={"a": 1}),
    "activity.secrets": act(secrets={"a": {"b": "c"}}),
}
"""Ignored: the same experiment as without it."""

REFUSED: dict[str, tuple[File, str]] = {
    "controls": (whole(controls=CONTROL), "controls"),
    "dry": (whole(dry="actions"), "dry"),
    "runtime.rollbacks.strategy: never": (whole(runtime={"rollbacks": {"strategy": "never"}}), "runtime.rollbacks.strategy"),
    "steady-state-hypothesis.controls": (
        whole(steady_state_hypothesis={"title": "up", "probes": [PROBE], "controls": CONTROL}),
        "steady-state-hypothesis.controls",
    ),
    "activity.pauses from a secret or a probe": (waiting(secrets=SECRET), "method[0].pauses.before"),
    "activity.pauses in the hypothesis": (look(pauses={"before": 1}), "steady-state-hypothesis.probes[0].pauses"),
    "activity.pauses in the rollbacks": (whole(rollbacks=[{**BACK, "pauses": {"after": 1}}]), "rollbacks[0].pauses"),
    "activity.controls": (act(controls=CONTROL), "method[0].controls"),
    "activity.dry": (act(dry="actions"), "method[0].dry"),
    "http.max_retries": (http(max_retries=3), "method[0].provider.max_retries"),
}
"""Refused: one error, at this path."""


def table() -> dict[str, str]:
    """Key to what the page says of it."""
    text = PAGE.read_text(encoding="utf-8").partition("## Every key")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| (\w+) \|", text, flags=re.MULTILINE)
    return {key: said for cell, said in rows for key in cell.replace("`", "").split(", ")}


def meant(made: Experiment) -> Experiment:
    return but(made, origin=Origin())


def test_the_page_lists_what_is_tried_here() -> None:
    tried = dict.fromkeys(CHANGED, "supported") | dict.fromkeys(IGNORED, "ignored") | dict.fromkeys(REFUSED, "refused")

    assert table() == tried


def test_every_key_that_the_parser_knows_is_listed() -> None:
    known = {key for key in TOP if key != "runtime"} | {f"activity.{key}" for key in ACTIVITY}

    assert known <= set(table())


@pytest.mark.parametrize("key", CHANGED)
def test_what_is_supported_says_something(read: Read, key: str) -> None:
    there, left_out = CHANGED[key]

    assert meant(read(there)) != meant(read(left_out))


@pytest.mark.parametrize("key", IGNORED)
def test_what_is_ignored_says_nothing(read: Read, key: str) -> None:
    assert meant(read(IGNORED[key])) == meant(read(whole()))


@pytest.mark.parametrize("key", REFUSED)
def test_what_is_refused_is_told_where_it_stands(wrong: Wrong, key: str) -> None:
    content, path = REFUSED[key]

    (found,) = wrong(content)

    assert re.match(rf"it\.json:\d+: {re.escape(path)} ", found), found


def test_pauses_that_a_probe_finds_out_are_refused_too(wrong: Wrong) -> None:
    (found,) = wrong(waiting(configuration=ASKED))

    assert "method[0].pauses.before" in found


@pytest.mark.parametrize("key", [*CHANGED, *IGNORED, *REFUSED])
def test_stock_chaos_toolkit_accepts_each(key: str) -> None:
    """So what we refuse is refused by us, and what we support is no invention of ours."""
    content = CHANGED[key][0] if key in CHANGED else IGNORED[key] if key in IGNORED else REFUSED[key][0]

    assert stock_says(content) == ""
