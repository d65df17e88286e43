from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import Counter, Kept, OwnedClock, recorder
from worlds import price as flat_price

from joulegram.curves.curve import Curve
from joulegram.curves.sharing import Share
from joulegram.curves.timeline import Timeline
from joulegram.curves.trace import ChannelTrace, Trace, channel_trace, together
from joulegram.pricing import Footprint, Pricer, nothing, pue_of
from joulegram.quantities import Quantity
from joulegram.recorder.channel import ChannelLog
from joulegram.recorder.phases import PhaseLog
from joulegram.records import Anchor, Basis, Channel, Gap, IntensityPoint, PriceBook, Pue
from joulegram.units import J_PER_KWH, NS_PER_S

S = NS_PER_S
NOON_S = 1_750_000_000
HOUR_S = 3600
GIVEN = Pue(1.0, 1.0, 1.0, "measured", "as given")

GPU = Channel("gpu:A", "gpu", "measured", "a counter", max_w=400.0)
CPU = Channel("cpu:model", "cpu", "modelled", "a formula", "cpu", gain_low=0.5, gain_high=2.0, max_w=300.0, idle_w=10.0)


def line(start_s: float, end_s: float, joules: float) -> Curve:
    return Curve.of([round(start_s * S), round(end_s * S)], [0.0, joules])


def grid(
    g_per_kwh: float = J_PER_KWH, start_s: float | None = None, hours: float = 1, **changes: Any
) -> IntensityPoint:
    """An intensity; by default as many grams as joules, so that figures are read off."""
    place = {"start_s": NOON_S + start_s, "length_s": hours * HOUR_S} if start_s is not None else {}
    point = IntensityPoint(g_per_kwh, g_per_kwh / 2, g_per_kwh * 2, "DK", "a feed", "measured", basis="lifecycle")
    return replace(point, **place, **changes)


def traced(
    channel: Channel,
    node: Curve,
    run: Curve | None = None,
    *,
    phases: Mapping[str, Curve] | None = None,
    gaps: Sequence[Gap] = (),
    start_s: float = 0,
    end_s: float = 10,
) -> ChannelTrace:
    curves = {f"node {channel.id}": node, f"run {channel.id}": node if run is None else run}
    curves |= {f"phase {name} {channel.id}": curve for name, curve in (phases or {}).items()}
    return channel_trace(f"h/{channel.id}", channel, curves, gaps, round(start_s * S), round(end_s * S))


def trace(
    *channels: ChannelTrace,
    phase_s: Mapping[str, Curve] | None = None,
    phase_n: Mapping[str, Curve] | None = None,
    end_s: float = 10,
    anchors: Sequence[Anchor] = (),
) -> Trace:
    timeline = Timeline([Anchor(0, 0, NOON_S * S), *anchors])
    by_id = {channel.id: channel for channel in channels}
    return Trace(timeline, by_id, phase_s or {}, phase_n or {}, 0, round(end_s * S))


def book(*points: IntensityPoint, pue: Pue = GIVEN, basis: Basis = "lifecycle") -> PriceBook:
    return PriceBook(pue, points or (grid(),), basis)


def footprint(
    recorded: Trace, priced: PriceBook | None = None, start_s: float = 0, end_s: float | None = None
) -> Footprint:
    end_ns = recorded.end_ns if end_s is None else round(end_s * S)
    return Pricer(recorded, priced or book()).footprint(round(start_s * S), end_ns)


def gap(start_s: float, end_s: float, why: str = "failed", known: bool = False, channel: str = "gpu:A") -> Gap:
    return Gap(channel, round(start_s * S), round(end_s * S), why, known)


# -- energy: rule 2 -------------------------------------------------------------------------------------------------


def test_channels_add_as_intervals_and_the_total_is_as_firm_as_the_weakest() -> None:
    made = footprint(trace(traced(GPU, line(0, 10, 1000)), traced(CPU, line(0, 10, 500), line(0, 10, 200))))
    assert (made.energy_j.value, made.energy_j.method) == (1200, "modelled")
    assert (made.energy_j.low, made.energy_j.high) == (1000 + 100, 1000 + 400)
    assert (made.node_energy_j.value, made.node_energy_j.low, made.node_energy_j.high) == (1500, 1250, 2000)
    assert [channel.id for channel in made.channels] == ["h/gpu:A", "h/cpu:model"]
    assert "idle power by reserved cores" in made.channels[1].energy_j.how
    assert "idle power by reserved cores" not in made.channels[1].node_energy_j.how


def test_a_channel_that_was_never_read_is_listed_and_leaves_no_upper_bound() -> None:
    made = footprint(trace(traced(GPU, Curve()), traced(CPU, line(0, 10, 500))))
    assert made.channels[0].energy_j.method == "missing"
    assert (made.energy_j.value, made.energy_j.high, made.energy_j.method) == (500, None, "modelled")
    assert made.energy_j.missing == ("h/gpu:A",)
    assert made.carbon_g.value == pytest.approx(500)
    assert (made.carbon_g.high, made.carbon_g.missing) == (None, ("h/gpu:A",))
    assert made.facility_energy_j.missing == ("h/gpu:A",)


