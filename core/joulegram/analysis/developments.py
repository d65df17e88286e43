"""What developing an efficiency measure took: runs of the ledger and amounts, added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from joulegram.amounts import Amount, amount
from joulegram.analysis.unit_costs import IS_CARBON, MEASURES, UNPRICED, Document
from joulegram.quantities import Quantity, total
from joulegram.units import J_PER_KWH


@dataclass(frozen=True, slots=True)
class Took:
    """What a development took.

    Args:
        figures: by measure; carbon holds `embodied_g` where that is counted.
        absent: by measure, what lacks it and why.
        embodied_g: what making the hardware took, of the runs.
        bases: which emissions the runs' carbon counts.
        zones: where they ran.
        labels: what was added up.
        notes: what a reader should know, in sentences.
    """

    figures: Mapping[str, Quantity]
    absent: Mapping[str, Sequence[tuple[str, str]]]
    embodied_g: Quantity
    bases: frozenset[str | None]
    zones: frozenset[str | None]
    labels: tuple[str, ...]
    notes: tuple[str, ...]


def added_up(given: Sequence[Document | str], g_per_kwh: float | None) -> Took:
    """All that was named, added up.

    Args:
        given: documents of runs, and amounts.
        g_per_kwh: prices amounts of energy (g/kWh).

    Raises:
        ValueError: a text is no amount, or a run would count twice.
    """
    runs = [one for one in given if not isinstance(one, str)]
    _check_once(runs)
    parts = [_said_part(amount(one), one, g_per_kwh) if isinstance(one, str) else _run_part(one) for one in given]
    labels = [label for label, _ in parts]
    sums = {name: total((label, part[name]) for label, part in parts) for name in MEASURES}
    of_runs = [part for part, one in zip(parts, given, strict=True) if not isinstance(one, str)]
    making = total(((label, part["embodied_g"]) for label, part in of_runs), "no run has it")
    if sums["carbon_g"].value is not None and making.value is not None:
        sums["carbon_g"] = total([("operation", sums["carbon_g"]), ("making of the hardware", making)])
    absent = {
        name: [(label, part[name].how or "not recorded") for label, part in parts if part[name].value is None]
        for name in MEASURES
    }
    notes = [
        f"{_name(run)} is still running: it counts as far as it has come."
        for run in runs
        if run["run"]["status"] == "running"
    ]
    return Took(
        sums,
        absent,
        making,
        frozenset(run["price"]["basis"] for run in runs if run.get("price")),
        frozenset(run["run"].get("zone") for run in runs),
        tuple(labels),
        tuple(notes),
    )


def _check_once(runs: Sequence[Document]) -> None:
    ids = [run["run"]["id"] for run in runs]
    for run in runs:
        if ids.count(run["run"]["id"]) > 1:
            raise ValueError(f"{_name(run)} is named twice in --development")
        if run["run"].get("enclosing_run") in ids:
            raise ValueError(
                f"{_name(run)} was recorded inside {run['run']['enclosing_run']}, which holds its cost: name one"
            )


def _name(document: Document) -> str:
    return f"{document['run']['name']} ({document['run']['id']})"


def _run_part(document: Document) -> tuple[str, dict[str, Quantity]]:
    names = (*MEASURES, "embodied_g")
    return _name(document), {name: Quantity.from_json(document["footprint"].get(name)) for name in names}


def _said_part(given: Amount, label: str, g_per_kwh: float | None) -> tuple[str, dict[str, Quantity]]:
    figure = Quantity(given.value, given.low, given.high, "estimated", "as given")
    part: dict[str, Quantity] = {given.field: figure, "embodied_g": Quantity.absent("an amount tells none")}
    if given.field == "carbon_g":
        part["energy_j"] = Quantity.absent(IS_CARBON)
    elif g_per_kwh is not None or not given.value:
        price = (g_per_kwh or 0.0) / J_PER_KWH
        part["carbon_g"] = Quantity(given.value * price, given.low * price, given.high * price, "estimated", "as given")
    else:
        part["carbon_g"] = Quantity.absent(UNPRICED)
    return label, part
