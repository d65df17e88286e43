"""What a model has cost over its life: development, failures included, against deployment.

The result is plain data: what ``joulegram lifecycle --json`` prints and what the views render.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from joulegram.analysis.entries import FIGURES, Entry, alone, grouped, summed
from joulegram.analysis.finals import Final, final_training
from joulegram.analysis.lifecycle_sentences import sentences
from joulegram.analysis.over_time import adding_up, grid
from joulegram.analysis.stages import PHASES, TRAINS, part_of
from joulegram.quantities import Quantity

SCHEMA_VERSION = 1
TOLD = "told by its library"
MULTIPLIED = ("energy_j", "carbon_g", "flops")
"""What a development multiplier is worked out for."""

Json = dict[str, Any]


class NoLife(Exception):
    """There is nothing to add up; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Life:
    """The runs of a project, or of one model of it, each where it belongs.

    Args:
        chosen: the runs, as they were given.
        entries: what each of them alone has cost, its carbon on one basis.
        basis: that basis; None where no run has carbon.
        final: the final training.
        parts: runs by part of life; one that serves may be in two.
    """

    chosen: Sequence[Entry]
    entries: Sequence[Entry]
    basis: str | None
    final: Final
    parts: Mapping[str, Sequence[Entry]]


def sort_out(entries: Sequence[Entry], *, project: str, model: str | None = None, final: str | None = None) -> Life:
    """Sorts the runs of a project by part of life.

    Args:
        entries: all runs of the project.
        project: its name.
        model: only runs that name this model.
        final: id of the run that is the final training; by rule where None.

    Raises:
        NoLife: no run is left to add up, or the final training is not among them.
    """
    chosen = _of_model(entries, project, model)
    if final is not None and final not in {entry.id for entry in chosen}:
        where = f"project {project!r}" if model is None else f"model {model!r} of project {project!r}"
        raise NoLife(f"run {final} is none of {where}: --final takes one that is (joulegram runs --project lists them)")
    basis = common_basis(chosen)
    counted = alone([on_basis(entry, basis) for entry in chosen])
    found = final_training(counted, final)
    return Life(chosen, counted, basis, found, by_part(counted, found.ids))


def lifecycle(entries: Sequence[Entry], *, project: str, model: str | None = None, final: str | None = None) -> Json:
    """Adds up the runs of a project, or of one model of it; arguments and errors as those of `sort_out`."""
    life = sort_out(entries, project=project, model=model, final=final)
    chosen, parts, ids = life.chosen, life.parts, {entry.id for entry in life.chosen}
    result = {
        "schema_version": SCHEMA_VERSION,
        "project": project,
        "model": model,
        "models": sorted({str(entry.run["model"]) for entry in entries if entry.run.get("model")}),
        "unnamed_runs": sum(1 for entry in entries if not entry.run.get("model")) if model is not None else 0,
        "runs": len(chosen),
        "final": _final(life.final, life.entries),
        "phases": [_phase(phase, names, parts) for phase, names in PHASES.items()],
        "total": _figures(life.entries),
        "multiplier": multiplier(parts),
        "failed_share": failed_share(parts),
        "sweeps": _sweeps(life.entries),
        "basis": life.basis,
        "other_basis": sum(1 for entry in chosen if entry.basis not in (None, life.basis) and _has_carbon(entry)),
        "zones": _zones(chosen),
        "open": [
            {name: entry.run.get(name) for name in ("id", "name", "stage")}
            for entry in chosen
            if entry.run["status"] == "running"
        ],
        "enclosed_runs": sum(1 for entry in chosen if entry.run.get("enclosing_run") in ids),
        "over_time": _over_time(parts),
    }
    return {**result, "sentences": sentences(result)}


