"""Durations, shares and quantiles are read as people write them, exactly; everything else is refused by name."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosfw.errors import UsageError
from chaosfw.quantities import UNITS, count_or_share, duration, quantile, share


@given(st.integers(0, 10_000), st.sampled_from(sorted(UNITS)), st.sampled_from(["", " "]))
def test_a_number_with_a_unit_is_so_many_of_it(number: int, unit: str, space: str) -> None:
    assert duration(f"{number}{space}{unit}", what="x") == pytest.approx(number * UNITS[unit])


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_parts_add_up(hours: int, minutes: int, seconds: int, milliseconds: int) -> None:
    written = f"{hours}h{minutes}m{seconds}s{milliseconds}ms"

    assert duration(written, what="x") == pytest.approx(hours * 3600 + minutes * 60 + seconds + milliseconds / 1000)


@given(st.floats(0, 1e9))
def test_a_number_is_seconds(seconds: float) -> None:
    assert duration(seconds, what="x") == seconds


@pytest.mark.parametrize("value", ["", "20", "soon", "20 apples", "s", "1m x", "-3s", "1 0s", "1..5s", True, None, [1]])
def test_what_is_no_duration_is_named(value: object) -> None:
    with pytest.raises(UsageError, match=r"lasts is .*: a duration such as '20s', '1m30s' or '300ms' was expected"):
        duration(value, what="lasts")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-1, -0.1, math.nan, math.inf])
def test_a_duration_has_an_end_and_no_sign(value: float) -> None:
    with pytest.raises(UsageError, match="can not be negative or without end"):
        duration(value, what="lasts")


@given(st.integers(0, 100_000))
def test_a_percentage_is_exactly_the_share_that_was_written(thousandths: int) -> None:
    """In binary 99.9 / 100 is more than 0.999: 999 good of 1,000 would break a promise of 99.9 %."""
    written = f"{thousandths // 1000}.{thousandths % 1000:03d}%"

    assert share(written, what="x") == thousandths / 100_000


def test_nines_are_exact() -> None:
    assert (share("99.9%", what="x"), quantile("p99.9"), share(" 97 % ", what="x")) == (0.999, 0.999, 0.97)


@pytest.mark.parametrize("value", ["97", "", "%", "a%", "-1%", "1e2%", None, True, [0.5]])
def test_what_is_no_share_is_named(value: object) -> None:
    with pytest.raises(UsageError, match=r"target is .*: a share such as '97%' was expected"):
        share(value, what="target")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [97, 1.01, -0.1, math.nan, math.inf, "101%"])
def test_a_share_lies_between_nothing_and_all(value: object) -> None:
    with pytest.raises(UsageError, match="a share lies between 0% and 100%") as caught:
        share(value, what="target")  # type: ignore[arg-type]
    assert caught.value.hint == "write '97%' or 0.97"


def test_a_whole_number_counts_and_the_rest_are_shares() -> None:
    counts = [count_or_share(value, what="pods") for value in (0, 3, "34%", 0.5, 1.0)]

    assert counts == [0, 3, 0.34, 0.5, 1.0]
    assert [type(value) for value in counts] == [int, int, float, float, float]


@pytest.mark.parametrize("value", [-1, True, "3", None])
def test_what_is_neither_count_nor_share_is_named(value: object) -> None:
    with pytest.raises(UsageError, match="pods is"):
        count_or_share(value, what="pods")  # type: ignore[arg-type]


@given(st.integers(1, 999))
def test_quantiles_are_read_back(tenths: int) -> None:
    assert quantile(f"p{tenths / 10:g}") == tenths / 1000


@pytest.mark.parametrize("name", ["p0", "p100", "95", "p", "max", "p-5", "p95%"])
def test_what_is_no_quantile_is_named(name: str) -> None:
    with pytest.raises(UsageError, match="is not a quantile"):
        quantile(name)
