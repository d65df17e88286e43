from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.curves.timeline import Timeline
from joulegram.records import Anchor, IntensityPoint
from joulegram.units import NS_PER_S

NOON_S = 1_750_000_000.0  # 2025-06-15 15:06:40 UTC
HOUR_S = 3600


def anchor(mono_s: float, wall_s: float, boot_s: float | None = None) -> Anchor:
    """Times in seconds; wall time after NOON_S."""
    boot_ns = None if boot_s is None else round(boot_s * NS_PER_S)
    return Anchor(round(mono_s * NS_PER_S), boot_ns, round((NOON_S + wall_s) * NS_PER_S))


def ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def wall(timeline: Timeline, mono_s: float) -> float:
    """Seconds after NOON_S, to the microsecond."""
    return round(float(timeline.wall_s([ns(mono_s)])[0]) - NOON_S, 5)


def mono(timeline: Timeline, wall_s: float) -> float:
    return round(int(timeline.mono_ns([NOON_S + wall_s])[0]) / NS_PER_S, 5)


def point(g_per_kwh: float, start_s: float | None = None, length_s: float | None = HOUR_S) -> IntensityPoint:
    start_s = None if start_s is None else NOON_S + start_s
    length_s = None if start_s is None else length_s
    return IntensityPoint(
        g_per_kwh, g_per_kwh / 2, g_per_kwh * 2, "DK", "a feed", "measured", start_s=start_s, length_s=length_s
    )


def at(timeline: Timeline, points: list[IntensityPoint], mono_s: float, bound: str = "g_per_kwh") -> float:
    held = timeline.in_force(points).taking([getattr(point, bound) for point in points])
    return float(held.at([ns(mono_s)])[0])


STEADY = Timeline([anchor(100, 0), anchor(110, 10), anchor(120, 20)])
# Asleep for 50 s somewhere between 110 and 120.
SUSPENDED = Timeline([anchor(100, 0, 100), anchor(110, 10, 110), anchor(120, 70, 170), anchor(130, 80, 180)])
SET_FORWARD = Timeline([anchor(100, 0, 100), anchor(110, 10, 110), anchor(120, 80, 120), anchor(130, 90, 130)])
SET_BACK = Timeline([anchor(100, 0, 100), anchor(110, 10, 110), anchor(120, -40, 120), anchor(130, -30, 130)])


def test_wall_time_is_straight_between_and_beyond_anchors() -> None:
    assert [wall(STEADY, t) for t in (90, 100, 115, 200)] == [-10, 0, 15, 100]
    assert [mono(STEADY, t) for t in (-10, 0, 15, 100)] == [90, 100, 115, 200]


def test_one_anchor_is_enough() -> None:
    timeline = Timeline([anchor(100, 0)])
    assert wall(timeline, 130) == 30
    assert mono(timeline, -30) == 70
    assert timeline.slept_s(0, ns(1000)) == 0


def test_the_order_of_anchors_does_not_matter() -> None:
    anchors = [anchor(100, 0), anchor(110, 10), anchor(120, 70)]
    one, other = Timeline(anchors), Timeline(anchors[::-1])
    assert [wall(one, t) for t in range(90, 150, 7)] == [wall(other, t) for t in range(90, 150, 7)]


def test_a_clock_that_drifts_is_followed_without_a_jump() -> None:
    timeline = Timeline([anchor(0, 0), anchor(1000, 1000.1), anchor(2000, 2000.2)])
    assert wall(timeline, 500) == pytest.approx(500.05)
    assert mono(timeline, 1500.15) == pytest.approx(1500)


def test_anchors_taken_microseconds_apart_do_not_bend_the_line_between_them() -> None:
    # The second was interrupted for 5 ms between reading the two clocks.
    timeline = Timeline([anchor(100, 0), anchor(100.000002, -0.005), anchor(101, 1)])
    assert wall(timeline, 100.000001) == pytest.approx(0, abs=0.006)
    assert wall(timeline, 100.5) == pytest.approx(0.5, abs=0.006)
    assert mono(timeline, 0.5) == pytest.approx(100.5, abs=0.006)
    assert at(timeline, [point(1, -HOUR_S), point(2, 0)], 100.9) == 2


def test_over_a_suspend_durations_are_not_stretched() -> None:
    assert wall(SUSPENDED, 105) == 5
    assert wall(SUSPENDED, 115) == 15  # the clock on the wall ran on as before, until the later anchor says otherwise
    assert wall(SUSPENDED, 120) == 70
    assert wall(SUSPENDED, 125) == 75


