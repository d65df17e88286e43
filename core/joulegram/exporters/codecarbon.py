"""CodeCarbon's `emissions.csv`, a row for each run, so that what reads it reads this too.

Columns, names and order are those of CodeCarbon 3.3.2 (`EmissionsData`): kilograms, kilowatt-hours and watts with PUE
in them, litres, seconds, UTC where CodeCarbon writes local time. What is not known is left empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime

from joulegram.exporters import Document
from joulegram.exporters.account import account, label
from joulegram.exporters.countries import alpha_3, name, part
from joulegram.exporters.hardware import hosts, of_kind
from joulegram.exporters.texts import cell, listing
from joulegram.quantities import Quantity
from joulegram.units import J_PER_KWH
from joulegram.version import __version__

COLUMNS = (
    "timestamp", "project_name", "run_id", "experiment_id", "duration", "emissions", "emissions_rate", "cpu_power",
    "gpu_power", "ram_power", "cpu_energy", "gpu_energy", "ram_energy", "energy_consumed", "water_consumed",
    "country_name", "country_iso_code", "region", "cloud_provider", "cloud_region", "os", "python_version",
    "codecarbon_version", "cpu_count", "cpu_model", "gpu_count", "gpu_model", "longitude", "latitude", "ram_total_size",
    "tracking_mode", "cpu_utilization_percent", "gpu_utilization_percent", "ram_utilization_percent", "ram_used_gb",
    "on_cloud", "pue", "wue",
)  # fmt: skip
G_PER_KG = 1e3
_PARTS = {"cpu": "cpu", "gpu": "gpu", "ram": "dram"}

Cell = str | float | None


def export(documents: Sequence[Document]) -> str:
    """The file.

    Raises:
        CannotExport: there is no run, or carbon is on different bases, which readers of the file would add up.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for document in account(documents).documents:
        found = row(document)
        writer.writerow([_written(found.get(column)) for column in COLUMNS])
    return text.getvalue()


def row(document: Document) -> dict[str, Cell]:
    """A run by column; what is not in it is not known."""
    run, footprint, zone = document["run"], document["footprint"], document["run"].get("zone")
    duration_s = float(run["duration_s"])
    pue = (document.get("price") or {}).get("pue", {}).get("value")
    carbon_g = Quantity.from_json(footprint.get("carbon_g")).value
    energy_j = Quantity.from_json(footprint.get("facility_energy_j")).value
    water_l = _onsite_l(document)
    ended = datetime.fromisoformat(run["started"]).astimezone(UTC).timestamp() + duration_s
    return {
        "timestamp": datetime.fromtimestamp(ended, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "project_name": run.get("project") or label(document),
        "run_id": run["id"],
        "duration": duration_s,
        "emissions": _over(carbon_g, G_PER_KG),
        "emissions_rate": _over(carbon_g, G_PER_KG * duration_s),
        **_parts(document, pue, duration_s),
        "energy_consumed": _over(energy_j, J_PER_KWH),
        "water_consumed": water_l,
        "country_name": name(zone),
        "country_iso_code": alpha_3(zone),
        "region": part(zone),
        "codecarbon_version": f"joulegram {__version__}",
        **_hardware(document),
        "tracking_mode": "process",
        "pue": pue,
        "wue": water_l / (energy_j / J_PER_KWH) if water_l is not None and energy_j else None,
    }


def _parts(document: Document, pue: float | None, duration_s: float) -> dict[str, Cell]:
    """Energy and mean power of CPUs, GPUs and memory, with PUE as CodeCarbon's are; what is missing is left out."""
    found: dict[str, Cell] = {}
    for name_, kind in _PARTS.items():
        each = [group.energy_j() for group in of_kind(document, kind)]
        known = [value for value in each if value is not None]
        if pue is not None and known and len(known) == len(each):
            energy_j = sum(known) * pue
            found[f"{name_}_energy"] = energy_j / J_PER_KWH
            found[f"{name_}_power"] = _over(energy_j, duration_s)
    return found


def _hardware(document: Document) -> dict[str, Cell]:
    """Products and sizes: of one host, as the format has no row for several."""
    gpus, machines = of_kind(document, "gpu"), hosts(document)
    found: dict[str, Cell] = {
        "gpu_count": sum(len(group.channels) for group in gpus) or None,
        "gpu_model": listing((group.product for group in gpus), ", "),
    }
    if len(machines) == 1:
        (host,) = machines
        found |= {"cpu_count": host["threads"], "cpu_model": host["cpu"], "ram_total_size": host["memory_gb"]}
    return found


def _onsite_l(document: Document) -> float | None:
    """Litres that cooling evaporated; None where they were not counted."""
    for water in document["footprint"].get("water_l", ()):
        if (water.get("part"), water.get("basis")) == ("onsite", "consumption"):
            return Quantity.from_json(water).value
    return None


def _over(value: float | None, divisor: float) -> float | None:
    return None if value is None or divisor == 0 else value / divisor


def _written(value: Cell) -> str:
    return "" if value is None else cell(value) if isinstance(value, str) else repr(value)
