"""Choosing a start by a rule, scored on what came: against loops over every night of real and made-up grids."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from joulegram.analysis.backtest import Score, backtest, hours, window_means
from joulegram.analysis.outlook import DAY_S
from joulegram.curves.series import HOUR_S, Series
from joulegram.feeds.series import read_series

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "intensity"
GERMANY = DATA / "DE_2020-2021_carboncast_lifecycle.csv"
real = pytest.mark.skipif(not GERMANY.exists(), reason=f"{GERMANY} is not here")

START_S = 1.8e9 - 1.8e9 % DAY_S
DAYS = 60


def grid(days: int = DAYS, noise: float = 0.3, seed: int = 1) -> Series:
    """Hours with a daily pattern, and noise that makes days differ."""
    random = np.random.default_rng(seed)
    hour = np.arange(24 * days)
    values = 300 + 150 * np.cos(hour / 24 * 2 * np.pi) + 300 * noise * random.standard_normal(len(hour))
    return Series.of(START_S + HOUR_S * hour, HOUR_S, np.maximum(values, 1.0))


def nights(days: int = DAYS) -> np.ndarray:
    return START_S + DAY_S * np.arange(days) + HOUR_S


def by_rule(scores: list[Score]) -> dict[str, Score]:
    return {score.rule: score for score in scores}


def test_every_rule_does_what_a_loop_over_the_nights_does() -> None:
    series, duration_h, most = grid(), 2, 3
    at = dict(zip(series.starts_s.tolist(), series.g_per_kwh.tolist(), strict=True))

    def mean(start_s: float) -> float | None:
        inside = [at.get(start_s + hour * HOUR_S) for hour in range(duration_h)]
        return None if None in inside else sum(filter(None, inside)) / duration_h

    sums = dict.fromkeys(("usual", "oracle", "yesterday"), 0.0)
    worse = count = 0
    for night_s in nights().tolist():
        starts = [night_s + hour * HOUR_S for hour in range(-most, most + 1)]
        came, before = [mean(s) for s in starts], [mean(s - DAY_S) for s in starts]
        if None in came or None in before:
            continue
        chosen = came[before.index(min(filter(None, before)))]
        sums["usual"] += came[most]
        sums["oracle"] += min(filter(None, came))
        sums["yesterday"] += chosen
        worse += chosen > came[most]
        count += 1
    found = by_rule(backtest(series, nights(), hours(-most, most), duration_h * HOUR_S))
    yesterday, oracle = found["yesterday's hours"], found["perfect foresight"]
    assert yesterday.jobs == count == DAYS - 2  # the first has no yesterday, the last no end of its choice
    assert oracle.saving == pytest.approx(1 - sums["oracle"] / sums["usual"])
    assert yesterday.saving == pytest.approx(1 - sums["yesterday"] / sums["usual"])
    left = (sums["yesterday"] - sums["oracle"]) / (sums["usual"] - sums["oracle"])
    assert yesterday.regret == pytest.approx(left)
    assert yesterday.worse_share == pytest.approx(worse / count)


def test_the_oracle_has_no_regret_and_the_usual_start_all_of_it() -> None:
    found = by_rule(backtest(grid(), nights(), hours(-4, 4), HOUR_S))
    assert found["perfect foresight"].regret == 0
    assert found["usual start"].regret == 1
    assert found["usual start"].saving == found["usual start"].worse_share == 0
    best = found["perfect foresight"].saving
    assert all(score.saving <= best and score.regret >= 0 for score in found.values())
    assert found["perfect foresight"].promised == best


def test_where_days_are_alike_yesterday_knows_today() -> None:
    found = by_rule(backtest(grid(noise=0.0), nights(), hours(-8, 8), HOUR_S))
    assert found["yesterday's hours"].saving == pytest.approx(found["perfect foresight"].saving)
    assert found["yesterday's hours"].regret == pytest.approx(0, abs=1e-9)


def test_where_days_differ_yesterday_promises_more_than_it_keeps() -> None:
    found = by_rule(backtest(grid(noise=0.5), nights(), hours(-8, 8), HOUR_S))
    yesterday = found["yesterday's hours"]
    assert yesterday.promised is not None
    assert yesterday.saving < yesterday.promised
    assert yesterday.tail < 0 < yesterday.worse_share
    assert found["forecast ± 5%"].regret < yesterday.regret


def test_a_flat_grid_leaves_nothing_to_gain_and_nothing_to_regret() -> None:
    flat = Series.of(START_S + HOUR_S * np.arange(24 * 5), HOUR_S, np.full(24 * 5, 200.0))
    found = by_rule(backtest(flat, nights(5), hours(-2, 2), HOUR_S))
    assert all(score.saving == pytest.approx(0) and score.regret == 0 for score in found.values())


def test_intervals_hold_the_figure_and_are_the_same_each_time() -> None:
    one, other = (backtest(grid(), nights(), hours(-8, 8), HOUR_S, seed=3) for _ in range(2))
    assert one == other
    for score in one:
        for value, (low, high) in ((score.saving, score.saving_bounds), (score.regret, score.regret_bounds)):
            assert low <= value + 1e-9
            assert value <= high + 1e-9
    again = by_rule(backtest(grid(), nights(), hours(-8, 8), HOUR_S, seed=4))
    assert by_rule(one)["random start"].saving != again["random start"].saving


def test_nights_that_follow_each_other_are_resampled_together() -> None:
    """A grid of alternating good and bad fortnights: intervals are wider than if nights were on their own."""
    days = 84
    level = np.repeat(np.tile([1.0, 0.02], days // 28), 24 * 14)
    pattern = 300 + 280 * level * np.cos(np.arange(24 * days) / 24 * 2 * np.pi)
    series = Series.of(START_S + HOUR_S * np.arange(24 * days), HOUR_S, pattern)
    low, high = by_rule(backtest(series, nights(days), hours(-8, 8), HOUR_S))["perfect foresight"].saving_bounds
    saved = (
        1
        - window_means(series, nights(days) - 8 * HOUR_S, HOUR_S)[1:-1]
        / window_means(series, nights(days), HOUR_S)[1:-1]
    )
    alone = 2 * 1.96 * saved.std() / np.sqrt(days)
    assert high - low > 1.5 * alone


@pytest.mark.parametrize("offsets", [hours(-12, 12), hours(1, 3)])
def test_a_choice_that_yesterday_cannot_know_is_refused(offsets: np.ndarray) -> None:
    with pytest.raises(ValueError, match="within a day"):
        backtest(grid(), nights(), offsets, HOUR_S)


def test_without_a_job_that_is_known_it_says_so() -> None:
    with pytest.raises(ValueError, match="of no job"):
        backtest(grid(), nights() + 1e8, hours(-1, 1), HOUR_S)


@real
@pytest.mark.parametrize(("most", "published"), [(2, 0.026), (4, 0.037), (6, 0.073), (8, 0.135)])
def test_germany_2020_is_as_by_hand_and_near_what_was_published_of_another_series(most: int, published: float) -> None:
    with GERMANY.open() as lines:
        at = {row["time"]: float(row["g_co2e_per_kwh"]) for row in csv.DictReader(lines)}
    usual, least, starts = 0.0, 0.0, []
    first = datetime(2020, 1, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    for day in range(366):
        night = (first + timedelta(days=day)).astimezone(UTC)
        starts.append(night.timestamp())
        hours_of = [night + timedelta(hours=hour) for hour in range(-most, most + 1)]
        known = [at.get(f"{hour:%Y-%m-%dT%H:%M:%SZ}") for hour in hours_of]
        yesterday = [at.get(f"{hour - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}") for hour in hours_of]
        if None not in known and None not in yesterday:
            usual += known[most] or 0.0
            least += min(filter(None, known))
    found = by_rule(backtest(read_series(GERMANY), np.array(starts), hours(-most, most), HOUR_S))
    assert found["perfect foresight"].saving == pytest.approx(1 - least / usual)
    assert found["perfect foresight"].saving == pytest.approx(published, abs=0.016)
