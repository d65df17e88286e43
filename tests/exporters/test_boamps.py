"""A BoAmps report holds to the rules of its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from exported import HOSTILE, document, figure, named
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from joulegram.exporters import CannotExport
from joulegram.exporters.boamps import DATA_TYPES, INFRASTRUCTURES, LEVELS, export

SCHEMAS = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "boamps").glob("*.json")}
REGISTRY: Registry[Any] = Registry().with_resources(
    [(schema["id"], Resource(contents=schema, specification=DRAFT4)) for schema in SCHEMAS.values()]
)
VALIDATOR = Draft4Validator(SCHEMAS["report_schema"], registry=REGISTRY)
TOLD = {"task_family": "imageClassification", "data_type": "image", "infra_type": "onPremise"}


def report(run: Any, **more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(export([run], **{**TOLD, **more}))
    VALIDATOR.validate(found)
    return found


def test_the_rules_do_catch_what_is_wrong() -> None:
    broken = report(document())
    del broken["measures"][0]["powerConsumption"]
    broken["infrastructure"]["infraType"] = "garage"
    assert len(list(VALIDATOR.iter_errors(broken))) == 2


@given(st.floats(1e-6, 1e15), st.floats(1e-6, 1e12), st.floats(1e-3, 1e8), st.integers(1, 10**13))
def test_units_come_back(energy_j: float, carbon_g: float, duration_s: float, parameters: int) -> None:
    run = document(energy_j=energy_j, carbon_g=carbon_g, duration_s=duration_s, attributes={"parameters": parameters})
    found = report(run)
    measure = found["measures"][0]
    assert measure["powerConsumption"] * 3.6e6 == pytest.approx(energy_j, rel=1e-12)
    assert measure["measurementDuration"] == duration_s
    assert found["task"]["algorithms"][0]["parametersNumber"] * 1e9 == pytest.approx(parameters, rel=1e-12)
    intensity = found["environment"]["powerSourceCarbonIntensity"]
    assert intensity * measure["powerConsumption"] == pytest.approx(carbon_g, rel=1e-9)


def test_the_energy_is_it_energy_without_the_building() -> None:
    run = document(energy_j=3.6e6)
    run["footprint"]["facility_energy_j"] = figure(7.2e6)
    assert report(run)["measures"][0]["powerConsumption"] == 1.0


def test_a_run_is_told_as_the_format_has_it() -> None:
    found = report(document(stage="finetune", attributes={"model": "ResNet", "parameters": 2_000_000_000}))
    assert found["task"]["taskStage"] == "finetuning"
    assert found["task"]["algorithms"] == [{"algorithmName": "ResNet", "parametersNumber": 2.0, "epochsNumber": 4}]
    assert found["measures"][0]["measurementDateTime"] == "2026-03-01 13:02:11"
    assert found["environment"]["country"] == "Denmark"
    assert [(part["componentType"], part["nbComponent"]) for part in found["infrastructure"]["components"]] == [
        ("gpu", 1),
        ("cpu", 1),
    ]
    assert "between" in found["task"]["taskDescription"]


def test_a_server_tells_its_requests() -> None:
    assert report(document(stage="serve", served={"requests": 12, "tokens": 5}))["task"]["nbRequest"] == 12
    assert "nbRequest" not in report(document())["task"]


@pytest.mark.parametrize(
    ("low", "high", "quality"),
    [(0.9, 1.1, "high"), (0.8, 1.2, "medium"), (0.5, 1.1, "low"), (0.4, 3.0, None), (0.9, None, None)],
)
def test_quality_is_what_the_bounds_allow(low: float, high: float | None, quality: str | None) -> None:
    run = document()
    run["footprint"]["energy_j"] = figure(100.0, low, high)
    assert report(run).get("quality") == quality


@pytest.mark.parametrize(
    ("option", "allowed"), [("data_type", DATA_TYPES), ("infra_type", INFRASTRUCTURES), ("confidentiality", LEVELS)]
)
def test_enumerations_are_those_of_the_schema(option: str, allowed: tuple[str, ...]) -> None:
    for value in allowed:
        report(document(), **{option: value})
    with pytest.raises(CannotExport, match=f"requires {option}, one of {', '.join(allowed)}: --set {option}="):
        report(document(), **{option: "spam"})


@pytest.mark.parametrize("option", ["task_family", "data_type", "infra_type"])
def test_what_no_meter_can_tell_is_asked_for(option: str) -> None:
    with pytest.raises(CannotExport, match=f"--set {option}="):
        report(document(), **{option: ""})


def test_a_report_is_of_one_run() -> None:
    with pytest.raises(CannotExport, match="2 runs: name one"):
        export([document(run_id="a"), document(run_id="b")], **TOLD)


def test_without_energy_there_is_no_report() -> None:
    with pytest.raises(CannotExport, match="missing: no channel was read"):
        report(document("empty"))


def test_without_a_place_or_carbon_there_is_none() -> None:
    assert "environment" not in report(document("partial"))
    found = report(document("partial"), country="France")
    assert found["environment"] == {"country": "France"}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name: str) -> None:
    report(named(name))
