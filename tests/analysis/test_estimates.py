from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.analysis.estimates import Estimate, ratio_error, saving, student_t

values = st.floats(1e-6, 1e6)
shares = st.floats(0.0, 0.5)


@given(values, values)
def test_of_figures_without_doubt_the_saving_is_their_difference(before: float, after: float) -> None:
    found = saving(Estimate(before), Estimate(after))
    assert found.low == found.value == found.high == before - after
    assert found.probability == (0.5 if before == after else float(after < before))


def test_chance_adds_by_squares_and_makes_it_uncertain_which_is_less() -> None:
    found = saving(Estimate(10.0, 3.0), Estimate(5.0, 4.0))
    assert (found.low, found.high) == pytest.approx((5 - 1.96 * 5, 5 + 1.96 * 5))
    assert found.probability == pytest.approx(0.8413, abs=1e-4)  # one standard deviation above none
    assert not found.is_certain


@given(values, values, st.floats(0.1, 1.0), st.floats(1.0, 10.0))
def test_a_factor_that_both_share_cannot_turn_the_sign(before: float, after: float, least: float, most: float) -> None:
    gain = {"counter": (least, most)}
    found = saving(Estimate(before, 0.0, gain), Estimate(after, 0.0, gain))
    assert found.is_certain == (before > after)
    assert found.probability == saving(Estimate(before), Estimate(after)).probability
    apart = saving(Estimate(before, 0.0, {"one": (least, most)}), Estimate(after, 0.0, {"other": (least, most)}))
    assert apart.low <= found.low
    assert found.high <= apart.high


@given(values, values, shares, shares, st.floats(0, 1), st.floats(0, 1))
def test_whatever_factors_are_true_the_bounds_hold_the_saving(
    before: float, after: float, down: float, up: float, one: float, other: float
) -> None:
    bounds = (1 - down, 1 + up)
    found = saving(Estimate(before, 0.0, {"a": bounds}), Estimate(after, 0.0, {"b": bounds}))
    true = [value * (bounds[0] + place * (bounds[1] - bounds[0])) for value, place in ((before, one), (after, other))]
    assert found.low - 1e-9 * before <= true[0] - true[1] + 1e-9 * after
    assert true[0] - true[1] <= found.high + 1e-9 * (before + after)


def test_a_factor_without_a_bound_leaves_the_saving_without_one() -> None:
    found = saving(Estimate(10.0, 1.0, {"a": (1.0, inf)}), Estimate(5.0, 1.0))
    assert found.high == inf
    assert found.to_json()["high"] is None
    assert found.probability is None
    found = saving(Estimate(10.0), Estimate(5.0, 0.0, {"a": (0.5, inf)}))
    assert found.low == -inf
    assert not found.is_certain


@pytest.mark.parametrize(("likeness", "hours", "least"), [(0.0, 24, 0.93), (0.5, 24, 0.88), (0.8, 72, 0.88)])
def test_the_error_of_a_ratio_holds_the_truth_however_alike_hours_are(
    likeness: float, hours: int, least: float
) -> None:
    """Requests that rise and fall with the day, at 10 J each but for a noise of 10 % that goes on from hour to hour."""
    rng, held, worlds = np.random.default_rng(1), 0, 400
    for _ in range(worlds):
        noise = rng.normal(0, 1, hours)
        for n in range(1, hours):
            noise[n] = likeness * noise[n - 1] + (1 - likeness**2) ** 0.5 * noise[n]
        requests = rng.poisson(500 * (1 + 0.6 * np.sin(np.arange(hours) / 24 * 2 * np.pi + rng.uniform(0, 6))))
        energy = requests * 10 * (1 + 0.1 * noise)
        error = ratio_error(energy.tolist(), requests.astype(float).tolist())
        assert error is not None
        held += abs(energy.sum() / requests.sum() - 10) <= 1.96 * error
    assert least <= held / worlds <= 0.99


def test_a_few_hours_tell_no_error() -> None:
    assert ratio_error([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]) is None
    assert ratio_error([0.0] * 5, [0.0] * 5) is None
    assert ratio_error([2.0, 4.0, 6.0, 8.0], [1.0, 2.0, 3.0, 4.0]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("freedom", "t"), [(3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (1000, 1.962)])
def test_students_t_is_that_of_tables(freedom: int, t: float) -> None:
    assert student_t(freedom) == pytest.approx(t, rel=0.011)
