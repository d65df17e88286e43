from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from platforms import KWH

from joulegram.impacts.factors import Factors
from joulegram.impacts.water import around, litres, offsite, onsite, per_kwh
from joulegram.quantities import Quantity


def value(factors: Factors, *chassis: str) -> float:
    found = onsite(factors, chassis)
    assert found is not None
    return found.value


def test_a_laptop_needs_no_water_on_site_and_a_server_that_of_a_data_centre() -> None:
    assert value(Factors(), "laptop", "desktop") == 0
    assert value(Factors(), "server") == value(Factors(), "") == value(Factors(), "laptop", "server") == 0.36


def test_a_machine_of_unknown_kind_may_need_none() -> None:
    server, unknown = onsite(Factors(), ["server"]), onsite(Factors(), [""])
    assert server is not None
    assert unknown is not None
    assert (server.low, unknown.low) == (0.12, 0.0)


def test_the_place_may_be_named_or_its_water_set() -> None:
    assert value(Factors({"site": {"water": "AWS us-west-2"}}), "laptop") == 0.16
    own = onsite(Factors({"site": {"onsite_l_per_kwh": 0.5, "onsite_basis": "withdrawal"}}), ["laptop"])
    assert own is not None
    assert (own.value, own.low, own.high, own.boundary) == (0.5, 0.5, 0.5, "withdrawal")


@pytest.mark.parametrize(
    ("zone", "l_per_kwh"),
    [("FR", 3.67), ("DK-DK1", 3.19), ("US-VA", 2.385), ("US-CAL-CISO", 3.13), (None, 4.81), ("IS", 4.81)],
)
def test_electricity_takes_the_water_of_its_zone_or_country_or_any(zone: str | None, l_per_kwh: float) -> None:
    found = offsite(Factors(), zone)
    assert found is not None
    assert found.value == l_per_kwh
    assert found.low < found.value < found.high


def test_without_reservoirs_there_is_a_figure_for_one_country_and_none_is_made_up_for_others() -> None:
    dry = Factors({"site": {"hydro": False}})
    found = offsite(dry, "US-CAL-CISO")
    assert found is not None
    assert 1.78 <= found.value <= 1.80
    assert offsite(dry, "NO") is None
    assert offsite(dry, None) is None
    figure = litres(KWH, None, "facility energy")
    assert figure.value is None
    assert figure.how.startswith("not counted: ")


def test_a_zone_lies_in_its_country() -> None:
    assert list(around("US-CAL-CISO")) == ["US-CAL-CISO", "US-CAL", "US"]


@given(st.floats(0, 1e9), st.floats(1, 3), st.sampled_from(["DK", "US", None]))
def test_bounds_hold_the_value_and_parts_of_energy_take_parts_of_the_water(
    energy_j: float, spread: float, zone: str | None
) -> None:
    factor = offsite(Factors(), zone)
    assert factor is not None
    whole = per_kwh(Quantity(energy_j, energy_j / spread, energy_j * spread, "measured"), factor, "energy")
    half = per_kwh(Quantity(energy_j / 2, 0.0, None, "measured"), factor, "energy")
    assert whole.value is not None
    assert half.value == pytest.approx(whole.value / 2)
    assert half.high is None


def test_water_of_unknown_energy_is_not_counted() -> None:
    factor = offsite(Factors(), "DK")
    assert factor is not None
    figure = per_kwh(Quantity.absent("no counter", ("gpu:A",)), factor, "energy")
    assert (figure.value, figure.how, figure.missing) == (None, "not counted: no counter", ("gpu:A",))
