"""A comparison in words that the table and the page share.

Both read it as plain data, as `joulegram compare --json` prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from joulegram.report.words import plain
from joulegram.units import show_duration, show_energy, show_flops, show_mass, show_percent

Comparison = Mapping[str, Any]


def show_count(count: float) -> str:
    """``23.5 M``: a count as a person reads it."""
    for worth, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= worth * 0.9995:
            return f"{count / worth:.3g} {letter}"
    return f"{count:.0f}"


SHOW: Mapping[str, Callable[[float], str]] = {
    "parameters": show_count,
    "flops": show_flops,
    "duration_s": show_duration,
    "energy_j": show_energy,
    "carbon_g": show_mass,
    "carbon_equal_g": show_mass,
}
"""How a measure's values are shown, by field."""

HEADS: Mapping[str, str] = {
    "parameters": "parameters",
    "flops": "FLOPs",
    "duration_s": "time",
    "energy_j": "energy",
    "carbon_g": "CO₂e",
    "carbon_equal_g": "CO₂e, equal",
}
"""Columns' headings; the last is at equal intensity."""


def title(found: Comparison) -> str:
    """What is compared."""
    runs = len({point["run"] for point in found["points"]})
    return f"{runs} runs" if found["by"] == "run" else f"{len(found['points'])} epochs of {runs} runs"


def point_name(point: Mapping[str, Any]) -> str:
    """``A resnet18``."""
    return f"{point['label']} {plain(point['name'])}"


def by_energy(found: Comparison) -> list[Mapping[str, Any]]:
    """The points, the least energy first; those without any last."""
    return sorted(found["points"], key=lambda point: (point["energy_j"] is None, point["energy_j"] or 0.0))


def show_figure(point: Mapping[str, Any], field: str) -> str:
    """A measure of a point; ``missing`` where it is not known."""
    return "missing" if point[field] is None else SHOW[field](point[field])


def show_rank(point: Mapping[str, Any], field: str) -> str:
    """``2.``, or ``2. =`` where another is as good as equal; nothing where the figure is not compared."""
    rank = point["ranks"][field]
    return "" if rank is None else f"{rank}. =" if point["tied"][field] else f"{rank}."


def show_pair(found: Comparison, agreed: Mapping[str, Any]) -> str:
    """``FLOPs – energy``: the two measures of an agreement."""
    labels = {measure["field"]: measure["label"] for measure in found["measures"]}
    return " – ".join(short_label(labels[agreed[axis]]) for axis in "xy")


def short_label(label: str) -> str:
    """A measure's label where there is little room."""
    return label.replace("carbon at equal intensity", "carbon, equal")


def show_coefficient(coefficient: Mapping[str, Any]) -> str:
    """A coefficient to two digits, or a dash where it is not defined."""
    return "–" if coefficient["value"] is None else f"{coefficient['value']:.2f}"


def show_interval(coefficient: Mapping[str, Any]) -> str:
    """``0.41 – 0.80``; nothing where there is none."""
    return "" if coefficient["low"] is None else f"{coefficient['low']:.2f} – {coefficient['high']:.2f}"


def show_flips(agreed: Mapping[str, Any]) -> str:
    """How many of the pairs flip, and the share."""
    return f"{agreed['flipped']:,} ({show_percent(agreed['flip_share'] or 0.0)})"


def informative(found: Comparison) -> Sequence[Mapping[str, Any]]:
    """The agreements of which there is something to say: two points or more have both measures."""
    return [agreed for agreed in found["agreements"] if agreed["pairs"]]


def fronts(found: Comparison) -> tuple[str, list[tuple[str, str]]]:
    """What the quality is, or why there is none; and of each measure the points that no other beats."""
    quality = found["quality"]
    if quality["metric"] is None:
        return f"No quality to hold costs against: {plain(quality['why'])}.", []
    better = f"{quality['better']} is better, {quality['how']}"
    if quality["noise"]:
        better += f"; within {show_percent(quality['noise'])} a tie, {quality['noise_how']}"
    rows = [(HEADS[field], ", ".join(labels) or "none") for field, labels in quality["fronts"].items()]
    return f"Not beaten in {plain(quality['metric'])} ({better}) and:", rows


def ground(found: Comparison) -> list[str]:
    """What the comparison stands on: the noise of each measure, the equal intensity, and what else to know."""
    same: dict[tuple[float, str], list[str]] = {}
    for measure in found["measures"]:
        if measure["known"]:
            same.setdefault((measure["noise"], measure["noise_how"]), []).append(measure["label"])
    lines = [f"Ties of {', '.join(of)}: within {show_percent(noise)} ({how})." for (noise, how), of in same.items()]
    equal = found["equal_intensity"]
    if equal["g_per_kwh"] is not None:
        lines.append(
            f"Equal intensity: {equal['g_per_kwh']:.0f} gCO₂e/kWh, {equal['zone']}, {equal['basis']} basis; each run’s "
            "own PUE."
        )
    return lines + [f"{note[:1].upper()}{note[1:]}." for note in map(plain, found["notes"])]
