"""The page, the summary and the terminal's lines: whole ones against files, and what must hold of any of them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from chaosfw.model.plan import Refusal
from chaosfw.model.record import Record
from chaosfw.model.struct import but
from chaosfw.reporting import html, markdown, terminal
from tests.reporting import days

GOLDEN = Path(__file__).parents[1] / "golden"
VOID = {"meta", "br", "link", "img", "hr", "input"}


def golden(name: str, text: str) -> None:
    """Equal to the file of that name. If not, the new text is written beside it for review."""
    path = GOLDEN / name
    if path.exists() and path.read_text() == text:
        return
    beside = path.with_name(f"{path.stem}.new{path.suffix}")
    beside.write_text(text)
    pytest.fail(f"{name} is not what it was; look at {beside.name}, and if it is better: mv {beside.name} {path.name}")


def without_data(page: str) -> str:
    """The records as data change with every field; they have tests of their own."""
    return re.sub(r'(<pre class="data"[^>]*>).*?</pre>', r"\1…</pre>", page, flags=re.DOTALL)


def rendered(*records: Record) -> str:
    return html.render(days.day(records), records)


def test_the_page_is_what_it_was() -> None:
    golden("report.html", without_data(rendered(*days.all_kinds())))


def test_the_summary_is_what_it_was() -> None:
    golden("summary.md", markdown.render(days.day(days.all_kinds()), days.all_kinds()))


def test_the_terminals_lines_are_what_they_were() -> None:
    golden("terminal.txt", "\n".join(terminal.lines(days.day(days.all_kinds()))) + "\n")


EVIL = "<script>alert('x')</script>\" onload=\"y & ]]> | `z` @everyone [a](javascript:b)"


def evil() -> Record:
    """Every text that somebody else wrote tries to be more than text."""
    record = days.deviated()
    assert record.plan is not None
    target = but(record.actions[0].targets[0], name=EVIL)
    action = but(record.actions[0], name=EVIL, error=EVIL, changes=(EVIL,), targets=(target,), ok=False)
    probe = but(record.probes[0], name=EVIL, error=EVIL, last_value=EVIL, worst_value=EVIL)
    judgement = but(record.judgement, sentence=f"Deviated: {EVIL}", findings=(but(record.judgement.findings[0], claim=EVIL, reason=EVIL),))
    marks = tuple(but(one, what=EVIL, kind="cluster") for one in record.marks)
    return but(
        record,
        title=EVIL,
        actions=(action,),
        probes=(probe,),
        judgement=judgement,
        marks=marks,
        body_message=EVIL,
        residue=(EVIL,),
        served={EVIL: 3},
        versions={EVIL: EVIL},
    )


def test_what_others_wrote_stays_text() -> None:
    refused = but(days.refused(), refusals=(Refusal(slug="x", sentence=EVIL, hint=EVIL),), title=EVIL)
    page = rendered(evil(), refused)

    assert "<script" not in page
    assert 'onload="y' not in page
    assert "&lt;script&gt;" in page
    assert not Outline.of(page).troubles


def test_the_summary_keeps_it_text_too() -> None:
    record = evil()
    text = markdown.render(days.day([record]), [record])

    assert "<script" not in text
    assert not re.search(r"(?<!\\)\]\(", text)
    assert "@everyone" not in text
    assert len({line.count(" | ") for line in text.splitlines() if line.startswith(("| ✗", "|  |"))}) == 1


def test_nothing_is_fetched_and_no_script_runs() -> None:
    page = rendered(*days.all_kinds())

    assert not re.search(r"""(?:src|href|action|poster|data)\s*=\s*["']?(?!#|["'])[a-z]*:?//""", page)
    assert not re.search(r"""\b(?:src|srcset|poster)\s*=""", page)
    assert re.findall(r'href="([^"#][^"]*)"', page) == []
    assert "@import" not in page
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= {"#hatch", "#dots"}
    assert "<script" not in page
    assert not re.search(r"<[^>]+\son[a-z]+=", page)
    assert "default-src 'none'" in page


class Outline(HTMLParser):
    """Whether tags are closed in order, ids unique, links and labels answered, tables headed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.wanted: list[str] = []
        self.headings: list[int] = []
        self.tags: list[str] = []
        self.troubles: list[str] = []

    @classmethod
    def of(cls, page: str) -> Outline:
        made = cls()
        made.feed(page)
        made.close()
        made.troubles += [f"never closed: {tag}" for tag in made.open]
        made.troubles += [f"id twice: {one}" for one in set(made.ids) if made.ids.count(one) > 1]
        made.troubles += [f"nothing has the id {one}" for one in set(made.wanted) - set(made.ids)]
        return made

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if given.get("id"):
            self.ids.append(given["id"] or "")
        self.wanted += (given.get("aria-labelledby") or "").split()
        if (given.get("href") or "").startswith("#"):
            self.wanted.append((given["href"] or "")[1:])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.troubles.append(f"closed out of order: {tag}, line {self.getpos()[0]}")


def test_the_page_is_well_formed_and_has_landmarks() -> None:
    outline = Outline.of(rendered(*days.all_kinds()))

    assert outline.troubles == []
    assert {"header", "main", "footer", "article", "section", "table", "th", "caption", "details"} <= set(outline.tags)
    assert outline.headings[0] == 1
    assert all(later - earlier <= 1 for earlier, later in zip(outline.headings, outline.headings[1:], strict=False))


def test_pictures_are_well_formed_with_title_and_description() -> None:
    pictures = re.findall(r"<svg viewBox.*?</svg>", rendered(*days.all_kinds()), flags=re.DOTALL)

    assert len(pictures) == 4
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        assert root.get("role") == "img"
        assert [child.tag.rpartition("}")[2] for child in root[:2]] == ["title", "desc"]


def test_verdicts_are_words_and_not_only_colours() -> None:
    page = rendered(*days.all_kinds())

    for word in ("Held", "Deviated", "Inconclusive", "Refused", "Blocked"):
        assert f"</span> {word}</span>" in page


def test_a_page_of_many_experiments_stays_below_a_megabyte() -> None:
    records = [but(record, run=f"{record.run}-{number}") for number in range(4) for record in days.all_kinds()]

    assert len(rendered(*records).encode()) < 1_000_000


def test_a_summary_of_many_experiments_fits_a_comment() -> None:
    records = [but(record, run=f"{record.run}-{number}") for number in range(30) for record in days.all_kinds()]

    assert len(markdown.render(days.day(records), records)) <= 65_536


def test_a_summary_of_a_day_without_experiments_is_one_sentence() -> None:
    assert "No experiment was run" in markdown.render(days.day([]), [])
    assert terminal.lines(days.day([]))[0].startswith("No experiment was run")
    assert "No experiment was run" in html.render(days.day([]), [])


def test_the_terminal_is_narrow_and_tells_what_to_do_about_residue() -> None:
    lines = terminal.lines(days.day(days.all_kinds()))

    assert all(len(line) <= 116 for line in lines[1:])
    assert any("hint: chaosfw heal" in line for line in lines)


def test_a_very_long_value_is_shortened() -> None:
    """The record has all of it."""
    record = days.deviated()
    long = but(record, probes=(but(record.probes[0], worst_value="x" * 10_000),))

    assert "x" * 300 not in without_data(rendered(long))
