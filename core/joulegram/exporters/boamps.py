"""A BoAmps report: the JSON that Boavizta's open data on the energy of AI tasks consists of.

Fields, enumerations and units are those of github.com/Boavizta/BoAmps (format version 0.1, CC BY 4.0): kilowatt-hours
of IT energy, seconds, billions of parameters, gCO2e/kWh. A report is of one task, hence of one run. What the task is
about no meter can tell: whoever publishes it says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from joulegram.exporters import CannotExport, Document
from joulegram.exporters.account import account, label
from joulegram.exporters.countries import name
from joulegram.exporters.hardware import Devices, devices, of_kind
from joulegram.exporters.methods import sentences
from joulegram.exporters.served import amounts
from joulegram.exporters.texts import listing, one_line
from joulegram.quantities import Quantity
from joulegram.units import J_PER_KWH
from joulegram.version import __version__

FORMAT_VERSION = "0.1"
FORMAT_URI = "https://github.com/Boavizta/BoAmps/tree/main/model"
DATA_TYPES = ("tabular", "audio", "boolean", "image", "video", "object", "text", "token", "word", "other")
INFRASTRUCTURES = ("publicCloud", "privateCloud", "onPremise", "other")
LEVELS = ("public", "internal", "confidential", "secret")
# Greatest error, as a share of the value, of each class of quality.
QUALITIES = (("high", 0.10), ("medium", 0.25), ("low", 0.50))
_STAGES = {
    "data": "preprocessing",
    "train": "training",
    "finetune": "finetuning",
    "serve": "inference",
    "retrain": "retraining",
}
_COMPONENTS = {"dram": "ram", "node": "machine"}


def export(
    documents: Sequence[Document],
    *,
    task_family: str = "",
    data_type: str = "",
    infra_type: str = "",
    country: str = "",
    confidentiality: str = "",
    licensing: str = "",
) -> str:
    """The report.

    Args:
        documents: of one run.
        task_family: what is done (``imageClassification``, ``chatbot``).
        data_type: what goes in, of `DATA_TYPES`.
        infra_type: of `INFRASTRUCTURES`.
        country: where, in English; that of the run's grid zone by default.
        confidentiality: of the report, of `LEVELS`; not told by default.
        licensing: what the report may be shared under; not told by default.

    Raises:
        CannotExport: it is not one run, nothing was measured, or what the format requires was not told.
    """
    whole = account(documents)
    if len(whole.documents) != 1:
        raise CannotExport(
            f"a BoAmps report is of one task, and these are {len(whole.documents)} runs: name one of them"
        )
    (document,) = whole.documents
    if whole.energy_j.value is None:
        raise CannotExport(f"BoAmps requires an energy, and that of {label(document)} is missing: {whole.energy_j.how}")
    if not task_family.strip():
        raise CannotExport("BoAmps requires the family of the task: --set task_family=imageClassification")
    report = {
        "header": _header(document, confidentiality, licensing),
        "task": _task(document, one_line(task_family), _one_of("data_type", data_type, DATA_TYPES)),
        "measures": [_measure(document, whole.energy_j)],
        "infrastructure": {
            "infraType": _one_of("infra_type", infra_type, INFRASTRUCTURES),
            "components": [_component(group) for group in devices(document)],
        },
        **_environment(document, country, whole.g_per_kwh),
        **_quality(whole.energy_j),
    }
    report["task"]["taskDescription"] = " ".join(sentences(whole))
    return json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _one_of(option: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise CannotExport(f"BoAmps requires {option}, one of {', '.join(allowed)}: --set {option}={allowed[0]}")
    return value


def _header(document: Document, confidentiality: str, licensing: str) -> dict[str, Any]:
    run, price = document["run"], document.get("price") or {}
    header: dict[str, Any] = {
        "formatVersion": FORMAT_VERSION,
        "formatVersionSpecificationUri": FORMAT_URI,
        "reportId": one_line(run["id"]),
        "reportDatetime": _time(price.get("made") or run["started"]),
        "reportStatus": "draft" if run.get("status") == "running" else "final",
    }
    if licensing:
        header["licensing"] = one_line(licensing)
    if confidentiality:
        publisher = {"confidentialityLevel": _one_of("confidentiality", confidentiality, LEVELS)}
        header["publisher"] = publisher | ({"projectName": one_line(run["project"])} if run.get("project") else {})
    return header


def _task(document: Document, family: str, data_type: str) -> dict[str, Any]:
    stage = str(document["run"].get("stage") or "other")
    task: dict[str, Any] = {
        "taskStage": one_line(_STAGES.get(stage, stage)),
        "taskFamily": family,
        "algorithms": [_algorithm(document)],
        "dataset": [{"dataUsage": "input", "dataType": data_type}],
    }
    served = amounts(document)
    if stage == "serve" and served.get("requests"):
        task["nbRequest"] = served["requests"]
    return task


def _algorithm(document: Document) -> dict[str, Any]:
    kept = document["run"].get("attributes") or {}
    epochs = sum(span["kind"] == "epoch" for span in document.get("spans", ()))
    parameters = kept.get("parameters")
    found = {
        "algorithmName": _text(kept.get("model")) or _text(document["run"].get("model")),
        "optimizer": _text(kept.get("optimizer")),
        "quantization": _text(kept.get("precision")),
        "parametersNumber": parameters / 1e9 if isinstance(parameters, int | float) and parameters > 0 else None,
        "epochsNumber": epochs or None,
    }
    return {key: value for key, value in found.items() if value}


def _text(value: object) -> str:
    return one_line(value) if isinstance(value, str) else ""


def _measure(document: Document, energy_j: Quantity) -> dict[str, Any]:
    assert energy_j.value is not None
    modes = {kind: _mode(document, kind) for kind in ("cpu", "gpu")}
    return {
        "measurementMethod": "joulegram",
        "version": __version__,
        **{f"{kind}TrackingMode": mode for kind, mode in modes.items() if mode},
        "powerConsumption": energy_j.value / J_PER_KWH,
        "measurementDuration": float(document["run"]["duration_s"]),
        "measurementDateTime": _time(document["run"]["started"]),
    }


def _mode(document: Document, kind: str) -> str:
    """How a kind of device was counted: what its channels say of themselves."""
    channels = [channel for group in of_kind(document, kind) for channel in group.channels]
    figures = [Quantity.from_json(channel.get("energy_j")) for channel in channels]
    return listing(f"{q.method}: {q.how}" for q in figures if q.value is not None)


def _component(group: Devices) -> dict[str, Any]:
    component: dict[str, Any] = {
        "componentType": _COMPONENTS.get(group.kind, one_line(group.kind)),
        "nbComponent": len(group.channels),
    }
    if group.product:
        component["componentName"] = group.product
    own_j, everybodys_j = group.energy_j(), group.energy_j("node_energy_j")
    if own_j is not None and everybodys_j:
        component["share"] = min(1.0, own_j / everybodys_j)
    return component


def _environment(document: Document, country: str, g_per_kwh: float | None) -> Mapping[str, Any]:
    zone = document["run"].get("zone")
    where = one_line(country) or name(zone)
    if not where:
        return {}  # the format knows no environment without a country
    found: dict[str, Any] = {"country": where}
    if zone:
        found["location"] = one_line(zone)
    if g_per_kwh is not None:
        found["powerSourceCarbonIntensity"] = g_per_kwh
    return {"environment": found}


def _quality(energy_j: Quantity) -> Mapping[str, str]:
    """The class that the energy's bounds fit into; nothing where they are wider than the widest, or open."""
    if not energy_j.value or energy_j.low is None or energy_j.high is None:
        return {}
    error = max(energy_j.high - energy_j.value, energy_j.value - energy_j.low) / energy_j.value
    return next(({"quality": name_} for name_, most in QUALITIES if error <= most * (1 + 1e-9)), {})


def _time(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
