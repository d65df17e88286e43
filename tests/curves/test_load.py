"""A run's energy laid over other hours: exact, whichever way it is reckoned."""

from __future__ import annotations

import numpy as np
import pytest
import whatifs
from hypothesis import given
from hypothesis import strategies as st

from joulegram.curves.curve import Curve, price
from joulegram.curves.load import Load
from joulegram.curves.series import HOUR_S, Series
from joulegram.curves.timeline import Timeline
from joulegram.records import Anchor
from joulegram.units import J_PER_KWH, NS_PER_S

FIRST_S = 1_800_000_000.0 - 1_800_000_000.0 % HOUR_S
rises = st.lists(st.tuples(st.floats(0.5, 20_000), st.floats(0, 1e7)), min_size=1, max_size=12)
levels = st.lists(st.floats(0, 2000), min_size=30, max_size=30)


def load_of(pieces: list[tuple[float, float]]) -> Load:
    """A load of pieces, each so long (s) and of so many joules."""
    lengths, joules = np.array(pieces).T
    return Load(np.append(0.0, np.cumsum(lengths)), np.append(0.0, np.cumsum(joules)))


def hourly(values: list[float], first_s: float = FIRST_S, length_s: float = HOUR_S) -> Series:
    return Series.of(first_s + length_s * np.arange(len(values)), length_s, values)


def by_brute_force(load: Load, series: Series, start_s: float) -> float:
    """Every piece of the load cut at every edge of the series."""
    cuts = np.unique(np.concatenate([load.elapsed_s, series.starts_s - start_s, series.ends_s - start_s]))
    cuts = cuts[(cuts >= 0) & (cuts <= load.duration_s)]
    used_j = load.between(cuts[:-1], cuts[1:])
    g_per_kwh = series.at(start_s + (cuts[:-1] + cuts[1:]) / 2)
    return float((used_j * g_per_kwh)[used_j > 0].sum()) / J_PER_KWH


@given(rises, levels, st.sampled_from([300.0, 900.0, 1800.0, 3600.0, 7200.0]))
def test_every_start_hour_is_what_the_exact_integral_from_there_is(
    pieces: list[tuple[float, float]], values: list[float], length_s: float
) -> None:
    load, series = load_of(pieces), hourly(values, length_s=length_s)
    grams = load.grams_by_hour(series, FIRST_S, 8)
    for hour, found in enumerate(grams):
        exact = load.grams(series, FIRST_S + HOUR_S * hour)
        unknown_j = float(load.between(series.ends_s[-1] - FIRST_S - HOUR_S * hour, load.duration_s))
        assert np.isnan(found) == (unknown_j > 0)
        assert np.isnan(exact) == (unknown_j > 1e-9 * load.total_j)
        if np.isfinite(found):
            assert found == pytest.approx(exact, rel=1e-9, abs=load.total_j * 1e-12)


@given(rises, levels, st.floats(0, 50_000))
def test_grams_from_any_moment_are_what_cutting_into_pieces_gives(
    pieces: list[tuple[float, float]], values: list[float], later_s: float
) -> None:
    load, series = load_of(pieces), hourly(values * 3)
    assert load.grams(series, FIRST_S + later_s) == pytest.approx(
        by_brute_force(load, series, FIRST_S + later_s), abs=1e-6 * load.total_j * max(values) / J_PER_KWH + 1e-12
    )


@given(rises, levels, st.floats(0.1, 9))
def test_grams_are_linear_in_energy(pieces: list[tuple[float, float]], values: list[float], factor: float) -> None:
    load, series = load_of(pieces), hourly(values * 3)
    more = Load(load.elapsed_s, factor * load.joules)
    few, many = (which.grams_by_hour(series, FIRST_S, 20) for which in (load, more))
    assert many == pytest.approx(factor * few, rel=1e-9, abs=load.total_j * 1e-11)


@given(rises, st.floats(1, 2000))
def test_at_an_intensity_that_never_changes_the_start_makes_no_difference(
    pieces: list[tuple[float, float]], level: float
) -> None:
    load = load_of(pieces)
    grams = load.grams_by_hour(hourly([level] * 100), FIRST_S, 20)
    assert grams == pytest.approx(np.full(20, load.total_j * level / J_PER_KWH), rel=1e-9, abs=1e-12)


