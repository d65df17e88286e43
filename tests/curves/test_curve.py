from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulegram.curves.curve import Curve, Steps, elapsed, merge, price, turns, weigh, without
from joulegram.units import J_PER_KWH, NS_PER_S

START_NS = 1_234_567_890_123_456  # a machine that has been up for two weeks
SPAN_NS = 100 * NS_PER_S


@st.composite
def curves(draw: st.DrawFn, least: int = 1) -> Curve:
    """A cumulative curve of up to 30 knots within SPAN_NS after START_NS, level stretches and steep ones among them."""
    offsets = draw(st.lists(st.integers(0, SPAN_NS), min_size=least, max_size=30, unique=True))
    rises = draw(st.lists(st.floats(0, 1e6), min_size=len(offsets), max_size=len(offsets)))
    return Curve.of(START_NS + np.sort(np.array(offsets, np.int64)), np.cumsum(rises))


moments = st.integers(START_NS - NS_PER_S, START_NS + SPAN_NS + NS_PER_S)


@st.composite
def step_functions(draw: st.DrawFn) -> Steps:
    edges = sorted(draw(st.lists(moments, min_size=1, max_size=8, unique=True)))
    value = st.one_of(st.floats(0, 1000), st.just(float("nan")))
    values = draw(st.lists(value, min_size=len(edges), max_size=len(edges)))
    return Steps(np.array(edges, np.int64), np.array(values))


def power_integral(curve: Curve, start_ns: int, end_ns: int) -> float:
    """Joules between two moments, piece by piece, without the code under test."""
    joules = 0.0
    for (t0, v0), (t1, v1) in itertools.pairwise(zip(curve.times_ns.tolist(), curve.values.tolist(), strict=True)):
        overlap_ns = min(t1, end_ns) - max(t0, start_ns)
        if overlap_ns > 0:
            joules += (v1 - v0) * overlap_ns / (t1 - t0)
    return joules


def near(value: float, curve: Curve) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-9 * max(1.0, float(np.max(curve.values, initial=0.0))))


@given(curves(), st.lists(moments, min_size=2, max_size=20))
def test_spans_that_tile_an_interval_add_up_to_it(curve: Curve, cuts: list[int]) -> None:
    cuts = sorted(cuts)
    parts = curve.over(cuts[:-1], cuts[1:])
    assert parts.sum() == near(curve.over([cuts[0]], [cuts[-1]])[0], curve)


@given(curves(), moments, moments)
def test_a_span_costs_the_integral_of_the_power_over_it(curve: Curve, one: int, other: int) -> None:
    start, end = sorted((one, other))
    assert curve.over([start], [end])[0] == near(power_integral(curve, start, end), curve)


@given(curves(), st.lists(moments, min_size=2, max_size=50))
def test_a_curve_never_falls(curve: Curve, times: list[int]) -> None:
    times.sort()
    assert np.all(curve.over(times[:-1], times[1:]) >= 0)
    assert np.all(np.diff(curve.at(times)) >= -1e-9 * curve.values[-1])


@given(curves())
def test_at_its_knots_a_curve_is_exact(curve: Curve) -> None:
    assert np.array_equal(curve.at(curve.times_ns), curve.values)


@given(curves(), curves(), step_functions(), moments, moments)
def test_no_product_or_sum_of_curves_ever_falls(
    one: Curve, other: Curve, steps: Steps, first: int, second: int
) -> None:
    start, end = sorted((first, second))
    for made in (merge([one, other]), weigh(one, steps), one.within(start, end), price(other, steps)):
        assert np.all(np.diff(made.values) >= -1e-9 * max(1.0, made.values.max()))
        assert np.all(np.diff(made.times_ns) > 0) or start == end


@given(curves(), moments, moments)
def test_the_bounds_of_a_span_hold_its_value(curve: Curve, one: int, other: int) -> None:
    start, end = sorted((one, other))
    value, (least, most) = curve.over([start], [end])[0], curve.bounds([start], [end])
    slack = 1e-9 * curve.values[-1]
    assert 0 <= least[0] <= value + slack
    assert value - slack <= most[0]


