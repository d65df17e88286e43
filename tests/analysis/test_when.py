"""When to run: against brute force over every start, and over every way to pause."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.analysis.outlook import DAY_S, CannotPlan, Outlook, outlook
from joulegram.analysis.pausing import Pauses, cheapest_stretches
from joulegram.analysis.saving import UNKNOWN, foreseen
from joulegram.analysis.when import LEAST_SAVING, Plan, best_start, plan
from joulegram.feeds import FORECAST_HIGH, FORECAST_LOW
from joulegram.records import IntensityPoint

HOUR_S = 3600.0
NOW_S = 1.8e9 - 1.8e9 % DAY_S
intensities = st.lists(st.integers(1, 600).map(float), min_size=2, max_size=12)


def point(hour: float, g_per_kwh: float, length_h: float = 1.0, sure: bool = True, **more: Any) -> IntensityPoint:
    """An hour after NOW_S."""
    low, high = (g_per_kwh, g_per_kwh) if sure else (0.9 * g_per_kwh, 1.1 * g_per_kwh)
    settings = {"kind": "forecast", "basis": "lifecycle", **more}
    return IntensityPoint(
        g_per_kwh, low, high, "DE", "a test", start_s=NOW_S + hour * HOUR_S, length_s=length_h * HOUR_S, **settings
    )


def hours(values: Sequence[float], first: int = 0, **more: Any) -> list[IntensityPoint]:
    return [point(first + hour, value, **more) for hour, value in enumerate(values)]


def made(values: Sequence[float], duration_h: float, within_h: float | None = None, **more: Any) -> Plan:
    within = len(values) if within_h is None else within_h
    return plan(hours(values), NOW_S, duration_h * HOUR_S, within * HOUR_S, **more)


def steps(values: Sequence[float], step_s: float = HOUR_S) -> Outlook:
    array = np.array(values)
    return Outlook(NOW_S + step_s * np.arange(len(array) + 1), array, array, array, np.zeros(len(array), bool))


# -- one stretch ------------------------------------------------------------------------------------------------------


@given(intensities, st.integers(1, 40), st.integers(0, 11))
def test_no_start_on_a_fine_grid_is_better_than_the_best(values: list[float], sixths: int, late: int) -> None:
    """In sixths of an hour, the present being somewhere in the first."""
    last = 6 * len(values)
    sixths, late = min(sixths, last - 6), min(late, 5)
    expected = steps(values)
    fine = np.repeat(values, 6)
    means = [fine[start : start + sixths].mean() for start in range(late, last - sixths + 1)]
    first_s = NOW_S + late * HOUR_S / 6
    best_s, random = best_start(expected, first_s, expected.end_s, sixths * HOUR_S / 6)
    found = (best_s - NOW_S) / HOUR_S * 6
    assert found == pytest.approx(round(found), abs=1e-6)
    assert means[round(found) - late] == pytest.approx(min(means), rel=1e-9)
    assert not any(mean <= min(means) * (1 - 1e-12) for mean in means[: round(found) - late])
    # Between points of this grid the mean of a window is straight: the trapezoids are exact.
    between = [(a + b) / 2 for a, b in itertools.pairwise(means)] or means
    assert random == pytest.approx(np.mean(between))


@given(intensities, st.floats(0.05, 1.0), st.floats(0.0, 1.0))
def test_no_start_at_all_is_better_than_the_best(values: list[float], part: float, at: float) -> None:
    expected = steps(values)
    span_s = expected.end_s - expected.start_s
    duration_s = part * span_s
    best_s, _ = best_start(expected, NOW_S, expected.end_s, duration_s)

    def emitted(start_s: float) -> float:
        return float(np.diff(expected.up_to(np.array([start_s, start_s + duration_s])))[0])

    assert NOW_S <= best_s <= expected.end_s - duration_s + 1e-6
    assert emitted(best_s) <= emitted(NOW_S + at * (span_s - duration_s)) * (1 + 1e-8) + 1e-3


def test_the_start_may_be_where_the_end_meets_a_step() -> None:
    found = made([300, 200, 100, 400], 1.5)
    assert found.best.start_s == NOW_S + 1.5 * HOUR_S
    assert found.best.g_per_kwh == pytest.approx((0.5 * 200 + 100) / 1.5)


def test_of_starts_that_are_alike_the_earliest_is_taken() -> None:
    assert made([200, 100, 100, 100], 1).best.start_s == NOW_S + HOUR_S
    flat = made([0.1, 0.2, 0.3, 0.1], 1)
    assert flat.best.start_s == NOW_S
    assert (flat.saving.value, flat.advice) == (0.0, "now")


def test_a_plan_stands_beside_now_a_random_start_and_the_mean_of_the_day() -> None:
    found = made([400, 100, 300, 200], 1)
    assert found.now.g_per_kwh == 400
    assert found.best.g_per_kwh == 100
    assert found.saving.value == found.saving.low == found.saving.high == 0.75
    assert found.random_g_per_kwh == pytest.approx((250 + 200 + 250) / 3)
    assert found.day_g_per_kwh == 250
    assert found.advice == "later"


def test_the_time_that_is_asked_about_ends_with_the_job() -> None:
    found = made([400, 300, 200, 100], 2, within_h=3)
    assert (found.best.start_s, found.best.end_s) == (NOW_S + HOUR_S, NOW_S + 3 * HOUR_S)


# -- how sure it is ---------------------------------------------------------------------------------------------------


def test_where_the_time_to_come_is_known_a_saving_is_exact() -> None:
    found = made([200, 198], 1)
    assert found.saving.is_exact
    assert found.saving.value == found.saving.promised == pytest.approx(0.01)
    assert found.advice == "later"
    assert found.random_saving == pytest.approx(0.005)


def test_an_expected_saving_that_may_be_none_is_told_with_both_its_ends() -> None:
    found = plan(hours([200, 100], sure=False), NOW_S, HOUR_S, 2 * HOUR_S)
    assert found.saving.promised == pytest.approx(0.5)
    assert found.saving == foreseen(found.saving.promised, 1.0, UNKNOWN)
    assert found.saving.low < 0 < found.saving.value < found.saving.high
    assert (found.advice, found.start_s) == ("later", NOW_S + HOUR_S)
    assert any("too little is known of the last 7 days" in note for note in found.notes)


def test_a_small_saving_that_may_be_none_is_no_reason_to_wait() -> None:
    found = plan(hours([104, 100], sure=False), NOW_S, HOUR_S, 2 * HOUR_S)
    assert 0 < found.saving.value < LEAST_SAVING
    assert found.best.start_s == NOW_S + HOUR_S
    assert (found.advice, found.start_s) == ("now", NOW_S)


def test_hours_that_both_starts_share_leave_nothing_open() -> None:
    apart = plan(hours([200, 150, 100], sure=False), NOW_S, HOUR_S, 3 * HOUR_S)
    sharing = plan(hours([200, 100, 100, 90], sure=False), NOW_S, 3 * HOUR_S, 4 * HOUR_S)
    assert apart.saving == foreseen(apart.saving.promised, 1.0, UNKNOWN)
    assert sharing.saving.low == pytest.approx(foreseen(sharing.saving.promised, 1 / 3, UNKNOWN).low)
    known = [*hours([200]), *hours([100, 100], 1, sure=False), *hours([90], 3)]
    assert plan(known, NOW_S, 3 * HOUR_S, 4 * HOUR_S).saving.is_exact


@given(intensities, st.integers(1, 6), st.booleans())
def test_what_is_expected_of_a_plan_is_in_its_interval(values: list[float], duration: int, sure: bool) -> None:
    duration = min(duration, len(values))
    pauses = Pauses(0.3, 1800.0)
    found = plan(hours(values, sure=sure), NOW_S, duration * HOUR_S, len(values) * HOUR_S, pauses=pauses)
    for schedule, saving, idle in ((found.best, found.saving, 0.0), (found.paused, found.paused_saving, 0.3)):
        if schedule is None:
            continue
        assert saving is not None
        emitted = sum(work_in(schedule.stretches, hour, idle) * g for hour, g in enumerate(values))
        assert saving.promised == pytest.approx(1 - emitted / sum(values[:duration]), abs=1e-9)
        assert saving.low <= saving.value + 1e-9
        assert saving.value <= saving.high + 1e-9
        assert saving.is_exact or not sure


def work_in(stretches: Any, hour: int, idle: float) -> float:
    """Hours of full power in one hour."""

    def inside(start_s: float, end_s: float) -> float:
        start, end = (start_s - NOW_S) / HOUR_S, (end_s - NOW_S) / HOUR_S
        return max(0.0, min(end, hour + 1) - max(start, hour))

    pauses = [(before[1], after[0]) for before, after in itertools.pairwise(stretches)]
    return sum(inside(*s) for s in stretches) + idle * sum(inside(*p) for p in pauses)


# -- with pauses ------------------------------------------------------------------------------------------------------


def by_hand(values: Sequence[float], work: int, idle: float, repeated: int, shortest: int) -> float:
    """The least cost over every choice of slots at work."""
    best = math.inf
    for chosen in itertools.product((False, True), repeat=len(values)):
        runs = [(at_work, len(list(same))) for at_work, same in itertools.groupby(chosen)]
        while runs and not runs[0][0]:
            runs.pop(0)
        while runs and not runs[-1][0]:
            runs.pop()
        lengths = [length for at_work, length in runs if at_work]
        if sum(lengths) != work + repeated * (len(lengths) - 1) or not lengths:
            continue
        left = work
        for length in lengths[:-1]:
            left += repeated - length
            if length < shortest or left > work or left <= 0:
                break
        else:
            first = chosen.index(True)
            last = len(chosen) - chosen[::-1].index(True)
            slots = range(first, last)
            best = min(best, sum(values[i] * (1.0 if chosen[i] else idle) for i in slots))
    return best


@given(
    st.lists(st.integers(0, 9).map(float), min_size=2, max_size=10),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.25, 1.0]),
    st.integers(0, 2),
    st.integers(1, 3),
)
def test_no_way_to_pause_is_better_than_the_one_found(
    values: list[float], work: int, idle: float, repeated: int, shortest: int
) -> None:
    slot_s = 300.0
    work = min(work, len(values))
    pauses = Pauses(idle, repeated * slot_s, shortest * slot_s)
    found = cheapest_stretches(steps(values, slot_s), work * slot_s, pauses)
    slots = [(round((start - NOW_S) / slot_s), round((end - NOW_S) / slot_s)) for start, end in found]
    assert sum(end - start for start, end in slots) == work + repeated * (len(slots) - 1)
    assert all(end - start >= shortest for start, end in slots[:-1])
    cost = sum(sum(values[start:end]) for start, end in slots)
    cost += idle * sum(sum(values[a[1] : b[0]]) for a, b in itertools.pairwise(slots))
    assert cost == pytest.approx(by_hand(values, work, idle, repeated, shortest), abs=1e-9)


def test_pauses_are_offered_only_where_they_gain_something() -> None:
    dear_between = [300, 100, 300, 100, 300]
    free = made(dear_between, 2, pauses=Pauses())
    assert free.paused is not None
    assert free.paused.stretches == ((NOW_S + HOUR_S, NOW_S + 2 * HOUR_S), (NOW_S + 3 * HOUR_S, NOW_S + 4 * HOUR_S))
    assert free.paused.g_per_kwh == pytest.approx(100)
    costly = made(dear_between, 2, pauses=Pauses(idle_share=0.2))
    assert costly.paused is not None
    assert costly.paused.g_per_kwh == pytest.approx((100 + 60 + 100) / 2)
    assert made(dear_between, 2, pauses=Pauses(idle_share=0.9)).paused is None
    assert made(dear_between, 2).paused is None


# -- what is known of the time to come --------------------------------------------------------------------------------


def test_without_a_forecast_yesterdays_hours_stand_in_and_it_is_said() -> None:
    yesterday = [300.0] * 12 + [100.0] * 11
    found = plan([*hours(yesterday, -24), *hours([400], 0)], NOW_S, HOUR_S, 12 * HOUR_S)
    assert found.repeated_share == pytest.approx(11 / 12)
    assert "92% of the time is without a forecast" in found.notes[0]
    later = plan([*hours(yesterday, -24), *hours([400], 0)], NOW_S, HOUR_S, 16 * HOUR_S)
    assert later.best.start_s == NOW_S + 12 * HOUR_S
    assert later.best.low == pytest.approx(FORECAST_LOW * 100)
    assert later.best.high == pytest.approx(FORECAST_HIGH * 100)


def test_a_forecast_goes_before_yesterday() -> None:
    found = plan([*hours([500] * 24, -24), *hours([300, 200, 100], 0)], NOW_S, HOUR_S, 3 * HOUR_S)
    assert found.repeated_share == 0
    assert found.best.g_per_kwh == 100


def test_a_forecast_is_said_to_be_taken_for_no_better_than_the_day_before() -> None:
    words = "a forecast is taken to be no better than the day before"
    foretold = plan(hours([300, 200, 100], sure=False), NOW_S, HOUR_S, 3 * HOUR_S)
    repeated = plan([*hours([500, 400, 300, 200] * 6, -24), *hours([400], 0)], NOW_S, HOUR_S, 12 * HOUR_S)
    assert any(words in note for note in foretold.notes)
    assert not any(words in note for note in repeated.notes)


def test_what_is_said_of_points_is_repeated_unless_they_are_only_looked_back_on() -> None:
    older, newer = point(-30, 300, note="an old stand-in"), point(-2, 300, note="a stand-in")
    found = plan([older, newer, *hours([300, 200])], NOW_S, HOUR_S, 2 * HOUR_S)
    assert found.notes == ("a stand-in",)


def test_what_is_known_for_a_while_only_shortens_the_time() -> None:
    found = plan(hours([300, 200, 100, 50]), NOW_S, HOUR_S, 10 * HOUR_S)
    assert found.until_s == NOW_S + 4 * HOUR_S
    assert any("part of the time" in note for note in found.notes)


@given(st.lists(st.tuples(st.integers(-30, 30), st.integers(1, 3), st.integers(1, 500)), max_size=30))
def test_an_outlook_has_no_gaps_and_holds_its_values(stretches: list[tuple[int, int, int]]) -> None:
    points = [point(start, float(g), length, sure=False) for start, length, g in stretches]
    try:
        found = outlook(points, NOW_S, NOW_S + DAY_S)
    except CannotPlan:
        return
    assert found.start_s == NOW_S
    assert (np.diff(found.edges_s) > 0).all()
    assert np.isfinite(found.g_per_kwh).all()
    assert (found.low <= found.g_per_kwh).all()
    assert (found.g_per_kwh <= found.high).all()


@pytest.mark.parametrize(
    ("points", "duration_h", "within_h", "words"),
    [
        (hours([1, 2]), 3, 2, "does not fit"),
        (hours([1, 2]), 0, 2, "does not fit"),
        (hours([1, 2]), math.nan, 2, "does not fit"),
        (hours([1, 2]), 4, 8, "not known for as long as the job takes"),
        ([], 1, 2, "no intensity is known"),
        (hours([1, 2], 5), 1, 8, "knows neither the present nor the same time yesterday"),
        (hours([1]) + hours([2], 1, basis="direct"), 1, 2, "several kinds"),
        (hours([1]) + hours([2], 1, signal="marginal"), 1, 2, "several kinds"),
        ([IntensityPoint(300, 100, 600, "DE", "the yearly mean", "static")], 1, 2, "one figure for all hours"),
    ],
)
def test_what_cannot_be_planned_is_said(
    points: list[IntensityPoint], duration_h: float, within_h: float, words: str
) -> None:
    with pytest.raises(CannotPlan, match=words):
        plan(points, NOW_S, duration_h * HOUR_S, within_h * HOUR_S)


def test_a_plan_is_plain_data_also_where_nothing_is_emitted() -> None:
    for values in ([50.0, 20.0], [0.0, 0.0], [0.0, 20.0], [20.0, 0.0]):
        found = plan(hours(values, sure=False), NOW_S, HOUR_S, 2 * HOUR_S)
        document = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert document["saving"]["promised"] == pytest.approx(0 if not values[0] else 1 - values[1] / values[0])
        assert document["start_s"] in (found.now_s, found.best.start_s)