def test_time_asleep_is_counted_once_by_spans_that_tile() -> None:
    edges = [ns(t) for t in (100, 105, 112, 118, 120, 125, 140)]
    parts = [SUSPENDED.slept_s(a, b) for a, b in pairwise(edges)]
    assert sum(parts) == SUSPENDED.slept_s(edges[0], edges[-1]) == pytest.approx(50)


def test_a_clock_that_was_set_is_no_suspend() -> None:
    assert SET_FORWARD.slept_s(0, ns(1000)) == 0
    assert SET_BACK.slept_s(0, ns(1000)) == 0


def test_without_a_boot_clock_nothing_is_known_of_suspends() -> None:
    assert Timeline([anchor(100, 0), anchor(110, 60)]).slept_s(0, ns(1000)) == 0


def test_after_a_clock_was_set_forward_the_new_time_holds() -> None:
    assert [wall(SET_FORWARD, t) for t in (110, 119, 120, 130)] == [10, 19, 80, 90]


def test_a_time_that_a_jump_left_out_is_the_moment_of_the_jump() -> None:
    assert [mono(SET_FORWARD, t) for t in (10, 19, 25, 50, 79, 80, 85)] == [110, 119, 120, 120, 120, 120, 125]


def test_after_a_clock_was_set_back_the_new_time_holds() -> None:
    assert [wall(SET_BACK, t) for t in (110, 119, 120, 130)] == [10, 19, -40, -30]


def test_a_time_that_the_clock_showed_twice_is_its_first_showing() -> None:
    assert [mono(SET_BACK, t) for t in (0, 5, 15, 19)] == [100, 105, 115, 119]
    assert mono(SET_BACK, 25) == 185  # shown only after the clock was set: 40 s behind


@given(
    st.lists(st.tuples(st.integers(1, 10**11), st.integers(-(10**11), 10**11)), min_size=1, max_size=12),
    st.lists(st.floats(-100, 1000), min_size=2, max_size=20),
)
def test_however_the_clock_was_set_later_times_are_never_mapped_earlier(
    moves: list[tuple[int, int]], walls: list[float]
) -> None:
    mono_ns, wall_ns, anchors = 10**12, round(NOON_S * NS_PER_S), []
    for passed_ns, set_by_ns in moves:
        mono_ns += passed_ns
        wall_ns += passed_ns + set_by_ns
        anchors.append(Anchor(mono_ns, None, wall_ns))
    mapped = Timeline(anchors).mono_ns(NOON_S + np.sort(np.array(walls)))
    assert np.all(np.diff(mapped) >= 0)


@given(
    st.lists(st.tuples(st.integers(10**9, 10**11), st.floats(-2e-3, 2e-3)), min_size=1, max_size=12),
    st.lists(st.integers(0, 10**12), min_size=1, max_size=20),
)
def test_on_a_clock_that_only_drifts_there_and_back_is_where_one_was(
    moves: list[tuple[int, float]], offsets: list[int]
) -> None:
    mono_ns, wall_ns, anchors = 10**12, round(NOON_S * NS_PER_S), [Anchor(10**12, None, round(NOON_S * NS_PER_S))]
    for passed_ns, drift in moves:
        mono_ns += passed_ns
        wall_ns += passed_ns + round(passed_ns * drift)
        anchors.append(Anchor(mono_ns, None, wall_ns))
    timeline = Timeline(anchors)
    times = 10**12 + np.array(offsets, np.int64)
    assert np.all(np.abs(timeline.mono_ns(timeline.wall_s(times)) - times) <= 2000)


# -- intensity ----------------------------------------------------------------------------------------------------


def test_a_figure_without_a_time_holds_always() -> None:
    assert [at(STEADY, [point(300)], t) for t in (-1e6, 0, 110, 1e6)] == [300] * 4


def test_intensity_changes_with_the_hour_and_is_unknown_outside_of_its_hours() -> None:
    hours = [point(100, 0), point(200, HOUR_S)]
    seen = [at(STEADY, hours, 100 + t) for t in (-1, 0, HOUR_S - 1, HOUR_S, 2 * HOUR_S - 1, 2 * HOUR_S)]
    assert np.isnan(seen[0])
    assert seen[1:5] == [100, 100, 200, 200]
    assert np.isnan(seen[5])


def test_a_figure_without_a_time_stands_in_where_no_hour_is_known() -> None:
    points = [point(100, 0), point(300)]
    assert [at(STEADY, points, 100 + t) for t in (-1, 0, HOUR_S)] == [300, 100, 300]


