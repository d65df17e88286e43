"""Run documents of known figures, for what compares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
J_PER_KWH = 3.6e6


def quantity(value: float | None, how: str = "", missing: tuple[str, ...] = ()) -> Json:
    """A measured figure without doubt, or a missing one."""
    method = "missing" if value is None else "measured"
    return {"value": value, "low": value, "high": value, "method": method, "how": how, "missing": list(missing)}


def footprint(
    duration_s: float,
    power_w: float,
    *,
    flops: float | None = None,
    intensity: float = 100.0,
    phases: Mapping[str, float] | None = None,
    missing: tuple[str, ...] = (),
) -> Json:
    """What a span of this mean power (W) cost; phases are shares of its time."""
    energy_j = duration_s * power_w
    return {
        "flops": quantity(flops, "no step was counted" if flops is None else ""),
        "energy_j": quantity(energy_j, missing=missing),
        "facility_energy_j": quantity(energy_j),
        "carbon_g": quantity(energy_j / J_PER_KWH * intensity),
        "duration_s": duration_s,
        "phases": [{"name": name, "duration_s": share * duration_s} for name, share in (phases or {}).items()],
        "efficiency": {"mfu": quantity(None)},
    }


def run(
    name: str,
    duration_s: float = 100.0,
    power_w: float = 50.0,
    *,
    parameters: int | None = None,
    metrics: Mapping[str, float] | None = None,
    basis: str = "lifecycle",
    intensity: float = 100.0,
    status: str = "finished",
    epochs: int = 0,
    **more: Any,
) -> Json:
    """The document of a run."""
    attributes = {"parameters": parameters, "metrics": dict(metrics or {})}
    whole = footprint(duration_s, power_w, intensity=intensity, **more)
    point = {
        "signal": "average", "basis": basis, "accounting": "location",
        "zone": "ZZ", "g_per_kwh": intensity, "source": "a test", "note": "",
    }  # fmt: skip
    return {
        "schema_version": 1,
        "run": {
            "id": f"id-of-{name}", "name": name, "project": "p", "stage": "train", "status": status, "zone": "ZZ",
            "attributes": {key: value for key, value in attributes.items() if value is not None},
        },
        "footprint": whole,
        "spans": [
            {"kind": "epoch", "index": i, "footprint": footprint(duration_s / epochs, power_w + i, intensity=intensity)}
            for i in range(epochs)
        ],
        "price": {"basis": basis, "intensity": [point]},
    }  # fmt: skip


def repriced(document: Json, intensity: float = 200.0) -> Json:
    """The same run at another intensity."""

    def again(cost: Json) -> Json:
        kwh = cost["facility_energy_j"]["value"] / J_PER_KWH
        return {**cost, "carbon_g": quantity(kwh * intensity)}

    spans = [{**span, "footprint": again(span["footprint"])} for span in document["spans"]]
    points = [{**point, "g_per_kwh": intensity} for point in document["price"]["intensity"]]
    return {
        **document,
        "footprint": again(document["footprint"]),
        "spans": spans,
        "price": {**document["price"], "intensity": points},
    }


def compared(*documents: Json, **how: Any) -> Json:
    """The comparison of runs, at an equal intensity of 200 g/kWh."""
    from joulegram.analysis.compare import compare

    return compare(documents, [repriced(document) for document in documents], **how)
