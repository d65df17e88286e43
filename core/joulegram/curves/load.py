"""A run's energy over the time since its start: what is left of it without its place and its date.

Laid over an intensity it gives grams: exactly from any start, and from every hour of a year at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from joulegram.curves.curve import Curve, Values
from joulegram.curves.series import HOUR_S, Series
from joulegram.curves.timeline import Timeline
from joulegram.units import J_PER_KWH

SHORTEST_S = 1e-6
"""Knots nearer to each other than this are one: seconds since 1970 are no finer as a float."""
ROUNDING = 1e-9
"""Part of the joules that may be in no known hour, which is rounding."""
_SLOTS_S = (3600.0, 1800.0, 900.0, 300.0)


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """Joules that a run had used at each moment since its start; straight between.

    Args:
        elapsed_s: wall time since the start (s), increasing from 0, shape (n,).
        joules: never falling from 0, shape (n,).
    """

    elapsed_s: Values
    joules: Values

    @classmethod
    def of(cls, energy: Curve, timeline: Timeline, start_ns: int, end_ns: int) -> Load:
        """An energy curve (J) between two moments, by the clock on the wall.

        A suspend is a time without joules. What the clock was set back by is left out.
        """
        anchors = np.array([anchor.mono_ns for anchor in timeline.anchors], np.int64)
        inner = np.concatenate([energy.times_ns, anchors])
        inner = np.unique(inner[(inner > start_ns) & (inner < end_ns)])
        # Wall time may jump at an anchor, so each knot is looked at from both sides.
        moments = np.sort(np.concatenate([[start_ns], inner - 1, inner, [max(start_ns, end_ns - 1)]]))
        rises_s = np.maximum(np.diff(timeline.wall_s(moments)), 0.0)
        elapsed = np.concatenate([[0.0], np.cumsum(rises_s)])
        moments[-1] = end_ns
        joules = energy.over(np.full(len(moments), start_ns), moments)
        kept = np.append(np.diff(elapsed) > SHORTEST_S, True) & (elapsed > SHORTEST_S)
        return cls(np.append(0.0, elapsed[kept]), np.append(0.0, joules[kept]))

    @property
    def duration_s(self) -> float:
        """How long it took (s)."""
        return float(self.elapsed_s[-1])

    @property
    def total_j(self) -> float:
        """All joules."""
        return float(self.joules[-1])

    def between(self, starts_s: ArrayLike, ends_s: ArrayLike) -> Values:
        """Joules used between times since the start (s), which may lie outside of the run; shape of `starts_s`."""
        return np.asarray(self._at(ends_s) - self._at(starts_s))

    def _at(self, elapsed_s: ArrayLike) -> Values:
        return np.asarray(np.interp(np.asarray(elapsed_s, float), self.elapsed_s, self.joules))

    def grams(self, series: Series, start_s: float) -> float:
        """Grams, had it started at a moment (s since 1970); NaN where an intensity that it needs is unknown."""
        first = int(np.searchsorted(series.ends_s, start_s, side="right"))
        last = int(np.searchsorted(series.starts_s, start_s + self.duration_s, side="left"))
        used_j = self.between(series.starts_s[first:last] - start_s, series.ends_s[first:last] - start_s)
        if used_j.sum() < self.total_j * (1 - ROUNDING):
            return float("nan")
        return float(used_j @ series.g_per_kwh[first:last]) / J_PER_KWH

    def grams_by_hour(self, series: Series, first_s: float, hours: int) -> Values:
        """Grams from each of so many full hours as a start.

        Exact for a series whose steps begin on five minutes; else as exact as its means over five minutes. By FFT:
        O(n log n) for n steps.

        Args:
            series: the intensity.
            first_s: the first start, on the hour (s since 1970).
            hours: how many starts.

        Returns:
            Shape (hours,); NaN where an intensity that it needs is unknown.
        """
        slot_s = _slot_s(series)
        used_j = self._by_slot(slot_s)
        each_hour = round(HOUR_S / slot_s)
        slots = hours * each_hour + len(used_j) - 1
        g_per_kwh = series.means(first_s + slot_s * np.arange(slots + 1))
        unknown = np.isnan(g_per_kwh)
        grams = _slid(np.where(unknown, 0.0, g_per_kwh), used_j) / J_PER_KWH
        if unknown.any():
            grams[_slid(unknown.astype(float), (used_j > 0).astype(float)) > 0.5] = np.nan
        return grams[::each_hour]

    def _by_slot(self, slot_s: float) -> Values:
        """Joules in each slot of equal length since the start."""
        slots = max(1, int(np.ceil(self.duration_s / slot_s - ROUNDING)))
        edges_s = slot_s * np.arange(slots + 1)
        return self.between(edges_s[:-1], edges_s[1:])


def _slot_s(series: Series) -> float:
    """The longest slot (s) that all steps of a series are whole multiples of; five minutes if there is none."""
    edges_s = np.concatenate([series.starts_s, series.ends_s])
    return next((slot_s for slot_s in _SLOTS_S if not np.any(edges_s % slot_s)), _SLOTS_S[-1])


def _slid(values: Values, weights: Values) -> Values:
    """Sums of values under weights that slide along them: shape (n - m + 1,) for n values and m weights."""
    size = 1 << (len(values) - 1).bit_length()
    product = np.fft.rfft(values, size) * np.conj(np.fft.rfft(weights, size))
    return np.asarray(np.fft.irfft(product, size)[: len(values) - len(weights) + 1])
