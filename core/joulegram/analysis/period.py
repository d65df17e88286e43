"""The start hours that are looked at: those of a calendar year (UTC) that the series know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from joulegram.curves.series import HOUR_S, Series

WHOLE = 0.9
"""Part of a year's hours that have to be known: series lack days, and begin by the clock of their country."""
MOST_HOURS = 366 * 24


@dataclass(frozen=True, slots=True)
class Period:
    """Full hours, one after the other.

    Args:
        start_s: the first (s since 1970).
        hours: how many.
        name: ``2023`` for a year, else its first and last day.
    """

    start_s: float
    hours: int
    name: str

    @property
    def end_s(self) -> float:
        """When the last one ends (s since 1970)."""
        return self.start_s + HOUR_S * self.hours

    @classmethod
    def of_year(cls, year: int) -> Period:
        """A calendar year."""
        start_s, end_s = (datetime(y, 1, 1, tzinfo=UTC).timestamp() for y in (year, year + 1))
        return cls(start_s, round((end_s - start_s) / HOUR_S), str(year))


def periods(series: Sequence[Series], wished_s: Sequence[float] = ()) -> list[Period]:
    """The period of each series: the same year for all where one can be had.

    The first that all know of the years in which the times wished for (s since 1970) are, else the latest that all
    know, else the latest that each knows, else the last year of hours that it holds.
    """
    whole = [_whole_years(one) for one in series]
    common = set.intersection(*map(set, whole)) if whole else set()
    wished = [year for year in map(year_of, wished_s) if year in common]
    if common:
        return [Period.of_year(wished[0] if wished else max(common))] * len(series)
    return [Period.of_year(max(years)) if years else _all_of(one) for one, years in zip(series, whole, strict=True)]


def year_of(time_s: float) -> int:
    """The calendar year (UTC) of a time (s since 1970)."""
    return datetime.fromtimestamp(time_s, UTC).year


def day_of(time_s: float) -> str:
    """The day (UTC) of a time (s since 1970): ``2023-06-24``."""
    return datetime.fromtimestamp(time_s, UTC).date().isoformat()


def _whole_years(series: Series) -> list[int]:
    if not len(series):
        return []
    found = range(year_of(series.starts_s[0]), year_of(series.ends_s[-1]) + 1)
    return [year for year in found if _known(series, Period.of_year(year)) >= WHOLE]


def _known(series: Series, period: Period) -> float:
    return float(np.isfinite(series.hourly(period.start_s, period.hours)).mean())


def _all_of(series: Series) -> Period:
    end_s = np.ceil(series.ends_s[-1] / HOUR_S) * HOUR_S
    start_s = np.floor(series.starts_s[0] / HOUR_S) * HOUR_S
    hours = min(MOST_HOURS, round((end_s - start_s) / HOUR_S))
    start_s = end_s - HOUR_S * hours
    return Period(float(start_s), hours, f"{day_of(start_s)} to {day_of(end_s - 1)}")