def test_a_machine_without_any_channel_has_missing_figures_and_not_zeros() -> None:
    made = footprint(trace())
    for figure in (made.energy_j, made.node_energy_j, made.facility_energy_j, made.carbon_g, made.flops):
        assert (figure.value, figure.method) == (None, "missing")
    assert made.energy_j.how == "no meter found a channel to count"
    assert (made.coverage, made.settled, made.duration_s) == (0.0, False, 10.0)


def test_a_run_that_was_not_recorded_has_a_footprint_that_says_why() -> None:
    made = nothing("joulegram is disabled")
    assert made.energy_j == Quantity.absent("joulegram is disabled")
    assert made.to_json()["carbon_g"]["value"] is None


def test_a_failure_is_missing_by_name_and_length_and_has_no_upper_bound() -> None:
    energy = footprint(trace(traced(GPU, line(0, 10, 1000), gaps=[gap(2, 5), gap(7, 8, "reset")]))).energy_j
    assert energy.high is None
    assert energy.missing == ("h/gpu:A: failed for 3 s", "h/gpu:A: reset for 1 s")


def test_a_span_misses_only_what_failed_within_it() -> None:
    recorded = trace(traced(GPU, line(0, 10, 1000), gaps=[gap(2, 5)]))
    assert footprint(recorded, None, 4, 9).energy_j.missing == ("h/gpu:A: failed for 1 s",)
    assert footprint(recorded, None, 5, 9).energy_j.missing == ()


def test_what_a_late_sample_held_on_to_is_not_missing() -> None:
    energy = footprint(trace(traced(GPU, line(0, 10, 1000), gaps=[gap(2, 5, "late", known=True)]))).energy_j
    assert (energy.value, energy.low, energy.high, energy.missing) == (1000, 1000, 1000, ())


def test_the_time_before_the_first_reading_is_bounded_by_what_the_device_can_draw() -> None:
    recorded = trace(traced(GPU, line(2, 10, 800), gaps=[gap(0, 2, "start")]))
    assert footprint(recorded).energy_j == Quantity(800, 800, 800 + 2 * 400, "measured", "a counter")
    assert footprint(recorded, None, 2, 10).energy_j.high == 800


def test_where_nothing_bounds_the_time_before_the_first_reading_it_is_named() -> None:
    unbounded = replace(GPU, max_w=None)
    energy = footprint(trace(traced(unbounded, line(2, 10, 800), gaps=[gap(0, 2, "start")]))).energy_j
    assert (energy.value, energy.high) == (800, None)
    assert energy.missing == ("h/gpu:A: not read for 2 s",)


def test_no_bound_is_above_what_the_device_can_draw_and_none_below_the_value() -> None:
    wild = replace(GPU, gain_high=10.0)
    assert footprint(trace(traced(wild, line(0, 10, 1000)))).energy_j.high == 4000
    assert footprint(trace(traced(wild, line(0, 10, 5000)))).energy_j.high == 5000


def test_an_edge_between_two_samples_is_bounded_by_both() -> None:
    node = Curve.of([0, 4 * S, 6 * S, 10 * S], [0.0, 400.0, 500.0, 700.0])
    energy = footprint(trace(traced(GPU, node)), None, 0, 5).energy_j
    assert (energy.low, energy.value, energy.high) == (400, 450, 500)


def test_with_idle_power_unknown_a_share_may_be_the_whole_node() -> None:
    blind = replace(CPU, idle_w=None)
    made = footprint(trace(traced(blind, line(0, 10, 500), line(0, 10, 20))))
    assert made.energy_j.high == made.node_energy_j.high == 1000
    assert (made.energy_j.value, made.energy_j.low) == (20, 10)


def test_a_share_that_did_nothing_yet_may_have_done_something_before_the_first_reading() -> None:
    late = traced(CPU, line(2, 10, 400), line(2, 10, 0), gaps=[gap(0, 2, "start", channel="cpu:model")])
    energy = footprint(trace(late)).energy_j
    assert (energy.value, energy.low, energy.high) == (0, 0, 2 * 300)


def test_a_share_is_never_above_its_node() -> None:
    made = footprint(trace(traced(CPU, line(0, 10, 2000), line(0, 10, 1900))))
    assert made.node_energy_j.high == 3000  # 300 W for 10 s, and not twice 2000 J
    assert made.energy_j.high == 3000


# -- facility energy ------------------------------------------------------------------------------------------------


def test_an_unknown_pue_is_one_with_a_building_that_may_double_it() -> None:
    made = footprint(trace(traced(GPU, line(0, 10, 1000))), book(pue=pue_of(None)))
    facility = made.facility_energy_j
    assert (facility.value, facility.low, facility.high, facility.method) == (1000, 1000, 2000, "estimated")
    assert "not given" in facility.how
    assert made.energy_j.method == "measured"


def test_a_data_centre_has_the_surveys_mean() -> None:
    facility = footprint(trace(traced(GPU, line(0, 10, 1000))), book(pue=pue_of("datacenter"))).facility_energy_j
    assert (facility.value, facility.method) == (1540, "estimated")
    assert facility.low is not None
    assert facility.high is not None
    assert facility.low < 1540 < facility.high
    assert "Uptime Institute" in facility.how


