"""Cumulative curves over monotonic nanoseconds: look-ups, subtraction over spans, and products with step functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from joulegram.units import J_PER_KWH, NS_PER_S

Times = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A cumulative quantity: straight between its knots, level outside them.

    Args:
        times_ns: knots (ns), increasing, shape (n,).
        values: values at the knots, never falling, shape (n,).
    """

    times_ns: Times = field(default_factory=lambda: np.empty(0, np.int64))
    values: Values = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of(cls, times_ns: ArrayLike, values: ArrayLike) -> Curve:
        """A curve from any sequences, copied."""
        return cls(np.array(times_ns, np.int64), np.array(values, np.float64))

    def __len__(self) -> int:
        return len(self.times_ns)

    @property
    def start_ns(self) -> int:
        """Time of the first knot; 0 for an empty curve."""
        return int(self.times_ns[0]) if len(self) else 0

    @property
    def end_ns(self) -> int:
        """Time of the last knot; 0 for an empty curve."""
        return int(self.times_ns[-1]) if len(self) else 0

    @property
    def total(self) -> float:
        """What the whole curve adds up to."""
        return float(self.values[-1] - self.values[0]) if len(self) else 0.0

    def at(self, times_ns: ArrayLike) -> Values:
        """Values at any times (ns), interpolated; shape of `times_ns`."""
        times = np.asarray(times_ns, np.int64)
        if not len(self):
            return np.zeros(times.shape)
        # Relative to the first knot: a float holds nanoseconds exactly for 104 days only.
        base = self.times_ns[0]
        return np.asarray(np.interp((times - base).astype(float), (self.times_ns - base).astype(float), self.values))

    def over(self, starts_ns: ArrayLike, ends_ns: ArrayLike) -> Values:
        """What each span cost: value at its end minus value at its start; shape of `starts_ns`."""
        return np.asarray(self.at(ends_ns) - self.at(starts_ns))

    def bracket(self, times_ns: ArrayLike) -> tuple[Values, Values]:
        """Values at the knots at or before, and at or after, each time: between these the true value lies."""
        times = np.asarray(times_ns, np.int64)
        if not len(self):
            return np.zeros(times.shape), np.zeros(times.shape)
        last = len(self) - 1
        before = np.searchsorted(self.times_ns, times, side="right") - 1
        after = np.searchsorted(self.times_ns, times, side="left")
        return self.values[np.clip(before, 0, last)], self.values[np.clip(after, 0, last)]

    def bounds(self, starts_ns: ArrayLike, ends_ns: ArrayLike) -> tuple[Values, Values]:
        """Least and most that each span can have cost, given only the values at the knots around its edges."""
        start_low, start_high = self.bracket(starts_ns)
        end_low, end_high = self.bracket(ends_ns)
        return np.maximum(end_low - start_high, 0.0), end_high - start_low

    def scaled(self, factor: float) -> Curve:
        """The curve times a number."""
        return Curve(self.times_ns, self.values * factor)

    def within(self, start_ns: int, end_ns: int) -> Curve:
        """The curve between two moments, with knots at both, level outside."""
        inside = self.times_ns[(self.times_ns > start_ns) & (self.times_ns < end_ns)]
        times = np.concatenate([[start_ns], inside, [end_ns]]).astype(np.int64)
        return Curve(times, self.at(times))

    def extended(self, time_ns: int, value: float) -> Curve:
        """The curve with one more knot after its last."""
        return Curve(np.append(self.times_ns, time_ns), np.append(self.values, value))

    def compressed(self, epsilon: float, pinned_ns: ArrayLike = ()) -> Curve:
        """The fewest straight pieces within `epsilon` of every knot, knots kept on both sides of each pinned time."""
        from joulegram.curves.door import GrowingCurve

        grown = GrowingCurve()
        keep = _brackets(self.times_ns, np.asarray(pinned_ns, np.int64))
        for index, (time_ns, value) in enumerate(zip(self.times_ns.tolist(), self.values.tolist(), strict=True)):
            grown.add(time_ns, value, epsilon)
            if index in keep:
                grown.pin()
        grown.pin()
        return Curve.of(grown.times_ns, grown.values)


