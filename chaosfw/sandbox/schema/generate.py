"""
Derives ``schema.json.gz`` from the zip of the Go module ``k8s.io/kubernetes``. Run by a maintainer, never at run time::

    python -m chaosfw.sandbox.schema.generate $(go env GOMODCACHE)/cache/download/k8s.io/kubernetes/@v/v1.37.2.zip

The output is the same for the same zip: keys sorted, no time stamp in the gzip header.
"""

from __future__ import annotations

import gzip
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

DOCUMENTS = (
    "api__v1",
    "apis__apps__v1",
    "apis__policy__v1",
    "apis__discovery.k8s.io__v1",
    "apis__events.k8s.io__v1",
    "apis__coordination.k8s.io__v1",
    "apis__networking.k8s.io__v1",
    "apis__batch__v1",
    "apis__autoscaling__v1",
    "apis__autoscaling__v2",
    "apis__rbac.authorization.k8s.io__v1",
    "apis__storage.k8s.io__v1",
    "apis__scheduling.k8s.io__v1",
    "apis__apiextensions.k8s.io__v1",
    "apis__authorization.k8s.io__v1",
    "apis__authentication.k8s.io__v1",
)
KEPT = (
    "$ref",
    "type",
    "format",
    "items",
    "properties",
    "required",
    "additionalProperties",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-group-version-kind",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "oneOf",
)
REFERENCE = "#/components/schemas/"


def derive(zip_path: Path) -> dict[str, Any]:
    """All types of the served groups, by name; nothing but their shape."""
    types: dict[str, Any] = {}
    with zipfile.ZipFile(zip_path) as module:
        root = module.namelist()[0].split("/api/", 1)[0].rsplit("@", 1)
        prefix = f"{root[0]}@{root[1].split('/', 1)[0]}/api/openapi-spec/v3/"
        for document in DOCUMENTS:
            schemas = json.loads(module.read(f"{prefix}{document}_openapi.json"))["components"]["schemas"]
            types.update({name: reduce(schema) for name, schema in schemas.items()})
    return {"types": types}


def reduce(schema: Any) -> Any:
    """
    The schema without prose, without the ``allOf`` that only wraps one reference, and of the defaults only the empty object: it tells
    that the field is a Go struct, there even in an empty object.
    """
    if not isinstance(schema, dict):
        return schema
    wrapped = schema.get("allOf")
    merged = {**schema, **wrapped[0]} if wrapped and len(wrapped) == 1 else schema
    kept = {key: merged[key] for key in KEPT if key in merged}
    if "$ref" in kept and merged.get("default") == {}:
        kept["default"] = {}
    if "properties" in kept:
        kept["properties"] = {name: reduce(value) for name, value in kept["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in kept:
            kept[key] = reduce(kept[key])
    if "$ref" in kept:
        kept["$ref"] = kept["$ref"].removeprefix(REFERENCE)
    return kept


def main() -> None:
    content = json.dumps(derive(Path(sys.argv[1])), sort_keys=True, separators=(",", ":")).encode()
    Path(__file__).with_name("schema.json.gz").write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    main()
