"""Hourly carbon intensity of the grids that data are here for, and where each series comes from.

The series were made in different ways: a declaration of what was consumed, imports included, counts direct emissions;
generation times factors of the whole life cycle counts others. One grid may be compared with another, or with itself in
another year, only within one way.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.intensity_spread import FULL_YEAR_H
from benchmarks.paper.ecnas import Floats
from joulegram.curves.series import HOUR_S, Series
from joulegram.feeds.series import read_series

FOLDER = "intensity"
EXPECTED = Path(__file__).with_name("expected_means.csv")
TOLERANCE = 0.005
"""Of a mean known beforehand, which is known to a gram."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How a series was made.

    Args:
        basis: ``direct`` or ``lifecycle``.
        text: basis, scope and source.
    """

    basis: str
    text: str


ORIGINS = {
    "declaration125": Origin("direct", "direct, consumption with imports: Energinet's declarations, 125 % method"),
    "carboncast_lifecycle": Origin("lifecycle", "lifecycle, generation: CarbonCast, IPCC factors"),
    "entsoe_ipcc_ar5": Origin("lifecycle", "lifecycle, generation: ENTSO-E × IPCC AR5 medians"),
}
"""By the end of their files' names."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A grid's hours, all made in one way."""

    zone: str
    origin: Origin
    series: Series

    def year(self, year: int, beyond_h: int = 0) -> Floats:
        """gCO2e/kWh of each hour of a year in UTC, and of so many hours after it; NaN where it is unknown."""
        start_s, end_s = (datetime(y, 1, 1, tzinfo=UTC).timestamp() for y in (year, year + 1))
        return self.series.hourly(start_s, round((end_s - start_s) / HOUR_S) + beyond_h)

    def years(self) -> Iterator[tuple[int, Floats]]:
        """Every whole year, and gCO2e/kWh of those of its hours that are known."""
        first, last = (datetime.fromtimestamp(s, UTC).year for s in (self.series.starts_s[0], self.series.starts_s[-1]))
        for year in range(first, last + 1):
            hours = self.year(year)
            known = hours[~np.isnan(hours)]
            if len(known) >= FULL_YEAR_H:
                yield year, known


@dataclass(frozen=True, slots=True)
class KnownMean:
    """A year's mean as known beforehand, and as found (gCO2e/kWh; NaN where the data lack the year)."""

    zone: str
    year: int
    known: float
    found: float

    @property
    def agrees(self) -> bool:
        return abs(self.found - self.known) <= TOLERANCE * self.known


def grids(data: Path) -> list[Grid]:
    """The grids in a folder of data, those of one origin together; a file whose origin is not known is left out."""
    return [
        Grid(path.stem.split("_")[0], origin, read_series(path))
        for suffix, origin in ORIGINS.items()
        for path in sorted((data / FOLDER).glob(f"*_{suffix}.csv"))
    ]


def known_means(found: Sequence[Grid]) -> list[KnownMean]:
    """Means known beforehand, from the declarations, beside those of the series."""
    means = {(grid.zone, year): float(hours.mean()) for grid in found for year, hours in grid.years()}
    with EXPECTED.open(encoding="utf-8", newline="") as lines:
        rows = [(row["zone"], int(row["year"]), float(row["g_per_kwh"])) for row in csv.DictReader(lines)]
    return [KnownMean(zone, year, known, means.get((zone, year), float("nan"))) for zone, year, known in rows]


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table of numbers; figures are rounded to six digits, which no series here has."""
    with path.open("w", encoding="utf-8", newline="") as lines:
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(columns)
        table.writerows([[f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows])