def _of_model(entries: Sequence[Entry], project: str, model: str | None) -> list[Entry]:
    if not entries:
        raise NoLife(f"project {project!r} has no run (joulegram runs lists them)")
    chosen = [entry for entry in entries if model is None or entry.run.get("model") == model]
    if not chosen:
        names = sorted({str(entry.run["model"]) for entry in entries if entry.run.get("model")})
        has = f"its models are: {', '.join(names)}" if names else "none of its runs names one"
        raise NoLife(f"no run of project {project!r} names model {model!r}; {has}")
    return chosen


# -- bases ----------------------------------------------------------------------------------------------------------


def common_basis(entries: Sequence[Entry]) -> str | None:
    """The basis that the carbon of most of the energy is on; None where none is known."""
    by_basis = grouped((entry for entry in entries if _has_carbon(entry)), lambda entry: entry.basis)
    return max(by_basis, key=lambda basis: (sum(e.energy_j for e in by_basis[basis]), basis), default=None)


def on_basis(entry: Entry, basis: str | None) -> Entry:
    """The run, its carbon missing where that is on another basis: grams of two are not added."""
    if entry.basis == basis or not _has_carbon(entry):
        return entry
    why = f"priced on the {entry.basis or 'unknown'} basis, the others on the {basis} one"
    return replace(entry, figures={**entry.figures, "carbon_g": Quantity.absent(why)})


def _has_carbon(entry: Entry) -> bool:
    return entry.figures["carbon_g"].value is not None


# -- parts ----------------------------------------------------------------------------------------------------------


def by_part(entries: Sequence[Entry], final: Sequence[str]) -> dict[str, list[Entry]]:
    """Runs by the part of life that they belong to; one that serves is split into its requests and what is idle."""
    continued = {str(entry.run["parent"]) for entry in entries if entry.run.get("parent")}
    parts: dict[str, list[Entry]] = {}
    for entry in entries:
        for part, slice_ in _slices(entry, part_of(entry.run, final, continued)):
            parts.setdefault(part, []).append(slice_)
    return parts


def _slices(entry: Entry, part: str) -> list[tuple[str, Entry]]:
    """Idle is the rest of the run's own: what is nobody's in a server's books is of whole devices."""
    if part != "serve" or entry.served is None or not entry.energy_j:
        return [(part, entry)]
    share = min(1.0, entry.served.requests_j / entry.energy_j)
    carbon_g, requests_g = entry.figures["carbon_g"].value, entry.served.requests_g
    carbon_share = share if not carbon_g or requests_g is None else min(1.0, requests_g / carbon_g)
    return [("requests", entry.part(share, carbon_share)), ("idle", entry.part(1 - share, 1 - carbon_share))]


def _phase(phase: str, names: Mapping[str, str], parts: Mapping[str, Sequence[Entry]]) -> Json:
    inside = [entry for part in names for entry in parts.get(part, ())]
    served = {entry.id: entry.served for entry in inside if entry.served is not None}
    return {
        "phase": phase,
        "runs": len({entry.id for entry in inside}),
        "requests": sum(one.requests for one in served.values()) if served else None,
        **_figures(inside),
        "parts": [
            {
                "part": part,
                "label": label,
                "runs": len(parts[part]),
                "duration_s": sum(entry.duration_s for entry in parts[part]),
                **_figures(parts[part]),
            }
            for part, label in names.items()
            if part in parts
        ],
    }


def _figures(entries: Sequence[Entry]) -> Json:
    return {field: summed(entries, field).to_json() for field in FIGURES}


def _final(found: Final, entries: Sequence[Entry]) -> Json | None:
    by_id = {entry.id: entry for entry in entries}
    if not found.ids:
        return {"runs": [], "name": None, "how": found.how}
    line = [by_id[run_id] for run_id in found.ids]
    return {"runs": list(found.ids), "name": line[0].run["name"], "how": found.how, **_figures(line)}


