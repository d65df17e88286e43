"""What a grid would give: runs started at the best, at an average and at the worst of its known hours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np

from joulegram.curves.load import Load
from joulegram.curves.series import HOUR_S, Series
from joulegram.records import IntensityPoint

Grid = tuple[str, str]
"""A zone, and which of its emissions count (basis)."""
MOST_HOURS = 3 * 366 * 24
"""The latest of more hours are looked at."""
FEWEST_STARTS = 2


@dataclass(frozen=True, slots=True)
class Movable:
    """A run that could have started at another time.

    Args:
        load: its facility energy over time.
        started_s: when it did start (s since 1970).
        grid: where it ran, and on which basis it is priced.
    """

    load: Load
    started_s: float
    grid: Grid


def known_hours(points: Iterable[tuple[Grid, IntensityPoint]]) -> dict[Grid, Series]:
    """Average, location-based intensity by grid, from the points that runs were priced with; later ones go first."""
    by_grid: dict[Grid, list[IntensityPoint]] = {}
    for grid, point in points:
        kind = point.signal, point.accounting, point.basis
        if kind == ("average", "location", grid[1]) and point.start_s is not None and point.length_s:
            by_grid.setdefault(grid, []).append(point)
    return {grid: Series.of_points(found) for grid, found in by_grid.items()}


def gain(runs: Sequence[Movable], hours: Mapping[Grid, Series]) -> dict[str, Any] | None:
    """Grams of all runs that can be moved, each by itself, over the full hours that are known of its grid.

    Args:
        runs: what could have started at another time.
        hours: intensity of each grid.

    Returns:
        How many runs, how many start hours each has at most, and their grams from their own starts (None where those
        are not known), from the best, from the worst and on average; None where no run has two starts to choose from.
    """
    found = [start for run in runs if (start := _starts(run, hours.get(run.grid))) is not None]
    if not found:
        return None
    owns = [own for own, _ in found]
    return {
        "runs": len(found),
        "of_runs": len(runs),
        "zones": sorted({run.grid[0] for run in runs if run.grid in hours}),
        "start_hours": max(len(grams) for _, grams in found),
        "own_g": None if any(np.isnan(owns)) else float(sum(owns)),
        "best_g": float(sum(grams.min() for _, grams in found)),
        "mean_g": float(sum(grams.mean() for _, grams in found)),
        "worst_g": float(sum(grams.max() for _, grams in found)),
    }


def _starts(run: Movable, series: Series | None) -> tuple[float, Any] | None:
    """Grams from its own start, and from each start hour; None for fewer of these than a choice needs."""
    if series is None or not len(series) or not run.load.total_j:
        return None
    end_h = floor(series.ends_s[-1] / HOUR_S)
    first_h = max(ceil(series.starts_s[0] / HOUR_S), end_h - MOST_HOURS)
    if end_h <= first_h:
        return None
    grams = run.load.grams_by_hour(series, first_h * HOUR_S, end_h - first_h)
    own_g, known = run.load.grams(series, run.started_s), grams[np.isfinite(grams)]
    if len(known) < FEWEST_STARTS:
        return None
    # Its own start is one of those to choose from.
    return own_g, known if np.isnan(own_g) else np.append(known, own_g)
