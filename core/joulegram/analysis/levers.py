"""Which measures act where in a model's life, and how much of its own ledger each could touch.

The rows are those of figure 4 of *Efficiency is Not Enough*: data, model selection, compression, hardware and
scheduling, on development and on deployment. A cell holds what was measured there, or a dash and why. Levers act on the
same joules: their figures are not to be added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joulegram.analysis.entries import Entry, summed
from joulegram.analysis.lifecycle import Life
from joulegram.analysis.moving import Movable
from joulegram.analysis.stages import PHASES, SERVES
from joulegram.units import show_energy, show_mass, show_percent

SCHEMA_VERSION = 1
LEVERS = {
    "data": "Data parsimony",
    "model": "Model selection",
    "compression": "Compression",
    "hardware": "Hardware",
    "scheduling": "Scheduling",
}
MOST_TOLD = 3

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Opened:
    """What only a whole run tells.

    Args:
        waiting_s: time in the phase ``data`` (s); None for a run that tells no such phase.
        waiting_j: IT energy of it (J).
        waiting_g: carbon of it (g); None where that is not known.
        movable: the run as one that could have started at another time.
    """

    waiting_s: float | None
    waiting_j: float
    waiting_g: float | None
    movable: Movable


def levers(
    life: Life,
    opened: Mapping[str, Opened],
    gained: Callable[[Sequence[Movable]], Mapping[str, Any] | None],
    *,
    project: str,
    model: str | None = None,
) -> Json:
    """The table of levers.

    Args:
        life: the project's runs.
        opened: of those that used most, what their listing does not tell, by id.
        gained: what the grid would give runs, see `moving.gain`.
        project: its name.
        model: the one that is looked at.
    """
    whole = {field: summed(life.entries, field).value for field in ("energy_j", "carbon_g")}
    cells = {phase: _cells(phase, life, opened, gained) for phase in PHASES}
    rows = [
        {"lever": lever, "label": label, **{phase: _shares(cells[phase][lever], whole) for phase in PHASES}}
        for lever, label in LEVERS.items()
    ]
    worked = [entry for entry in life.entries if entry.run.get("stage") not in SERVES and entry.energy_j]
    known = [entry for entry in worked if entry.id in opened]
    result = {
        "schema_version": SCHEMA_VERSION,
        "project": project,
        "model": model,
        "runs": len(life.entries),
        "basis": life.basis,
        "total": {field: summed(life.entries, field).to_json() for field in ("energy_j", "carbon_g")},
        "opened": {
            "runs": len(known),
            "of_runs": len(worked),
            "energy_share": sum(e.energy_j for e in known) / sum(e.energy_j for e in worked) if worked else None,
        },
        "rows": rows,
    }
    return {**result, "sentences": _sentences(result)}


def _cells(
    phase: str,
    life: Life,
    opened: Mapping[str, Opened],
    gained: Callable[[Sequence[Movable]], Mapping[str, Any] | None],
) -> dict[str, Json]:
    parts = life.parts
    inside = {part: entries for part, entries in parts.items() if part in PHASES[phase]}
    overhead, waiting = _overhead(inside), _waiting(inside, opened)
    if phase == "development":
        return {
            "data": _cell(
                [_part(parts, "data", "data stage"), _part(parts, ("search", "train", "final"), "what trains on it")],
                "no run of stage data or train",
            ),
            "model": _cell(
                [
                    _part(parts, p, w)
                    for p, w in (("search", "search"), ("train", "other training"), ("failed", "failed or aborted"))
                ],
                "all that was trained is the final training",
            ),
            "compression": _cell([_part(parts, "compress", "spent on compressing")], "no run of stage compress"),
            "hardware": _cell([waiting, overhead], "no run tells a phase data, and PUE is 1 or unknown"),
            "scheduling": _cell([_scheduled(inside, opened, gained)], NO_HOURS),
        }
    asked = _part(parts, ("requests", "serve"), "requests")
    return {
        "data": _cell([_part(parts, "retrain", "retraining")], "no run of stage retrain"),
        "model": _cell([asked], NOT_SERVED),
        "compression": _cell([asked], NOT_SERVED),
        "hardware": _cell(
            [_part(parts, "idle", "idle"), waiting, overhead],
            "no serving with a server’s books, and PUE is 1 or unknown",
        ),
        "scheduling": _cell(
            [_scheduled({"retrain": parts.get("retrain", ())}, opened, gained)],
            NO_HOURS if "retrain" in parts else "serving runs when it is asked; no run of stage retrain",
        ),
    }


NOT_SERVED = "no run of stage serve"
NO_HOURS = "no hours of the grid to choose from (--intensity names some)"


def _cell(items: Sequence[Json | None], why: str) -> Json:
    present = [item for item in items if item is not None]
    return {"items": present, "why": None if present else why}


def _shares(cell: Json, whole: Mapping[str, float | None]) -> Json:
    """With each item's share of the whole life: of its energy, or of its carbon where it has no energy."""
    shares = [_share(item, whole) for item in cell["items"]]
    return {**cell, "items": [{**item, "share": share} for item, share in zip(cell["items"], shares, strict=True)]}


