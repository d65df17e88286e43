"""SCI scores, and those for AI."""

from __future__ import annotations

import re
from typing import Any

import pytest
from exported import HOSTILE, document, figure, named
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from joulegram.exporters import CannotExport, sci, sci_ai
from joulegram.exporters.account import account
from joulegram.exporters.scoring import score

KG = 1000.0
PER_REQUEST = {"requests": 4.0, "tokens": 2e6}


@given(st.floats(0, 1e12), st.floats(0, 1e12), st.floats(1e-3, 1e12))
def test_a_score_is_operation_and_making_over_units(carbon_g: float, embodied_g: float, units: float) -> None:
    found = score(account([document(carbon_g=carbon_g, embodied_g=embodied_g)]), units)
    assert found.value == pytest.approx((carbon_g + embodied_g) / units)
    assert found.low == pytest.approx(0.9 * (carbon_g + embodied_g) / units)
    assert found.high == pytest.approx(1.1 * (carbon_g + embodied_g) / units)
    assert found.missing == ()


def test_without_m_a_score_is_a_lower_bound_and_says_so() -> None:
    text = sci.export([document(carbon_g=10.0)], unit="image", units="5")
    assert "2 gCO2e per image (at least 1.8 g; modelled; without embodied emissions (M))" in text
    assert "no complete score" in text
    assert "| M, embodied | not counted |" in text
    assert "| Making of the hardware | not counted |" in text


def test_with_m_it_is_complete() -> None:
    run = document(carbon_g=10.0, embodied_g=5.0)
    run["footprint"]["embodied"] = [{"part": "device", "what": "one GPU", **figure(5.0)}]
    text = sci.export([run], unit="image", units="5")
    assert "3 gCO2e per image (between 2.7 g and 3.3 g; modelled)" in text
    assert "no complete score" not in text
    assert "| Making of the device: one GPU |" in text


def test_without_carbon_there_is_no_score_of_making_alone() -> None:
    run = document("partial", embodied_g=5.0)
    assert "SCI = (E · I + M) / R = missing" in sci.export([run], unit="image", units="5")


def test_a_server_is_scored_per_request() -> None:
    run = document(carbon_g=8.0, stage="serve", served=PER_REQUEST)
    assert "2 gCO2e per request" in sci.export([run])


def test_a_servers_energy_is_all_that_its_devices_drew() -> None:
    whole = {"whole_j": figure(7.2e6, 0.9, 1.1), "whole_g": figure(16.0, 0.9, 1.1)}
    run = document(energy_j=3.6e6, carbon_g=8.0, stage="serve", served={**PER_REQUEST, **whole})
    run["price"]["pue"] |= {"value": 1.5, "low": 1.2, "high": 2.0}
    text = sci.export([run])
    assert "**SCI = (E · I + M) / R = 4 gCO2e per request" in text
    assert "| E, energy | 3 kWh (between 2.16 kWh and 4.4 kWh) |" in text
    assert "energy of all of it, idle included" in text
    run["footprint"]["carbon"] = [{"signal": "marginal", "basis": "direct", "accounting": "location", **figure(6.0)}]
    text = sci.export([run], signal="marginal")
    assert "1.5 gCO2e per request" in text
    assert "energy, the runs' share of it" in text


@pytest.mark.parametrize("told", [{}, {"unit": "image"}, {"units": "5"}])
def test_a_rate_needs_its_unit(told: dict[str, str]) -> None:
    with pytest.raises(CannotExport, match="--set unit="):
        sci.export([document()], **told)


@pytest.mark.parametrize("units", ["0", "-1", "many", "nan", "inf"])
def test_units_are_a_number_above_nothing(units: str) -> None:
    with pytest.raises(CannotExport, match="units has to be a number above 0"):
        sci.export([document()], unit="image", units=units)


def test_market_based_intensity_is_refused() -> None:
    with pytest.raises(CannotExport, match="market-based"):
        sci.export([document()], unit="image", units="5", signal="market")


def ai(*documents: Any, **told: str) -> str:
    return sci_ai.export(documents, **told)


def test_a_consumers_score_is_of_serving() -> None:
    # The specification's example: 3,200 kg for 40 million inferences are 0.08 g each.
    text = ai(document(carbon_g=3200 * KG, embodied_g=0.0, stage="serve", served={"requests": 40e6}))
    assert "**0.08 gCO2e per inference" in text
    assert "## Provider score\n\nNot scored: no run that makes a model" in text


def test_tokens_are_scored_by_the_million() -> None:
    text = ai(document(carbon_g=6500 * KG, embodied_g=0.0, stage="serve", served={"requests": 1e6, "tokens": 50e9}))
    assert "**130 gCO2e per million tokens" in text


def test_a_providers_score_is_of_everything_before() -> None:
    # 75,000 kg for 2.5 billion parameters are 30,000 kg a billion.
    runs = [
        document(run_id="a", carbon_g=25_000 * KG, embodied_g=0.0, stage="search", status="failed"),
        document(
            run_id="b", carbon_g=50_000 * KG, embodied_g=0.0, flops=1e22, attributes={"parameters": 2_500_000_000}
        ),
        document(run_id="c", carbon_g=1.0, embodied_g=0.0, stage="serve", served=PER_REQUEST),
    ]
    text = ai(*runs)
    assert "**3e+07 gCO2e per billion parameters" in text
    assert "**7500 gCO2e per exaFLOP" in text
    assert "search, failed" in text
    assert "**0.25 gCO2e per inference" in text


def test_training_tokens_are_told() -> None:
    text = ai(document(carbon_g=100.0, embodied_g=0.0), training_tokens="4e6")
    assert "**25 gCO2e per million training tokens" in text


def test_nothing_to_score_per_is_said() -> None:
    with pytest.raises(CannotExport, match="--set training_tokens=N or --set parameters=N"):
        ai(document())
    with pytest.raises(CannotExport, match="neither requests nor tokens"):
        ai(document(stage="serve"))
    with pytest.raises(CannotExport, match="go together"):
        ai(document(), unit="image")


def test_what_one_of_several_servers_does_not_tell_is_no_rate() -> None:
    runs = [
        document(run_id="a", stage="serve", served=PER_REQUEST),
        document(run_id="b", stage="serve", served={"requests": 2}),
    ]
    text = ai(*runs)
    assert "per inference" in text
    assert "million tokens" not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_in_their_cells(name: str) -> None:
    for text in (sci.export([named(name)], unit=name or "x", units="1"), ai(named(name), parameters="1e9")):
        html = MarkdownIt("commonmark").enable("table").render(text)
        assert "<script" not in html
        assert "<a " not in html
        rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
        assert {row.count("<td>") + row.count("<th>") for row in rows} == {3}
        assert len(re.findall("<table>", html)) == 2