@given(
    st.lists(st.tuples(st.integers(1, NS_PER_S), st.floats(0, 1000)), min_size=2, max_size=40),
    st.data(),
)
def test_bounds_hold_the_truth_however_a_power_trace_was_sampled(
    power: list[tuple[int, float]], data: st.DataObject
) -> None:
    lengths, watts = zip(*power, strict=True)
    edges = START_NS + np.concatenate([[0], np.cumsum(lengths)])
    joules = np.concatenate([[0.0], np.cumsum(np.array(watts) * np.array(lengths) / NS_PER_S)])
    truth = Curve.of(edges, joules)
    inside = st.integers(int(edges[0]), int(edges[-1]))
    samples = sorted({int(edges[0]), int(edges[-1]), *data.draw(st.lists(inside, max_size=20))})
    sampled = Curve.of(samples, truth.at(samples))
    start, end = sorted((data.draw(inside), data.draw(inside)))
    least, most = sampled.bounds([start], [end])
    true_j, slack = truth.over([start], [end])[0], 1e-9 * joules[-1]
    assert least[0] - slack <= true_j <= most[0] + slack


@given(
    st.lists(st.tuples(st.integers(1, NS_PER_S), st.floats(0, 1000)), min_size=2, max_size=40),
    st.floats(1e-3, 500),
    st.floats(0, 500),
    st.data(),
)
def test_bounds_hold_the_truth_of_a_counter_of_coarse_steps_and_are_no_wider_than_intervals_and_a_step_an_edge(
    power: list[tuple[int, float]], step_j: float, counted_j: float, data: st.DataObject
) -> None:
    lengths, watts = zip(*power, strict=True)
    edges = START_NS + np.concatenate([[0], np.cumsum(lengths)])
    joules = counted_j + np.concatenate([[0.0], np.cumsum(np.array(watts) * np.array(lengths) / NS_PER_S)])
    truth = Curve.of(edges, joules)
    inside = st.integers(int(edges[0]), int(edges[-1]))
    samples = np.unique([edges[0], edges[-1], *data.draw(st.lists(inside, max_size=20))])
    shown = Curve.of(samples, np.floor(truth.at(samples) / step_j) * step_j)
    start, end = sorted((data.draw(inside), data.draw(inside)))
    least, most = (float(bound[0]) for bound in shown.bounds([start], [end], quantum=step_j))
    slack = 1e-9 * joules[-1]
    assert least - slack <= truth.over([start], [end])[0] <= most + slack
    interval_j = sum(float(after[0] - before[0]) for before, after in (shown.bracket([t]) for t in (start, end)))
    assert most - least <= interval_j + 2 * step_j + slack


