"""Answers in any unit become the joules of a counter."""

from math import isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.meters.tally import UNITS, Counted, Integrated, decimals, number, summed, tally
from joulegram.records import Channel
from joulegram.units import NS_PER_S

S = NS_PER_S


@pytest.mark.parametrize(
    ("shown", "places"),
    [(12.345, 3), ("1.50", 2), (7, 0), (1e-05, 5), (9492.0, 1), ("none", 0), (None, 0), (nan, 0), (True, 0)],
)
def test_a_number_is_shown_with_so_many_decimals(shown: object, places: int) -> None:
    assert decimals(shown) == places


def test_a_power_summed_up_is_a_model_whoever_measures_it() -> None:
    sensor = Channel("gpu:A", "gpu", "measured", "its power", gain_low=0.9, gain_high=1.1)
    made = summed(sensor, (0.5, 2.0))
    assert (made.method, made.gain_low, made.gain_high) == ("modelled", pytest.approx(0.45), pytest.approx(2.2))
    assert made.how == "its power, summed up along straight lines"


@pytest.mark.parametrize(
    ("unit", "joules"),
    [
        ("J", 2),
        ("mJ", 0.002),
        ("microjoules", 2e-6),
        ("Wh", 7200),
        ("kWh", 7.2e6),
        ("Wmin", 120),
        ("kilowatt_hours", 7.2e6),
    ],
)
def test_a_counter_is_read_in_its_own_unit(unit: str, joules: float) -> None:
    assert tally(unit, 10).take(0, 2) == pytest.approx(joules)


@pytest.mark.parametrize(("unit", "joules"), [("W", 10), ("mW", 0.01), ("microwatts", 1e-5), ("kW", 1e4)])
def test_a_power_is_summed_up_from_one_answer_to_the_next(unit: str, joules: float) -> None:
    power = tally(unit, 10)
    assert power.take(0, 2) == 0
    assert power.take(5 * S, 2) == pytest.approx(joules)


def test_between_two_answers_a_power_goes_straight_from_one_to_the_other() -> None:
    power = Integrated(1.0, most_s=10)
    assert [power.take(t * S, watts) for t, watts in [(0, 100), (2, 200), (4, 0)]] == [0, 300, 500]


@pytest.mark.parametrize("broken", [nan, -5.0])
def test_after_an_outage_the_sum_of_a_power_has_fallen_so_that_the_outage_is_known_to_be_unknown(broken: float) -> None:
    power = Integrated(1.0, most_s=10)
    power.take(0, 100)
    before = power.take(1 * S, 100)
    assert isnan(power.take(2 * S, broken))
    after = power.take(3 * S, 100)
    assert after < before
    assert power.take(4 * S, 100) == after + 100


def test_answers_too_far_apart_are_an_outage() -> None:
    power = Integrated(1.0, most_s=10)
    power.take(0, 100)
    assert power.take(3600 * S, 100) < 0


def test_a_counter_that_shows_zero_for_a_moment_counts_nothing_twice() -> None:
    counter = Counted(1.0)
    shown = [counter.take(0, value) for value in (5000, 0, 5001)]
    assert (shown[0], shown[2]) == (5000, 5001)
    assert isnan(shown[1])


def test_a_counter_that_stays_lower_has_begun_again() -> None:
    counter = Counted(1.0)
    shown = [counter.take(0, value) for value in (5000, 0, nan, 3, 4)]
    assert (shown[0], shown[3], shown[4]) == (5000, 3, 4)
    assert isnan(shown[1])
    assert isnan(shown[2])


@given(st.lists(st.one_of(st.floats(0, 1e6), st.just(nan)), max_size=30), st.sampled_from(UNITS))
def test_what_does_not_fail_never_falls_but_to_begin_again(values: list[float], unit: str) -> None:
    made, last, answered = tally(unit, 10), None, True
    for at, value in enumerate(values):
        joules = made.take(at * S, value)
        if not isnan(joules) and last is not None and answered:
            assert joules >= last
        answered = not isnan(joules)
        last = joules if answered else last


def test_a_number_may_be_written_as_text_and_nothing_else_is_one() -> None:
    assert number("12.5") == number(12.5) == 12.5
    for nothing in (None, True, "n/a", "", "+Inf", "NaN", [1], {}, 10**400):
        assert isnan(number(nothing))
