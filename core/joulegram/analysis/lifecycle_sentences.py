"""What a life cycle comes to, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulegram.analysis.sentences import listing
from joulegram.units import show_energy, show_mass, show_percent

MOST_NAMED = 4

Life = Mapping[str, Any]


def sentences(found: Life) -> list[str]:
    """What follows, and what the figures leave open.

    Args:
        found: the life cycle, as in the result.
    """
    told = [*_phases(found), *_final(found), *_failed(found), *_idle(found), *_search(found)]
    return [*told, *_open(found), *_bases(found), *_zones(found), *_embodied(found), *_unnamed(found)]


def _value(figure: Mapping[str, Any]) -> float:
    return float(figure["value"] or 0.0)


def _phases(found: Life) -> list[str]:
    development, deployment = found["phases"]
    whole = _value(found["total"]["energy_j"])
    if not whole:
        return ["No run of it has energy that is known."]
    if not deployment["runs"]:
        return [
            f"All {show_energy(whole)} so far are development: nothing of stage serve, idle or retrain is recorded."
        ]
    share = _value(development["energy_j"]) / whole
    return [
        f"Development used {show_energy(_value(development['energy_j']))}, {show_percent(share)} of the life so far, "
        f"and deployment {show_energy(_value(deployment['energy_j']))}."
    ]


def _final(found: Life) -> list[str]:
    final, times = found["final"], found["multiplier"]
    if times is None:
        return [f"No final training is known: {final['how']}."]
    names = f"{final['name']} ({final['runs'][0]}), {final['how']}"
    energy = times["energy_j"]
    if energy["value"] is None:
        return [f"The final training is {names}; {energy['why']}."]
    others = [
        f"{_times(times[field])} in {word}"
        for field, word in (("carbon_g", "carbon"), ("flops", "FLOPs"))
        if times[field]["value"] is not None
    ]
    also = f" ({listing(others)})" if others else ""
    return [f"All of the development took {_times(energy)} the energy of the final training{also}: {names}."]


def _times(figure: Mapping[str, Any]) -> str:
    return f"{figure['value']:.3g} times" + (" at least" if figure["high"] is None else "")


def _failed(found: Life) -> list[str]:
    share = found["failed_share"]["energy_j"]
    runs = next((p["runs"] for p in found["phases"][0]["parts"] if p["part"] == "failed"), 0)
    if not runs or share is None:
        return []
    return [
        f"{show_percent(share)} of the development’s energy went into {_count(runs, 'run')} that failed or stopped."
    ]


def _idle(found: Life) -> list[str]:
    parts = {part["part"]: part for part in found["phases"][1]["parts"]}
    if "idle" not in parts:
        return []
    idle = _value(parts["idle"]["energy_j"])
    served = idle + _value(parts["requests"]["energy_j"]) if "requests" in parts else idle
    return [f"{show_percent(idle / served)} of what serving used went to no request."] if served else []


def _search(found: Life) -> list[str]:
    told = [sweep for sweep in found["sweeps"] if sweep["how"] == "told by its library"]
    if not told:
        return []
    used, trials = sum(_value(sweep["energy_j"]) for sweep in told), sum(sweep["trials"] for sweep in told)
    return [f"{_count(len(told), 'search', 'searches')} of {_count(trials, 'trial')} used {show_energy(used)}."]


def _open(found: Life) -> list[str]:
    going_on = found["open"]
    if not going_on:
        return []
    named = [f"{run['name']} ({run['id']})" for run in going_on[:MOST_NAMED]]
    more = f" and {len(going_on) - MOST_NAMED} more" if len(going_on) > MOST_NAMED else ""
    return [f"Still going on, counted so far: {', '.join(named)}{more}."]


def _bases(found: Life) -> list[str]:
    if not found["other_basis"]:
        return []
    return [
        f"Carbon is on the {found['basis']} basis; that of {_count(found['other_basis'], 'run')} is on another and not "
        f"added (joulegram reprice --basis {found['basis']} prices them alike)."
    ]


def _zones(found: Life) -> list[str]:
    zones = [zone["zone"] for zone in found["zones"]]
    known = [zone for zone in zones if zone]
    told = []
    if len(known) > 1:
        told.append(f"Runs were in {listing(known)}: each one’s grams are those of its own grid.")
    if None in zones:
        runs = next(zone["runs"] for zone in found["zones"] if zone["zone"] is None)
        told.append(
            f"{_count(runs, 'run')} of unknown place {'is' if runs == 1 else 'are'} priced at the world’s average."
        )
    return told


def _embodied(found: Life) -> list[str]:
    embodied = found["total"]["embodied_g"]
    if embodied["value"] is None:
        return ["Embodied carbon is not counted."]
    lacks = f", {listing(embodied['missing'])}" if embodied["missing"] else ""
    return [f"Embodied carbon, {show_mass(embodied['value'])}, stands beside the carbon of operation{lacks}."]


def _unnamed(found: Life) -> list[str]:
    if not found["unnamed_runs"]:
        return []
    runs = found["unnamed_runs"]
    return [f"{_count(runs, 'run')} of the project {'names' if runs == 1 else 'name'} no model and are not in this."]


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