def test_a_span_within_two_samples_may_have_cost_all_or_nothing_of_what_lies_between_them() -> None:
    curve = Curve.of([0, NS_PER_S], [0.0, 50.0])
    least, most = curve.bounds([NS_PER_S // 4], [NS_PER_S // 2])
    assert (least[0], most[0]) == (0.0, 50.0)


def test_a_span_from_sample_to_sample_is_bounded_exactly() -> None:
    curve = Curve.of([0, 10, 20, 30], [0.0, 5.0, 6.0, 20.0])
    least, most = curve.bounds([10], [20])
    assert least[0] == most[0] == 1.0


@given(curves(), step_functions(), moments, moments)
def test_pricing_by_any_step_function_equals_the_brute_force_integral(
    energy: Curve, intensity: Steps, one: int, other: int
) -> None:
    start, end = sorted((one, other))
    edges = intensity.edges_ns.tolist()
    holds = zip([-(10**18), *edges[1:]], [*edges[1:], 10**18], intensity.values.tolist(), strict=True)
    expected = sum(
        power_integral(energy, max(start, since), min(end, until)) * value / J_PER_KWH
        for since, until, value in holds
        if value == value and since < end and until > start
    )
    grams = price(energy, intensity).over([start], [end])[0]
    assert grams == pytest.approx(expected, rel=1e-9, abs=1e-9 * energy.values[-1] / J_PER_KWH * 1000)


def test_a_kilowatt_hour_at_400_grams_per_kilowatt_hour_is_400_grams() -> None:
    assert price(Curve.of([0, 10], [0.0, J_PER_KWH]), Steps.constant(400.0)).total == 400.0


def test_where_no_intensity_is_known_no_grams_are_added() -> None:
    steps = Steps(np.array([0, 10, 20]), np.array([1.0, np.nan, 3.0]))
    weighed = weigh(Curve.of([0, 30], [0.0, 30.0]), steps)
    assert weighed.over([0, 10, 20], [10, 20, 30]).tolist() == [10.0, 0.0, 30.0]
    assert weigh(Curve.of([0, 30], [0.0, 30.0]), Steps.constant(float("nan"))).total == 0.0


def test_before_its_first_edge_a_step_functions_first_value_holds() -> None:
    steps = Steps(np.array([10, 20]), np.array([1.0, 2.0]))
    assert steps.at([0, 10, 19, 20, 99]).tolist() == [1.0, 1.0, 1.0, 2.0, 2.0]


def test_a_step_function_names_every_value_in_force_in_an_interval() -> None:
    steps = Steps(np.array([10, 20, 30]), np.array([1.0, 2.0, 3.0]))
    assert steps.between(0, 5).tolist() == [1.0]
    assert steps.between(15, 20).tolist() == [1.0]
    assert steps.between(15, 21).tolist() == [1.0, 2.0]
    assert steps.between(20, 20).tolist() == [2.0]
    assert steps.between(0, 99).tolist() == [1.0, 2.0, 3.0]
    assert steps.between(40, 50).tolist() == [3.0]


@given(st.lists(curves(), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_merging_changes_nothing_not_even_the_last_bit(parts: list[Curve], random: object) -> None:
    shuffled = parts[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = merge(parts), merge(shuffled)
    assert np.array_equal(one.times_ns, other.times_ns)
    assert np.array_equal(one.values, other.values)


@given(st.lists(curves(), min_size=1, max_size=4), moments, moments)
def test_a_merged_curve_costs_what_its_parts_cost(parts: list[Curve], one: int, other: int) -> None:
    start, end = sorted((one, other))
    merged = merge(parts)
    assert merged.over([start], [end])[0] == near(sum(p.over([start], [end])[0] for p in parts), merged)


def test_merging_nothing_gives_an_empty_curve_that_costs_nothing() -> None:
    empty = merge([Curve(), Curve()])
    assert len(empty) == 0
    assert empty.over([0, 5], [10, 6]).tolist() == [0.0, 0.0]
    assert [bound.tolist() for bound in empty.bounds([0], [10])] == [[0.0], [0.0]]
    assert (empty.start_ns, empty.end_ns, empty.total) == (0, 0, 0.0)
    assert len(price(empty, Steps.constant(3.0))) == 0


@given(curves(), moments, moments, moments, moments)
def test_a_part_of_a_curve_is_the_curve_there_and_level_elsewhere(
    curve: Curve, since: int, until: int, one: int, other: int
) -> None:
    since, until = sorted((since, until))
    start, end = sorted((one, other))
    part = curve.within(since, until)
    expected = power_integral(curve, max(start, since), min(end, until))
    assert part.over([start], [end])[0] == near(expected, curve)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=8), st.integers(0, 50), st.integers(0, 50))
def test_overlapping_stretches_are_counted_once(stretches: list[tuple[int, int]], start: int, end: int) -> None:
    start, end = min(start, end), max(start, end)
    seconds = elapsed([(a * NS_PER_S, b * NS_PER_S) for a, b in stretches])
    covered = {moment for a, b in stretches for moment in range(a, b)} & set(range(start, end))
    assert seconds.over([start * NS_PER_S], [end * NS_PER_S])[0] == pytest.approx(len(covered))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=8), st.integers(0, 50), st.integers(0, 50))
def test_what_is_left_of_an_interval_and_its_holes_make_the_whole(
    holes: list[tuple[int, int]], start: int, end: int
) -> None:
    holes = [(min(hole), max(hole)) for hole in holes]
    left = without(start, end, holes)
    assert all(a < b for a, b in left)
    kept = [moment for a, b in left for moment in range(a, b)]
    dropped = {moment for a, b in holes for moment in range(a, b)}
    assert kept == [moment for moment in range(start, end) if moment not in dropped]


@given(st.lists(curves(least=2), min_size=1, max_size=5))
def test_each_moment_is_heard_from_one_record_only_and_from_the_longest_that_has_it(records: list[Curve]) -> None:
    heard = turns(records)
    lengths = [c.end_ns - c.start_ns for c in records]
    for edge in {c.start_ns for c in records}:
        having = [i for i, c in enumerate(records) if c.start_ns <= edge < c.end_ns]
        hearing = [i for i, parts in enumerate(heard) if any(a <= edge < b for a, b in parts)]
        assert len(hearing) == 1
        assert lengths[hearing[0]] == max(lengths[i] for i in having)


def test_a_short_record_between_two_longer_ones_is_not_lost() -> None:
    records = [Curve.of([0, 10], [0, 10.0]), Curve.of([10, 13], [0, 3.0]), Curve.of([13, 20], [0, 7.0])]
    assert turns(records) == [[(0, 10)], [(10, 13)], [(13, 20)]]


@settings(max_examples=30)
@given(curves(least=2), st.integers(10**6, 10**12))
def test_after_a_year_a_span_of_a_millisecond_is_still_sharp(curve: Curve, width_ns: int) -> None:
    later = curve.end_ns + 365 * 86400 * NS_PER_S
    long = curve.extended(later, curve.values[-1]).extended(later + width_ns, curve.values[-1] + 1000.0)
    assert long.over([later], [later + width_ns])[0] == pytest.approx(1000.0, rel=1e-5)
