"""What runs would have emitted, had they started in another hour, over what they emit at the year's average.

Every measured run is laid over every hour of a year as if it had started there, at even power and without PUE. At the
yearly average a run emits the same whenever it starts; the ratio of the two says how far that is off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.paper.ecnas import PUE, Floats, Runs
from benchmarks.paper.grids import Grid
from joulegram.curves.series import HOUR_S

Ratios = npt.NDArray[np.float32]

MEASURED_EPOCHS = 4
QUANTILES = (0.0, 0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975, 1.0)
FAR = 0.1
"""How far from 1 a ratio is told of."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """Runs to be laid over a grid.

    Args:
        epochs: how many each takes.
        energy_kwh: IT energy of each, shape (m,).
        duration_h: length of each (h), shape (m,).
    """

    epochs: int
    energy_kwh: Floats
    duration_h: Floats


@dataclass(frozen=True, slots=True)
class Laid:
    """All runs over all starts of a year on one grid; each pair of run and start weighs the same.

    Args:
        zone: of the grid.
        year: in UTC.
        epochs: of each run.
        runs: how many.
        starts: hours of the year for which all that any run meets is known.
        yearly_g_per_kwh: the year's average.
        yearly_g: emissions of a run at that, mean over runs.
        realtime_g: emissions of a run in the hours that it meets, mean over runs and starts.
        ratio_mean: real-time over yearly, likewise its least, greatest and percentiles.
        far_part: part of the pairs whose ratio is further than a tenth from 1.
    """

    zone: str
    year: int
    epochs: int
    runs: int
    starts: int
    yearly_g_per_kwh: float
    yearly_g: float
    realtime_g: float
    ratio_mean: float
    ratio_min: float
    ratio_p2_5: float
    ratio_p5: float
    ratio_p25: float
    ratio_median: float
    ratio_p75: float
    ratio_p95: float
    ratio_p97_5: float
    ratio_max: float
    far_part: float


def mean_from(hourly: Floats, duration_h: float) -> Floats:
    """Mean intensity that a run of even power meets, for a start at the beginning of each hour.

    The hours' convolution with the parts of the run that lie in its first, second, … hour. Times the run's energy it is
    the run's carbon.

    Args:
        hourly: gCO2e/kWh of hours that follow each other, NaN where unknown, shape (n,).
        duration_h: length of the run (h), above zero.

    Returns:
        gCO2e/kWh, shape (n,); NaN where an hour that the run touches is unknown, or after the last.
    """
    parts = np.minimum(1.0, duration_h - np.arange(math.ceil(duration_h))) / duration_h
    after = np.full(len(parts) - 1, np.nan)
    return np.convolve(np.concatenate([hourly, after]), parts[::-1], mode="valid")


def jobs(spaces: Sequence[Runs], epochs: int) -> Jobs:
    """Measured runs of all spaces together, energy and time stretched in proportion from four epochs to so many."""
    times = epochs / MEASURED_EPOCHS
    energy_kwh = np.concatenate([runs["energy_kwh"] for runs in spaces]) / PUE
    duration_h = np.concatenate([runs["total_time_s"] for runs in spaces]) / HOUR_S
    return Jobs(epochs, times * energy_kwh, times * duration_h)


def yearly_mean(grid: Grid, year: int) -> float:
    """The average of a year's hours (gCO2e/kWh)."""
    return float(np.nanmean(grid.year(year)))


def ratios(grid: Grid, year: int, runs: Jobs) -> Ratios:
    """Emissions of each run for each start over those at the year's average, shape (m, hours); NaN where unknown."""
    mean, hours = yearly_mean(grid, year), len(grid.year(year))
    hourly = grid.year(year, beyond_h=math.ceil(runs.duration_h.max()))
    found = np.empty((len(runs.duration_h), hours), np.float32)
    for row, duration_h in zip(found, runs.duration_h.tolist(), strict=True):
        row[:] = mean_from(hourly, duration_h)[:hours] / mean
    return found


def spread(found: Ratios, at: Sequence[float] | Floats) -> Floats:
    """Quantiles (0 .. 1) of all ratios that are known."""
    values = np.sort(found[~np.isnan(found)])
    return values[np.round(np.asarray(at) * (len(values) - 1)).astype(int)].astype(float)


def laid(grid: Grid, year: int, runs: Jobs, found: Ratios) -> Laid:
    """What there is to say of all ratios of one year."""
    mean = yearly_mean(grid, year)
    known = found[:, ~np.isnan(found).any(axis=0)]
    by_run = known.mean(axis=1, dtype=np.float64)
    return Laid(
        grid.zone,
        year,
        runs.epochs,
        *known.shape,
        mean,
        float(runs.energy_kwh.mean() * mean),
        float((runs.energy_kwh * by_run).mean() * mean),
        float(by_run.mean()),
        *spread(known, QUANTILES).tolist(),
        float((np.abs(known - 1) > FAR).mean()),
    )
