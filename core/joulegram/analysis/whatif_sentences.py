"""What a what-if comes to, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from joulegram.analysis.sentences import listing
from joulegram.units import show_mass

Row = Mapping[str, Any]
MOST_TOLD = 4
"""Zones of which the range over start hours is told in words."""
AVERAGE = (
    "These are average intensities: they share out what a grid emits, and do not say by how much its emissions would "
    "change if the run were moved."
)


def sentences(own: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """What follows for a run.

    Args:
        own: the run, as in the result.
        rows: zones and measures, as in the result.
    """
    timed = [row for row in rows if row["by_start"] and row["intensity"] != "monthly"]
    told = [range_sentence(row) for row in timed[:MOST_TOLD]]
    if timed:
        told += own_sentence(own, next((row for row in timed if row["zone"] == own["zone"]), timed[0]))
    told += place_sentence(rows)
    told += basis_sentence(own, rows)
    if own["missing"]:
        told.append(f"All figures are lower bounds: the run’s energy lacks {listing(own['missing'])}.")
    if own["status"] == "running":
        told.append("The run is still going on: this is its energy so far.")
    if all(row["signal"] == "average" for row in rows):
        told.append(AVERAGE)
    return told


def range_sentence(row: Row) -> str:
    """``At the same energy, DK-DK1 in 2023 ranges from 1.20 g to 9.30 g by start hour; its average …``."""
    spread = row["by_start"]
    said = (
        f"At the same energy, {row['zone']} in {row['period']['name']} ranges from {show_mass(spread['min_g'])} to "
        f"{show_mass(spread['max_g'])} by start hour"
    )
    if not spread["min_g"] > 0:
        return f"{said}; its average over that time makes it {show_mass(row['at_mean_g'])}."
    return (
        f"{said}; its average over that time makes it {show_mass(row['at_mean_g'])} and hides a factor of "
        f"{spread['max_g'] / spread['min_g']:.1f}."
    )


def own_sentence(own: Mapping[str, Any], row: Row) -> list[str]:
    """Where the run itself stands among the start hours of a zone."""
    place = row["own"]
    if place is None:
        return []
    where = f"{row['zone']} in {row['period']['name']}"
    more = f"more than from {place['percentile']:.0f} % of the start hours of {where}"
    if place["by"] == "start":
        start = own["start"].replace("T", " ")[:16]
        return [f"From its own start, {start} UTC, it costs {show_mass(place['carbon_g'])} there: {more}."]
    return [f"Its own figure is {show_mass(place['carbon_g'])}: {more}."]


def place_sentence(rows: Sequence[Row]) -> list[str]:
    """How far zones lie apart at their means, those that count the same emissions."""
    told = []
    kinds = list(dict.fromkeys((row["intensity"], _counts(row)) for row in rows if row["intensity"] != "monthly"))
    for kind in kinds:
        same = [row for row in rows if (row["intensity"], _counts(row)) == kind and row["at_mean_g"] > 0]
        if len({row["zone"] for row in same}) < 2:
            continue
        least, most = (pick(same, key=lambda row: row["at_mean_g"]) for pick in (min, max))
        of = f" ({kind[0]}, {kind[1]} basis)" if len(kinds) > 1 else ""
        told.append(
            f"By place alone, at the average of each{of}: from {show_mass(least['at_mean_g'])} in {least['zone']} to "
            f"{show_mass(most['at_mean_g'])} in {most['zone']}, {most['at_mean_g'] / least['at_mean_g']:.1f} times as "
            "much."
        )
    years = dict.fromkeys(row["period"]["name"] for row in rows if row["period"])
    if len(years) > 1:
        told.append(
            f"The zones’ hours are of different times ({listing(list(years))}): grids change from year to year."
        )
    return told


def basis_sentence(own: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """A warning where figures that count different emissions stand beside each other."""
    bases: dict[str, list[str]] = {own["basis"]: ["the run’s own figure"]} if own["carbon_g"] is not None else {}
    for row in rows:
        bases.setdefault(_counts(row), []).append(f"{row['zone']} {row['intensity']}")
    if len(bases) < 2:
        return []
    named = [f"{listing(_few(of))} ({basis} basis)" for basis, of in bases.items()]
    return [f"Figures that count different emissions do not compare: {'; '.join(named)}."]


def _counts(row: Row) -> str:
    """Which emissions a row counts: its basis, and its signal if that is not the average."""
    return str(row["basis"]) if row["signal"] == "average" else f"{row['signal']} {row['basis']}"


def _few(names: Sequence[str]) -> list[str]:
    unique = list(dict.fromkeys(names))
    return unique if len(unique) <= MOST_TOLD else [*unique[: MOST_TOLD - 1], f"{len(unique) - MOST_TOLD + 1} more"]