def test_a_given_pue_is_applied_once_and_exactly() -> None:
    made = footprint(trace(traced(GPU, line(0, 10, 1000))), book(pue=pue_of(1.25)))
    facility = made.facility_energy_j
    assert (facility.value, facility.low, facility.high, facility.method) == (1250, 1250, 1250, "measured")
    assert made.carbon_g.value == pytest.approx(1250)
    assert made.energy_j.value == 1000


# -- carbon ---------------------------------------------------------------------------------------------------------


def test_carbon_is_facility_energy_times_intensity_between_the_bounds_of_all_three() -> None:
    made = footprint(trace(traced(CPU, line(0, 10, 1000))), book(pue=pue_of(None)))
    assert made.carbon_g.value == pytest.approx(1000)
    assert made.carbon_g.low == pytest.approx(500 / 2)
    assert made.carbon_g.high == pytest.approx(2000 * 2 * 2)


def test_the_method_of_carbon_is_the_weakest_of_energy_intensity_and_pue() -> None:
    recorded = trace(traced(GPU, line(0, 10, 1000)))
    assert footprint(recorded).carbon_g.method == "measured"
    for kind in ("estimated", "forecast", "static"):
        assert footprint(recorded, book(grid(kind=kind))).carbon_g.method == "estimated"
    assert footprint(recorded, book(pue=pue_of(None))).carbon_g.method == "estimated"
    assert footprint(trace(traced(CPU, line(0, 10, 1000)))).carbon_g.method == "modelled"


def test_a_span_over_the_change_of_an_hour_is_priced_hour_by_hour() -> None:
    recorded = trace(traced(GPU, line(0, 2 * HOUR_S, 7200), end_s=2 * HOUR_S), end_s=2 * HOUR_S)
    hours = (grid(1 * J_PER_KWH, 0), grid(3 * J_PER_KWH, HOUR_S))
    assert footprint(recorded, book(*hours)).carbon_g.value == pytest.approx(3600 + 3 * 3600)
    assert footprint(recorded, book(*hours), HOUR_S / 2, 1.5 * HOUR_S).carbon_g.value == pytest.approx(1800 + 5400)


def test_the_hours_of_one_source_are_one_phrase() -> None:
    end_s = 50 * HOUR_S
    recorded = trace(traced(GPU, line(0, end_s, 1000), end_s=end_s), end_s=end_s)
    how = footprint(recorded, book(*(grid(100.0 + n, n * HOUR_S) for n in range(100)))).carbon_g.how
    assert how.count("a feed") == 1
    assert "DK 100 to 149 gCO2e/kWh" in how


def test_a_span_tells_of_the_hours_that_it_was_in_alone() -> None:
    recorded = trace(traced(GPU, line(0, 2 * HOUR_S, 7200), end_s=2 * HOUR_S), end_s=2 * HOUR_S)
    hours = (grid(1 * J_PER_KWH, 0), grid(3 * J_PER_KWH, HOUR_S, kind="forecast", source="a guess"))
    priced = book(grid(9 * J_PER_KWH, kind="static", source="a year"), *hours)
    first, both = footprint(recorded, priced, 0, HOUR_S).carbon_g, footprint(recorded, priced).carbon_g
    assert (first.method, both.method) == ("measured", "estimated")
    assert "a guess" not in first.how
    assert "a guess" in both.how
    assert "a year" not in both.how


def test_signals_bases_and_accountings_are_kept_apart() -> None:
    points = [
        grid(1 * J_PER_KWH),
        grid(2 * J_PER_KWH, basis="direct"),
        grid(3 * J_PER_KWH, signal="marginal"),
        grid(5 * J_PER_KWH, accounting="market"),
    ]
    made = footprint(trace(traced(GPU, line(0, 10, 10))), book(*points))
    assert {(c.signal, c.basis, c.accounting): c.carbon_g.value for c in made.carbon} == {
        ("average", "lifecycle", "location"): pytest.approx(10),
        ("average", "direct", "location"): pytest.approx(20),
        ("marginal", "lifecycle", "location"): pytest.approx(30),
        ("average", "lifecycle", "market"): pytest.approx(50),
    }
    assert (made.carbon_g.value, made.carbon_g.missing) == (pytest.approx(10), ())
    direct = footprint(trace(traced(GPU, line(0, 10, 10))), book(*points, basis="direct"))
    assert direct.carbon_g.value == pytest.approx(20)


def test_hours_priced_on_another_basis_are_missing_and_named() -> None:
    recorded = trace(traced(GPU, line(0, 2 * HOUR_S, 7200), end_s=2 * HOUR_S), end_s=2 * HOUR_S)
    made = footprint(recorded, book(grid(start_s=0), grid(start_s=HOUR_S, basis="direct")))
    assert made.carbon_g.value == pytest.approx(3600)
    assert made.carbon_g.high is None
    assert made.carbon_g.missing == (
        "3.6e+03 J in hours without average lifecycle intensity",
        "hours priced on the direct basis",
    )