def _brackets(times_ns: Times, pinned_ns: Times) -> set[int]:
    before = np.searchsorted(times_ns, pinned_ns, side="right") - 1
    after = np.searchsorted(times_ns, pinned_ns, side="left")
    return set(before.tolist()) | set(after.tolist())


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """A step function of monotonic time: `values[i]` holds from `edges_ns[i]` to the next edge, the last for ever.

    Before its first edge the first value holds. NaN stands for a stretch without a value.

    Args:
        edges_ns: (ns), increasing, shape (n,), n ≥ 1.
        values: shape (n,).
    """

    edges_ns: Times
    values: Values

    @classmethod
    def constant(cls, value: float) -> Steps:
        """The same value always."""
        return cls(np.zeros(1, np.int64), np.array([value], np.float64))

    def at(self, times_ns: ArrayLike) -> Values:
        """Values in force at any times (ns); shape of `times_ns`."""
        index = np.searchsorted(self.edges_ns, np.asarray(times_ns, np.int64), side="right") - 1
        return self.values[np.maximum(index, 0)]


def weigh(curve: Curve, weight: Steps) -> Curve:
    """The integral of a step function over a curve, ∫ weight dE, itself a cumulative curve.

    Exact for a piecewise-straight curve and a stepwise weight. Where the weight is NaN nothing is added. O(n + m) for
    n knots and m steps.
    """
    if not len(curve):
        return curve
    if len(weight.values) == 1:
        return curve.scaled(float(np.nan_to_num(weight.values[0])))
    inside = weight.edges_ns[(weight.edges_ns > curve.times_ns[0]) & (weight.edges_ns < curve.times_ns[-1])]
    times = _union([curve.times_ns, inside])
    rises = np.diff(curve.at(times)) * np.nan_to_num(weight.at(times[:-1]))
    return Curve(times, np.concatenate([[0.0], np.cumsum(rises)]))


def price(energy: Curve, intensity: Steps) -> Curve:
    """Grams emitted up to each moment: the integral of `intensity` (gCO2e/kWh) over `energy` (J)."""
    return weigh(energy, intensity).scaled(1 / J_PER_KWH)


def merge(curves: Sequence[Curve]) -> Curve:
    """The sum of curves, on the union of their knots; the order does not matter."""
    present = [curve for curve in curves if len(curve)]
    if len(present) < 2:
        return present[0] if present else Curve()
    times = _union([curve.times_ns for curve in present])
    # Sorted before adding: floating-point sums depend on their order, and merging must not.
    stacked = np.sort(np.stack([curve.at(times) for curve in present]), axis=0)
    return Curve(times, stacked.sum(axis=0))


def _union(sorted_ns: Sequence[Times]) -> Times:
    """Every time once, in order. np.unique hashes, which takes twenty times as long on what is all but sorted."""
    times = np.sort(np.concatenate(sorted_ns), kind="stable")
    return times[np.append(True, times[1:] != times[:-1])]


def once(curves: Sequence[Curve]) -> Curve:
    """One curve from several records of the same counter: each moment is taken from the longest record that has it."""
    present = sorted((curve for curve in curves if len(curve)), key=lambda c: (c.end_ns - c.start_ns, c.total))
    if len(present) < 2:
        return present[0] if present else Curve()
    joined = present.pop()
    for other in reversed(present):
        before = other.within(other.start_ns, min(joined.start_ns, other.end_ns))
        after = other.within(max(joined.end_ns, other.start_ns), other.end_ns)
        parts = [part for part in (before, after) if part.end_ns > part.start_ns]
        joined = merge([joined, *parts]) if parts else joined
    return joined


def elapsed(stretches: Sequence[tuple[int, int]]) -> Curve:
    """Seconds that lay within any of the stretches (start, end in ns), as a cumulative curve."""
    times: list[int] = []
    values: list[float] = []
    total = 0.0
    for start_ns, end_ns in _disjoint(stretches):
        times += [start_ns, end_ns]
        values += [total, total := total + (end_ns - start_ns) / NS_PER_S]
    return Curve.of(times, values)


def _disjoint(stretches: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start_ns, end_ns in sorted(stretches):
        if end_ns <= start_ns:
            continue
        if joined and start_ns <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end_ns, joined[-1][1]))
        else:
            joined.append((start_ns, end_ns))
    return joined
