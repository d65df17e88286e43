"""What becomes of a promised saving: by made-up days, and held against what came on real grids."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.analysis import saving
from joulegram.analysis.outlook import DAY_S
from joulegram.analysis.saving import DAYS, LEAST_PAIRS, UNKNOWN, Likeness, alike, exactly, foreseen, likeness
from joulegram.analysis.when import plan
from joulegram.curves.series import HOUR_S, Series
from joulegram.feeds import FORECAST_HIGH, FORECAST_LOW
from joulegram.feeds.series import read_series
from joulegram.records import IntensityPoint

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY.parent / "shared" / "data" / "intensity"
real = pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not here")
NOW_S = 1.8e9 - 1.8e9 % DAY_S
PATTERN = 300 + 150 * np.cos(np.arange(24) / 24 * 2 * np.pi)

shares = st.floats(0, 1)
days_like = st.builds(Likeness, shares, st.floats(0, saving.MOST_SPREAD), st.integers(LEAST_PAIRS, DAYS - 1))


# -- one saving -------------------------------------------------------------------------------------------------------


@given(shares, shares, days_like)
def test_what_is_expected_is_in_its_interval_and_no_more_than_was_promised(
    promised: float, moved: float, like: Likeness
) -> None:
    found = foreseen(promised, moved, like)
    assert found.low <= found.value + 1e-12
    assert found.value <= found.high + 1e-12
    assert found.value <= promised
    assert found.high <= 1
    assert math.isfinite(found.low)


@given(shares, shares, shares, shares, days_like)
def test_who_is_promised_more_may_expect_more(a: float, b: float, moved: float, less: float, like: Likeness) -> None:
    poor, rich = (foreseen(promised, moved, like) for promised in sorted((a, b)))
    assert poor.value <= rich.value
    assert poor.low <= rich.low + 1e-9 * abs(poor.low)
    assert poor.high <= rich.high + 1e-9
    narrow = foreseen(a, less * moved, like)
    wide = foreseen(a, moved, like)
    assert wide.low <= narrow.low + 1e-9
    assert narrow.high <= wide.high + 1e-9


def test_a_job_that_does_not_move_has_nothing_open() -> None:
    found = foreseen(0.0, 0.0, UNKNOWN)
    assert found == exactly(0.0)
    assert found.is_exact
    assert not found.is_sure


# -- how alike days are -----------------------------------------------------------------------------------------------


def days(*each: np.ndarray) -> tuple[float, float, int]:
    kept, spread, pairs = alike(np.array(each))
    return float(kept), float(spread), int(pairs)


def test_days_that_repeat_keep_all_and_leave_nothing_open() -> None:
    assert days(*[PATTERN] * DAYS) == (pytest.approx(1), 0, DAYS - 1)


def test_a_level_that_differs_leaves_open_how_much_and_keeps_the_pattern() -> None:
    kept, spread, _ = days(PATTERN, PATTERN + 0.0, 2 * PATTERN)
    assert kept == 1  # twice the pattern is no more than all of it
    assert spread == pytest.approx(math.log(2) / math.sqrt(2))


def test_half_a_pattern_is_half_kept_and_its_opposite_is_not() -> None:
    assert days(PATTERN, (PATTERN + PATTERN.mean()) / 2)[0] == pytest.approx(0.5)
    assert days(PATTERN, 2 * PATTERN.mean() - PATTERN)[0] == 0


def test_days_without_a_pattern_keep_nothing() -> None:
    noise = 300 + 50 * np.random.default_rng(0).standard_normal((1000, 24))
    assert days(*noise)[0] < 0.02
    assert days(*np.full((DAYS, 24), 300.0)) == (0, 0, DAYS - 1)


@pytest.mark.parametrize("hole", [math.nan, 0.0])
def test_a_day_with_a_hole_is_left_out_of_both_its_pairs(hole: float) -> None:
    week = np.tile(PATTERN, (DAYS, 1)) * (1 + 0.01 * np.arange(DAYS))[:, None]
    broken = week.copy()
    broken[3, 5] = hole
    _, spread, pairs = days(*broken)
    assert pairs == DAYS - 3
    steps = np.log(np.delete(week[1:, 0] / week[:-1, 0], (2, 3)))
    assert spread == pytest.approx(math.sqrt((steps**2).mean()))


def test_many_times_are_looked_at_together() -> None:
    many = np.random.default_rng(1).uniform(100, 500, (3, 4, DAYS, 24))
    together = alike(many)
    assert [float(x[2, 1]) for x in together] == pytest.approx(days(*many[2, 1]))


def points(hours: Any, first: int, kind: Any = "measured", step_h: float = 1.0) -> list[IntensityPoint]:
    low, high = (1.0, 1.0) if kind == "measured" else (FORECAST_LOW, FORECAST_HIGH)
    return [
        IntensityPoint(
            g, low * g, high * g, "DE", "a test", kind, start_s=NOW_S + (first + i * step_h) * HOUR_S,
            length_s=step_h * HOUR_S,
        )
        for i, g in enumerate(np.asarray(hours).tolist())
    ]  # fmt: skip


def test_a_week_is_looked_back_on_in_hours_whatever_the_points_are() -> None:
    quarters = np.repeat(np.tile(PATTERN, DAYS + 2), 4)
    found = likeness(points(quarters, -24 * DAYS, step_h=0.25), NOW_S)
    assert (found.kept, found.spread, found.days) == (pytest.approx(1), pytest.approx(0), DAYS - 1)


def test_of_too_few_days_nothing_is_learned() -> None:
    known = LEAST_PAIRS + 1
    assert likeness(points(np.tile(PATTERN, known), -24 * known), NOW_S).days == LEAST_PAIRS
    assert likeness(points(np.tile(PATTERN, known), -24 * known + 1), NOW_S) == UNKNOWN
    assert likeness([], NOW_S) == UNKNOWN


def test_a_plan_expects_what_its_days_let_it_expect() -> None:
    """Half of yesterday's pattern is what today mostly has: half of the promise is expected, and it is said."""
    random = np.random.default_rng(2)
    pattern = np.array([random.permutation(24) * 0.4 + np.arange(24) * 0.6 for _ in range(DAYS)]) * 10 + 100
    found = plan(points(pattern.ravel()[::-1], -24 * DAYS), NOW_S, HOUR_S, DAY_S)
    assert found.like == likeness(points(pattern.ravel()[::-1], -24 * DAYS), NOW_S)
    assert 0.4 < found.like.kept < 0.9
    assert found.saving.promised == pytest.approx(1 - found.best.g_per_kwh / found.now.g_per_kwh)
    assert found.saving.value == pytest.approx(found.like.kept * found.saving.promised)
    assert found.random_saving == pytest.approx(found.like.kept * (1 - found.random_g_per_kwh / found.now.g_per_kwh))
    assert any(f"{found.like.kept:.0%} of it is expected: over the last 7 days" in note for note in found.notes)