@given(rises, levels, st.lists(st.sampled_from([0.0, -0.4, 0.4, 7200.0]), min_size=4, max_size=4))
def test_from_its_own_start_it_costs_what_it_did(
    pieces: list[tuple[float, float]], values: list[float], off_s: list[float]
) -> None:
    own, series = load_of(pieces), hourly(values * 3)
    # The wall clock is slewed, or runs on while the machine sleeps.
    start_ns, wall_ns = 5 * NS_PER_S, round((FIRST_S + 1234.5) * NS_PER_S)
    times_ns = start_ns + np.round(own.elapsed_s * NS_PER_S).astype(np.int64)
    anchors = [Anchor(start_ns, start_ns, wall_ns)]
    for number, more_s in enumerate(off_s, 1):
        mono_ns = start_ns + number * int(times_ns[-1] - start_ns) // 5
        passed_ns = mono_ns - anchors[-1].mono_ns
        more_ns = max(-passed_ns // 20, round(more_s * NS_PER_S))
        anchors.append(Anchor(mono_ns, None, anchors[-1].wall_ns + passed_ns + more_ns))
    timeline, energy = Timeline(anchors), Curve(times_ns, own.joules)
    end_ns = int(times_ns[-1])
    intensity = timeline.in_force(whatifs.points(series)).taking(series.g_per_kwh.tolist())
    grams = price(energy, intensity).total
    load = Load.of(energy, timeline, start_ns, end_ns)
    assert load.total_j == pytest.approx(own.total_j)
    start_s = float(timeline.wall_s([start_ns])[0])
    # Seconds since 1970 are known to a quarter of a microsecond: of a piece of half a second, to half a millionth.
    most = own.total_j * max(values) / J_PER_KWH
    assert load.grams(series, start_s) == pytest.approx(grams, abs=1e-6 * most + 1e-12)


def test_a_suspend_is_a_time_without_joules() -> None:
    energy = Curve.of([0, 10 * NS_PER_S], [0.0, 100.0])
    timeline = Timeline([Anchor(0, 0, 0), Anchor(4 * NS_PER_S, None, 104 * NS_PER_S)])
    load = Load.of(energy, timeline, 0, 10 * NS_PER_S)
    assert load.duration_s == pytest.approx(110)
    assert load.between([0, 4, 104], [4, 104, 110]) == pytest.approx([40, 0, 60], abs=1e-3)


def test_a_clock_that_was_set_back_adds_nothing() -> None:
    energy = Curve.of([0, 10 * NS_PER_S], [0.0, 100.0])
    timeline = Timeline([Anchor(0, 0, 10**12), Anchor(4 * NS_PER_S, None, 10**11)])
    load = Load.of(energy, timeline, 0, 10 * NS_PER_S)
    assert load.duration_s == pytest.approx(10)
    assert load.between([0, 4], [4, 10]) == pytest.approx([40, 60], abs=1e-3)


def test_a_start_that_needs_an_unknown_hour_has_no_figure() -> None:
    load = load_of([(1.5 * HOUR_S, 3.6e6)])
    known = hourly([100.0] * 10)
    kept = np.arange(10) != 4
    series = Series(known.starts_s[kept], known.ends_s[kept], known.g_per_kwh[kept])
    grams = load.grams_by_hour(series, FIRST_S, 10)
    assert np.flatnonzero(np.isnan(grams)).tolist() == [3, 4, 9]
    assert [bool(np.isnan(load.grams(series, FIRST_S + HOUR_S * hour))) for hour in range(10)] == np.isnan(
        grams
    ).tolist()


def test_an_unknown_hour_in_which_nothing_was_used_is_not_needed() -> None:
    load = load_of([(HOUR_S, 3.6e6), (HOUR_S, 0.0), (HOUR_S, 3.6e6)])
    known = hourly([100.0, 0.0, 300.0])
    series = Series(known.starts_s[::2], known.ends_s[::2], known.g_per_kwh[::2])
    assert load.grams(series, FIRST_S) == pytest.approx(400)
    assert load.grams_by_hour(series, FIRST_S, 1) == pytest.approx([400])


def test_nothing_is_known_of_an_empty_series() -> None:
    load = load_of([(HOUR_S, 1.0)])
    empty = Series.of([], [], [])
    assert np.isnan(load.grams(empty, FIRST_S))
    assert np.isnan(load.grams_by_hour(empty, FIRST_S, 3)).all()
