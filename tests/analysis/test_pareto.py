from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from joulegram.analysis.pareto import front

points = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12).map(
    lambda rows: np.array(rows, float).T
)


def test_the_front_is_what_nothing_beats_in_both() -> None:
    cost, quality = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.5, 0.9, 0.8, 0.95])
    assert front(cost, quality).tolist() == [True, True, False, True]


@given(points)
def test_without_noise_it_is_that_of_brute_force(rows: np.ndarray) -> None:
    cost, quality = rows
    expected = [
        not any(
            c <= cost[i] and q >= quality[i] and (c < cost[i] or q > quality[i]) for c, q in zip(*rows, strict=True)
        )
        for i in range(len(cost))
    ]
    assert front(cost, quality).tolist() == expected


@given(points, st.sampled_from([0.0, 0.05, 0.5]))
def test_a_front_is_never_empty_and_noise_only_adds_to_it(rows: np.ndarray, noise: float) -> None:
    wide = front(*rows, noise, noise)
    assert wide.any()
    assert (wide | ~front(*rows)).all()


def test_what_is_as_good_but_only_within_the_noise_dearer_stays() -> None:
    assert front(np.array([100.0, 104.0]), np.array([0.9, 0.9]), 0.05).tolist() == [True, True]
    assert front(np.array([100.0, 106.0]), np.array([0.9, 0.9]), 0.05).tolist() == [True, False]


def test_a_point_without_a_value_is_on_no_front_and_beats_nothing() -> None:
    assert front(np.array([1.0, 5.0, 2.0]), np.array([math.nan, 0.9, 0.8])).tolist() == [False, True, True]
