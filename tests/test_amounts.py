from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.amounts import Amount, amount, energy_in_j, mass_in_g

sizes = st.floats(0, 1e15)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("59257kWh", Amount("energy_j", 59257 * 3.6e6, 59257 * 3.6e6, 59257 * 3.6e6)),
        ("1.0e-4 kWh", Amount("energy_j", 360.0, 360.0, 360.0)),
        ("12J", Amount("energy_j", 12.0, 12.0, 12.0)),
        ("0kWh", Amount("energy_j", 0.0, 0.0, 0.0)),
        ("12 J ± 2", Amount("energy_j", 12.0, 10.0, 14.0)),
        ("1kJ+-200J", Amount("energy_j", 1000.0, 800.0, 1200.0)),
        ("1J ± 3J", Amount("energy_j", 1.0, 0.0, 4.0)),
        ("2..4Wh", Amount("energy_j", 10800.0, 7200.0, 14400.0)),
        ("900J..1kJ", Amount("energy_j", 950.0, 900.0, 1000.0)),
        ("50kg", Amount("carbon_g", 50e3, 50e3, 50e3)),
        ("2 tCO2e", Amount("carbon_g", 2e6, 2e6, 2e6)),
        ("3 KWH", Amount("energy_j", 10.8e6, 10.8e6, 10.8e6)),
    ],
)
def test_an_amount_is_read_in_joules_or_grams(text: str, expected: Amount) -> None:
    assert amount(text) == expected


@given(st.sampled_from(["energy_j", "carbon_g"]), sizes, sizes)
def test_what_is_printed_is_read_again_as_the_same(field: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    for given_amount in (Amount(field, one, one, one), Amount(field, (low + high) / 2, low, high)):  # type: ignore[arg-type]
        assert amount(str(given_amount)) == given_amount


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("12", "a number and a unit are needed"),
        ("kWh", "a number and a unit are needed"),
        ("12 parsecs", "no unit 'parsecs'; known are: µJ, mJ"),
        ("12 mj", "it may be one of: mJ, MJ"),
        ("-3J", "none may be negative"),
        ("4..2J", "in order"),
        ("3J..4kg", "mixes energy and carbon"),
        ("1e999J", "is no amount"),
        ("3J ± -1J", "is no amount"),
    ],
)
def test_what_is_no_amount_is_told_in_a_line(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        amount(text)


def test_a_limit_is_of_one_kind_and_without_bounds() -> None:
    assert (energy_in_j("2kWh"), mass_in_g("2kg")) == (7.2e6, 2000.0)
    for read, text in ((energy_in_j, "2kg"), (mass_in_g, "2kWh"), (energy_in_j, "2J±1")):
        with pytest.raises(ValueError, match="is no amount of"):
            read(text)
