"""A counter that lags: samples lie where it refreshed, and bounds hold the truth whenever it is read."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from worlds import Counter, Kept, OwnedClock, channel, recorder

from joulegram.curves.curve import Curve
from joulegram.recorder.channel import ChannelLog
from joulegram.recorder.refreshes import Refreshes
from joulegram.records import Channel
from joulegram.units import NS_PER_S

MS = 1_000_000
LAG_NS = 100 * MS
LAGGING = channel(lag_s=0.1, resolution_s=0.1)


def curve_of(log: ChannelLog) -> Curve:
    grown = log.node
    times, values = list(grown.times_ns), list(grown.values)
    if grown.tip is not None and grown.tip[0] > times[-1]:
        times.append(grown.tip[0])
        values.append(grown.tip[1])
    return Curve.of(times, values)


class Device:
    """A counter (J) that refreshes every so often, of a power that changes at each refresh's own pace.

    Args:
        period_ns: between refreshes.
        phase_ns: of the first one.
        watts: power in each 37 ms, again and again.
    """

    def __init__(self, period_ns: int, phase_ns: int, watts: list[float]) -> None:
        self.period_ns, self.phase_ns = period_ns, phase_ns
        steps = np.array([0.0, *accumulate(w * 0.037 for w in watts)])
        self._steps, self._length_ns = steps, 37 * MS * len(watts)

    def true_j(self, time_ns: int) -> float:
        rounds, rest = divmod(time_ns, self._length_ns)
        return float(rounds * self._steps[-1] + np.interp(rest / (37 * MS), np.arange(len(self._steps)), self._steps))

    def shown_j(self, time_ns: int) -> float:
        return self.true_j((time_ns - self.phase_ns) // self.period_ns * self.period_ns + self.phase_ns)


reads = st.lists(st.one_of(st.integers(40 * MS, 60 * MS), st.integers(1 * MS, 450 * MS)), min_size=20, max_size=120)


@given(
    period_ns=st.integers(5 * MS, 100 * MS),
    phase_ns=st.integers(0, 99 * MS),
    watts=st.lists(st.floats(1, 900), min_size=1, max_size=30),
    waits=reads,
    edges=st.lists(st.floats(0.05, 0.95), min_size=2, max_size=6, unique=True),
)
@settings(deadline=None)
def test_bounds_hold_the_truth_whenever_a_lagging_counter_is_read(
    period_ns: int, phase_ns: int, watts: list[float], waits: list[int], edges: list[float]
) -> None:
    device = Device(period_ns, phase_ns, watts)
    start_ns = 50 * NS_PER_S
    times = [start_ns + MS, *accumulate(waits, initial=start_ns + MS)][1:]
    log = ChannelLog(LAGGING, start_ns, NS_PER_S)
    edges_ns = sorted(int(start_ns + edge * (times[-1] - start_ns)) for edge in edges)
    for edge_ns in edges_ns:
        log.cursor.add((edge_ns, None))
    for time_ns in times:
        log.sample(time_ns, device.shown_j(time_ns))
        log.settle(time_ns, False)
    known = [edge_ns for edge_ns in edges_ns if log.passed(edge_ns)]
    curve, slack_ns = curve_of(log), log.described.slack_ns
    for first, last in pairwise(known):
        low, high = curve.bounds([first], [last], slack_ns)
        truth = device.true_j(last) - device.true_j(first)
        assert low[0] - 1e-6 <= truth <= high[0] + 1e-6


def test_a_sample_lies_between_the_readings_that_saw_the_refresh() -> None:
    refreshes = Refreshes(LAG_NS)
    assert refreshes.moment(1000 * MS, 5.0) == 950 * MS
    assert refreshes.moment(1050 * MS, 5.0) is None
    assert refreshes.moment(1100 * MS, 6.0) == 1075 * MS
    assert refreshes.slack_ns == 25 * MS
    assert refreshes.moment(1150 * MS, 6.0) is None
    assert refreshes.moment(1200 * MS, 7.0) == 1175 * MS
    assert refreshes.period_ns == 100 * MS


def test_a_refresh_that_is_known_badly_waits_for_a_better_one() -> None:
    refreshes = Refreshes(LAG_NS)
    for time_ms, value in ((1000, 5.0), (1050, 5.0), (1100, 6.0)):
        refreshes.moment(time_ms * MS, value)
    assert refreshes.moment(1190 * MS, 7.0) is None  # 90 ms after the one before: late
    assert refreshes.moment(1240 * MS, 8.0) == 1215 * MS
    assert refreshes.slack_ns == 25 * MS


def test_a_counter_that_is_always_late_is_still_counted() -> None:
    refreshes = Refreshes(LAG_NS)
    moments = [refreshes.moment(time_ms * MS, float(time_ms)) for time_ms in range(1000, 3000, 150)]
    assert sum(moment is not None for moment in moments) > len(moments) / 3
    assert refreshes.slack_ns == 50 * MS


def test_a_counter_that_stands_still_counts_nothing_in_time() -> None:
    refreshes = Refreshes(LAG_NS)
    moments = [refreshes.moment(time_ms * MS, 5.0) for time_ms in range(1000, 5000, 50)]
    assert sum(moment is not None for moment in moments) > 5
    assert moments[0] == 950 * MS


def test_a_current_counter_is_taken_as_it_is_read() -> None:
    refreshes = Refreshes(0)
    assert [refreshes.moment(time, 1.0) for time in (5, 6, 7)] == [5, 6, 7]


def test_the_ledger_is_told_what_was_found_out_about_the_refreshes() -> None:
    clock, sink = OwnedClock(), Kept()
    made = recorder(clock, sink, Refreshed(clock))
    for _ in range(3):
        made.run_for(2)
        made.flush()
    told = sink.of(Channel)
    assert told[-1].resolution_s == pytest.approx(0.1, abs=0.01)
    assert told[-1].lag_s == pytest.approx(0.05, abs=0.002)
    assert len(told) <= 3


def test_a_figure_is_settled_when_the_counter_has_refreshed_past_it() -> None:
    clock, sink = OwnedClock(), Kept()
    made = recorder(clock, sink, Refreshed(clock))
    made.run_for(2)
    span = made.begin("epoch")
    made.run_for(1)
    made.finish(span)
    assert not settled(made, clock)
    made.run_for(0.5)
    assert settled(made, clock, span.end_ns)


def settled(made: Any, clock: OwnedClock, time_ns: int | None = None) -> bool:
    trace = made.trace(clock.monotonic_ns())
    return all(c.settled_ns >= (time_ns or clock.monotonic_ns()) for c in trace.channels.values())


class Refreshed(Counter):
    """A counter that shows what it was at its last tenth of a second."""

    def __init__(self, clock: OwnedClock) -> None:
        super().__init__(clock, 200.0, lag_s=0.1, resolution_s=0.1)

    def read(self) -> list[float]:
        now_ns = self._clock.monotonic_ns()
        return [1000.0 + 200.0 * (now_ns // LAG_NS * LAG_NS - self._since_ns) / NS_PER_S]
