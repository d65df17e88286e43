"""What a grid would give runs that could have started at another time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lives import by_hour

from joulegram.analysis.moving import Movable, gain, known_hours
from joulegram.curves.load import Load
from joulegram.curves.series import Series

HERE = ("ZZ", "lifecycle")
KWH = Load(np.array([0.0, 3600.0]), np.array([0.0, 3.6e6]))


def series(*hours: float) -> dict[tuple[str, str], Series]:
    return known_hours((HERE, point) for point in by_hour(hours))


def test_an_hours_kilowatt_hour_at_its_own_start_and_at_the_best_and_the_worst() -> None:
    found = gain([Movable(KWH, 1.8e9, HERE)], series(200, 100, 400))
    assert found == {
        "runs": 1, "of_runs": 1, "zones": ["ZZ"], "start_hours": 4, "own_g": pytest.approx(200),
        "best_g": pytest.approx(100), "mean_g": pytest.approx(225), "worst_g": pytest.approx(400),
    }  # fmt: skip


def test_a_start_of_its_own_that_is_not_known_is_no_start() -> None:
    found = gain([Movable(KWH, 1.9e9, HERE)], series(200, 100, 300))
    assert found is not None
    assert found["own_g"] is None
    assert found["mean_g"] == pytest.approx(200)


@pytest.mark.parametrize("hours", [[], [200.0]])
def test_without_a_choice_there_is_nothing_to_gain(hours: list[float]) -> None:
    assert gain([Movable(KWH, 1.9e9, HERE)], series(*hours)) is None
    assert gain([Movable(KWH, 1.8e9, ("elsewhere", "lifecycle"))], series(200, 100)) is None


def test_points_of_another_basis_or_without_a_time_tell_no_hour() -> None:
    assert known_hours((HERE, point) for point in by_hour([1, 2], "direct")) == {}


@given(
    st.lists(st.floats(1, 1000), min_size=4, max_size=30),
    st.lists(st.tuples(st.integers(0, 3), st.floats(1.0, 3.0), st.floats(1, 1e7)), min_size=1, max_size=5),
)
def test_the_gain_is_that_of_trying_every_start(hours: list[float], runs: list[tuple[int, float, float]]) -> None:
    movable = [
        Movable(Load(np.array([0.0, 3600 * length]), np.array([0.0, joules])), 1.8e9 + 3600 * start, HERE)
        for start, length, joules in runs
    ]
    found = gain(movable, series(*hours))
    if found is None:
        return
    known = series(*hours)[HERE]
    tried = [
        [g for n in range(len(hours)) if np.isfinite(g := run.load.grams(known, 1.8e9 + 3600 * n))] for run in movable
    ]
    assert found["best_g"] == pytest.approx(sum(min(grams) for grams in tried if len(grams) > 1), rel=1e-6)
    assert found["worst_g"] == pytest.approx(sum(max(grams) for grams in tried if len(grams) > 1), rel=1e-6)
    assert found["best_g"] <= found["mean_g"] * (1 + 1e-9)
