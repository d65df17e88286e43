from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.analysis.noise import FLOOR, noise

groups = st.lists(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=5), max_size=4)


def test_single_runs_are_given_the_floor() -> None:
    found = noise([[3.0], [50.0], []])
    assert found.share == FLOOR == 0.05
    assert found.how == "no repeats: 5 % is assumed"


def test_repeats_give_2_8_standard_deviations_relative_to_each_mean() -> None:
    found = noise([[90.0, 110.0], [900.0, 1100.0], [45.0, 55.0], [9.0, 11.0]])
    assert found.share == pytest.approx(2.8 * 0.02**0.5)
    assert found.how == "from 8 repeats of 4 set-ups"


def test_a_few_repeats_that_are_alike_do_not_lower_the_floor_but_many_do() -> None:
    few, many = noise([[100.0, 100.0]]), noise([[100.0, 101.0, 100.0, 101.0, 100.0]])
    assert few.share == FLOOR
    assert "they are few" in few.how
    assert 0 < many.share < FLOOR


def test_a_few_repeats_that_differ_raise_the_floor() -> None:
    assert noise([[80.0, 120.0]]).share == pytest.approx(2.8 * 0.08**0.5)


@given(groups, st.floats(0.01, 1e3))
def test_noise_does_not_depend_on_the_unit(groups: list[list[float]], unit: float) -> None:
    scaled = [[unit * value for value in group] for group in groups]
    assert noise(scaled).share == pytest.approx(noise(groups).share, rel=1e-6, abs=1e-6)
