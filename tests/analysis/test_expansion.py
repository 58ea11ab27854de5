"""What a quick time profile made short, told for default settings: segment by segment, and never a total."""

from __future__ import annotations

import pytest

from chaosfw.analysis.expansion import PACES, re_expanded
from chaosfw.model.record import Record, Segment
from chaosfw.model.struct import but
from chaosfw.reporting import sections
from chaosfw.sandbox.profiles import PROFILES
from chaosfw.testing.journals import Script, bound

MEASURED = (5.4, 30.1, 0.02, 1.5, None)
NAMES = ("detect", "evict", "schedule", "start", "ready")


def record(*, profile: str = "fast", fault: str = "kubernetes.machine/1", seconds: tuple[float | None, ...] = MEASURED) -> Record:
    found = Script(bound=(but(bound(), fault=fault),)).record()
    assert found.plan is not None
    plan = but(found.plan, environment=but(found.plan.environment, profile=profile))
    segments = tuple(Segment(name=name, seconds=took, until=took) for name, took in zip(NAMES, seconds, strict=True))
    return but(found, plan=plan, segments=segments)


def test_what_settings_decide_is_taken_from_them_and_the_rest_is_as_measured() -> None:
    assert re_expanded(record()) == {"detect": (40.0, 55.0), "evict": (300.1, 300.1)}


@pytest.mark.parametrize(
    "same",
    [
        {"profile": "default"},
        {"profile": ""},
        {"fault": "kubernetes.kill/1"},
        {"seconds": (0.3, 0.1, 0.02, 1.5, 2.0)},  # somebody said so, nobody had to notice
        {"seconds": (None,) * 5},
    ],
    ids=str,
)
def test_where_default_settings_would_change_nothing_nothing_is_told(same: dict[str, object]) -> None:
    assert re_expanded(record(**same)) == {}  # type: ignore[arg-type]


def test_the_settings_are_those_of_the_sandbox() -> None:
    for name, pace in PACES.items():
        held = PROFILES[name]
        assert (pace.renew, pace.monitor, pace.grace) == (held.lease_renew, held.monitor_period, held.monitor_grace)
        assert pace.tolerated == held.toleration_seconds
    assert PACES.keys() == PROFILES.keys()


def test_the_report_says_so_beside_what_was_measured() -> None:
    table = sections._segments(record())

    assert table.head[-1] == "With Kubernetes' default settings (re-expanded)"
    assert [row[-1].text for row in table.rows] == ["40 to 55 s", "≈ 5 min", "as measured", "as measured", "–"]
    assert len(sections._segments(record(profile="default")).head) == 4
