from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from joulegram.curves.curve import Curve
from joulegram.curves.door import GrowingCurve

Samples = list[tuple[int, float, float]]


@st.composite
def samples(draw: st.DrawFn) -> Samples:
    """(time in ns, joules, ε) of up to 80 samples; loads that rest, crawl and burst."""
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(1, 10**9),
                st.one_of(st.just(0.0), st.floats(0, 1), st.floats(0, 1e4)),
                st.sampled_from([0.0, 1e-3, 0.5, 20.0]),
            ),
            min_size=1,
            max_size=80,
        )
    )
    times = itertools.accumulate(row[0] for row in rows)
    values = itertools.accumulate(row[1] for row in rows)
    return [(10**15 + t, v, row[2]) for t, v, row in zip(times, values, rows, strict=True)]


def grown(taken: Samples, pinned: frozenset[int] = frozenset()) -> GrowingCurve:
    curve = GrowingCurve()
    for index, (time_ns, value, epsilon) in enumerate(taken):
        curve.add(time_ns, value, epsilon)
        if index in pinned:
            curve.pin()
    return curve


def finished(curve: GrowingCurve) -> Curve:
    curve.pin()
    return Curve.of(curve.times_ns, curve.values)


@given(samples())
def test_the_compressed_curve_passes_within_epsilon_of_every_sample(taken: Samples) -> None:
    times, values, epsilons = map(np.array, zip(*taken, strict=True))
    errors = np.abs(finished(grown(taken)).at(times) - values)
    assert np.all(errors <= epsilons + 1e-9 * (1 + values))


@given(samples(), st.integers(1, 79))
def test_the_bound_also_holds_for_a_curve_that_is_still_growing(taken: Samples, count: int) -> None:
    curve = grown(taken[:count])
    assert curve.tip is not None
    so_far = Curve.of([*curve.times_ns], [*curve.values])
    if curve.tip[0] > so_far.end_ns:
        so_far = so_far.extended(*curve.tip)
    times, values, epsilons = map(np.array, zip(*taken[:count], strict=True))
    assert np.all(np.abs(so_far.at(times) - values) <= epsilons + 1e-9 * (1 + values))


@given(samples())
def test_knots_are_samples_and_never_fall(taken: Samples) -> None:
    curve = grown(taken)
    assert set(zip(curve.times_ns, curve.values, strict=True)) <= {(time_ns, value) for time_ns, value, _ in taken}
    assert all(a < b for a, b in itertools.pairwise(curve.times_ns))
    assert all(a <= b for a, b in itertools.pairwise(curve.values))


@given(samples(), st.sets(st.integers(0, 79)))
def test_samples_that_are_pinned_stay_exact(taken: Samples, pinned: set[int]) -> None:
    curve = finished(grown(taken, frozenset(pinned)))
    for index in pinned & set(range(len(taken))):
        time_ns, value, _ = taken[index]
        assert curve.at([time_ns])[0] == value


@given(samples(), st.data())
def test_knots_pinned_around_the_edges_of_spans_leave_their_figures_exact(taken: Samples, data: st.DataObject) -> None:
    times = [time_ns for time_ns, _, _ in taken]
    raw = Curve.of(times, [value for _, value, _ in taken])
    start, end = sorted(data.draw(st.tuples(*[st.integers(times[0], times[-1])] * 2)))
    brackets = {np.searchsorted(times, edge, side) - (side == "right") for edge in (start, end) for side in SIDES}
    curve = finished(grown(taken, frozenset(int(index) for index in brackets)))
    assert curve.over([start], [end])[0] == raw.over([start], [end])[0]
    assert curve.bounds([start], [end]) == raw.bounds([start], [end])


SIDES = ("left", "right")


def test_a_steady_load_needs_two_knots_however_long_it_lasts() -> None:
    curve = finished(grown([(n * 50_000_000, n * 5.0, 1e-6) for n in range(100_000)]))
    assert len(curve) == 2


def test_a_load_step_needs_a_knot_at_the_step_only() -> None:
    up = [(n, float(n), 1e-9) for n in range(100)]
    steep = [(100 + n, 100 + 50.0 * n, 1e-9) for n in range(100)]
    assert finished(grown(up + steep)).times_ns.tolist() == [0, 100, 199]


def test_pinning_twice_or_before_the_first_sample_changes_nothing() -> None:
    curve = GrowingCurve()
    curve.pin()
    assert len(curve.times_ns) == 0
    curve.add(5, 1.0, 0.0)
    curve.pin()
    curve.pin()
    assert (curve.times_ns.tolist(), curve.values.tolist(), curve.tip) == ([5], [1.0], (5, 1.0))


def test_a_pinned_sample_at_the_time_of_the_last_one_adds_no_second_knot_there() -> None:
    curve = grown([(0, 0.0, 1.0), (10, 5.0, 1.0)])
    curve.pin_at(10, 5.0)
    curve.pin_at(10, 5.0)
    curve.add(20, 50.0, 0.0)
    assert finished(curve).times_ns.tolist() == [0, 10, 20]


@given(samples(), samples())
def test_a_copy_grows_on_its_own_and_like_the_original(first: Samples, second: Samples) -> None:
    shift_ns, shift_j = first[-1][0], first[-1][1]
    rest = [(shift_ns + t - 10**15, shift_j + v, e) for t, v, e in second]
    original = grown(first)
    twin, knots = original.copy(), len(original.times_ns)
    for row in rest:
        twin.add(*row)
    assert len(original.times_ns) == knots
    for row in rest:
        original.add(*row)
    assert twin.times_ns == original.times_ns
    assert twin.values == original.values
    assert twin.flushed == 0


def test_copying_an_empty_curve_gives_an_empty_curve() -> None:
    twin = GrowingCurve().copy()
    twin.add(1, 2.0, 0.0)
    assert twin.values.tolist() == [2.0]
