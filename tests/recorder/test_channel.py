from __future__ import annotations

from itertools import pairwise
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.curves.curve import Curve
from joulegram.curves.door import GrowingCurve
from joulegram.curves.sharing import Share
from joulegram.recorder.channel import EPSILON_S, ChannelLog
from joulegram.records import Channel, Gap
from joulegram.units import NS_PER_S

S = NS_PER_S
LATE_NS = S
NEVER = 10**18

COUNTER = Channel("gpu:A", "gpu", "measured", "a counter", max_w=500.0)
WRAPPING = Channel("cpu:package-0", "cpu", "measured", "a counter", wraps_at_j=1000.0, max_w=200.0)
SHARED = Channel("cpu:package-0", "cpu", "measured", "a counter", share="cpu", idle_w=10.0)


def log(channel: Channel = COUNTER, start_ns: int = 0) -> ChannelLog:
    return ChannelLog(channel, start_ns, LATE_NS)


def take(channel_log: ChannelLog, *samples: tuple[float, float]) -> ChannelLog:
    """Samples at times in seconds, settled at once."""
    for time_s, raw_j in samples:
        channel_log.sample(round(time_s * S), raw_j)
    channel_log.settle(NEVER, phases_used=False)
    return channel_log


def curve(grown: GrowingCurve) -> Curve:
    found = Curve.of([*grown.times_ns], [*grown.values])
    return found.extended(*grown.tip) if grown.tip is not None and grown.tip[0] > found.end_ns else found


def node_j(channel_log: ChannelLog) -> float:
    return curve(channel_log.node).total


def seconds(gap: Gap) -> tuple[str, float, float, bool]:
    return gap.why, gap.start_ns / S, gap.end_ns / S, gap.energy_known


# -- readings -------------------------------------------------------------------------------------------------------


def test_the_time_to_the_first_sample_is_a_gap_and_its_reading_is_not_energy() -> None:
    channel_log = take(log(), (0.3, 123456.0), (0.4, 123466.0))
    assert [seconds(gap) for gap in channel_log.gaps] == [("start", 0, 0.3, False)]
    assert node_j(channel_log) == 10.0
    assert channel_log.node.times_ns[0] == round(0.3 * S)


def test_a_counter_read_at_the_very_start_leaves_no_gap() -> None:
    assert take(log(), (0, 5.0), (0.1, 6.0)).gaps == []


def test_a_reading_taken_before_the_start_counts_from_where_it_was_taken() -> None:
    channel_log = take(log(start_ns=S), (0.5, 0.0), (1.5, 10.0), (2.0, 20.0))
    assert channel_log.gaps == []
    assert curve(channel_log.node).over([S], [2 * S])[0] == pytest.approx(15.0)


def test_a_counter_that_passes_its_range_goes_on() -> None:
    channel_log = take(log(WRAPPING), (0, 990.0), (0.1, 5.0), (0.2, 10.0))
    assert node_j(channel_log) == pytest.approx(20.0)
    assert channel_log.gaps == []


