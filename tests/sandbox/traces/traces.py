"""
Whole traces of stock clients, as the API server that Kubernetes ships answered them, and the same requests asked of the embedded one.

``python -m tests.sandbox.traces.traces record [STORY ...]`` runs the stories of :mod:`.stories` against the real one and keeps what passed;
``python -m tests.sandbox.traces.traces [STORY]`` replays what is kept and prints what differs. :mod:`.test_traces` does it as a test, and
runs the clients themselves against the embedded one too: they have to print the same.

What a server makes up (uids, versions, addresses, ports, names made from a prefix) is another at each run. A replay learns from each pair
of answers which of ours stands for which of theirs, and asks with ours.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from chaosfw.sandbox.apiserver import errors
from tests.sandbox.apiserver.differential import differences, looping, normal
from tests.sandbox.apiserver.plane import TOKEN, client_context, oracle, plane
from tests.sandbox.traces.acting import Actor
from tests.sandbox.traces.between import Between, Object
from tests.sandbox.traces.stories import STORIES

CASSETTE: Final = Path(__file__).with_name("client-traces.json.gz")
_MADE_UP: Final = ("uid", "resourceVersion", "continue", "clusterIP", "nodePort")
PLACES: Final = re.compile(r"/(?:tmp|root|home|work|usr|var|opt)/[^\s\"']*")
_PATIENCE: Final = 10.0
"""Seconds for an event that was seen there to come here too."""


# --- keeping


@contextmanager
def acting(url: str) -> Iterator[tuple[Actor, Between]]:
    with tempfile.TemporaryDirectory() as folder, Between(url) as between:
        yield Actor(between, Path(folder)), between


@asynccontextmanager
async def bare(*, real: bool) -> AsyncIterator[str]:
    """An API server where nobody moves anything; pods can be made."""
    if real:
        async with oracle(controllers=False) as (url, _):
            yield url
        return
    async with plane(controllers=False, kubelet=False) as ours:
        await ours.client.create("serviceaccounts", {"metadata": {"name": "default"}}, namespace="default")
        yield ours.url


def recorded(name: str, *, real: bool) -> Object:
    """One story, acted by the clients themselves against a control plane of its own."""
    with looping() as run:
        context = bare(real=real)
        url = run(context.__aenter__())
        try:
            with acting(url) as (actor, between):
                STORIES[name](actor)
                return {"steps": actor.steps, "exchanges": [one for one in between.exchanges if "answer" in one]}
        finally:
            run(context.__aexit__(None, None, None))


def write(traces: dict[str, Object]) -> None:
    """Each answer once, for discovery is told again to each client; without paths of the machine on which it was recorded."""
    texts: dict[str, str] = {}
    for trace in traces.values():
        for step in trace["steps"]:
            step |= {name: PLACES.sub("PLACE", step[name]) for name in ("out", "err") if name in step}
        for one in trace["exchanges"]:
            text = one["answer"] = _without_words(one)
            key = hashlib.sha256(text.encode()).hexdigest()[:16]
            texts[key] = text
            one["answer"] = key
    content = json.dumps({"traces": traces, "texts": texts}, sort_keys=True, separators=(",", ":")).encode()
    CASSETTE.write_bytes(gzip.compress(content, 9, mtime=0))


def _without_words(one: Object) -> str:
    """Schemas and the columns of tables have a megabyte of descriptions, of which ours tells none."""
    text: str = one["answer"]
    if _OUTSIDE.search(urlsplit(one["path"]).path):
        return ""  # compared with nothing
    if '"columnDefinitions"' in text:
        bare = [_comparable("", body) for body in objects(text)]
        return "\n".join(json.dumps(body) for body in bare)
    if not one["path"].startswith("/openapi/v3/") or one["code"] != 200:
        return text
    found = json.loads(text)
    return json.dumps({"components": {"schemas": _undescribed(found["components"]["schemas"], inside=True)}})


_SCHEMA: Final = ("type", "format", "properties", "items", "required", "additionalProperties", "$ref", "allOf")


def _undescribed(value: Any, inside: bool = False) -> Any:
    """Types, fields and the keys by which lists are merged: ours tells no words, no defaults, no enumerations."""
    if isinstance(value, dict):
        found = {key: _undescribed(one, key == "properties") for key, one in value.items() if inside or _tells(key)}
        return found.pop("allOf")[0] | found if not inside and "allOf" in found else found
    return [_undescribed(one) for one in value] if isinstance(value, list) else value


def _tells(key: str) -> bool:
    return key in _SCHEMA or key.startswith(("x-kubernetes-list", "x-kubernetes-patch", "x-kubernetes-map", "x-kubernetes-group"))


def kept() -> dict[str, Object]:
    found = json.loads(gzip.decompress(CASSETTE.read_bytes()))
    for trace in found["traces"].values():
        for one in trace["exchanges"]:
            one["answer"] = found["texts"][one["answer"]]
    return found["traces"]  # type: ignore[no-any-return]


# --- asking again


class Replay:
    """One API server, asked what another was asked."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._ours: dict[str, str] = {}
        """What stands for what they had made up."""
        self._versions: dict[str, str] = {}

    def ask(self, one: Object) -> Object:
        """Ours in the form of what was kept."""
        connection = http.client.HTTPSConnection(self._host, self._port, context=client_context(), timeout=_PATIENCE)
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": one["accept"], "Content-Type": one["content"], "User-Agent": one["agent"]}
        body = base64.b64decode(one["packed"]) if "packed" in one else self._put(one["body"]).encode()
        for theirs, ours in self._ours.items():
            if "packed" in one and len(theirs) == len(ours):
                body = body.replace(theirs.encode(), ours.encode())
        try:
            connection.request(one["method"], self._put(one["path"]), body=body or None, headers=headers)
            answer = connection.getresponse()
            text = self._events(answer, one) if one.get("left") else answer.read().decode()
        finally:
            connection.close()
        for mine, other in zip(objects(text), objects(one["answer"]), strict=False):
            self._learn(mine, other)
        warnings = sorted(answer.headers.get_all("Warning") or ())
        return {**one, "code": answer.status, "type": answer.headers.get("Content-Type", ""), "warnings": warnings, "answer": text}

    def _events(self, answer: http.client.HTTPResponse, one: Object) -> str:
        """As many as the client had read before it went."""
        wanted, lines = len(told(one)["body"]), []
        while len([line for line in lines if not _is_mark(json.loads(line))]) < wanted:
            try:
                line = answer.readline().decode()
            except TimeoutError:
                break
            if not line:
                break
            lines.append(line)
        return "".join(lines)

    def _put(self, text: str) -> str:
        for theirs, ours in self._ours.items():
            text = text.replace(theirs, ours)
        return re.sub(r"(resourceVersion(?:\\?\"?:\s*\\?\"|=|%22%3A%22))(\d+)", self._version, text)

    def _version(self, found: re.Match[str]) -> str:
        return found[1] + self._versions.get(found[2], found[2])

    def _learn(self, ours: Any, theirs: Any, name: str = "", made: bool = False) -> None:
        if isinstance(ours, dict) and isinstance(theirs, dict):
            generated = "generateName" in theirs
            for key in theirs.keys() & ours.keys():
                self._learn(ours[key], theirs[key], key, generated and key == "name")
        elif isinstance(ours, list) and isinstance(theirs, list):
            for one, other in zip(ours, theirs, strict=False):
                self._learn(one, other, name)
        elif name == "resourceVersion" and theirs:
            self._versions[theirs] = ours
        elif (name in _MADE_UP or made) and isinstance(theirs, str) and len(theirs) > 5 and theirs != ours:
            self._ours[theirs] = ours


