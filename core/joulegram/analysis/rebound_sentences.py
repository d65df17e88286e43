"""A rebound in plain words: a cost of one never without the total."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from joulegram.units import J_PER_KWH, show_change, show_count, show_energy, show_mass, show_percent

Row = Mapping[str, Any]

PARTS = {
    "activity": "activity",
    "energy_intensity": "energy of one",
    "grid_intensity": "the grid",
    "pue": "the building (PUE)",
}


def sentences(found: Row) -> list[str]:
    """What follows.

    Args:
        found: as in the result.
    """
    said = [] if found["service"] is None else _service(found)
    if found["development"] is not None:
        said += development(found["development"])
    return [*said, *found["notes"]]


def _service(found: Row) -> list[str]:
    unit = found["unit"]
    said = [_totals(found, unit), _offset(found["service"], found["word"], unit), _change(found["change"])]
    if found["word"] == "rebound":
        return said
    return [
        *said,
        "It is called an activity offset and no rebound: how much there would have been without the measure is not "
        "known (--exogenous-growth says it).",
    ]


def _totals(found: Row, unit: str) -> str:
    one = unit.removesuffix("s")
    before, after = found["before"], found["after"]
    return (
        f"In total {show_energy(before['energy_j_per_day'])} a day became {show_energy(after['energy_j_per_day'])}: "
        f"{show_count(before['volume_per_day'])} {unit} a day at {show_energy(before['j_per_unit'])} became "
        f"{show_count(after['volume_per_day'])} at {show_energy(after['j_per_unit'])} a {one}."
    )


def _offset(row: Row, word: str, unit: str) -> str:
    one = unit.removesuffix("s")
    if row["value"] is None:
        return f"The {word} is undefined: there is no saving that use could eat, as {row['why']}."
    potential, actual = row["potential_j_per_day"], row["actual_j_per_day"]
    saved = f"{show_energy(actual)} of it was" if actual >= 0 else f"{show_energy(-actual)} more was used instead"
    said = (
        f"A {one} takes {show_percent(row['saving'])} less, which could have saved {show_energy(potential)} a day; "
        f"{saved}. The {word} is {_percent(row['value'])}{_interval(row)}: {_meaning(row, unit)}"
    )
    return f"{said} ({row['interval']})." if row["low"] is None and row["interval"] else f"{said}."


def _interval(row: Row) -> str:
    return "" if row["low"] is None else f" ({_percent(row['low'])} to {_percent(row['high'])})"


def _meaning(row: Row, unit: str) -> str:
    growth = row["growth"] - (row["exogenous"] or 0.0)
    more = f"{_percent(abs(growth))} {'more' if growth >= 0 else 'fewer'} {unit}"
    if row["exogenous"]:
        more += f" (of {_percent(row['growth'])}, {_percent(row['exogenous'])} would have come anyway)"
    above = (
        ""
        if row["backfires_above"] is None
        else f"; the whole saving is gone from {_percent(row['backfires_above'])} more on"
    )
    return {
        "backfire": f"{more} used up more than all of it (backfire){above}",
        "nullified": f"{more} used up all of it",
        "partial": f"{more} used up a part of it{above}",
        "super-conservation": f"{more}, so that more was saved than the measure alone would have",
    }[str(row["verdict"])]


def _change(change: Row) -> str:
    in_grams = change["unit"] == "g a day"
    show: Callable[[float], str] = show_mass if in_grams else lambda kwh: show_energy(kwh * J_PER_KWH)
    beside = max(change["before"], change["after"])
    parts = ", ".join(f"{show_change(part, show, beside)} {PARTS[name]}" for name, part in change["parts"].items())
    what = "Carbon" if in_grams else "Energy"
    totals = (
        f"{show(change['before'])} to {show(change['after'])} a day ({show_change(change['change'], show, beside)})"
    )
    said = f"{what} went from {totals}: {parts}."
    return f"{said} Not in grams, as {change['why']}." if change["why"] else said


def _percent(share: float) -> str:
    """``58 %``, ``−12 %``."""
    return f"{100 * share:,.0f} %".replace("-", "−")


def development(row: Row) -> list[str]:
    """What changed in developing."""
    if row["why"]:
        return [f"Development: not told, as {row['why']}."]
    before, after = row["before"], row["after"]
    said = (
        f"Development: {before['runs_per_week']:.3g} runs a week became {after['runs_per_week']:.3g}, and "
        f"{before['setups_per_week']:.3g} different set-ups {after['setups_per_week']:.3g}; in total "
        f"{show_energy(before['energy_j_per_week'])} a week became {show_energy(after['energy_j_per_week'])}"
    )
    offset, each = row["offset"], f"{show_energy(before['j_per_run'])} to {show_energy(after['j_per_run'])}"
    if offset["value"] is None:
        return [f"{said}. A run did not get cheaper ({each})."]
    used = (
        f"more runs used up {_percent(offset['value'])} of that"
        if offset["value"] > 0
        else "and there were no more runs"
    )
    return [f"{said}. A run took {show_percent(offset['saving'])} less ({each}); {used}."]