# -- against what came ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def savings() -> Any:
    spec = importlib.util.spec_from_file_location("savings", REPOSITORY / "benchmarks" / "savings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["savings"] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["savings"]


@pytest.fixture(scope="module")
def found(savings: Any) -> Any:
    if not DATA.exists():
        pytest.skip(f"{DATA} is not here")
    return {path.stem: savings.jobs(read_series(path)) for path in sorted(DATA.glob("*.csv"))}


def made_up(count: int = 12, seed: int = 3) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(24 * count)
    return np.exp(np.log(np.tile(PATTERN, count)) + 0.3 * noise)


@pytest.mark.parametrize(("duration", "within"), [(1, 12), (3, 24), (12, 24)])
def test_what_is_held_against_what_came_is_what_a_plan_says(savings: Any, duration: int, within: int) -> None:
    values = made_up()
    (kind,) = savings.jobs(Series.of(NOW_S + HOUR_S * np.arange(len(values)), HOUR_S, values), [(duration, within)])
    seen = 0
    for start in range(24 * DAYS, len(values) - within, savings.EVERY_H):
        now_s = NOW_S + start * HOUR_S
        known = points(values[: start + 1], 0)
        told = plan(known, now_s, duration * HOUR_S, within * HOUR_S)
        if told.best.start_s == now_s:
            continue
        best = round((told.best.start_s - NOW_S) / HOUR_S)
        came = 1 - values[best : best + duration].sum() / values[start : start + duration].sum()
        assert told.saving.promised == pytest.approx(kind.promised[seen])
        assert told.saving.value == pytest.approx(kind.value[seen])
        assert came == pytest.approx(kind.came[seen])
        is_within = told.saving.low <= came <= told.saving.high
        assert is_within == (kind.off(kind.kept)[seen] / kind.spread[seen] <= saving.SPREADS)
        seen += 1
    assert seen == len(kind.came) > 10


def test_with_pauses_the_lowest_hours_are_taken_wherever_they_are(savings: Any) -> None:
    values = made_up()
    series = Series.of(NOW_S + HOUR_S * np.arange(len(values)), HOUR_S, values)
    (whole,), (paused,) = savings.jobs(series, [(3, 24)]), savings.jobs(series, [(3, 24)], pausing=True)
    assert paused.promised.sum() > whole.promised.sum()
    start = 24 * DAYS
    yesterday = values[start - 24 : start].copy()
    yesterday[0] = values[start]
    taken = np.argsort(yesterday)[:3]
    assert paused.promised[0] == pytest.approx(1 - yesterday[taken].sum() / yesterday[:3].sum())
    assert paused.came[0] == pytest.approx(1 - values[start + taken].sum() / values[start : start + 3].sum())


@real
def test_the_figures_are_what_real_grids_give(savings: Any, found: Any) -> None:
    assert savings.constants(found) == {
        "SPREADS": saving.SPREADS,
        "UNKNOWN_KEPT": saving.UNKNOWN_KEPT,
        "UNKNOWN_SPREAD": saving.UNKNOWN_SPREAD,
    }


@real
def test_fitted_on_half_of_the_grids_the_interval_holds_on_the_others(savings: Any, found: Any) -> None:
    for fitted, checked in savings.halves(found):
        assert not set(fitted) & set(checked)
        spreads, kept, spread = savings.constants({name: found[name] for name in fitted}).values()
        own = [savings.coverage(savings.off_by_own_days(found[name]), spreads) for name in checked]
        unknown = [savings.coverage([kind.off(kept) for kind in found[name]], spreads * spread) for name in checked]
        for covered in (own, unknown):
            assert np.mean(covered) >= 0.93
            assert min(covered) >= 0.9


@real
def test_on_each_grid_as_much_comes_as_is_expected(savings: Any, found: Any) -> None:
    """Within 4 points for each shape of job, though grids keep from a seventh to nearly all of what is promised."""
    kept = [savings.kept_of(kinds) for kinds in found.values()]
    assert min(kept) < 0.2
    assert max(kept) > 0.8
    for kinds in found.values():
        for kind in kinds:
            value, came = kind.saved()
            assert value == pytest.approx(came, abs=0.04)
