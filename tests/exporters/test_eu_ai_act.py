"""The fields of the EU AI Act's model documentation."""

from __future__ import annotations

import re
from typing import Any

import pytest
from exported import HOSTILE, document, named
from hypothesis import given
from hypothesis import strategies as st

from joulegram.exporters import CannotExport
from joulegram.exporters.eu_ai_act import export, significant, within


def fields(*documents: Any) -> dict[str, str]:
    text = export(documents)
    found = dict(re.findall(r"^\*\*(.+?):\*\* (.*)$", text, re.MULTILINE))
    assert list(found) == [
        "Runs counted",
        "Training time",
        "Amount of computation used for training",
        "Methodology, computation",
        "Amount of energy used for training",
        "Methodology, energy",
        "Amount of computation used for inference",
    ]
    return found


def number(text: str) -> float:
    mantissa, _, exponent = text.partition(" × 10^")
    return float(mantissa) * 10.0 ** int(exponent or 0)


def test_energy_is_in_megawatt_hours() -> None:
    found = fields(document(energy_j=2 * 3.6e9, flops=1.234e21))
    assert found["Amount of energy used for training"] == "2.00 MWh (measured)"
    assert found["Amount of computation used for training"] == "1.23 × 10^21 FLOPs (modelled)"
    assert "Bounds: at least 1.80 MWh, at most 2.20 MWh." in found["Methodology, energy"]


@given(st.floats(1e-3, 1e18))
def test_megawatt_hours_come_back_as_joules_to_three_figures(energy_j: float) -> None:
    told = fields(document(energy_j=energy_j))["Amount of energy used for training"]
    assert number(told.partition(" MWh")[0]) * 3.6e9 == pytest.approx(energy_j, rel=5.01e-3)
    assert len(re.findall(r"\d", told.split(" ")[0])) >= 2


@given(st.floats(1e-300, 1e300))
def test_numbers_have_at_least_two_significant_figures(value: float) -> None:
    assert re.fullmatch(r"[1-9]\.\d\d( × 10\^-?\d+)?", significant(value))
    assert number(significant(value)) == pytest.approx(value, rel=5.01e-3)


@given(st.lists(st.text(max_size=30), max_size=60), st.integers(2, 120))
def test_a_methodology_is_as_long_as_it_may_be(sentences: list[str], most: int) -> None:
    words = within(sentences, most).split()
    assert len(words) <= most
    whole = " ".join(sentences).split()
    if len(whole) <= most:
        assert words == whole


def test_methodologies_have_at_most_a_hundred_words() -> None:
    run = document(flops=1e20)
    run["footprint"]["energy_j"]["how"] = "a long story " * 80
    run["footprint"]["flops"]["how"] = "another one " * 80
    found = fields(run)
    for name in ("Methodology, energy", "Methodology, computation"):
        assert len(found[name].split()) == 100


def test_what_is_not_known_is_na_with_the_reason() -> None:
    found = fields(document("empty"))
    assert found["Amount of energy used for training"] == "N/A (no channel was read)"
    assert found["Methodology, energy"] == "Unknown: no channel was read."
    assert found["Amount of computation used for training"] == "N/A (no FLOP counter is installed)"
    assert "hardware-days N/A" in found["Training time"]


def test_time_is_wall_clock_and_hardware_days() -> None:
    first = document(run_id="a", duration_s=43_200.0)
    second = document(run_id="b", duration_s=86_400.0, started="2026-03-02T13:02:11Z", steps=None)
    second["steps"] = [{"device": "NVIDIA L4"}]
    told = fields(first, second)["Training time"]
    assert told.startswith("2.00 days of wall clock, 2026-03-01 13:02 to 2026-03-03 13:02 UTC; ")
    assert "5.00 × 10^-1 GPU days; 1.00 GPU (NVIDIA L4) days" in told


def test_a_lower_bound_says_so() -> None:
    found = fields(document("partial"))
    assert "a lower bound: parts are missing" in found["Amount of energy used for training"]
    assert "without an upper bound" in found["Methodology, energy"]


def test_serving_is_no_training() -> None:
    server = document(run_id="b", stage="serve", energy_j=3.6e12, served={"flops": 2e15, "tokens": 100_000})
    found = fields(document(run_id="a", energy_j=3.6e9), server)
    assert found["Amount of energy used for training"].startswith("1.00 MWh")
    assert found["Amount of computation used for inference"].startswith("2.00 × 10^15 FLOPs")
    assert "for 100000 tokens on 1 GPU, 1 CPU package" in found["Amount of computation used for inference"]
    with pytest.raises(CannotExport, match="all of stage serve"):
        export([server])


def test_an_open_run_is_said() -> None:
    assert "still running: resnet-digits" in fields(document(status="running"))["Runs counted"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_make_no_field(name: str) -> None:
    fields(named(name))