def test_where_all_hours_are_priced_on_another_basis_nothing_is_left_but_its_name() -> None:
    recorded = trace(traced(GPU, line(0, 10, 1000)))
    for points in ((grid(basis="direct"),), (grid(basis="direct"), grid(start_s=HOUR_S))):
        carbon = footprint(recorded, book(*points)).carbon_g
        assert (carbon.value, carbon.method) == (None, "missing")
        assert carbon.missing == ("hours priced on the direct basis",)


def test_another_basis_is_not_blamed_for_energy_that_is_missing() -> None:
    recorded = trace(traced(GPU, Curve()), traced(CPU, line(0, 10, 500)))
    assert footprint(recorded, book(grid(), grid(basis="direct"))).carbon_g.missing == ("h/gpu:A",)


def test_hours_without_any_intensity_are_missing() -> None:
    recorded = trace(traced(GPU, line(0, 2 * HOUR_S, 7200), end_s=2 * HOUR_S), end_s=2 * HOUR_S)
    priced = book(grid(start_s=0))
    carbon = footprint(recorded, priced).carbon_g
    assert (carbon.value, carbon.high) == (pytest.approx(3600), None)
    assert carbon.missing == ("3.6e+03 J in hours without average lifecycle intensity",)
    assert footprint(recorded, priced, HOUR_S, 2 * HOUR_S).carbon_g.method == "missing"
    assert footprint(recorded, book(basis="direct")).carbon_g.method == "missing"
    assert footprint(recorded, PriceBook(GIVEN, (), "lifecycle")).carbon == ()
    assert (
        "no average, location-based, lifecycle intensity"
        in footprint(recorded, PriceBook(GIVEN, (), "lifecycle")).carbon_g.how
    )


def test_no_joule_in_an_hour_without_intensity_is_no_gram_known() -> None:
    idle = traced(replace(GPU, max_w=None), line(0, 2 * HOUR_S, 0), end_s=2 * HOUR_S)
    recorded = trace(idle, end_s=2 * HOUR_S)
    assert footprint(recorded, book(grid(start_s=HOUR_S)), 0, HOUR_S).carbon_g.method == "missing"
    half = footprint(recorded, book(grid(start_s=HOUR_S))).carbon_g
    assert (half.value, half.high) == (0, None)
    assert half.missing == ("0 J in hours without average lifecycle intensity",)


def test_what_was_not_seen_is_priced_at_the_dirtiest_hour_that_it_may_have_been_in() -> None:
    hours = (grid(9 * J_PER_KWH, 0), grid(1 * J_PER_KWH, HOUR_S))
    late = traced(GPU, line(HOUR_S, 2 * HOUR_S, 3600), gaps=[gap(0, HOUR_S, "start")], end_s=2 * HOUR_S)
    carbon = footprint(trace(late, end_s=2 * HOUR_S), book(*hours)).carbon_g
    assert carbon.value == pytest.approx(3600)
    assert carbon.high == pytest.approx(3600 * 2 + 400 * HOUR_S * 9 * 2)


def test_with_no_joule_seen_yet_the_bound_on_the_energy_is_still_priced() -> None:
    recorded = trace(traced(GPU, Curve.of([2 * S], [0.0]), gaps=[gap(0, 2, "start")], end_s=2), end_s=2)
    made = footprint(recorded)
    assert (made.energy_j.value, made.energy_j.high) == (0, 800)
    assert (made.carbon_g.value, made.carbon_g.low, made.carbon_g.high) == (0, 0, 1600)


def test_an_unpriced_energy_leaves_missing_carbon_missing() -> None:
    made = footprint(trace(traced(GPU, Curve())))
    assert made.carbon_g.method == "missing"
    assert "no sample yet" in made.carbon_g.how
    assert made.carbon_g.missing == ("h/gpu:A",)


def test_another_book_prices_the_same_joules_again() -> None:
    recorded = trace(traced(GPU, line(0, 10, 1000)))
    first = footprint(recorded)
    again = footprint(recorded, book(grid(3 * J_PER_KWH), pue=pue_of(1.5)))
    assert (first.carbon_g.value, again.carbon_g.value) == (pytest.approx(1000), pytest.approx(4500))
    assert first.energy_j == again.energy_j


# -- state ----------------------------------------------------------------------------------------------------------


def test_coverage_is_that_of_the_channel_with_the_least() -> None:
    recorded = trace(traced(GPU, line(0, 10, 1000), gaps=[gap(2, 6), gap(4, 7)]), traced(CPU, line(0, 10, 100)))
    assert footprint(recorded).coverage == pytest.approx(0.5)
    assert footprint(recorded, None, 0, 2).coverage == 1.0
    assert footprint(recorded, None, 3, 5).coverage == 0.0
    assert footprint(recorded, None, 5, 5).coverage == 0.0


def test_a_channel_of_a_recorder_that_started_later_is_not_missed_before() -> None:
    recorded = trace(traced(CPU, line(0, 10, 100)), traced(GPU, line(6, 10, 400), start_s=6))
    assert footprint(recorded).coverage == 1.0
    assert footprint(recorded).energy_j.high == 100 * 2 + 400
    assert footprint(recorded, None, 0, 5).energy_j.value == 50


