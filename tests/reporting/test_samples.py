"""The sample reports that are committed: each is the one it says it is, small, and tells nothing of the machine it was made on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.reporting.test_pages import Outline

SAMPLES = Path(__file__).parents[2] / "reports" / "samples"
WORDS = {
    "held": "1 promise held; everything put back",
    "one-replica": "1 promise broken; everything put back",
    "undone-behind-our-back": "1 promise unproven; everything put back",
    "wrong-selector": "1 promise refused; nothing was touched",
    "revert-fails": "not everything was put back",
}


@pytest.mark.parametrize("name", WORDS)
def test_a_sample_is_what_its_name_says(name: str) -> None:
    page, summary = ((SAMPLES / name / file).read_text() for file in ("report.html", "summary.md"))

    assert WORDS[name] in page
    assert WORDS[name] in summary
    assert Outline.of(page).troubles == []
    assert len(page.encode()) <= 200_000


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*/*.*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_sample_tells_nothing_of_the_machine_it_was_made_on(path: Path) -> None:
    found = re.findall(r"""(?:^|[\s"'(>])(/(?:home|root|tmp|work|var|Users|private)/[^\s"'<]*)""", path.read_text(), flags=re.MULTILINE)

    assert found == []


def test_every_sample_has_its_test() -> None:
    assert {path.parent.name for path in SAMPLES.glob("*/report.html")} == set(WORDS)