@contextmanager
def replaying() -> Iterator[Replay]:
    with looping() as run:
        context = bare(real=False)
        try:
            yield Replay(run(context.__aenter__()))
        finally:
            run(context.__aexit__(None, None, None))


def replayed(trace: Object) -> Iterator[tuple[Object, list[tuple[str, Any, Any]]]]:
    """Each exchange that can be compared, with what differs in it."""
    with replaying() as replay:
        for one in trace["exchanges"]:
            if _OUTSIDE.search(urlsplit(one["path"]).path):
                continue
            ours, theirs = told(replay.ask(one)), told(one)
            if not _is_served(ours) and theirs["code"] != 404:
                continue
            yield one, list(differences(*_both_serve(ours, theirs)))


def _is_served(ours: Object) -> bool:
    """Whether the embedded one has the group and the kind at all."""
    body = ours["body"][0] if ours["body"] else ""
    return ours["code"] != 404 or body not in ("404 page not found\n", normal(errors.status_of(errors.no_such_resource())))


_OUTSIDE: Final = re.compile("/log$|/exec$|^/openapi/v2$")
"""The nodes of these stories have no kubelet that a real API server could ask; OpenAPI v2 is not served."""


def _both_serve(ours: Object, theirs: Object) -> tuple[Object, Object]:
    """Of discovery and of schemas that which both have: the embedded one serves fewer kinds. Theirs has to have all that ours has."""
    mine, other = (one["body"][0] if len(one["body"]) == 1 and isinstance(one["body"][0], dict) else {} for one in (ours, theirs))
    for key, name in (("resources", "name"), ("items", "metadata"), ("groups", "name"), ("versions", "resource")):
        if mine.get("kind") in ("APIResourceList", "APIGroupDiscoveryList", "APIGroupList"):
            _narrow(mine, other, key, name)
    for found in (mine.get("paths"), (mine.get("components") or {}).get("schemas")):
        if isinstance(found, dict):
            wider = other.get("paths") or (other.get("components") or {}).get("schemas") or {}
            for gone in wider.keys() - found.keys():
                del wider[gone]
    return ours, theirs


