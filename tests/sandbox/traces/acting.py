"""
Who acts in a trace: stock clients and bare requests, all of them through one :class:`.between.Between`, step by step.

Used by the stories and by :mod:`.traces`. Nothing here looks at answers but to hand them on.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.sandbox.apiserver.plane import TOKEN, client_context, clients_python, kubectl_path, write_kubeconfig
from tests.sandbox.traces.between import Between, Object

PROGRAMS = Path(__file__).with_name("programs")
ROOT = Path(__file__).parents[3]
MERGE, STRATEGIC, JSON_PATCH = "application/merge-patch+json", "application/strategic-merge-patch+json", "application/json-patch+json"
APPLY, JSON = "application/apply-patch+yaml", "application/json"


class Actor:
    """``steps``: what each client printed, and how it ended."""

    def __init__(self, between: Between, folder: Path) -> None:
        self.steps: list[Object] = []
        self.accept = JSON
        self._between, self._folder = between, folder
        kubeconfig = write_kubeconfig(folder, between.url)
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(folder), "PYTHONPATH": str(ROOT), "TZ": "UTC"}

    def kubectl(self, *arguments: str, given: Any = None) -> str:
        """``given``: an object, or several, for its standard input."""
        text = "\n---\n".join(map(json.dumps, given)) if isinstance(given, list) else json.dumps(given)
        return self._run("kubectl " + " ".join(arguments), [kubectl_path(), *arguments], text if given is not None else None)

    def program(self, name: str, *, stock: bool = True) -> str:
        """One of the programs beside this file, or a path in the tests: by the interpreter of other people's clients, or by ours."""
        path = PROGRAMS / name if (PROGRAMS / name).exists() else ROOT / "tests" / name
        return self._run(name, [clients_python() if stock else sys.executable, str(path)], None)

    def _run(self, told: str, command: list[str], text: str | None) -> str:
        self._begin(told)
        done = subprocess.run(
            command, env=self._environment, input=text, capture_output=True, text=True, timeout=120, check=False, cwd=self._folder
        )
        self.steps[-1].update(code=done.returncode, out=done.stdout, err=done.stderr)
        return done.stdout

    def _begin(self, told: str) -> None:
        self._between.step = len(self.steps)
        self.steps.append({"step": told})

    def ask(self, method: str, path: str, body: Any = None, content: str = JSON, **query: str) -> Object:
        """One bare request; of a watch, its events under ``events``."""
        self._begin(f"{method} {path}")
        host, _, port = self._between.url.removeprefix("https://").partition(":")
        connection = http.client.HTTPSConnection(host, int(port), context=client_context(), timeout=60)
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": self.accept, "Content-Type": content, "User-Agent": "bare"}
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            connection.request(method, target, body=None if body is None else json.dumps(body), headers=headers)
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        if "watch" in query:
            return {"events": [json.loads(line) for line in text.splitlines()]}
        return json.loads(text) if text.startswith("{") else {"text": text}

    def unseen(self, method: str, path: str) -> int:
        """The code of an answer to a request that is no part of the trace."""
        connection = self._between.connect()
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {TOKEN}"})
            return connection.getresponse().status
        finally:
            connection.close()

    def create(self, path: str, kind: str, name: str, version: str = "v1", **fields: Any) -> Object:
        metadata = {"name": name, **fields.pop("metadata", {})}
        return self.ask("POST", path, {"apiVersion": version, "kind": kind, "metadata": metadata, **fields})

    def status(self, path: str, status: Object) -> Object:
        """What a controller or a kubelet would say of it."""
        return self.ask("PATCH", f"{path}/status", {"status": status}, MERGE)
