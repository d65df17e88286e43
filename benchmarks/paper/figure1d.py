"""Figure 1d: how hourly carbon intensity spreads, for each region and year.

The paper's panel shows Denmark, London and Edinburgh, 2019 to 2023, as far as that is known from descriptions of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paper.ecnas import Floats
from benchmarks.paper.grids import Grid, write_csv

REGIONS = {"Denmark": "DK-", "London": "GB-LONDON", "Edinburgh": "GB-EDINBURGH"}
"""What the paper shows, and how the names of zones there would begin."""
COLOURS = ("#4477aa", "#ee6677", "#228833")
"""Of each origin."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FOOT = (
    "Boxes: 25th to 75th percentile of the year’s hours, with the median; whiskers: 5th and 95th; dots: mean. "
    "Direct and lifecycle figures, and those of different sources, are not comparable.\n"
    "Sources: Energinet (CC BY 4.0); CarbonCast (Apache-2.0) on ENTSO-E and EIA-930; "
    "ENTSO-E Transparency Platform (CC BY 4.0). Not in the data, of the paper’s regions: {absent}."
)


@dataclass(frozen=True, slots=True)
class Box:
    """How the hours of one zone and year spread: n hours, and their intensity (gCO2e/kWh)."""

    zone: str
    year: int
    n: int
    min: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    max: float
    mean: float
    basis: str
    origin: str


def boxes(grids: Sequence[Grid]) -> list[Box]:
    """One for every whole year of every grid."""
    return [_box(grid, year, hours) for grid in grids for year, hours in grid.years()]


def missing(grids: Sequence[Grid]) -> list[str]:
    """Regions of the paper's panel that no grid here is, or is part of."""
    zones = [grid.zone for grid in grids]
    return [region for region, prefix in REGIONS.items() if not any(zone.startswith(prefix) for zone in zones)]


def write(found: Sequence[Box], path: Path) -> None:
    """The numbers behind the picture."""
    write_csv(path, [field.name for field in fields(Box)], [astuple(box) for box in found])


def draw(found: Sequence[Box], absent: Sequence[str], path: Path) -> None:
    """Writes a box for each zone and year to a PNG, coloured by origin, and names the regions that are absent."""
    from matplotlib.figure import Figure  # not pyplot: that needs, and keeps, the state of a display

    figure = Figure(figsize=(14, 7))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.055, right=0.99, top=0.93, bottom=0.215)
    colours = dict(zip(dict.fromkeys(box.origin for box in found), COLOURS, strict=False))
    at = _places(found)
    for origin, colour in colours.items():
        _boxes(axes, [(x, box) for x, box in zip(at, found, strict=True) if box.origin == origin], colour)
        axes.plot([], [], "s", color=colour, alpha=0.5, markersize=10, label=origin)
    axes.set_xticks(at, [f"’{box.year % 100:02d}" for box in found], fontsize=9)
    for zone in dict.fromkeys(box.zone for box in found):
        middle = float(np.mean([x for x, box in zip(at, found, strict=True) if box.zone == zone]))
        axes.annotate(
            zone.replace("US-", "US-\n", 1),
            (middle, 0),
            (0, -24),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="top",
            fontweight="bold",
        )
    axes.set_xlim(at[0] - 1, at[-1] + 1)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("hourly carbon intensity (gCO2e/kWh)")
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False)
    axes.set_title("Hourly carbon intensity of electricity by zone and year")
    figure.text(0.055, 0.025, FOOT.format(absent=", ".join(absent) or "none"), fontsize=9)
    figure.savefig(path, dpi=150)


def _box(grid: Grid, year: int, hours: Floats) -> Box:
    p5, p25, median, p75, p95 = np.quantile(hours, QUANTILES).tolist()
    low, high, mean = float(hours.min()), float(hours.max()), float(hours.mean())
    return Box(
        grid.zone, year, len(hours), low, p5, p25, median, p75, p95, high, mean, grid.origin.basis, grid.origin.text
    )


def _places(found: Sequence[Box]) -> list[float]:
    """Where each box stands: next to the one before, apart from another zone's."""
    gaps = [0.0] + [1.0 if a.zone == b.zone else 2.2 for a, b in pairwise(found)]
    return np.cumsum(gaps).tolist()


def _boxes(axes: Any, placed: Sequence[tuple[float, Box]], colour: str) -> None:
    drawn = [
        {"whislo": b.p5, "q1": b.p25, "med": b.median, "q3": b.p75, "whishi": b.p95, "mean": b.mean} for _, b in placed
    ]
    axes.bxp(
        drawn,
        positions=[x for x, _ in placed],
        widths=0.75,
        showfliers=False,
        showmeans=True,
        patch_artist=True,
        boxprops={"facecolor": colour, "alpha": 0.5},
        medianprops={"color": "black"},
        meanprops={"marker": "o", "markersize": 3.5, "markerfacecolor": "black", "markeredgecolor": "white"},
    )
