"""The metadata of a model card, as Hugging Face's own library reads it."""

from __future__ import annotations

from typing import Any

import pytest
from exported import HOSTILE, document, named
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from joulegram.exporters import CannotExport
from joulegram.exporters.model_card import export


def metadata(*documents: Any) -> dict[str, Any]:
    found = ModelCard(export(documents)).data.to_dict()
    assert list(found) == ["co2_eq_emissions"]
    return dict(found["co2_eq_emissions"])


def test_it_says_grams_how_sure_and_from_where() -> None:
    text, found = export([document(carbon_g=1234.5)]), metadata(document(carbon_g=1234.5))
    assert found["emissions"] == 1234.5
    assert "# grams of CO2e, not kilograms; between 1111 g and 1358 g; modelled" in text
    assert found["training_type"] == "pre-training"
    assert found["geographical_location"] == "Denmark (DK-DK1)"
    assert found["hardware_used"] == "1 GPU, 1 CPU package"
    assert "lifecycle basis" in found["source"]
    assert "Annual table of zones, 2024" in found["source"]


@given(st.floats(1e-12, 1e18))
def test_grams_come_back_as_they_were(carbon_g: float) -> None:
    emissions = metadata(document(carbon_g=carbon_g))["emissions"]
    assert isinstance(emissions, float)
    assert emissions == carbon_g


def test_missing_emissions_are_no_number() -> None:
    text, found = export([document("partial")]), metadata(document("partial"))
    assert "emissions" not in found
    assert "# emissions: missing (no grid intensity on this basis)" in text
    assert "geographical_location" not in found


def test_what_serves_a_model_did_not_train_it() -> None:
    trained, server = (
        document(run_id="a", carbon_g=5.0, stage="finetune"),
        document(run_id="b", carbon_g=9.0, stage="serve"),
    )
    found = metadata(trained, server)
    assert (found["emissions"], found["training_type"]) == (5.0, "fine-tuning")
    with pytest.raises(CannotExport, match="all of stage serve"):
        export([server])


def test_a_sum_that_lacks_runs_says_so() -> None:
    text = export([document(run_id="a", carbon_g=5.0), document("partial", run_id="b", name="the lost")])
    assert "# without" in text
    assert "emissions: 5.0" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name: str) -> None:
    found = metadata(named(name))
    assert set(found) <= {"emissions", "source", "training_type", "geographical_location", "hardware_used"}
    assert found["emissions"] == pytest.approx(document()["footprint"]["carbon_g"]["value"])
