from __future__ import annotations

import csv

import pytest

from joulegram.config import IMPACT_FACTORS, ConfigError, load
from joulegram.impacts.factors import TABLE, Factors, check


def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_row_has_ordered_bounds_a_source_a_year_and_a_quality() -> None:
    for row in rows():
        low, value, high = (float(row[bound]) for bound in ("low", "value", "high"))
        assert 0 <= low <= value <= high, row
        assert row["source"], row
        assert row["unit"] or row["factor"] == "drives" or row["factor"] == "units", row
        assert 2015 <= int(row["year"]) <= 2030, row
        assert row["quality"] in ("published", "derived", "assumed", "low"), row


def test_no_name_has_two_values_of_a_factor() -> None:
    keys = [(row["kind"], name, row["factor"]) for row in rows() for name in row["names"].split("|")]
    assert len(keys) == len(set(keys))


def test_metals_and_primary_energy_are_marked_as_low_and_have_no_figure_of_the_world() -> None:
    for row in rows():
        if row["factor"].startswith(("adpe", "primary_energy")):
            assert row["quality"] == "low", row
            assert row["names"] != "WORLD", row


def test_water_says_on_which_basis_it_is() -> None:
    for row in rows():
        if row["unit"] == "L/kWh":
            assert row["boundary"] in ("consumption", "withdrawal"), row


@pytest.mark.parametrize(
    ("product", "kg", "high"),
    [
        ("NVIDIA H100 80GB HBM3", 164, 281),
        ("NVIDIA H200", 216, 390),
        ("NVIDIA B200", 284, 570),
        ("NVIDIA A100-SXM4-40GB", 128, 181),
        ("Tesla V100-SXM2-16GB", 120, 200),
        ("Tesla T4", 110, 130),
    ],
)
def test_devices_are_known_by_the_name_that_their_driver_reports(product: str, kg: float, high: float) -> None:
    found = Factors().device(product, "embodied_kg")
    assert found is not None
    assert (found.value, found.high) == (kg, high)


@pytest.mark.parametrize("product", ["NVIDIA H100", "NVIDIA GeForce RTX 4090 Laptop GPU", "Furnace 3000", ""])
def test_a_device_that_is_not_in_the_table_has_no_figure(product: str) -> None:
    assert Factors().device(product, "embodied_kg") is None


def test_the_users_own_factor_comes_first_whatever_the_case_of_its_name() -> None:
    own = Factors({"nvidia h200": {"embodied_kg": 99.0}}).device("NVIDIA H200", "embodied_kg")
    assert own is not None
    assert (own.value, own.low, own.high, own.source, own.year) == (99.0, 99.0, 99.0, "as set", None)


def test_settings_are_read_as_numbers_and_switches() -> None:
    given = {"Furnace": {"embodied_kg": "12", "lifetime_y": 3}, "site": {"hydro": "no", "water": "aws us-east-1"}}
    assert load({"impacts": given}).impacts == {
        "Furnace": {"embodied_kg": 12.0, "lifetime_y": 3.0},
        "site": {"hydro": False, "water": "aws us-east-1"},
    }


def test_the_environment_sets_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEGRAM_IMPACTS_HOST_EMBODIED_KG", "4500")
    monkeypatch.setenv("JOULEGRAM_IMPACTS_SITE_ADPE", "yes")
    assert load().impacts == {"host": {"embodied_kg": 4500.0}, "site": {"adpe": True}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"NVIDIA H200": 216}, "a table is needed for each"),
        ({"NVIDIA H200": {"embodied": 216}}, "NVIDIA H200 has no embodied; known are: embodied_kg"),
        ({"host": {"embodied_kg": "a lot"}}, "host needs its embodied_kg as a number"),
        ({"host": {"embodied_kg": -1}}, "of 0 or more"),
        ({"host": {"lifetime_y": 0}}, "of 0.01 or more"),
        ({"host": {"onsite_l_per_kwh": 1}}, "host has no onsite_l_per_kwh"),
        ({"site": {"embodied_kg": 1}}, "site has no embodied_kg; known are: onsite_l_per_kwh"),
        ({"site": {"onsite_basis": "both"}}, "consumption or withdrawal"),
        ({"site": {"hydro": "sometimes"}}, "yes or no is needed"),
    ],
)
def test_a_bad_setting_gets_one_line_that_says_what_is_known(given: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({"impacts": given})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_place_that_the_table_does_not_have_is_told_with_those_that_it_has() -> None:
    with pytest.raises(ConfigError, match="it has: dry, data centre"):
        check({"site": {"water": "atlantis"}})
    check({"site": {"water": "AWS eu-west-1"}})


def test_every_factor_that_may_be_set_has_its_unit_in_the_table() -> None:
    units = {row["factor"]: row["unit"] for row in rows()}
    assert all(units.get(factor, unit) == unit for factor, unit in IMPACT_FACTORS.items())