def _narrow(ours: Object, theirs: Object, key: str, name: str) -> None:
    if isinstance(ours.get(key), list) and isinstance(theirs.get(key), list):
        mine = {_name(one, name): one for one in ours[key]}
        theirs[key] = [one for one in theirs[key] if _name(one, name) in mine]
        for one in theirs[key]:
            _narrow_versions(mine[_name(one, name)], one)
            _narrow_doors(mine[_name(one, name)], one)


def _name(one: Any, key: str) -> str:
    found = one.get(key) if isinstance(one, dict) else one
    return str(found.get("name", "") if isinstance(found, dict) else found)


def _narrow_doors(ours: Object, theirs: Object) -> None:
    have = {one["subresource"] for one in ours.get("subresources") or ()}
    if "subresources" in theirs and "subresource" not in theirs:
        kept = [one for one in theirs.pop("subresources") if one["subresource"] in have]
        theirs |= {"subresources": kept} if kept else {}


def _narrow_versions(ours: Object, theirs: Object) -> None:
    """Of a group in aggregated discovery."""
    versions = {one.get("version"): one for one in ours.get("versions") or ()}
    if versions:
        theirs["versions"] = [one for one in theirs["versions"] if one.get("version") in versions]
        for one in theirs["versions"]:
            _narrow(versions[one["version"]], one, "resources", "resource")


# --- what is compared


def objects(text: str) -> list[Any]:
    """The lines of a watch, or the one object of any other answer."""
    try:
        return [json.loads(text)]
    except ValueError:
        pass
    try:
        return [json.loads(line) for line in text.splitlines()]
    except ValueError:
        return [text]


def told(one: Object) -> Object:
    path = unquote(urlsplit(one["path"]).path)
    bodies = [normal(_scrubbed(_comparable(path, body))) for body in objects(one["answer"]) if not _is_mark(body)]
    return {"code": one["code"], "type": one["type"], "warnings": normal(one["warnings"]), "body": bodies}


def _is_mark(body: Any) -> bool:
    """A bookmark comes when it comes, but for the one that ends the beginning."""
    if not isinstance(body, dict) or body.get("type") != "BOOKMARK":
        return False
    return "k8s.io/initial-events-end" not in (body["object"]["metadata"].get("annotations") or {})


