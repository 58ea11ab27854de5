"""
Derives ``protobuf.json.gz``, the field numbers of the published protocol buffers, from the zips of the Go modules
``k8s.io/api`` and ``k8s.io/apimachinery``. Run by a maintainer, never at run time::

    cd $(go env GOMODCACHE)/cache/download/k8s.io
    python -m chaosfw.sandbox.schema.generate_protobuf api/@v/v0.37.2.zip apimachinery/@v/v0.37.2.zip
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import zipfile
from pathlib import Path

WANTED = re.compile(
    r"/(core|apps|batch|policy|networking|rbac|storage|scheduling|coordination|discovery|events|authorization|authentication|meta)/v1/"
    r"|/autoscaling/v[12]/|/pkg/runtime/|/util/intstr/|/api/resource/"
)
_PACKAGE = re.compile(r"^package (?P<name>[\w.]+);", re.MULTILINE)
_MESSAGE = re.compile(r"^message (?P<name>\w+) \{(?P<body>.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(
    r"^  (?:(?P<label>optional|repeated) (?P<type>[\w.]+)|map<string, (?P<value>[\w.]+)>) (?P<name>\w+) = (?P<number>\d+);", re.MULTILINE
)
_SCALARS = ("string", "bytes", "bool", "int32", "int64", "uint32", "uint64", "double", "float")


def derive(zips: list[Path]) -> dict[str, dict[str, list[str]]]:
    """``{message: {number: [name, type, label]}}``; the label of a map is "map"."""
    messages: dict[str, dict[str, list[str]]] = {}
    for path in zips:
        with zipfile.ZipFile(path) as module:
            for name in module.namelist():
                if name.endswith("generated.proto") and WANTED.search(name):
                    messages.update(_of_file(module.read(name).decode()))
    return messages


def _of_file(text: str) -> dict[str, dict[str, list[str]]]:
    package = _PACKAGE.search(text)
    assert package is not None
    found = {}
    for message in _MESSAGE.finditer(text):
        fields = {}
        for field in _FIELD.finditer(message["body"]):
            kind = field["value"] or field["type"]
            full = kind.lstrip(".") if kind in _SCALARS or "." in kind else f"{package['name']}.{kind}"
            fields[field["number"]] = [field["name"], full, field["label"] or "map"]
        found[f"{package['name']}.{message['name']}"] = fields
    return found


def main() -> None:
    content = json.dumps(derive([Path(name) for name in sys.argv[1:]]), sort_keys=True, separators=(",", ":")).encode()
    Path(__file__).with_name("protobuf.json.gz").write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    main()
