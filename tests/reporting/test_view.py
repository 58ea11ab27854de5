"""What a page says, tested without HTML."""

from __future__ import annotations

import pytest

from chaosfw.model.environment import Limits
from chaosfw.model.load import Outcome
from chaosfw.model.record import Mark, Record
from chaosfw.model.struct import but
from chaosfw.reporting import figures, timeline, view
from chaosfw.reporting.page import Experiment, Page, Section
from chaosfw.testing.journals import Script, Weather
from tests.reporting import days


def page(*records: Record, **changes: object) -> Page:
    return view.page(days.day(records, **changes), records)


def section(one: Experiment, slug: str) -> Section:
    return next(part for part in one.sections if part.slug == slug)


def fact(part: Section, name: str) -> str:
    return next(one.value for one in part.facts if one.name == name)


def cells(part: Section, table: int = 0) -> list[list[str]]:
    return [[cell.text for cell in row] for row in part.tables[table].rows]


def test_the_headline_counts_promises_and_tells_that_everything_is_back() -> None:
    assert page(days.held()).headline == "1 promise held; everything put back (audited, 200 ms)"
    assert page(days.held(), days.deviated(), days.inconclusive()).headline == (
        "1 promise held, 1 broken, 1 unproven; everything put back (audited, 600 ms)"
    )


def test_the_load_tells_of_the_generators_own_dns() -> None:
    """Requests without an address are unknown and not failed, and the look-ups are counted."""
    record = Script(weather=(Weather(begin=2.0, end=4.0, outcome=Outcome.dns),)).record()
    assert record.load is not None
    assert record.load.seal is not None
    record = but(record, load=but(record.load, seal=but(record.load.seal, lookups=30, lookups_failed=2)))

    part = section(page(record).experiments[0], "load")

    assert fact(part, "Failed") == "0"
    assert "200 without an address" in next(one.note for one in part.facts if one.name == "Unknown")
    assert fact(part, "Its own DNS") == "2 of 30 look-ups failed"


def test_the_headline_does_not_say_put_back_when_something_was_left_behind() -> None:
    assert page(days.held(), days.residue()).headline.endswith("not everything was put back (1 experiment left something behind)")


def test_a_world_that_could_not_be_seen_is_not_called_clean() -> None:
    assert "is not known" in page(but(Script(residue=None).record(), run="r-dark")).headline


def test_nothing_was_touched_when_all_were_refused() -> None:
    assert page(days.refused()).headline == "1 promise refused; nothing was touched"


def test_the_worst_stands_first() -> None:
    assert [row.verdict for row in page(*days.all_kinds()).rows] == [
        "inconclusive",  # with residue
        "deviated",
        "inconclusive",
        "refused",
        "blocked",
        "held",
    ]


def test_a_sandbox_says_so_with_its_time_profile() -> None:
    made = page(days.held())

    assert (made.badge, made.sandbox) == ("Sandbox", True)
    assert "“fast”" in made.badge_note
    assert page(days.held(), environment_kind="kubernetes").badge == "Kubernetes"


def test_lost_requests_are_a_range_when_some_are_unknown() -> None:
    (row,) = page(days.inconclusive()).rows

    assert row.lost == "0 to 50"
    assert "50 unknown" in row.lost_note
    assert row.price.startswith("≤\u00a0")


def test_a_quantile_that_is_a_failure_is_infinite_and_labelled() -> None:
    made = page(days.deviated())

    assert made.rows[0].p95 == "21\u00a0ms\u00a0→\u00a0∞"
    load = section(made.experiments[0], "load")
    hold = next(row for row in cells(load) if row[0] == "hold")
    assert hold[5] == "∞"
    assert hold[9].endswith(" ms")
    assert "infinite" in load.tables[0].caption


def test_a_run_without_impact_says_so_instead_of_zero_seconds() -> None:
    (row,) = page(days.held()).rows

    assert (row.outage, row.recovered) == ("none", "no impact / 10\u00a0s")


def test_a_fault_that_was_never_called_broke_nothing() -> None:
    made = page(days.never_injected())
    (row,) = made.rows

    assert row.verdict == "inconclusive"
    assert row.broke == "would have been: kill web-1"
    assert (row.outage, row.recovered, row.price) == ("–", "–", "–")
    assert made.experiments[0].lead[0].name == "Wanted to break"
    assert made.experiments[0].timeline is not None
    assert "into the run" in {shape.text[-12:] for shape in made.experiments[0].timeline.shapes}


def test_findings_that_are_false_come_first_with_their_reason() -> None:
    (one,) = page(days.deviated()).experiments
    first = section(one, "findings").tables[0].rows[0]

    assert first[3].text == "✗ false"
    assert "first bad request 2.0 s after the fault" in first[0].note


