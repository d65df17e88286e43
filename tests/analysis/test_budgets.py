from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lives import entry

from joulegram.analysis.budgets import LEVELS, Month, NoBudget, at_this_rate, held_against, level

MONTH = Month.of("2027-01")
DAY_S = 86_400.0
NEXT_S = MONTH.end_s + DAY_S
FIRST_DAY = (MONTH.start_s - 1.8e9) / DAY_S
"""The month's first moment, as days after the time that `entry` counts from."""


@pytest.mark.parametrize(("name", "days"), [("2026-11", 30), ("2026-12", 31), ("2028-02", 29)])
def test_a_month_is_as_long_as_it_is(name: str, days: int) -> None:
    month = Month.of(name)
    assert month.end_s - month.start_s == days * DAY_S
    assert datetime.fromtimestamp(month.start_s, UTC).strftime("%Y-%m-%d") == f"{name}-01"
    assert Month.at(month.start_s) == Month.at(month.end_s - 1) == month
    assert Month.at(month.end_s) != month


@pytest.mark.parametrize("text", ["2026", "2026-13", "November", "", "2026-11-02"])
def test_what_is_no_month_is_told(text: str) -> None:
    with pytest.raises(NoBudget, match="is no month"):
        Month.of(text)


def test_what_all_runs_cost_is_held_against_the_limits() -> None:
    runs = [entry(f"r{n}", 100.0, day=FIRST_DAY + n) for n in range(3)]
    found = held_against(runs, {"energy_j": 299.0, "carbon_g": 1.0}, project="p", month=MONTH, now_s=NEXT_S)
    energy, carbon = found["budgets"]
    assert (energy["spent"]["value"], energy["level"]) == (300.0, "over")
    assert (carbon["spent"]["value"], carbon["level"]) == (pytest.approx(0.03), "within")
    assert found["level"] == "over"
    assert any("over the budget by 1.00 J" in sentence for sentence in found["sentences"])


def test_the_months_end_is_told_at_the_rate_so_far() -> None:
    runs = [entry("r", 100.0, day=FIRST_DAY)]
    now_s = MONTH.start_s + 10 * DAY_S
    (row,) = held_against(runs, {"energy_j": 300.0}, project="p", month=MONTH, now_s=now_s)["budgets"]
    assert row["forecast"] == pytest.approx(310.0)
    assert row["level"] == "at risk"


def test_a_project_that_began_within_the_month_has_its_rate_since_then() -> None:
    late = [entry("r", 100.0, day=FIRST_DAY + 20)]
    now_s = MONTH.start_s + 25 * DAY_S
    (row,) = held_against(late, {"energy_j": 1000.0}, project="p", month=MONTH, now_s=now_s)["budgets"]
    assert row["forecast"] == pytest.approx(100.0 + 20.0 * 6)
    (row,) = held_against(late, {"energy_j": 1000.0}, project="p", month=MONTH, now_s=MONTH.start_s + 20.5 * DAY_S)[
        "budgets"
    ]
    assert row["forecast"] is None


@given(st.floats(0, 1e9), st.floats(0, 30.9), st.floats(1, 1e9))
def test_more_spent_is_never_a_better_level(spent: float, day: float, limit: float) -> None:
    now_s = MONTH.start_s + day * DAY_S

    def stands(value: float) -> int:
        return LEVELS.index(level(value, at_this_rate(value, MONTH.start_s, MONTH, now_s), limit))

    assert stands(spent) <= stands(spent * 2)
    forecast = at_this_rate(spent, MONTH.start_s, MONTH, now_s)
    assert forecast is None or forecast >= spent


@pytest.mark.parametrize(("spent", "forecast", "expected"), [
    (79.0, 90.0, "within"), (80.0, 100.0, "near"), (50.0, 101.0, "at risk"), (100.0, 100.0, "near"),
    (100.1, None, "over"), (None, None, "unknown"),
])  # fmt: skip
def test_levels(spent: float | None, forecast: float | None, expected: str) -> None:
    assert level(spent, forecast, 100.0) == expected


def test_a_part_that_is_missing_makes_it_a_lower_bound() -> None:
    runs = [entry("r0", 100.0, day=FIRST_DAY), entry("r1", None, day=FIRST_DAY)]
    found = held_against(runs, {"energy_j": 1000.0}, project="p", month=MONTH, now_s=NEXT_S)
    assert found["budgets"][0]["may_be_over"]
    assert "at least 100 J" in found["sentences"][0]
    assert "1 of 2 runs without a figure" in found["sentences"][0]
    unknown = held_against(runs[1:], {"energy_j": 1000.0}, project="p", month=MONTH, now_s=NEXT_S)
    assert unknown["level"] == "unknown"


def test_an_enclosed_run_counts_once_and_other_bases_and_open_runs_are_told() -> None:
    runs = [
        entry("outer", 100.0, day=FIRST_DAY),
        entry("inner", 40.0, day=FIRST_DAY, enclosing_run="outer"),
        entry("direct", 10.0, day=FIRST_DAY, basis="direct", status="running"),
    ]
    limits = {"energy_j": 1000.0, "carbon_g": 1.0}
    found = held_against(runs, limits, project="p", month=MONTH, now_s=NEXT_S)
    energy, carbon = found["budgets"]
    assert energy["spent"]["value"] == pytest.approx(110.0)
    assert carbon["spent"]["value"] == pytest.approx(0.01)
    assert carbon["spent"]["high"] is None
    assert any("1 of 3 runs are priced on another basis" in sentence for sentence in found["sentences"])
    assert any("Still running, and counted so far: direct (direct)" in sentence for sentence in found["sentences"])


def test_without_a_limit_or_before_the_month_there_is_nothing_to_hold_against() -> None:
    with pytest.raises(NoBudget, match="--carbon 50kg"):
        held_against([], {}, project="p", month=MONTH, now_s=NEXT_S)
    with pytest.raises(NoBudget, match="has not begun"):
        held_against([], {"energy_j": 1.0}, project="p", month=MONTH, now_s=MONTH.start_s - 1)