def test_time_asleep_is_time_without_samples() -> None:
    slept = Anchor(5 * S, 15 * S, (NOON_S + 15) * S)
    recorded = trace(traced(GPU, line(0, 10, 1000)), anchors=[slept, Anchor(10 * S, 20 * S, (NOON_S + 20) * S)])
    made = footprint(recorded)
    assert made.coverage == pytest.approx(0.5)
    assert made.duration_s == 10
    assert footprint(recorded, None, 6, 10).coverage == 1.0


def test_a_span_is_settled_once_every_counter_has_passed_its_end() -> None:
    recorded = trace(traced(GPU, line(0, 10, 1000)), traced(CPU, line(0, 8, 80)))
    assert footprint(recorded, None, 0, 8).settled
    assert not footprint(recorded, None, 0, 9).settled
    assert not footprint(trace(traced(GPU, Curve()))).settled


def test_after_a_recorder_has_ended_later_spans_do_not_wait_for_it() -> None:
    recorded = trace(traced(GPU, line(0, 10, 1000)), traced(CPU, line(0, 5, 50), end_s=5))
    assert footprint(recorded).settled


# -- phases ---------------------------------------------------------------------------------------------------------


def phased(forward_s: float, visits: int = 1, channel: Channel = GPU) -> Trace:
    """100 W for 10 s, of which the first `forward_s` in one phase and the rest outside."""
    split = {"forward": line(0, forward_s, 100 * forward_s), "other": line(forward_s, 10, 100 * (10 - forward_s))}
    times = {"forward": line(0, forward_s, forward_s), "other": line(forward_s, 10, 10 - forward_s)}
    node = Curve.of([0, round(forward_s * S), 10 * S], [0, 100 * forward_s, 1000])
    counts = {"forward": line(0, forward_s, visits)}
    return trace(traced(channel, node, phases=split), phase_s=times, phase_n=counts)


def test_phases_have_time_energy_and_carbon_and_the_longest_comes_first() -> None:
    phases = footprint(phased(4), book(pue=pue_of(1.5))).phases
    assert list(phases) == ["other", "forward"]
    assert (phases["forward"].duration_s, phases["forward"].energy_j.value) == (4, 400)
    assert phases["forward"].carbon_g.value == pytest.approx(600)


def test_a_phase_of_two_refreshes_or_more_is_bounded_by_the_refreshes_at_its_edges() -> None:
    energy = footprint(phased(4)).phases["forward"].energy_j
    assert energy.method == "measured"
    assert energy.low == pytest.approx(400 - 2 * 0.05 * 100)
    assert energy.high == pytest.approx(400 + 2 * 0.05 * 100)


def test_a_phase_shorter_than_two_refreshes_is_modelled_and_may_be_all_or_nothing() -> None:
    for made in (footprint(phased(0.09)), footprint(phased(4, visits=50))):
        energy = made.phases["forward"].energy_j
        assert energy.method == "modelled"
        assert (energy.low, energy.high) == (0, 1000)
        assert "time-proportional" in energy.how


def test_a_short_phase_of_an_estimate_is_no_firmer_than_the_estimate() -> None:
    estimated = replace(GPU, method="estimated")
    assert footprint(phased(0.09, channel=estimated)).phases["forward"].energy_j.method == "estimated"


def test_what_the_whole_misses_each_phase_misses() -> None:
    recorded = phased(4)
    (channel,) = recorded.channels.values()
    (forward,) = [
        footprint(replace(recorded, channels={channel.id: replace(channel, gaps=(gap(1, 2),))})).phases["forward"]
    ]
    assert forward.energy_j.missing == ("h/gpu:A: failed for 1 s",)
    assert (forward.energy_j.high, forward.carbon_g.high) == (None, None)


def test_a_phase_that_a_span_does_not_touch_is_not_in_it() -> None:
    assert list(footprint(phased(4), None, 5, 10).phases) == ["other"]


def test_a_run_without_phases_has_none() -> None:
    assert footprint(trace(traced(GPU, line(0, 10, 1000)))).phases == {}


def test_a_channel_whose_recorder_knew_no_phases_is_outside_all_of_them() -> None:
    recorded = phased(4)
    more = trace(*recorded.channels.values(), traced(CPU, line(0, 10, 50)), phase_s=recorded.phase_s)
    phases = footprint(more).phases
    assert phases["other"].energy_j.value == pytest.approx(650)
    assert phases["forward"].energy_j.value == pytest.approx(400)


# -- a whole recording ----------------------------------------------------------------------------------------------