def test_conditions_that_were_not_met_are_told_and_the_others_folded() -> None:
    (one,) = page(days.inconclusive()).experiments

    assert [row[0] for row in cells(section(one, "unmet"))] == ["✗ proven", "✗ generator"]
    assert section(one, "met").folded


def test_all_refusals_are_shown_with_what_to_do() -> None:
    (one,) = page(days.refused()).experiments
    rows = cells(section(one, "refusals"))

    assert [row[0] for row in rows] == ["no-targets", "limits.pods"]
    assert rows[0][2] == "labels there: app=web"
    assert one.timeline is None


def test_the_load_tells_what_it_did_not_send() -> None:
    (one,) = page(days.inconclusive()).experiments
    load = section(one, "load")

    assert fact(load, "Unknown") == "50"
    assert "50 dropped" in next(one.note for one in load.facts if one.name == "Unknown")
    assert fact(load, "Resolution") == "30 ms"
    assert fact(load, "Model") == "open"


def test_a_closed_loop_says_what_it_is_not() -> None:
    (one,) = page(but(Script(model="closed").record(), run="r-closed")).experiments
    model = next(one for one in section(one, "load").facts if one.name == "Model")

    assert (model.value, model.tone) == ("closed", "bad")
    assert "not those of the demand" in model.note


def test_the_way_back_names_what_is_still_there() -> None:
    (one,) = page(days.residue()).experiments
    way_back = section(one, "way-back")

    assert cells(way_back)[0][3] == "stuck"
    assert cells(way_back)[0][6] == "+10.2 s"
    assert "1 thing left behind" in fact(way_back, "Audit")
    assert any("pod shop/web-1 is gone" in row[0] for row in cells(way_back, 1))


def test_the_command_repeats_one_experiment_with_the_days_seed() -> None:
    (one,) = page(days.held()).experiments

    assert fact(section(one, "settings"), "Repeat it") == "pytest 'tests/test_shop.py::test_held' --chaos-seed 7"


def test_settings_say_where_they_came_from() -> None:
    rows = cells(page(days.held()).sections[0])

    assert ["environment", "sandbox", "pyproject.toml [tool.chaosfw]"] in rows


def test_a_limit_from_outside_is_shown_once_with_its_origin() -> None:
    origins = {"limits.pods": "pyproject.toml, beside it --chaos-limit", "seed": "default"}
    rows = cells(page(days.held(), settings={"limits": {"pods": "34% and 2"}, "origins": origins}).sections[0])

    assert [row for row in rows if row[0] == "limits.pods"] == [["limits.pods", "34% and 2", "pyproject.toml, beside it --chaos-limit"]]


def test_a_count_beside_a_share_is_told_of_the_run_too() -> None:
    record = days.held()
    assert record.plan is not None
    beside = Limits(pods=2, nodes=None, zones=None, budget=None, protect=())
    plan = but(record.plan, environment=but(record.plan.environment, beside=beside))
    (one,) = page(but(record, plan=plan, settings={"origins": {"limits.pods": "--chaos-limit"}})).experiments

    told = [row for row in cells(section(one, "settings")) if row[0] == "limits.pods"]

    assert [row[1:] for row in told] == [["34 %", "--chaos-limit"], ["2", "--chaos-limit"]]


def test_no_path_of_this_machine_gets_onto_the_page() -> None:
    record = but(days.deviated(), body_message="see /home/somebody/work/log.txt", settings={"kubeconfig": "/tmp/x/y/config"})
    made = view.page(days.day([record]), [record])

    assert "/home/somebody" not in str(made)
    assert "/tmp/x" not in str(made)
    assert "…/work/log.txt" in str(made)


def test_a_run_without_a_record_has_its_row_all_the_same() -> None:
    made = view.page(days.day([days.held()]), [])

    assert made.rows[0].word == "Held"
    assert made.experiments[0].sections[0].title == "No record"


def test_data_that_does_not_fit_is_left_to_the_file() -> None:
    records = [but(days.held(), run=f"r-{number}") for number in range(40)]
    made = view.page(days.day(records), records)
    texts = [section(one, "data") for one in made.experiments]

    assert sum(len(text.raw) for text in texts) <= view.MOST_DATA
    assert not texts[-1].raw
    assert "record.json" in texts[-1].lead


# -- the time axis --------------------------------------------------------------------------------------------------------


def looks(record: Record) -> set[str]:
    made = timeline.timeline(record)
    assert made is not None
    return {shape.look for shape in made.shapes}


