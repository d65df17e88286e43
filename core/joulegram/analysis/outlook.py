"""What is expected of a grid in the time to come, as steps without a gap, each with its bounds.

Where no forecast reaches, yesterday's same hours stand in, which is said; where these are not known either, the
outlook ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from joulegram.curves.curve import Values
from joulegram.curves.series import Series
from joulegram.feeds import FORECAST_HIGH, FORECAST_LOW
from joulegram.records import IntensityPoint

DAY_S = 86_400.0


class CannotPlan(ValueError):
    """Nothing can be said of when to run; the message says why, and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """Intensity from now on.

    Args:
        edges_s: where a step begins or ends (s since 1970), increasing, shape (n + 1,).
        g_per_kwh: of each step (gCO2e/kWh), shape (n,).
        low: its lower bound, shape (n,).
        high: its upper bound, shape (n,).
        repeated: whether yesterday's same time stands in, shape (n,).
    """

    edges_s: Values
    g_per_kwh: Values
    low: Values
    high: Values
    repeated: np.typing.NDArray[np.bool_]

    @property
    def start_s(self) -> float:
        """Its beginning (s since 1970)."""
        return float(self.edges_s[0])

    @property
    def end_s(self) -> float:
        """Its end (s since 1970)."""
        return float(self.edges_s[-1])

    @property
    def is_known(self) -> np.typing.NDArray[np.bool_]:
        """Whether each step leaves nothing open, shape (n,)."""
        return np.asarray(self.low == self.high)

    def seconds(self, start_s: float, end_s: float) -> Values:
        """How much (s) of each step lies in a stretch of time; shape (n,)."""
        inside = np.minimum(end_s, self.edges_s[1:]) - np.maximum(start_s, self.edges_s[:-1])
        return np.asarray(np.maximum(inside, 0.0))

    def up_to(self, times_s: Values) -> Values:
        """The integral of intensity from its beginning to each time (g/kWh · s); shape of `times_s`."""
        sums = np.concatenate([[0.0], np.cumsum(self.g_per_kwh * np.diff(self.edges_s))])
        return np.asarray(np.interp(times_s, self.edges_s, sums))

    def until(self, end_s: float) -> Outlook:
        """The part before a time (s since 1970) that lies within it."""
        count = int(np.searchsorted(self.edges_s, end_s, side="left"))
        edges = np.append(self.edges_s[:count], end_s)
        return Outlook(edges, self.g_per_kwh[:count], self.low[:count], self.high[:count], self.repeated[:count])


def outlook(points: Sequence[IntensityPoint], start_s: float, end_s: float) -> Outlook:
    """What is known of a time to come.

    Args:
        points: of one zone, signal, basis and accounting: of the day before and of the time itself, in any order.
        start_s: its beginning, which is now (s since 1970).
        end_s: its end; the outlook ends sooner where nothing is known.

    Raises:
        CannotPlan: nothing is known of its beginning.
    """
    timed = [point for point in points if point.start_s is not None and point.length_s and point.kind != "static"]
    if not timed:
        raise CannotPlan(_why_not(points))
    value, low, high = (Series.of_points(replace(p, g_per_kwh=getattr(p, b)) for p in timed) for b in _BOUNDS)
    marks = np.concatenate([value.starts_s, value.ends_s])
    marks = np.concatenate([[start_s, end_s], marks, marks + DAY_S])
    edges = np.unique(marks[(marks >= start_s) & (marks <= end_s)])
    now, before = edges[:-1], edges[:-1] - DAY_S
    repeated = np.isnan(value.at(now))
    g_per_kwh, lows, highs = (
        np.where(repeated, factor * value.at(before), bound.at(now))
        for bound, factor in ((value, 1.0), (low, FORECAST_LOW), (high, FORECAST_HIGH))
    )
    unknown = np.flatnonzero(np.isnan(g_per_kwh))
    count = int(unknown[0]) if len(unknown) else len(now)
    if not count:
        raise CannotPlan(f"{timed[-1].source} knows neither the present nor the same time yesterday")
    return Outlook(edges[: count + 1], g_per_kwh[:count], lows[:count], highs[:count], repeated[:count])


_BOUNDS = ("g_per_kwh", "low", "high")


def _why_not(points: Sequence[IntensityPoint]) -> str:
    if not points:
        return "no intensity is known of that time"
    return f"{points[-1].source} is one figure for all hours: any start is as good as another"
