"""A grid's carbon intensity over wall time, as a step function with gaps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from joulegram.curves.curve import Values
from joulegram.records import IntensityPoint

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Stretches of wall time, each with an intensity; they do not overlap, and nothing is known between them.

    Args:
        starts_s: (s since 1970), increasing, shape (n,).
        ends_s: (s since 1970), none after the start that follows, shape (n,).
        g_per_kwh: gCO2e/kWh, shape (n,).
    """

    starts_s: Values
    ends_s: Values
    g_per_kwh: Values

    @classmethod
    def of(cls, starts_s: ArrayLike, lengths_s: ArrayLike, g_per_kwh: ArrayLike) -> Series:
        """From stretches in any order: a later one of the same start replaces an earlier, one that overlaps is cut."""
        starts, values = np.asarray(starts_s, float), np.asarray(g_per_kwh, float)
        lengths = np.broadcast_to(np.asarray(lengths_s, float), starts.shape)
        order = np.argsort(starts, kind="stable")
        last = np.append(np.diff(starts[order]) > 0, True)[: len(starts)]
        kept = order[last]
        starts, ends, values = starts[kept], starts[kept] + lengths[kept], values[kept]
        ends[:-1] = np.minimum(ends[:-1], starts[1:])
        return cls(starts, ends, values)

    @classmethod
    def of_points(cls, points: Iterable[IntensityPoint]) -> Series:
        """From points of one zone, signal, basis and accounting; those without a time are left out."""
        timed = [(p.start_s, p.length_s, p.g_per_kwh) for p in points if p.start_s is not None and p.length_s]
        starts, lengths, values = zip(*timed, strict=True) if timed else ((), (), ())
        return cls.of(starts, lengths, values)

    def __len__(self) -> int:
        return len(self.starts_s)

    def at(self, times_s: ArrayLike) -> Values:
        """Intensity at any times (s since 1970); NaN where it is unknown; shape of `times_s`."""
        times = np.asarray(times_s, float)
        if not len(self):
            return np.full(times.shape, np.nan)
        index = np.maximum(np.searchsorted(self.starts_s, times, side="right") - 1, 0)
        known = (times >= self.starts_s[index]) & (times < self.ends_s[index])
        return np.where(known, self.g_per_kwh[index], np.nan)

    def means(self, edges_s: ArrayLike) -> Values:
        """Mean between each two of n times (s since 1970), shape (n - 1,); NaN where not all of it is known."""
        edges = np.asarray(edges_s, float)
        lengths = np.diff(edges)
        known_s = np.diff(self._up_to(edges, np.ones_like(self.g_per_kwh)))
        sums = np.diff(self._up_to(edges, self.g_per_kwh))
        whole = known_s >= lengths * (1 - 1e-9)
        return np.asarray(np.divide(sums, lengths, out=np.full(len(lengths), np.nan), where=whole & (lengths > 0)))

    def hourly(self, start_s: float, hours: int) -> Values:
        """Means of so many hours from a start (s since 1970) on: shape (hours,); NaN where not all of one is known."""
        return self.means(start_s + HOUR_S * np.arange(hours + 1))

    def _up_to(self, times_s: Values, values: Values) -> Values:
        """The integral of a step function with these values, from its beginning to each time."""
        if not len(self):
            return np.zeros(times_s.shape)
        base_s = self.starts_s[0]  # a sum of small numbers keeps more digits
        knots = np.stack([self.starts_s, self.ends_s], axis=1).ravel() - base_s
        sums = np.concatenate([[0.0], np.cumsum(np.stack([values * np.diff(knots)[::2], 0 * values], axis=1).ravel())])
        return np.asarray(np.interp(times_s - base_s, knots, sums[: len(knots)]))