def _share(item: Json, whole: Mapping[str, float | None]) -> float | None:
    field = "energy_j" if item["energy_j"] is not None else "carbon_g"
    part, all_of_it = item[field], whole[field]
    return part / all_of_it if part is not None and all_of_it else None


def _item(what: str, energy_j: float | None, carbon_g: float | None, how: str, **more: Any) -> Json:
    return {"what": what, "energy_j": energy_j, "carbon_g": carbon_g, "how": how, **more}


def _part(parts: Mapping[str, Sequence[Entry]], names: str | Sequence[str], what: str) -> Json | None:
    """All that the runs of parts used; None where there are none, or nothing of them is known."""
    wanted = (names,) if isinstance(names, str) else names
    entries = [entry for name in wanted for entry in parts.get(name, ())]
    energy = summed(entries, "energy_j")
    if energy.value is None:
        return None
    return _item(what, energy.value, summed(entries, "carbon_g").value, f"{_runs(len(entries))}, {energy.method}")


def _overhead(parts: Mapping[str, Sequence[Entry]]) -> Json | None:
    """What cooling and supply take: facility energy less IT energy; None where that is nothing."""
    entries = [entry for inside in parts.values() for entry in inside]
    energy, facility = summed(entries, "energy_j"), summed(entries, "facility_energy_j")
    if energy.value is None or facility.value is None or facility.value <= energy.value:
        return None
    over_j = facility.value - energy.value
    carbon_g = summed(entries, "carbon_g").value
    grams = None if carbon_g is None else carbon_g * over_j / facility.value
    return _item("cooling and supply", over_j, grams, f"PUE {facility.value / energy.value:.3g}, {facility.method}")


def _waiting(parts: Mapping[str, Sequence[Entry]], opened: Mapping[str, Opened]) -> Json | None:
    """What loops used while they waited for data, of the runs that were read whole."""
    ids = {entry.id for entries in parts.values() for entry in entries}
    told = [opened[run_id] for run_id in sorted(ids & set(opened)) if opened[run_id].waiting_s is not None]
    if not told:
        return None
    grams = [one.waiting_g for one in told]
    return _item(
        "waiting for data",
        sum(one.waiting_j for one in told),
        None if None in grams else sum(g for g in grams if g is not None),
        f"phase data of {_runs(len(told))}",
        duration_s=sum(one.waiting_s or 0.0 for one in told),
    )


def _scheduled(
    parts: Mapping[str, Sequence[Entry]],
    opened: Mapping[str, Opened],
    gained: Callable[[Sequence[Movable]], Mapping[str, Any] | None],
) -> Json | None:
    """What the best start of each run would have saved."""
    entries = [entry for inside in parts.values() for entry in inside]
    ids = {entry.id for entry in entries}
    # What lies in another run moves with that one.
    outer = [entry.id for entry in entries if entry.id in opened and entry.run.get("enclosing_run") not in ids]
    found = gained([opened[run_id].movable for run_id in dict.fromkeys(outer)])
    if found is None:
        return None
    is_own = found["own_g"] is not None
    base_g = found["own_g"] if is_own else found["mean_g"]
    how = (
        f"{'own starts' if is_own else 'average starts'} of {_runs(found['runs'])} against the best of up to "
        f"{found['start_hours']:,} known hours each"
    )
    return _item("best start", None, base_g - found["best_g"], how, **found)


# -- in words -------------------------------------------------------------------------------------------------------


def _sentences(found: Mapping[str, Any]) -> list[str]:
    whole_j = found["total"]["energy_j"]["value"]
    if not whole_j:
        return ["No run of it has energy that is known: nothing can be said of any lever."]
    items = {
        (item["what"], phase): item
        for row in found["rows"]
        for phase in PHASES
        for item in row[phase]["items"]
        if item["energy_j"] is not None
    }
    most = sorted(items.items(), key=lambda entry: -entry[1]["energy_j"])[:MOST_TOLD]
    named = [
        f"{what}, {phase} ({show_energy(i['energy_j'])}, {show_percent(i['energy_j'] / whole_j)})"
        for (what, phase), i in most
    ]
    told = [f"Most joules are in: {'; '.join(named)}."] if named else []
    for row in found["rows"]:
        for phase in PHASES:
            told += [_start_sentence(phase, i) for i in row[phase]["items"] if i["what"] == "best start"]
    told.append("Levers act on the same joules: their figures are what each could touch, and are not to be added.")
    opened = found["opened"]
    if opened["runs"] < opened["of_runs"]:
        share = show_percent(opened["energy_share"])
        told.append(
            f"Waiting and starts are of the {opened['runs']:,} costliest runs, {share} of what all but serving used."
        )
    return told


def _start_sentence(phase: str, item: Mapping[str, Any]) -> str:
    own = f"their own starts {show_mass(item['own_g'])}" if item["own_g"] is not None else "their own hours unknown"
    best, mean, worst = (show_mass(item[name]) for name in ("best_g", "mean_g", "worst_g"))
    return (
        f"{phase.capitalize()}: {item['runs']} of {item['of_runs']} runs could have been moved on their own grid: from "
        f"{best} at the best starts to {worst} at the worst; {own}, an average start {mean}."
    )


def _runs(number: int) -> str:
    return f"{number:,} run{'' if number == 1 else 's'}"