def _comparable(path: str, body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    if path.rstrip("/") == "/version":
        return {"major": body["major"], "minor": body["minor"], "gitVersion": body["gitVersion"].partition("+")[0]}
    if path.startswith("/openapi/v3/"):
        return {"components": {"schemas": _undescribed(body["components"]["schemas"], inside=True)}}
    if path == "/openapi/v3":
        return {
            "paths": {name: {**one, "serverRelativeURL": one["serverRelativeURL"].partition("?")[0]} for name, one in body["paths"].items()}
        }
    if body.get("type") == "BOOKMARK":
        return {**body, "object": {key: one for key, one in body["object"].items() if key not in ("spec", "status")}}  # says nothing
    if "object" in body and "columnDefinitions" in body["object"]:
        return {**body, "object": _bare_table(body["object"])}
    return _bare_table(body) if "columnDefinitions" in body else body


def _bare_table(table: Object) -> Object:
    """Without the words on columns, of which ours has none, and without cells that tell how long ago something was."""
    columns = [{key: one for key, one in column.items() if key != "description"} for column in table["columnDefinitions"] or ()]
    names = [column["name"] for column in columns]
    rows = [{**row, "cells": [_cell(name, cell) for name, cell in zip(names, row["cells"], strict=False)]} for row in table["rows"] or ()]
    return {**table, "columnDefinitions": columns, "rows": rows}


DUMPED: Final = re.compile(r'Invalid value: ".*": (strict decoding error|json: cannot)', re.DOTALL)
FROZEN: Final = re.compile(r"(it was previously negative\))\n.*", re.DOTALL)
"""Where a real one prints a whole object, or how two of them differ, in the form of Go."""
_ADDRESS: Final = re.compile(r"^10\.96\.\d+\.\d+$")
_PORT: Final = re.compile(r":3\d{4}/")


def _scrubbed(value: Any) -> Any:
    """Without moments of now, ports of a server, and what is compared elsewhere."""
    if isinstance(value, dict):
        if "generateName" in value:
            value = {**value, "name": "NAME"}
        return {key: _scrubbed(one) for key, one in value.items() if key != "serverAddressByClientCIDRs"}
    if isinstance(value, list):
        return [_scrubbed(one) for one in value]
    if not isinstance(value, str) or value.startswith("2026-01-01"):
        return value
    return _MOMENT.sub("MOMENT", FROZEN.sub(r"\1", DUMPED.sub(r"Invalid value: VALUE: \1", value)))


_MOMENT: Final = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def _cell(name: str, cell: Any) -> Any:
    if name in ("Age", "Last Seen", "First Seen", "Created At", "Last Schedule") and cell != "<none>":
        return "AGE"
    return _PORT.sub(":PORT/", _ADDRESS.sub("ADDRESS", cell)) if isinstance(cell, str) else cell


def record(names: list[str]) -> None:
    """Of the real one; what is kept of other stories stays."""
    traces = {name: trace for name, trace in kept().items() if name in STORIES} if names else {}
    for name in names or STORIES:
        traces[name] = recorded(name, real=True)
        print(f"{name}: {len(traces[name]['steps'])} steps, {len(traces[name]['exchanges'])} exchanges", flush=True)
    write(traces)
    print(f"{CASSETTE.stat().st_size / 1024:.0f} KiB")


def main() -> None:
    if sys.argv[1:2] == ["record"]:
        record(sys.argv[2:])
        return
    compared, left_out, differing = 0, 0, 0
    for name, trace in kept().items():
        if sys.argv[1:2] not in ([], [name]):
            continue
        before = compared
        for one, found in replayed(trace):
            compared += 1
            differing += bool(found)
            if found:
                print(f"\n{name}: {trace['steps'][one['step']]['step'][:200]}")
                print(f"  {one['method']} {one['path'][:200]} {one.get('body', '')[:200]}")
            for path, ours, theirs in found[:6]:
                print(f"    {path}\n      ours   {json.dumps(ours)[:300]}\n      theirs {json.dumps(theirs)[:300]}")
        left_out += len(trace["exchanges"]) - compared + before
    print(f"{compared} exchanges compared, {differing} differ; {left_out} ask for what the embedded API server does not serve")


if __name__ == "__main__":
    main()