def test_the_axis_has_a_lane_for_everything_that_happened() -> None:
    made = timeline.timeline(days.deviated())
    assert made is not None

    assert [shape.text for shape in made.shapes if shape.look == "lane"] == [
        "Phase",
        "Fault",
        "Requests/s",
        "Latency, ms",
        "Hypothesis",
        "Outages",
        "Events",
    ]
    assert {"traffic good", "traffic bad", "round no", "out", "lost"} <= looks(days.deviated())


def test_unknown_requests_and_silent_probes_have_a_look_of_their_own() -> None:
    assert {"traffic unknown", "round dunno", "faded"} <= looks(days.inconclusive())


def test_a_heal_without_proof_is_open_to_the_end() -> None:
    assert "healing open" in looks(days.residue())
    assert "healing open" not in looks(days.held())


def test_the_axis_is_told_in_words_and_as_a_table() -> None:
    made = timeline.timeline(days.deviated())
    assert made is not None

    assert "2,750 requests: 2,350 good, 400 bad, 0 unknown" in made.described
    assert len(made.rows) <= 40
    assert sum(int(row.bad.replace(",", "")) for row in made.rows) == 400
    assert any(row.p95 == "∞" for row in made.rows)


def test_everything_is_drawn_inside_the_picture() -> None:
    for record in days.all_kinds():
        made = timeline.timeline(record)
        for shape in made.shapes if made else ():
            if shape.kind == "text":
                assert 0 <= float(shape.x) <= made.width
                assert 0 <= float(shape.y) <= made.height


def test_events_are_numbered_and_capped_and_halts_come_before_chatter() -> None:
    script = Script()
    chatter = tuple(Mark(at=script.at(0.1 * number), what=f"pod {number}", kind="cluster") for number in range(60))
    halt = Mark(at=script.at(9), what="an alert fires", kind="halt")
    made = timeline.timeline(but(script.record(), marks=(*chatter, halt)))
    assert made is not None

    assert len(made.notes) == timeline.MOST_MARKS
    assert made.notes[-1].what == "an alert fires"


def test_a_run_that_was_cut_before_the_fault_has_an_axis() -> None:
    made = timeline.timeline(Script().record(edit=lambda events: events[:40]))

    assert made is None or made.described


def test_no_picture_of_nothing() -> None:
    assert timeline.timeline(days.refused()) is None


def test_slow_answers_beside_fast_ones_get_a_logarithmic_scale() -> None:
    slow = Script(weather=(Weather(begin=2, end=3, outcome=0, latency=0.9),))  # type: ignore[arg-type]  # 0 is Outcome.ok
    made = timeline.timeline(slow.record())
    assert made is not None

    assert "log scale" in {shape.text for shape in made.shapes}


# -- figures --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0, "0 %"),
        (3.858e-6, "< 0.001 %"),
        (0.000123, "0.012 %"),
        (0.0042, "0.42 %"),
        (0.042, "4.2 %"),
        (0.485222, "48.5 %"),
        (0.9, "90 %"),
        (0.9982, "99.82 %"),
        (0.99999, "99.999 %"),
        (1, "100 %"),
        (2.5, "250 %"),
    ],
)
def test_shares_have_no_more_digits_than_they_need(share: float, words: str) -> None:
    assert figures.share(share) == words


@pytest.mark.parametrize("bad", range(1, 200, 7))
def test_less_than_all_is_never_called_100_percent(bad: int) -> None:
    assert figures.share(1 - bad / 10**7) != "100 %"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.0004, "< 1 ms"),
        (0.0033485, "3.3 ms"),
        (0.0347, "35 ms"),
        (0.9996, "1.0 s"),
        (3.24, "3.2 s"),
        (125, "2 min 5 s"),
        (2592000, "30 d"),
    ],
)
def test_lengths_of_time(seconds: float | None, words: str) -> None:
    assert figures.seconds(seconds) == words


def test_intervals_are_one_figure_when_both_ends_read_the_same() -> None:
    assert figures.between(2.11, 2.13) == "2.1 s"
    assert figures.between(1.6, 2.1) == "1.6 s to 2.1 s"
    assert figures.between(0, 2.1) == "≤ 2.1 s"
    assert figures.between(2.1, None) == "≥ 2.1 s"
    assert figures.between(None, None) == "did not end"
    assert figures.signed(-0.01) == "0.0 s"
    assert figures.signed(-0.5) == "−0.5 s"


def test_addresses_are_no_paths() -> None:
    assert figures.scrubbed("GET http://127.0.0.1:8080/tmp/x answered") == "GET http://127.0.0.1:8080/tmp/x answered"
    assert figures.scrubbed("in '/tmp/a/b/c.py', line 3") == "in '…/b/c.py', line 3"