def multiplier(parts: Mapping[str, Sequence[Entry]]) -> Json | None:
    """All of the development over the final training, by field; None without a final training.

    Final training is in both, so only the rest is uncertain against it. A field that any run lacks is left out as far
    as its final training goes, and else has no upper bound.
    """
    if "final" not in parts:
        return None
    rest = [entry for part in PHASES["development"] if part != "final" for entry in parts.get(part, ())]
    return {field: _over_final(rest, parts["final"], field) for field in MULTIPLIED}


def _over_final(rest: Sequence[Entry], final: Sequence[Entry], field: str) -> Json:
    whole, others = summed(final, field), summed(rest, field)
    if not whole.value or whole.missing:
        return {"value": None, "low": None, "high": None, "why": "the final training has no figure of it"}
    if rest and others.value is None:
        return {"value": None, "low": None, "high": None, "why": "no other run has a figure of it"}
    value, low, high = others.value or 0.0, others.low or 0.0, others.high if rest else 0.0
    return {
        "value": 1 + value / whole.value,
        "low": 1 + low / whole.high if whole.high else 1.0,
        "high": 1 + high / whole.low if high is not None and whole.low else None,
        "why": "; ".join(others.missing),
    }


def failed_share(parts: Mapping[str, Sequence[Entry]]) -> Json:
    """The share of the development that failed or was aborted, by field; None where nothing has that figure."""
    inside = [entry for part in PHASES["development"] for entry in parts.get(part, ())]
    shares: Json = {}
    for field in ("energy_j", "carbon_g"):
        whole = summed(inside, field).value
        failed = sum(entry.figures[field].value or 0.0 for entry in parts.get("failed", ()))
        shares[field] = failed / whole if whole else None
    return shares


# -- searches -------------------------------------------------------------------------------------------------------


def _sweeps(entries: Sequence[Entry]) -> list[Json]:
    """Searches, the costliest first: as their library tells them, and else trainings of one process."""
    told = grouped(entries, lambda entry: entry.run.get("sweep"))
    guessed = grouped(
        (e for e in entries if not e.run.get("sweep") and e.run.get("stage") in {*TRAINS, "search"}),
        lambda entry: entry.run.get("process"),
    )
    rows = [_sweep(name, group, TOLD) for name, group in told.items()]
    rows += [_sweep(name, g, "trainings of one process") for name, g in guessed.items() if len(g) > 1]
    return sorted(rows, key=lambda row: (-(row["energy_j"]["value"] or 0.0), row["sweep"]))


def _names(entries: Sequence[Entry]) -> str:
    first, *others = sorted(entries, key=lambda entry: (entry.run.get("started") or "", entry.id))
    return f"{first.run['name']} and {len(others)} more"


def _sweep(name: str, entries: Sequence[Entry], how: str) -> Json:
    trials = {entry.run.get("trial") or entry.id for entry in entries}
    return {
        "sweep": name,
        "label": name if how == TOLD else _names(entries),
        "how": how,
        "trials": len(trials),
        "runs": len(entries),
        "started": min((str(entry.run["started"]) for entry in entries if entry.run.get("started")), default=None),
        **{field: summed(entries, field).to_json() for field in ("energy_j", "carbon_g")},
    }


# -- where and when -------------------------------------------------------------------------------------------------


def _zones(entries: Sequence[Entry]) -> list[Json]:
    by_zone = grouped(entries, lambda entry: str(entry.run.get("zone") or ""))
    rows = [
        {"zone": zone or None, "runs": len(group), "energy_j": sum(entry.energy_j for entry in group)}
        for zone, group in by_zone.items()
    ]
    return sorted(rows, key=lambda row: (-row["energy_j"], row["zone"] or ""))


def _over_time(parts: Mapping[str, Sequence[Entry]]) -> Json:
    times_s = grid([entry for entries in parts.values() for entry in entries])
    return {
        "time_s": times_s.tolist(),
        **{field: adding_up(parts, field, times_s) for field in ("energy_j", "carbon_g")},
    }
