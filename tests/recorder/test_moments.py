"""Sums over counter intervals: they subtract, and tell phases apart that are too short for any one interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.curves.least_squares import PhaseEnergy, told_apart
from joulegram.recorder.moments import MomentsLog
from joulegram.records import PhaseMoments

WATTS = {"data": 60.0, "forward": 250.0, "backward": 400.0}
Visits = Sequence[tuple[str, float]]

visits = st.lists(st.tuples(st.sampled_from(list(WATTS)), st.floats(0.001, 0.02)), min_size=3, max_size=8)


def add(log: MomentsLog, interval: Visits) -> None:
    log.add(sum(WATTS[phase] * time_s for phase, time_s in interval), interval)


def all_of(log: MomentsLog, time_ns: int = 1) -> PhaseMoments:
    """The sums, the last interval included: it is added up with the next."""
    log.add(0.0, [("other", 0.1)])
    return log.until(time_ns)


def random_intervals(count: int, seed: int = 1) -> list[Visits]:
    rng = np.random.default_rng(seed)
    return [[(phase, float(rng.uniform(0.015, 0.025))) for phase in WATTS] for _ in range(count)]


def joules(intervals: Sequence[Visits], phase: str) -> float:
    return sum(WATTS[phase] * time_s for interval in intervals for entered, time_s in interval if entered == phase)


def moments(intervals: Sequence[Visits]) -> PhaseMoments:
    log = MomentsLog("gpu:A")
    for interval in intervals:
        add(log, interval)
    return all_of(log)


@given(st.lists(visits, min_size=1, max_size=40))
def test_time_alone_splits_all_joules_whatever_the_intervals(intervals: list[Visits]) -> None:
    sums = moments(intervals)
    whole_j = sum(joules(intervals, phase) for phase in WATTS)
    assert sum(sums.split_j) == pytest.approx(whole_j)
    assert all(value >= 0 for line in sums.products for value in line)


@given(st.integers(0, 2**20))
def test_powers_that_are_steady_are_found_exactly_and_sum_to_what_was_used(seed: int) -> None:
    intervals = random_intervals(100, seed)
    found = told_apart(moments(intervals))
    for phase in WATTS:
        assert found[phase].fitted_j == pytest.approx(joules(intervals, phase), rel=1e-6)
        assert found[phase].error_j < 1e-4 * joules(intervals, phase)
    fitted_j, split_j = (sum(getattr(f, name) for f in found.values()) for name in ("fitted_j", "split_j"))
    assert fitted_j == pytest.approx(split_j)


def test_sums_subtract_also_when_a_phase_is_new() -> None:
    log = MomentsLog("gpu:A")
    for _ in range(100):
        log.add(1000.0, [("warm-up", 0.05), ("other", 0.05)])
    earlier = all_of(log)
    intervals = random_intervals(100)
    for interval in intervals:
        add(log, interval)
    found = told_apart(all_of(log, 2), earlier)
    assert found["warm-up"] == PhaseEnergy(0.0, 0.0, 0.0, 0.0)
    for phase in WATTS:
        assert found[phase].fitted_j == pytest.approx(joules(intervals, phase), rel=1e-6)


def test_steps_that_are_all_alike_tell_nothing_apart() -> None:
    alike: Visits = [("data", 0.03), ("forward", 0.03), ("backward", 0.04)]
    assert told_apart(moments([alike] * 1000)) == {}


def test_a_few_intervals_tell_nothing() -> None:
    assert told_apart(moments(random_intervals(59))) == {}
    assert told_apart(moments(random_intervals(60))) != {}


def test_the_standard_error_is_that_of_repeated_trials() -> None:
    rng, found = np.random.default_rng(1), []
    for seed in range(200):
        log = MomentsLog("gpu:A")
        for interval in random_intervals(100, seed):
            noise_j = rng.normal(0, 0.5)
            log.add(sum(WATTS[phase] * time_s for phase, time_s in interval) + noise_j, interval)
        energy = told_apart(all_of(log))["data"]
        found.append((energy.fitted_j - joules(random_intervals(100, seed), "data"), energy.error_j))
    errors, stated = np.array(found).T
    assert np.mean(stated) == pytest.approx(np.std(errors), rel=0.15)
    assert abs(np.mean(errors)) < 0.25 * np.std(errors)


def test_a_long_wait_is_set_aside_and_does_not_change_what_short_visits_use() -> None:
    intervals = random_intervals(200)
    log = MomentsLog("gpu:A")
    for interval in intervals:
        add(log, interval)
    for _ in range(100):
        log.add(0.5, [("data", 0.1)])
    log.add(3.0, [("data", 0.01), ("forward", 0.04), ("backward", 0.05)])  # the rest of the last wait
    found = told_apart(all_of(log))
    assert found["data"].fitted_j == pytest.approx(joules(intervals, "data") + 100 * 0.5 + 3.0 * 0.1, rel=1e-6)
    assert found["forward"].fitted_j == pytest.approx(joules(intervals, "forward") + 3.0 * 0.4, rel=1e-6)
    assert {phase: found[phase].unclear_j for phase in WATTS} == {"data": 3, "forward": 3, "backward": 3}