def test_a_gap_between_hours_is_a_gap() -> None:
    hours = [point(100, 0), point(200, 2 * HOUR_S)]
    assert np.isnan(at(STEADY, hours, 100 + HOUR_S + 1))
    assert at(STEADY, hours, 100 + 2 * HOUR_S + 1) == 200


def test_a_later_point_corrects_an_earlier_one_where_they_overlap() -> None:
    points = [point(100, 0), point(200, HOUR_S), point(150, HOUR_S / 2)]
    assert [at(STEADY, points, 100 + t * HOUR_S) for t in (0.4, 0.6, 1.4, 1.6)] == [100, 150, 150, 200]


def test_each_bound_of_an_intensity_is_a_step_function_of_its_own() -> None:
    points = [point(100, 0), point(200, HOUR_S)]
    assert [at(STEADY, points, 100 + HOUR_S, bound) for bound in ("low", "g_per_kwh", "high")] == [100, 200, 400]


def test_daylight_saving_changes_nothing() -> None:
    # 2025-10-26 01:00 UTC: Europe turns its clocks back. Points and anchors are in UTC.
    change_s = 1_761_440_400.0
    timeline = Timeline([Anchor(0, None, round((change_s - 1800) * NS_PER_S))])
    hours = [
        IntensityPoint(g, g, g, "DK", "a feed", "measured", start_s=change_s + at_s, length_s=3600)
        for g, at_s in ((1, -3600), (2, 0), (3, 3600))
    ]
    assert [at(timeline, hours, t) for t in (0, 1799, 1801, 5399, 5401)] == [1, 1, 2, 2, 3]


def test_after_a_suspend_the_hour_is_the_one_that_it_woke_up_in() -> None:
    timeline = Timeline([anchor(0, 0, 0), anchor(10, 10, 10), anchor(20, 2 * HOUR_S, 2 * HOUR_S), anchor(30, 7210)])
    hours = [point(100, 0), point(200, HOUR_S), point(300, 2 * HOUR_S)]
    assert [at(timeline, hours, t) for t in (5, 15, 19, 20, 25)] == [100, 100, 100, 300, 300]


def test_a_clock_set_forward_skips_the_hours_in_between() -> None:
    timeline = Timeline([anchor(0, 0), anchor(10, 10), anchor(20, HOUR_S + 20)])
    hours = [point(100, 0), point(200, HOUR_S)]
    assert [at(timeline, hours, t) for t in (19.9, 20, HOUR_S - 20, HOUR_S + 1)][:3] == [100, 200, 200]
    assert at(timeline, hours, HOUR_S - 1) == 200
    assert np.isnan(at(timeline, hours, HOUR_S + 1))


def test_a_clock_set_back_shows_an_hour_twice() -> None:
    timeline = Timeline([anchor(0, HOUR_S - 10), anchor(20, HOUR_S + 10), anchor(30, HOUR_S - 40)])
    hours = [point(100, 0), point(200, HOUR_S)]
    assert [at(timeline, hours, t) for t in (9, 11, 29, 31, 69, 71)] == [100, 200, 200, 100, 100, 200]


@given(
    st.lists(st.tuples(st.integers(10**9, 10**13), st.integers(-(10**13), 10**13)), max_size=6),
    st.lists(st.tuples(st.integers(-4, 8), st.integers(1, 4)), min_size=1, max_size=6),
    st.lists(st.integers(0, 4 * 10**13), min_size=1, max_size=10),
)
def test_the_intensity_at_a_moment_is_the_one_of_the_time_on_the_wall(
    moves: list[tuple[int, int]], hours: list[tuple[int, int]], moments: list[int]
) -> None:
    mono_ns, wall_ns, anchors = 0, round(NOON_S * NS_PER_S), [Anchor(0, None, round(NOON_S * NS_PER_S))]
    for passed_ns, set_by_ns in moves:
        mono_ns += passed_ns
        wall_ns += passed_ns + (set_by_ns if abs(set_by_ns) > NS_PER_S else 0)
        anchors.append(Anchor(mono_ns, None, wall_ns))
    timeline = Timeline(anchors)
    points = [point(float(n), first * HOUR_S, length * HOUR_S) for n, (first, length) in enumerate(hours)]
    edges = {point.start_s + extra for point in points for extra in (0, point.length_s)}
    for moment in moments:
        wall_s = float(timeline.wall_s([moment])[0])
        if min(abs(wall_s - edge) for edge in edges) < 1e-4:
            continue
        holding = [p.g_per_kwh for p in points if p.start_s <= wall_s < p.start_s + p.length_s]
        seen = float(timeline.in_force(points).taking([p.g_per_kwh for p in points]).at([moment])[0])
        assert seen == holding[-1] if holding else np.isnan(seen)