@st.composite
def recordings(draw: st.DrawFn) -> tuple[Curve, Trace, list[int]]:
    """True energy of a device whose power changes every 0.2 s; as recorded, with phases; edges of epochs."""
    watts = draw(st.lists(st.floats(0, 300), min_size=5, max_size=60))
    truth = Curve.of(np.arange(len(watts) + 1) * (S // 5), np.concatenate([[0.0], np.cumsum(watts)]) / 5)
    end_ns = truth.end_ns
    inside = st.integers(0, end_ns)
    samples = sorted({0, end_ns, *draw(st.lists(inside, max_size=60))})
    edges = sorted(draw(st.lists(inside, min_size=2, max_size=8, unique=True)))
    turns = draw(st.lists(st.tuples(inside, st.sampled_from(["data", "forward", "other"])), max_size=12))
    marks = sorted([*((edge, None) for edge in edges), *turns], key=lambda mark: mark[0])
    cpu_share = draw(st.floats(0, 1))
    step_j = draw(st.sampled_from([1e-3, 20.0]))

    logs = [ChannelLog(replace(channel, quantum_j=step_j), 0, 10 * S) for channel in (GPU, CPU)]
    clock = PhaseLog(0)
    for mark in marks:
        for follower in (*logs, clock):
            follower.cursor.add(mark)
    for log in logs:
        for time_ns in samples:
            log.sample(time_ns, float(truth.at([time_ns])[0] // step_j * step_j))
        log.share(Share(0.5, cpu_share))
        log.settle(end_ns, phases_used=bool(turns))
    clock.settle(end_ns, phases_used=bool(turns))

    def curve(grown: Any) -> Curve:
        found = Curve.of([*grown.times_ns], [*grown.values])
        return found.extended(*grown.tip) if grown.tip[0] > found.end_ns else found

    channels = [
        channel_trace(f"h/{log.channel.id}", log.channel, {n: curve(g) for n, g in log.curves()}, log.gaps, 0, end_ns)
        for log in logs
    ]
    found = {name: curve(grown) for name, grown in clock.curves()}
    recorded = trace(
        *channels,
        phase_s={name.removeprefix("phase_s "): c for name, c in found.items() if name.startswith("phase_s ")},
        phase_n={name.removeprefix("phase_n "): c for name, c in found.items() if name.startswith("phase_n ")},
        end_s=end_ns / S,
        # An hour changes within the run.
        anchors=[Anchor(0, 0, (NOON_S + HOUR_S) * S - end_ns // 2)],
    )
    return truth, recorded, edges


HOURLY = book(grid(100.0, 0), grid(900.0, HOUR_S), grid(250.0, basis="direct"), pue=pue_of(1.2))


@settings(max_examples=40)
@given(recordings())
def test_phases_sum_to_the_epoch_and_epochs_with_what_lies_between_to_the_run(
    recording: tuple[Curve, Trace, list[int]],
) -> None:
    _, recorded, edges = recording
    pricer = Pricer(recorded, HOURLY)
    whole = pricer.footprint(0, recorded.end_ns)
    parts = [pricer.footprint(start, end) for start, end in itertools.pairwise([0, *edges, recorded.end_ns])]
    for name in ("energy_j", "node_energy_j", "facility_energy_j", "carbon_g"):
        values = [float(getattr(part, name)) for part in parts]
        total = float(getattr(whole, name))
        assert sum(values) == pytest.approx(total, rel=1e-9, abs=1e-9 * total)
    scale_j, scale_g = float(whole.energy_j), float(whole.carbon_g)
    for part in (whole, *parts):
        if part.phases:
            joules = sum(float(phase.energy_j) for phase in part.phases.values())
            grams = sum(float(phase.carbon_g) for phase in part.phases.values())
            assert joules == pytest.approx(float(part.energy_j), rel=1e-9, abs=1e-9 * scale_j)
            assert grams == pytest.approx(float(part.carbon_g), rel=1e-9, abs=1e-9 * scale_g)
            seconds = sum(phase.duration_s for phase in part.phases.values())
            assert seconds == pytest.approx(part.duration_s, rel=1e-9, abs=1e-9)


@settings(max_examples=40)
@given(recordings())
def test_bounds_hold_the_truth_of_every_epoch(recording: tuple[Curve, Trace, list[int]]) -> None:
    truth, recorded, edges = recording
    pricer, slack_j = Pricer(recorded, HOURLY), 1e-9 * truth.total
    for start, end in itertools.pairwise([0, *edges, recorded.end_ns]):
        gpu = next(c for c in pricer.footprint(start, end).channels if c.kind == "gpu").energy_j
        true_j = float(truth.over([start], [end])[0])
        assert gpu.low is not None
        assert gpu.high is not None
        assert gpu.low - slack_j <= true_j <= gpu.high + slack_j


@settings(max_examples=40)
@given(recordings())
def test_every_figure_lies_between_its_bounds_and_its_json_is_plain(recording: tuple[Curve, Trace, list[int]]) -> None:
    _, recorded, edges = recording
    pricer = Pricer(recorded, HOURLY)

    def check(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("value") is not None:
                most = float("inf") if value["high"] is None else value["high"]
                assert (value["low"] or 0) <= value["value"] <= most
            for inner in value.values():
                check(inner)
        elif isinstance(value, list):
            for inner in value:
                check(inner)
        else:
            assert value is None or type(value) in (str, float, int, bool)

    for start, end in itertools.pairwise(edges):
        check(pricer.footprint(start, end).to_json())


# -- shared devices -------------------------------------------------------------------------------------------------


def test_of_a_device_that_others_used_as_well_a_run_may_have_drawn_next_to_nothing() -> None:
    shared = traced(replace(GPU, share="process"), line(0, 10, 1000), Curve.of([0, 5 * S, 10 * S], [0, 500, 600]))
    energy = footprint(trace(shared)).energy_j
    assert (energy.value, energy.low, energy.high) == (600, 0, 1000)


def test_while_nobody_else_used_it_a_shared_device_is_all_this_runs() -> None:
    node = Curve.of([0, 5 * S, 10 * S], [0, 500, 1000])
    shared = traced(replace(GPU, share="process"), node, Curve.of([0, 5 * S, 10 * S], [0, 500, 600]))
    alone = footprint(trace(shared), None, 0, 5).energy_j
    assert (alone.value, alone.low, alone.high) == (500, 500, 500)


def test_where_nobody_tells_its_users_apart_all_of_a_device_is_counted_and_it_may_have_been_nothing() -> None:
    energy = footprint(trace(traced(replace(GPU, share="undivided"), line(0, 10, 1000)))).energy_j
    assert (energy.value, energy.low, energy.high) == (1000, 0, 1000)


# -- a whole and its parts ------------------------------------------------------------------------------------------

PLUG = Channel("node:plug", "node", "measured", "a plug", max_w=1000.0)
MODULE = Channel("soc:total", "soc", "measured", "a module", max_w=500.0)


def test_what_a_wall_meter_contains_is_told_and_not_added() -> None:
    made = footprint(
        trace(
            traced(GPU, line(0, 10, 1000)),
            traced(CPU, line(0, 10, 500), line(0, 10, 200)),
            traced(PLUG, line(0, 10, 2000)),
        )
    )
    assert (made.energy_j.value, made.energy_j.low, made.energy_j.high, made.energy_j.method) == (
        2000, 2000, 2000, "measured",
    )  # fmt: skip
    assert (made.node_energy_j.value, made.facility_energy_j.value) == (2000, 2000)
    assert made.carbon_g.value == pytest.approx(2000)
    told = {channel.id: (channel.energy_j.value, channel.inside) for channel in made.channels}
    assert told == {"h/gpu:A": (1000, "h/node:plug"), "h/cpu:model": (200, "h/node:plug"), "h/node:plug": (2000, None)}


def test_a_wall_meter_that_was_never_read_is_missing_from_the_sum_of_its_parts() -> None:
    made = footprint(trace(traced(GPU, line(0, 10, 1000)), traced(PLUG, Curve())))
    assert (made.energy_j.value, made.energy_j.high, made.energy_j.missing) == (1000, None, ("h/node:plug",))
    assert [channel.inside for channel in made.channels] == [None, None]


def test_a_part_that_failed_is_not_missed_where_its_whole_is_known() -> None:
    broken = traced(GPU, line(0, 60, 1000), gaps=[gap(20, 50)], end_s=60)
    made = footprint(trace(broken, traced(PLUG, line(0, 60, 2000), end_s=60), end_s=60))
    assert (made.energy_j.missing, made.energy_j.high, made.coverage) == ((), 2000, 1.0)
    assert made.channels[0].energy_j.missing == ("h/gpu:A: failed for 30 s",)


def test_while_a_wall_meter_is_away_its_parts_stand_in_and_it_is_named() -> None:
    plug = traced(PLUG, line(0, 60, 2000), gaps=[gap(20, 50, channel="node:plug")], end_s=60)
    recorded = trace(traced(GPU, line(0, 60, 600), end_s=60), plug, end_s=60)
    away = footprint(recorded, None, 30, 40).energy_j
    assert away.missing == ("h/node:plug: failed for 10 s",)
    assert away.high is None
    assert away.value == pytest.approx(100)
    assert footprint(recorded, None, 0, 20).energy_j.value == pytest.approx(2000 / 3)


def test_a_short_absence_is_the_wall_meters_own() -> None:
    late = traced(PLUG, line(1, 60, 2000), gaps=[gap(0, 1, "start", channel="node:plug")], end_s=60)
    energy = footprint(trace(traced(CPU, line(0, 60, 600), end_s=60), late, end_s=60)).energy_j
    assert (energy.value, energy.high, energy.method) == (2000, 3000, "measured")


def test_a_wall_meter_contains_nothing_of_another_host() -> None:
    other = replace(traced(GPU, line(0, 10, 1000)), id="elsewhere/gpu:A")
    made = footprint(trace(other, traced(PLUG, line(0, 10, 2000))))
    assert made.energy_j.value == 3000
    assert made.channels[0].inside is None


def test_a_span_of_no_length_costs_nothing_whatever_contains_what() -> None:
    plug = traced(PLUG, line(0, 60, 2000), gaps=[gap(20, 50, channel="node:plug")], end_s=60)
    for recorded in (trace(traced(GPU, line(0, 60, 600), end_s=60), plug, end_s=60), trace(plug, end_s=60)):
        assert footprint(recorded, None, 30, 30).energy_j.value == 0


def test_two_plugs_of_one_machine_add_up() -> None:
    second = traced(replace(PLUG, id="node:second"), line(0, 10, 500))
    made = footprint(trace(traced(GPU, line(0, 10, 1000)), traced(PLUG, line(0, 10, 2000)), second))
    assert made.energy_j.value == 2500


def test_a_module_contains_its_processors_and_a_wall_meter_the_module() -> None:
    own = replace(GPU, id="gpu:total")
    module, parts = traced(MODULE, line(0, 10, 300)), [traced(own, line(0, 10, 100)), traced(CPU, line(0, 10, 50))]
    disk = traced(replace(GPU, id="disk:0", kind="disk"), line(0, 10, 7))
    assert footprint(trace(*parts, module, disk)).energy_j.value == 307
    assert footprint(trace(*parts, module, disk, traced(PLUG, line(0, 10, 500)))).energy_j.value == 500


def test_a_module_contains_its_own_gpu_and_no_card_beside_it() -> None:
    module, own = traced(MODULE, line(0, 10, 300)), traced(replace(GPU, id="gpu:total"), line(0, 10, 100))
    made = footprint(trace(module, own, traced(GPU, line(0, 10, 1000))))
    assert made.energy_j.value == 1300
    assert {channel.id: channel.inside for channel in made.channels} == {
        "h/soc:total": None, "h/gpu:total": "h/soc:total", "h/gpu:A": None,
    }  # fmt: skip


def test_phases_are_of_what_is_added() -> None:
    split = {"forward": line(0, 4, 800), "other": line(4, 10, 1200)}
    whole = traced(PLUG, Curve.of([0, 4 * S, 10 * S], [0.0, 800.0, 2000.0]), phases=split)
    inside = phased(4)
    made = footprint(trace(*inside.channels.values(), whole, phase_s=inside.phase_s, phase_n=inside.phase_n))
    assert made.phases["forward"].energy_j.value == pytest.approx(800)
    assert sum(float(phase.energy_j) for phase in made.phases.values()) == pytest.approx(2000)


@st.composite
def absences_of_a_plug(draw: st.DrawFn) -> tuple[Trace, list[tuple[int, int]], list[int]]:
    """A plug with gaps and what it contains, each of constant power; the gaps that are long, and some edges (s)."""
    edges = sorted(draw(st.lists(st.integers(0, 200), max_size=6, unique=True)))
    away = list(zip(edges[::2], edges[1::2], strict=False))
    plug = traced(
        PLUG, line(0, 200, 200 * 300), end_s=200, gaps=[gap(start, end, channel="node:plug") for start, end in away]
    )
    parts = [traced(GPU, line(0, 200, 200 * 100), end_s=200), traced(CPU, line(0, 200, 200 * 40), end_s=200)]
    spans = sorted(draw(st.lists(st.integers(0, 200), max_size=5, unique=True)))
    return trace(*parts, plug, end_s=200), [(a, b) for a, b in away if b - a >= 10], spans


@given(absences_of_a_plug())
def test_at_every_moment_what_is_added_is_disjoint(made: tuple[Trace, list[tuple[int, int]], list[int]]) -> None:
    recorded, away, edges = made
    pricer = Pricer(recorded, book(pue=pue_of(1.2)))
    for start, end in itertools.pairwise([0, *edges, 200]):
        alone_s = sum(max(0, min(end, b) - max(start, a)) for a, b in away)
        span = pricer.footprint(start * S, end * S)
        assert float(span.energy_j) == pytest.approx(300 * (end - start) - 160 * alone_s)
        assert float(span.carbon_g) == pytest.approx(1.2 * float(span.energy_j))
        if not alone_s:
            assert span.energy_j.method == "measured"


@given(absences_of_a_plug())
def test_spans_that_tile_a_run_add_up_to_it_whatever_contains_what(
    made: tuple[Trace, list[tuple[int, int]], list[int]],
) -> None:
    recorded, _, edges = made
    pricer = Pricer(recorded, book())
    whole = pricer.footprint(0, 200 * S)
    parts = [pricer.footprint(start * S, end * S) for start, end in itertools.pairwise([0, *edges, 200])]
    for name in ("energy_j", "node_energy_j", "carbon_g"):
        assert sum(float(getattr(part, name)) for part in parts if part.duration_s) == pytest.approx(
            float(getattr(whole, name))
        )


def test_a_phase_of_a_shared_channel_is_bounded_by_all_that_its_share_averages_over() -> None:
    clock = OwnedClock()
    made = recorder(clock, Kept(), Counter(clock, 50.0, ("cpu:A",), share="cpu", idle_w=20.0, max_w=100.0))
    start_ns = clock.monotonic_ns()
    for _ in range(10):
        for phase in ("data", "forward"):
            made.phase(clock.monotonic_ns(), phase)
            made.run_for(0.45)
    pricer = Pricer(together([made.trace(clock.monotonic_ns())]), flat_price())
    footprint = pricer.footprint(start_ns, clock.monotonic_ns())
    assert footprint.energy_j.value < footprint.node_energy_j.value, "others used some of it"
    for phase in ("data", "forward"):
        joules = footprint.phases[phase].energy_j
        assert (joules.low, joules.high, joules.method) == (0.0, footprint.energy_j.high, "modelled")
