"""
What stock clients ask is answered as by the API server that Kubernetes ships, exchange by exchange; and what they print is the same.

The answers that were kept need neither clients nor Go; that the real one still gives them is asked of it where it is.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import Any

import pytest

from tests.sandbox.traces.stories import STORIES
from tests.sandbox.traces.traces import DUMPED, FROZEN, PLACES, kept, recorded, replayed, told

KEPT = cache(kept)
OTHERWISE = {
    "kubectl api-versions": "groups that the embedded one does not serve",
    "kubectl api-resources": "the same",
    "kubectl cluster-info": "an address",
    "kubectl explain deployment.spec.strategy": "schemas have no descriptions here",
    "kubectl explain bx.spec": "the same",
    "kubectl get cm settings -o yaml --show-managed-fields": "owners stand by the second of their last write",
    "kubectl get deploy web -o yaml --show-managed-fields": "the same",
    "kubectl describe ns default": "it tells of quotas and limit ranges, which the embedded one does not serve",
    "kubectl get --raw /api/v1/namespaces/default/pods?limit=1": "as it came on the wire, where fields stand in any order",
    "sandbox/apiserver/chaosk8s_recording.py": "compared in test_apiserver_recording; one function asks for logs, where nothing runs",
}
"""Steps whose output is another, and why; how they end is the same."""
_MADE_UP = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"\b(\d+[dhms]){1,2}\b"), "AGE"),
    (re.compile(r"20\d\d-\d\d-\d\dT[0-9:.]+Z|20\d\d-\d\d-\d\d \d\d:\d\d:[0-9.]+|\w{3}, \d\d \w{3} 20\d\d [0-9:]+ [+]0000"), "TIME"),
    (re.compile(r"10\.96\.\d+\.\d+"), "ADDRESS"),
    (re.compile(r"(?<![\d.])3\d{4}\b"), "PORT"),
    (DUMPED, r"Invalid value: VALUE: \1"),
    (FROZEN, r"\1\n"),
    (re.compile(r"resourceVersion: \"\d+\"|\"resourceVersion\": ?\"\d+\"|resourceVersion='?\d+'?"), "VERSION"),
    (re.compile(r"kube-api-access-[a-z0-9]{5}"), "kube-api-access-SUFFIX"),
    (re.compile(r'"continue":"\w+"'), "CONTINUE"),
    (PLACES, "PLACE"),
    (re.compile(r"127\.\d+\.\d+\.\d+:(\d+|PORT)"), "PLACE"),
    (re.compile(r"[+]chaosfw"), ""),
    (re.compile(r"[ =-]{2,}|[ ]\n"), " "),
)


@pytest.mark.parametrize("name", STORIES)
def test_what_was_asked_is_answered_as_it_was(name: str) -> None:
    compared, wrong = 0, []
    for one, found in replayed(KEPT()[name]):
        compared += 1
        wrong += [f"{one['method']} {one['path']} {path}: ours {ours!r}, theirs {theirs!r}"[:600] for path, ours, theirs in found]
    assert not wrong, "\n".join(wrong[:10])
    assert compared > 5


@pytest.mark.parametrize("name", [name for name, trace in KEPT().items() if any("out" in step for step in trace["steps"])])
def test_clients_print_what_they_print_of_a_real_one(name: str) -> None:
    theirs, ours = KEPT()[name]["steps"], recorded(name, real=False)["steps"]

    assert [step["step"] for step in ours] == [step["step"] for step in theirs]
    wrong = [(mine["step"], mine, other) for mine, other in zip(ours, theirs, strict=True) if printed(mine) != printed(other)]
    assert not wrong, "\n\n".join(f"{step}: {mine['code']}, {other['code']}\n{compared(mine, other)}" for step, mine, other in wrong)


@pytest.mark.parametrize("name", ["kubectl applies on the server", "conflicts and preconditions", "evictions"])
def test_the_real_one_answers_as_it_did(name: str) -> None:
    """Some of it; ``python -m tests.sandbox.traces.traces record`` asks all of it again."""
    before, now = (in_order(trace["exchanges"]) for trace in (KEPT()[name], recorded(name, real=True)))

    assert [asked(one) for one in now] == [asked(one) for one in before]
    assert [told(one) for one in now if "openapi" not in one["path"]] == [told(one) for one in before if "openapi" not in one["path"]]


def test_a_difference_is_found() -> None:
    trace = KEPT()["patches"]
    liar = {**trace, "exchanges": [{**one, "answer": one["answer"].replace('"k":"v"', '"k":"lie"')} for one in trace["exchanges"]]}

    found = [path for _, differing in replayed(liar) for path, _, _ in differing]

    assert ".body[].data.k" in found


def compared(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    lines = difflib.unified_diff(printed(theirs)[1].splitlines(), printed(ours)[1].splitlines(), "theirs", "ours", lineterm="", n=0)
    return "\n".join(lines)


def in_order(exchanges: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a client looks up at the same time comes in any order."""
    return sorted(exchanges, key=lambda one: (one["step"], asked(one) if one["path"].startswith(("/api?", "/apis?", "/openapi")) else ""))


def asked(one: dict[str, Any]) -> str:
    return f"{one['method']} {re.sub('hash=[0-9A-F]+', 'hash', one['path']).partition('resourceVersion=')[0]}"


def printed(step: dict[str, Any]) -> tuple[Any, str]:
    if "out" not in step:
        return None, ""
    text = "" if step["step"] in OTHERWISE else step["out"] + step["err"]
    for pattern, word in _MADE_UP:
        text = pattern.sub(word, text)
    return step["code"], text
