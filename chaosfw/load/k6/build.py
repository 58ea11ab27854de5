"""
Builds a k6 that has our output in it, from its Go module and ``output/output.go``.

Called by ``chaosfw build-k6``, and by nothing else: a run takes the k6 that it is given. Needs Go and a module proxy.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from chaosfw import golang
from chaosfw.errors import DriverError, UsageError

VERSION = "2.0.0"
"""Of k6, if nobody wants another."""

_MODULE = "go.k6.io/k6"
_OURS = "chaosfw.dev/k6"
_MAIN = """\
// Written by chaosfw: k6, with its output in it.
package main

import (
	_ "{ours}/output"
	"{module}/cmd"
{others})

func main() {{ cmd.Execute() }}
"""


def target(version: str = VERSION, variables: Mapping[str, str] = os.environ) -> Path:
    """Where it is put if nobody says where."""
    base = variables.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "chaosfw" / "bin" / f"k6-{version}-chaosfw"


def build(told: Callable[[str], None], *, version: str = VERSION, others: Sequence[str] = (), out: Path | None = None) -> Path:
    """
    The program, made anew. ``others``: modules of other extensions that it shall have, as ``go get`` takes them. ``told`` hears how far it
    is. Raises UsageError for a version that can not be one, for extensions that need another, and for an ``out`` that is a directory;
    DriverError with the last words of Go when it fails.
    """
    version = version.removeprefix("v")
    if not re.fullmatch(r"[1-9]\d*\.\d+\.\d+(-[\w.]+)?", version):
        raise UsageError(f"{version!r} is no version of k6 that has extensions of this kind", hint=f"as {VERSION}; 1.0.0 or later")
    if golang.found() is None:
        raise DriverError("there is no Go here to build k6 with", hint=f"{golang.HOW_TO_GET}; without it k6's own CSV is read, as before")
    place = out or target(version)
    if place.is_dir():
        raise UsageError(f"{place} is a directory, the name of a file was expected", hint=f"--out {place / 'k6'}")
    with tempfile.TemporaryDirectory(prefix="chaosfw-k6-") as made:
        work = Path(made)
        _write(work, version=version, others=others)
        for one in (f"{_path(version)}@v{version}", *others):
            _go(["get", one], work, what=f"fetching {one}", told=told)
        _go(["mod", "tidy"], work, what=f"fetching the modules of k6 {version}", told=told)
        _same(work / "go.mod", version=version)
        _go(["build", "-trimpath", "-ldflags", "-s -w", "-o", "k6", "."], work, what=f"building k6 {version}", told=told)
        _put(work / "k6", place)
    return place


def _path(version: str) -> str:
    """k6's module: its major version is a part of the name, but for the first."""
    major = version.partition(".")[0]
    return _MODULE if major == "1" else f"{_MODULE}/v{major}"


def _write(work: Path, *, version: str, others: Sequence[str]) -> None:
    source = Path(__file__).with_name("output") / "output.go"
    (work / "output").mkdir()
    (work / "output" / "output.go").write_text(re.sub(rf'"{re.escape(_MODULE)}(?:/v\d+)?/', f'"{_path(version)}/', source.read_text()))
    imports = "".join(f'\t_ "{one.partition("@")[0]}"\n' for one in others)
    (work / "main.go").write_text(_MAIN.format(ours=_OURS, module=_path(version), others=imports))
    (work / "go.mod").write_text(f"module {_OURS}\n\ngo 1.25.0\n")


def _go(words: Sequence[str], work: Path, *, what: str, told: Callable[[str], None]) -> None:
    if last := golang.go(words, work, what=what, told=told):
        raise DriverError(f"{what} failed:\n{last}", hint=golang.WHERE_FROM)


def _same(file: Path, *, version: str) -> None:
    """Another extension may need a later k6, and Go takes that without a word."""
    found = re.search(rf"^(?:require)?\s*{re.escape(_path(version))} v(\S+)", file.read_text(), re.MULTILINE)
    if found is None or found[1] != version:
        raise UsageError(
            f"the extensions need k6 {found[1] if found else 'of another major version'}, {version} was asked for",
            hint="say --version, or another version of theirs",
        )


def _put(program: Path, place: Path) -> None:
    """All at once: a program that is there is whole."""
    made = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, made)
        made.replace(place)
    except OSError as trouble:
        made.unlink(missing_ok=True)
        raise DriverError(f"it is built, and can not be put there: {trouble}", hint="--out says where to") from trouble
