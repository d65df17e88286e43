"""What is compared: a run, or an epoch of one, with its figures as plain numbers and what sets it apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from joulegram.units import J_PER_KWH

Document = Mapping[str, Any]
By = Literal["run", "epoch"]

# What a training's set-up is told by, of a run's attributes. Others, such as a seed, may differ between repeats.
_SETUP = ("model", "parameters", "accelerator", "devices", "nodes", "precision", "accumulate_grad_batches")


@dataclass(frozen=True, slots=True)
class Measure:
    """What points are ranked by.

    Args:
        field: its key, ending in its unit.
        label: what a person calls it.
        fewer: its word for less.
        varies: whether repeats may tell its noise; a count does not vary.
    """

    field: str
    label: str
    fewer: str = "less"
    varies: bool = True


MEASURES = (
    Measure("parameters", "parameters", "fewer", varies=False),
    Measure("flops", "FLOPs", "fewer", varies=False),
    Measure("duration_s", "time"),
    Measure("energy_j", "energy"),
    Measure("carbon_g", "carbon"),
    Measure("carbon_equal_g", "carbon at equal intensity"),
)


@dataclass(frozen=True, slots=True)
class Point:
    """A run, or an epoch of one.

    Args:
        label: what it is called in tables and sentences: ``A``, or ``A·3`` for an epoch.
        run: the run's id.
        name: the run's name.
        index: of the epoch; None for a run.
        figures: its measures by field, those that are missing left out.
        absent: why those are missing, by field.
        lacking: what kinds of parts are not in a figure that has a value, by field.
        methods: how figures were made, by field.
        metrics: how well the run did, by name; none of an epoch.
        basis: which emissions its own price counts.
        setup: the same for repeats.
        phases_s: seconds by phase.
        facility_kwh: energy with cooling and losses (kWh); None where missing.
        mfu: model FLOP/s utilisation; None where missing.
    """

    label: str
    run: str
    name: str
    index: int | None
    figures: Mapping[str, float]
    absent: Mapping[str, str]
    lacking: Mapping[str, frozenset[str]]
    methods: Mapping[str, str]
    metrics: Mapping[str, float]
    basis: str | None
    setup: tuple[object, ...]
    phases_s: Mapping[str, float]
    facility_kwh: float | None
    mfu: float | None

    @property
    def power_w(self) -> float | None:
        """Mean power (W)."""
        energy_j, duration_s = self.figures.get("energy_j"), self.figures.get("duration_s")
        return energy_j / duration_s if energy_j and duration_s else None

    @property
    def intensity(self) -> float | None:
        """Mean intensity of its own price (gCO2e/kWh)."""
        carbon_g = self.figures.get("carbon_g")
        return carbon_g / self.facility_kwh if carbon_g and self.facility_kwh else None


def points(documents: Sequence[Document], at_equal: Sequence[Document], by: By = "run") -> list[Point]:
    """What is compared, in the order of the documents.

    Args:
        documents: runs as recorded.
        at_equal: the same runs, priced at one intensity.
        by: ``run``, or ``epoch`` for every epoch of theirs.
    """
    found: list[Point] = []
    for number, (document, equal) in enumerate(zip(documents, at_equal, strict=True)):
        label = _letters(number)
        if by == "run":
            found.append(_point(label, document, document["footprint"], equal["footprint"]))
        else:
            for span, repriced in zip(_epochs(document), _epochs(equal), strict=True):
                name = f"{label}·{span['index']}"
                found.append(_point(name, document, span["footprint"], repriced["footprint"], span["index"]))
    return found


def _epochs(document: Document) -> Iterator[Mapping[str, Any]]:
    return (span for span in document["spans"] if span["kind"] == "epoch")


def _point(
    label: str,
    document: Document,
    footprint: Mapping[str, Any],
    equal: Mapping[str, Any],
    index: int | None = None,
) -> Point:
    run = document["run"]
    attributes = run.get("attributes") or {}
    metrics = (attributes.get("metrics") or {}) if index is None else {}
    quantities = {name: footprint.get(name) or {} for name in ("flops", "energy_j", "carbon_g")}
    quantities["carbon_equal_g"] = equal.get("carbon_g") or {}
    given = {name: figure.get("value") for name, figure in quantities.items()}
    given |= {"parameters": attributes.get("parameters"), "duration_s": footprint["duration_s"]}
    figures = {name: float(value) for name, value in given.items() if _is_number(value) and value > 0}
    flops = figures.get("flops")
    return Point(
        label=label,
        run=run["id"],
        name=run["name"],
        index=index,
        figures=figures,
        absent={m.field: _why(m.field, quantities) for m in MEASURES if m.field not in figures},
        lacking={name: frozenset(map(_kind, figure.get("missing", ()))) for name, figure in quantities.items()},
        methods={name: figure["method"] for name, figure in quantities.items() if name in figures},
        metrics={name: float(v) for name, v in metrics.items() if _is_number(v)},
        basis=(document.get("price") or {}).get("basis"),
        setup=(
            *(run.get(key) for key in ("project", "name", "stage")),
            *(attributes.get(key) for key in _SETUP),
            f"{flops:.3g}" if flops else None,
            index,
        ),
        phases_s={phase["name"]: float(phase["duration_s"]) for phase in footprint.get("phases", ())},
        facility_kwh=_value(footprint, "facility_energy_j", J_PER_KWH),
        mfu=_value(footprint.get("efficiency") or {}, "mfu"),
    )


def _value(part: Mapping[str, Any], name: str, unit: float = 1.0) -> float | None:
    value = (part.get(name) or {}).get("value")
    return value / unit if value else None


def _why(field: str, quantities: Mapping[str, Mapping[str, Any]]) -> str:
    if field in quantities:
        figure = quantities[field]
        return str(figure.get("how") or "not recorded") if figure.get("value") is None else "none were used"
    return "the run says of none" if field == "parameters" else "it took no time"


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(part: str) -> str:
    """``HOST/gpu:UUID`` → ``gpu``: two runs on different devices may lack the same; another phrase as it is."""
    found = re.fullmatch(r"[^/\s]+/(\w+):\S+", part)
    return found[1] if found else part


def _letters(number: int) -> str:
    """A, B, … Z, AA, AB and so on."""
    before, place = divmod(number, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + place)