@given(st.lists(st.floats(0, 50), min_size=1, max_size=60), st.floats(0, 999))
def test_unwrapped_a_counter_shows_all_that_went_through_it(rises: list[float], first: float) -> None:
    channel_log, raw = log(WRAPPING), first
    channel_log.sample(0, raw)
    for n, rise in enumerate(rises, 1):
        raw = (raw + rise) % 1000.0
        channel_log.sample(n * S // 2, raw)
    channel_log.settle(NEVER, phases_used=False)
    assert node_j(channel_log) == pytest.approx(sum(rises), abs=1e-6)
    assert channel_log.gaps == []


def test_a_counter_that_begins_again_leaves_a_gap_and_no_negative_energy() -> None:
    channel_log = take(log(), (0, 500.0), (0.1, 510.0), (0.2, 3.0), (0.3, 8.0))
    assert [seconds(gap) for gap in channel_log.gaps] == [("reset", 0.1, 0.2, False)]
    assert node_j(channel_log) == pytest.approx(15.0)
    assert all(rise >= 0 for rise in np.diff(curve(channel_log.node).values))


def test_a_fall_too_far_to_be_a_wrap_around_is_a_reset_although_the_counter_wraps() -> None:
    # From 400 J through 1000 J to 3 J would be 603 J in 0.1 s: the device draws 200 W at most.
    channel_log = take(log(WRAPPING), (0, 400.0), (0.1, 3.0), (0.2, 8.0))
    assert [seconds(gap) for gap in channel_log.gaps] == [("reset", 0, 0.1, False)]
    assert node_j(channel_log) == pytest.approx(5.0)


def test_without_a_known_greatest_power_a_counter_that_wraps_is_taken_to_have_wrapped() -> None:
    unknown = Channel("cpu:package-0", "cpu", "measured", "a counter", wraps_at_j=1000.0)
    assert node_j(take(log(unknown), (0, 400.0), (0.1, 3.0))) == pytest.approx(603.0)


def test_a_fall_below_the_counters_own_range_is_a_reset() -> None:
    channel_log = take(log(WRAPPING), (0, 5000.0), (0.1, 3.0))
    assert [gap.why for gap in channel_log.gaps] == ["reset"]
    assert node_j(channel_log) == 0.0


def test_a_counter_left_alone_for_long_enough_to_wrap_twice_does_not_know_its_energy() -> None:
    # At 200 W, 1000 J take 5 s.
    assert take(log(WRAPPING), (0, 0.0), (4, 100.0)).gaps[0].energy_known
    channel_log = take(log(WRAPPING), (0, 0.0), (60, 100.0))
    assert [seconds(gap) for gap in channel_log.gaps] == [("late", 0, 60, False)]
    assert node_j(channel_log) == 100.0


def test_a_failed_read_and_a_recovery_keep_the_energy_and_leave_a_gap() -> None:
    channel_log = take(log(), (0, 0.0), (0.1, 10.0), (0.2, nan), (0.3, nan), (0.4, 40.0))
    assert [seconds(gap) for gap in channel_log.gaps] == [("failed", 0.1, 0.4, True)]
    assert node_j(channel_log) == 40.0


@pytest.mark.parametrize("reading", [nan, inf, -inf])
def test_what_is_no_number_is_a_failed_read(reading: float) -> None:
    channel_log = take(log(), (0, 0.0), (0.1, reading), (0.2, 10.0))
    assert [gap.why for gap in channel_log.gaps] == ["failed"]
    assert node_j(channel_log) == 10.0


def test_a_counter_that_comes_back_reset_after_a_failure_is_a_reset() -> None:
    channel_log = take(log(), (0, 0.0), (0.1, 50.0), (0.2, nan), (0.3, 1.0))
    assert [seconds(gap) for gap in channel_log.gaps] == [("reset", 0.1, 0.3, False)]
    assert node_j(channel_log) == 50.0


def test_a_counter_that_fails_before_its_first_reading_starts_when_it_is_read() -> None:
    channel_log = take(log(), (0.1, nan), (0.5, 7.0), (0.6, 8.0))
    assert [seconds(gap) for gap in channel_log.gaps] == [("start", 0, 0.5, False)]
    assert node_j(channel_log) == 1.0


def test_a_late_sample_keeps_the_energy_and_leaves_a_gap() -> None:
    channel_log = take(log(), (0, 0.0), (5, 100.0))
    assert [seconds(gap) for gap in channel_log.gaps] == [("late", 0, 5, True)]
    assert node_j(channel_log) == 100.0


def test_a_sample_that_is_just_in_time_leaves_none() -> None:
    assert take(log(), (0, 0.0), (1, 100.0)).gaps == []


def test_a_stuck_meter_is_missing_until_it_comes_back() -> None:
    channel_log = take(log(), (0, 0.0), (0.1, 1.0))
    channel_log.fail("stuck")
    take(channel_log, (9, 90.0), (9.1, 91.0))
    assert [seconds(gap) for gap in channel_log.gaps] == [("stuck", 0.1, 9, True)]
    assert node_j(channel_log) == 91.0


def test_a_channel_that_fails_to_the_end_is_missing_up_to_there() -> None:
    channel_log = take(log(), (0, 0.0), (1, 10.0), (1.1, nan))
    channel_log.end(4 * S)
    assert [seconds(gap) for gap in channel_log.gaps] == [("failed", 1, 4, False)]


def test_a_channel_that_was_well_to_the_end_has_no_gap_there() -> None:
    channel_log = take(log(), (0, 0.0), (1, 10.0))
    channel_log.end(S // 2)
    channel_log.end(2 * S)
    assert channel_log.gaps == []


def test_a_clock_that_ticks_coarsely_loses_no_joule() -> None:
    assert node_j(take(log(), (0, 0.0), (0, 4.0), (1, 10.0), (1, 13.0), (2, 20.0))) == 20.0


def test_a_sample_older_than_the_last_is_not_taken() -> None:
    assert node_j(take(log(), (0, 0.0), (1, 10.0), (0.5, 5.0), (2, 20.0))) == 20.0


@given(
    st.lists(st.tuples(st.integers(0, 3 * S), st.one_of(st.floats(0, 100), st.just(nan), st.just(-1.0))), max_size=40)
)
def test_whatever_comes_curves_never_fall_and_gaps_are_in_order(samples: list[tuple[int, float]]) -> None:
    channel_log, time_ns, raw = log(WRAPPING), 0, 0.0
    for passed_ns, reading in samples:
        time_ns += passed_ns
        raw = 0.0 if reading == -1.0 else (raw + reading) % 1000.0 if reading == reading else raw
        channel_log.sample(time_ns, nan if reading != reading else raw)
    channel_log.end(time_ns + S)
    channel_log.settle(NEVER, phases_used=False)
    assert np.all(np.diff(curve(channel_log.node).values) >= 0)
    edges = [edge for gap in channel_log.gaps for edge in (gap.start_ns, gap.end_ns)]
    assert edges == sorted(edges)


# -- shares ---------------------------------------------------------------------------------------------------------


def test_joules_of_a_shared_node_wait_for_their_share() -> None:
    channel_log = take(log(SHARED), (0, 0.0), (1, 30.0), (2, 60.0))
    assert node_j(channel_log) == 0.0
    channel_log.share(Share(reserved=0.5, cpu=0.25))
    channel_log.settle(NEVER, phases_used=False)
    assert node_j(channel_log) == 60.0
    assert curve(channel_log.run).total == pytest.approx(2 * (10 * 0.5 + 20 * 0.25))


def test_a_share_is_for_the_joules_since_the_share_before() -> None:
    channel_log = take(log(SHARED), (0, 0.0), (1, 10.0))
    channel_log.share(Share(1.0, 1.0))
    take(channel_log, (2, 20.0))
    channel_log.share(Share(0.0, 0.0))
    channel_log.settle(NEVER, phases_used=False)
    assert curve(channel_log.run).over([0, S], [S, 2 * S]).tolist() == [10.0, 0.0]


def test_an_exclusive_device_is_all_this_runs() -> None:
    channel_log = take(log(), (0, 0.0), (1, 30.0))
    assert curve(channel_log.run).total == curve(channel_log.node).total == 30.0


def test_what_is_not_settled_is_shown_ahead_by_the_last_share_known() -> None:
    channel_log = take(log(SHARED), (0, 0.0), (1, 10.0))
    assert channel_log.ahead() is None  # no share is known yet
    channel_log.share(Share(1.0, 0.5))
    channel_log.settle(NEVER, phases_used=False)
    assert channel_log.ahead() is None  # nothing is waiting
    take(channel_log, (2, 30.0), (3, 60.0))
    assert channel_log.ahead() == (3 * S, 60.0, 10 + (10 + 10 * 0.5) + (10 + 20 * 0.5))


def test_settling_stops_at_the_moment_asked_for() -> None:
    channel_log = log()
    for n in range(5):
        channel_log.sample(n * S, n * 10.0)
    channel_log.settle(2 * S, phases_used=False)
    assert node_j(channel_log) == 20.0


# -- phases, edges and compression ----------------------------------------------------------------------------------


def test_an_interval_is_split_by_the_time_in_each_phase() -> None:
    channel_log = log()
    channel_log.cursor.add((2 * S, "data"))
    channel_log.cursor.add((5 * S, "forward"))
    for n in (0, 10):
        channel_log.sample(n * S, n * 10.0)
    channel_log.settle(NEVER, phases_used=True)
    totals = {name: curve(grown).total for name, grown in channel_log.phases.items()}
    assert totals == pytest.approx({"other": 20.0, "data": 30.0, "forward": 50.0})


def test_what_was_used_before_the_first_phase_is_outside_all_of_them() -> None:
    channel_log = take(log(), (0, 0.0), (1, 10.0))
    assert channel_log.phases == {}
    channel_log.cursor.add((3 * S // 2, "data"))
    channel_log.sample(2 * S, 20.0)
    channel_log.settle(NEVER, phases_used=True)
    other, data = curve(channel_log.phases["other"]), curve(channel_log.phases["data"])
    assert other.over([0, S], [S, 2 * S]) == pytest.approx([10.0, 5.0])
    assert data.over([0, S], [S, 2 * S]) == pytest.approx([0.0, 5.0])


def test_marks_from_before_the_first_sample_still_say_which_phase_it_is() -> None:
    channel_log = log()
    channel_log.cursor.add((S, "data"))
    channel_log.sample(2 * S, 0.0)
    channel_log.sample(3 * S, 10.0)
    channel_log.settle(NEVER, phases_used=True)
    assert curve(channel_log.phases["data"]).total == pytest.approx(10.0)


@st.composite
def recordings(draw: st.DrawFn) -> tuple[Curve, list[tuple[int, str | None]]]:
    """A counter as sampled, and the marks of a loop: phases and edges of spans."""
    steps = draw(st.lists(st.tuples(st.integers(10**6, S), st.floats(0, 300)), min_size=2, max_size=60))
    times = np.concatenate([[0], np.cumsum([ns for ns, _ in steps])])
    joules = np.concatenate([[0.0], np.cumsum([watts * ns / S for ns, watts in steps])])
    mark = st.tuples(st.integers(0, int(times[-1])), st.sampled_from(["data", "forward", "other", None, None]))
    return Curve.of(times, joules), sorted(draw(st.lists(mark, max_size=20)), key=lambda row: row[0])


def replayed(counter: Curve, marks: list[tuple[int, str | None]]) -> ChannelLog:
    channel_log, waiting = log(), list(marks)
    for time_ns, raw_j in zip(counter.times_ns.tolist(), counter.values.tolist(), strict=True):
        while waiting and waiting[0][0] < time_ns:
            channel_log.cursor.add(waiting.pop(0))
        channel_log.sample(time_ns, raw_j)
        channel_log.settle(time_ns, phases_used=bool(marks))
    return channel_log


@given(recordings())
def test_compression_moves_no_sample_by_more_than_a_tenth_of_a_second_at_mean_power(
    recording: tuple[Curve, list[tuple[int, str | None]]],
) -> None:
    counter, marks = recording
    errors = np.abs(curve(replayed(counter, marks).run).at(counter.times_ns) - counter.values)
    elapsed_s = np.maximum(1.0, counter.times_ns / S)
    assert np.all(errors <= EPSILON_S * counter.values / elapsed_s + 1e-9 * (1 + counter.values))


@given(recordings())
def test_compression_enters_no_figure_of_a_span(recording: tuple[Curve, list[tuple[int, str | None]]]) -> None:
    counter, marks = recording
    channel_log = replayed(counter, marks)
    edges = [time_ns for time_ns, phase in marks if phase is None]
    for kept in (curve(channel_log.node), curve(channel_log.run)):
        assert kept.at(edges) == pytest.approx(counter.at(edges), rel=1e-12, abs=1e-9)
        for start, end in pairwise(edges):
            assert np.array(kept.bounds(start, end)) == pytest.approx(np.array(counter.bounds(start, end)), abs=1e-6)


@given(recordings())
def test_at_every_edge_the_phases_sum_to_the_channel(recording: tuple[Curve, list[tuple[int, str | None]]]) -> None:
    counter, marks = recording
    channel_log = replayed(counter, marks)
    if not channel_log.phases:
        return
    edges = [*(time_ns for time_ns, phase in marks if phase is None), counter.end_ns]
    summed = sum(curve(grown).at(edges) for grown in channel_log.phases.values())
    assert summed == pytest.approx(counter.at(edges), rel=1e-9, abs=1e-9)


def test_curves_have_the_names_that_a_journal_gives_them() -> None:
    channel_log = take(log(), (0, 0.0), (1, 1.0))
    channel_log.sample(2 * S, 2.0)
    channel_log.settle(NEVER, phases_used=True)
    assert [name for name, _ in channel_log.curves()] == ["node gpu:A", "run gpu:A", "phase other gpu:A"]
