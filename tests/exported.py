"""Run documents for the exporters: those that the views are shown, with known figures put into them."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_PATH = Path(__file__).parent / "report" / "documents.py"
# Names that mean something to some format: a spreadsheet, YAML, Markdown, LaTeX, a terminal.
HOSTILE = [
    "=cmd|' /C calc'!A0",
    "+1+cmd",
    "@SUM(1)",
    'a, "quoted", b',
    "two\nlines\r\nand\ttabs",
    "--- \nemissions: 0 # no",
    "{{ jinja }}: &anchor *alias !tag %dir |",
    r"\input{/etc/passwd} \write18{x} $x_1^2$ ~ # % & {",
    "[link](javascript:x) | <script>alert(1)</script> `code` **bold**",
    "naïve Ω 模型 🦔 \u202e\x1b[2J\u2028\x85\x00",
    "*",
    "[2pt]",
    "---",
    "``quoted''",
    "",
]


def _known() -> Any:
    """Under pytest's importlib mode no test folder is on the import path."""
    spec = importlib.util.spec_from_file_location("exported_documents", _PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


known = _known()
figure, absent = known.figure, known.absent
_DOCUMENTS: dict[str, Json] = known.documents()


def document(
    kind: str = "trained",
    *,
    run_id: str | None = None,
    energy_j: float | None = None,
    carbon_g: float | None = None,
    flops: float | None = None,
    embodied_g: float | None = None,
    basis: str | None = None,
    served: Json | None = None,
    **run: Any,
) -> Json:
    """A run's document of its own, with these figures in the place of its.

    Args:
        kind: of `report/documents.py`.
        run_id: its id.
        energy_j: IT energy, and that of the facility (J).
        carbon_g: operational emissions (g).
        flops: floating-point operations.
        embodied_g: the hardware's emissions (g); not counted by default.
        basis: of its carbon.
        served: sums of a server.
        run: further fields of the run.
    """
    made = copy.deepcopy(_DOCUMENTS[kind])
    footprint = made["footprint"]
    for name in ("embodied_g", "embodied"):
        footprint.pop(name, None)
    if run_id is not None:
        made["run"]["id"] = run_id
    if energy_j is not None:
        footprint |= dict.fromkeys(("energy_j", "facility_energy_j"), figure(energy_j, 0.9, 1.1))
    for name, value in (("carbon_g", carbon_g), ("flops", flops), ("embodied_g", embodied_g)):
        if value is not None:
            footprint[name] = figure(value, 0.9, 1.1, "modelled", "a test")
    if basis is not None:
        made["price"]["basis"] = basis
    if served is not None:
        made["served"] = {"total": served}
    made["run"] |= run
    return made


def named(name: str) -> Json:
    """A run that bears this name wherever a user, a driver or a feed may put one."""
    made = document(name=name, project=name, stage=name, zone=name)
    made["run"]["attributes"] = {"model": name, "optimizer": name, "precision": name}
    made["steps"] = [{"device": name}]
    made["footprint"]["energy_j"]["how"] = name
    made["footprint"]["carbon_g"]["how"] = name
    made["footprint"]["energy_j"]["missing"] = [name]
    made["footprint"]["energy_j"]["high"] = None
    made["price"]["pue"]["source"] = name
    for point in made["price"]["intensity"]:
        point["source"] = name
    for channel in made["channels"]:
        channel["energy_j"]["how"] = name
    return made
