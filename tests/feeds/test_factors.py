"""Intensity from a mix of generation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.feeds.factors import FACTORS, STORAGE, intensity, reported

MIXES = st.dictionaries(st.sampled_from([*FACTORS, STORAGE]), st.integers(-100, 1_000_000))


def test_a_mix_is_weighed_by_what_each_technology_generates() -> None:
    assert intensity({"coal": 1, "wind": 3}) == pytest.approx((820 + 3 * 11) / 4)


def test_what_comes_out_of_a_storage_does_not_count() -> None:
    assert intensity({"gas": 50, STORAGE: 5000}) == pytest.approx(490)


def test_a_plant_s_own_use_counts_as_giving_nothing() -> None:
    assert intensity({"hydro": 10, "solar": -3}) == pytest.approx(24)


@pytest.mark.parametrize("mix", [{}, {"coal": 0}, {"solar": -1}, {STORAGE: 10}])
def test_where_nothing_is_generated_there_is_no_intensity(mix: dict[str, float]) -> None:
    assert intensity(mix) is None


@given(MIXES)
def test_an_intensity_is_between_the_factors_of_what_generates(mix: dict[str, int]) -> None:
    value = intensity(mix)
    running = [FACTORS[technology] for technology, amount in mix.items() if technology != STORAGE and amount > 0]
    if value is None:
        assert not running
    else:
        assert min(running) * (1 - 1e-9) <= value <= max(running) * (1 + 1e-9)


@given(MIXES, st.floats(0.001, 1000))
def test_the_unit_of_a_mix_does_not_matter(mix: dict[str, int], scale: float) -> None:
    scaled = intensity({technology: scale * amount for technology, amount in mix.items()})
    assert (scaled or 0) == pytest.approx(intensity(mix) or 0)


def test_hours_that_lack_much_of_the_hour_before_are_left_out_until_it_is_back() -> None:
    whole, lacking = {"gas": 60.0, "wind": 40.0}, {"gas": 60.0}
    assert reported({3.0: whole, 2.0: lacking, 1.0: whole, 4.0: lacking}) == {1.0: whole, 3.0: whole}


def test_solar_power_that_is_left_out_at_night_is_no_lack() -> None:
    day, dusk, night = {"gas": 60.0, "solar": 40.0}, {"gas": 60.0, "solar": 2.0}, {"gas": 60.0}
    assert list(reported({1.0: day, 2.0: dusk, 3.0: night, 4.0: night})) == [1, 2, 3, 4]


def test_a_storage_that_stops_to_report_is_no_lack() -> None:
    assert list(reported({1.0: {"gas": 10.0, STORAGE: 90.0}, 2.0: {"gas": 10.0}})) == [1, 2]


@given(st.dictionaries(st.floats(0, 1e9), MIXES))
def test_what_is_reported_is_in_order_and_as_it_was(mixes: dict[float, dict[str, int]]) -> None:
    kept = reported(mixes)
    assert list(kept) == sorted(kept)
    assert all(mixes[hour_s] == mix for hour_s, mix in kept.items())
