from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.curves.curve import Curve, Steps, price
from joulegram.units import (
    J_PER_KWH,
    NS_PER_S,
    show_chance,
    show_change,
    show_count,
    show_duration,
    show_energy,
    show_flops,
    show_long,
    show_mass,
    show_percent,
    show_power,
    show_volume,
    utc_s,
)


def test_a_kilowatt_hour_is_a_thousand_watts_for_an_hour() -> None:
    assert J_PER_KWH == 1000 * 3600
    assert NS_PER_S == 10**9


def test_joules_at_grams_per_kilowatt_hour_give_grams_and_not_kilograms() -> None:
    # 2 kWh at 500 g/kWh: a kilogram.
    assert show_mass(price(Curve.of([0, 1], [0.0, 2 * J_PER_KWH]), Steps.constant(500.0)).total) == "1.00 kg"


@pytest.mark.parametrize(
    ("energy_j", "shown"),
    [
        (0, "0 J"),
        (1, "1.00 J"),
        (0.25, "250 mJ"),
        (3e-9, "0.003 µJ"),
        (3500, "3,500 J"),
        (7200, "2.00 Wh"),
        (3_599_999, "1.00 kWh"),
        (3.6e6, "1.00 kWh"),
        (3.6e6 * 12.34, "12.3 kWh"),
        (3.6e9, "1.00 MWh"),
        (3.6e12, "1,000 MWh"),
        (-7200, "-2.00 Wh"),
    ],
)
def test_energy_is_shown_in_the_unit_that_a_person_reads(energy_j: float, shown: str) -> None:
    assert show_energy(energy_j) == shown


@pytest.mark.parametrize(
    ("mass_g", "shown"),
    [
        (0, "0 g"), (1234, "1.23 kg"), (999.4, "999 g"), (999.9, "1.00 kg"), (0.5, "500 mg"), (1e-6, "1.00 µg"),
        (2.5e6, "2.50 t"),
    ],
)  # fmt: skip
def test_mass_is_shown_in_the_unit_that_a_person_reads(mass_g: float, shown: str) -> None:
    assert show_mass(mass_g) == shown


def test_a_share_is_shown_in_two_digits() -> None:
    shares = (0, 0.00042, 0.05, 0.0163, 0.0996, 0.163, 0.998, 2.5)
    shown = ["0 %", "0.042 %", "5 %", "1.6 %", "10 %", "16 %", "100 %", "250 %"]
    assert [show_percent(share) for share in shares] == shown


def test_power_and_compute_are_shown_in_the_unit_that_a_person_reads() -> None:
    assert [show_volume(litres) for litres in (0, 0.0123, 3.5, 7e5)] == ["0 L", "12.3 mL", "3.50 L", "700 m³"]
    assert [show_power(watts) for watts in (0, 0.0832, 83.2, 8320)] == ["0 W", "83.2 mW", "83.2 W", "8.32 kW"]
    assert [show_flops(flops) for flops in (0, 12, 2.5e12, 3e21)] == ["0 FLOP", "12.0 FLOP", "2.50 TFLOP", "3.00 ZFLOP"]


@pytest.mark.parametrize(
    ("duration_s", "shown"),
    [
        (0, "0.00 s"), (0.0012, "1.20 ms"), (0.0996, "0.10 s"), (0.43, "0.43 s"), (12.1, "12.1 s"),
        (59.94, "59.9 s"), (59.96, "1 min 00 s"),
        (185, "3 min 05 s"), (3599.6, "1 h 00 min"), (7800, "2 h 10 min"), (48 * 3600, "2 d 0 h"),
        (76 * 3600, "3 d 4 h"),
    ],
)  # fmt: skip
def test_a_duration_is_shown_as_a_person_says_it(duration_s: float, shown: str) -> None:
    assert show_duration(duration_s) == shown


UNITS = {"MWh": 3.6e9, "kWh": 3.6e6, "Wh": 3.6e3, "J": 1.0, "mJ": 1e-3, "µJ": 1e-6}


@given(st.floats(1e-5, 1e14))
def test_what_is_shown_is_within_half_a_percent_of_the_energy(energy_j: float) -> None:
    number, unit = show_energy(energy_j).replace(",", "").split()
    assert float(number) * UNITS[unit] == pytest.approx(energy_j, rel=5.1e-3)
    assert re.fullmatch(r"[\d.]+", number)


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("1970-01-01T01:00", 3600),
        (" 1970-01-01T01:00:00+01:00 ", 0),
        ("1970-01-02", 86400),
        ("1970-01-01 00:00:01Z", 1),
    ],
)
def test_a_time_without_an_offset_is_in_utc(text: str, expected_s: float) -> None:
    assert utc_s(text) == expected_s


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0"), (0.2, "1"), (12_345.2, "12,346"), (3.0000000001, "3"), (999_900, "999,900"), (1e6, "1 million"),
        (592_570_000, "592.6 million"), (2.5e9, "2.5 billion"), (1e15, "1,000 trillion"),
    ],
)  # fmt: skip
def test_counts_are_rounded_up_while_they_are_counted_one_by_one(count: float, shown: str) -> None:
    assert show_count(count) == shown


@pytest.mark.parametrize(
    ("days", "shown"),
    [(2, "2 d 0 h"), (9.5, "9 d 12 h"), (592.6, "593 days"), (4383, "12 years"), (1e9, "> 100,000 years")],
)
def test_long_times_are_days_and_years(days: float, shown: str) -> None:
    assert show_long(days * 86_400) == shown


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(1.0, "more than 99.9 %"), (0.97, "97 %"), (0.5, "50 %"), (0.0001, "less than 0.1 %"), (0.0, "less than 0.1 %")],
)
def test_no_chance_is_certain(probability: float, shown: str) -> None:
    assert show_chance(probability) == shown


def test_a_change_has_its_sign_and_what_rounding_left_is_none() -> None:
    assert [show_change(g, show_mass, 1000.0) for g in (1200.0, -3.4, 1e-9, 0.0)] == [
        "+1.20 kg",
        "−3.40 g",
        "±0 g",
        "±0 g",
    ]
