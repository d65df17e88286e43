from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from joulegram.analysis.ranks import FEWEST_TO_RESAMPLE, agreement, flipped_pairs, order
from joulegram.extras import MissingExtra

value = st.one_of(st.floats(1e-3, 1e6), st.integers(1, 6).map(float))
noise = st.sampled_from([0.0, 0.01, 0.05, 0.5])
points = st.lists(st.tuples(value, value), min_size=2, max_size=12).map(lambda rows: np.array(rows).T)
FEW = 50
"""Resamples in properties that do not look at intervals."""


def clearly_less(a: float, b: float, noise: float) -> bool:
    return b - a > noise * min(abs(a), abs(b))


def flips_by_hand(x: np.ndarray, y: np.ndarray, noise_x: float, noise_y: float) -> list[list[int]]:
    found = []
    for i, j in itertools.combinations(range(len(x)), 2):
        one = clearly_less(x[i], x[j], noise_x) and clearly_less(y[j], y[i], noise_y)
        other = clearly_less(x[j], x[i], noise_x) and clearly_less(y[i], y[j], noise_y)
        if one or other:
            found.append([i, j])
    return found


@given(points, noise, noise)
def test_flipped_pairs_are_those_of_brute_force(xy: np.ndarray, noise_x: float, noise_y: float) -> None:
    expected = flips_by_hand(*xy, noise_x, noise_y)
    assert flipped_pairs(*xy, noise_x, noise_y).tolist() == expected
    assert agreement(*xy, noise_x, noise_y, FEW).flipped == len(expected)


@given(points, noise, noise)
def test_flips_and_ties_are_parts_of_all_pairs(xy: np.ndarray, noise_x: float, noise_y: float) -> None:
    found = agreement(*xy, noise_x, noise_y, FEW)
    assert found.pairs == math.comb(xy.shape[1], 2)
    assert 0 <= found.flip_share <= 1
    assert found.flipped + found.tied <= found.pairs


@given(points)
def test_two_measures_agree_as_much_in_either_direction(xy: np.ndarray) -> None:
    x, y = xy
    one, other = agreement(x, y, 0.05, 0.0, FEW), agreement(y, x, 0.0, 0.05, FEW)
    assert (one.flipped, one.tied) == (other.flipped, other.tied)
    for name in ("kendall", "spearman", "pearson"):
        assert getattr(one, name).value == pytest.approx(getattr(other, name).value, abs=1e-9)


@given(points, st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(xy: np.ndarray, random: object) -> None:
    places = list(range(xy.shape[1]))
    random.shuffle(places)  # type: ignore[attr-defined]
    one, other = agreement(*xy, 0.05, 0.05, FEW), agreement(*xy[:, places], 0.05, 0.05, FEW)
    assert (one.flipped, one.tied) == (other.flipped, other.tied)
    for name in ("kendall", "spearman", "pearson"):
        assert getattr(one, name).value == pytest.approx(getattr(other, name).value, abs=1e-9)


@given(st.lists(st.floats(1.0, 1.0499), min_size=2, max_size=10), points)
def test_values_within_the_noise_are_ties_and_flip_with_nothing(close: list[float], xy: np.ndarray) -> None:
    n = min(len(close), xy.shape[1])
    found = agreement(np.array(close[:n]), xy[0][:n], 0.05, 0.0, FEW)
    assert (found.flipped, found.tied) == (0, found.pairs)


@given(points, noise)
def test_an_order_is_the_opposite_the_other_way_round(xy: np.ndarray, noise: float) -> None:
    signs = order(xy[0], noise)
    assert (signs == -signs.T).all()


def test_coefficients_and_flips_of_a_small_example() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 30.0, 20.0, 40.0])
    found = agreement(x, y)
    assert (found.pairs, found.flipped, found.tied) == (6, 1, 0)
    assert found.kendall.value == pytest.approx((5 - 1) / 6)
    assert found.spearman.value == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert found.kendall.low is None  # of four points


def test_intervals_are_those_of_resampling_one_by_one() -> None:
    rng = np.random.default_rng(7)
    x = rng.integers(1, 9, 25).astype(float)
    y = x + rng.normal(0, 3, 25)
    found = agreement(x, y, resamples=300)
    drawn = np.random.default_rng(0).integers(0, 25, (300, 25))
    for name, correlate in (("kendall", stats.kendalltau), ("spearman", stats.spearmanr), ("pearson", stats.pearsonr)):
        one_by_one = [correlate(x[rows], y[rows]).statistic for rows in drawn]
        low, high = np.percentile(one_by_one, [2.5, 97.5])
        assert (getattr(found, name).low, getattr(found, name).high) == pytest.approx((low, high), abs=1e-6)


def test_resamples_in_which_a_measure_never_changes_do_not_count() -> None:
    x = np.array([1.0, 1.0, 1.0, 1.0, 2.0])
    found = agreement(x, x + 1)
    assert len(x) == FEWEST_TO_RESAMPLE
    assert (found.kendall.low, found.kendall.high) == pytest.approx((1, 1))


@pytest.mark.parametrize("x", [[1.0, 2.0], [5.0, 5.0, 5.0, 5.0]], ids=["two points", "never changes"])
def test_what_is_not_defined_has_no_value(x: list[float]) -> None:
    found = agreement(np.array(x), np.arange(1.0, len(x) + 1))
    assert found.kendall.value is found.spearman.value is found.pearson.value is None


def test_points_that_lack_a_value_drop_out() -> None:
    nan = math.nan
    found = agreement(np.array([1.0, nan, 2.0, 3.0, 4.0]), np.array([4.0, 1.0, nan, 3.0, 9.0]))
    assert (found.points, found.pairs, found.flipped, found.tied) == (3, 3, 1, 0)
    assert flipped_pairs(np.array([1.0, nan, 2.0]), np.array([2.0, 5.0, 1.0])).tolist() == [[0, 2]]


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtra, match=r"joulegram\[analysis\]"):
        agreement(np.arange(5.0), np.arange(5.0))
