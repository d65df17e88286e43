"""Cumulative curves over monotonic nanoseconds: look-ups, subtraction over spans, and products with step functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from joulegram.units import J_PER_KWH, NS_PER_S

Times = NDArray[np.int64]
Values = NDArray[np.float64]
Stretch = tuple[int, int]
"""Start and end of an interval (ns)."""


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
        return _rises(self.at(starts_ns), self.at(ends_ns))

    def bracket(self, times_ns: ArrayLike) -> tuple[Values, Values]:
        """Values at the knots at or before, and at or after, each time: between these the true value lies."""
        times = np.asarray(times_ns, np.int64)
        if not len(self):
            return np.zeros(times.shape), np.zeros(times.shape)
        last = len(self) - 1
        before = np.searchsorted(self.times_ns, times, side="right") - 1
        after = np.searchsorted(self.times_ns, times, side="left")
        return self.values[np.clip(before, 0, last)], self.values[np.clip(after, 0, last)]

    def bounds(
        self, starts_ns: ArrayLike, ends_ns: ArrayLike, slack_ns: int = 0, quantum: float = 0.0
    ) -> tuple[Values, Values]:
        """Least and most that each span can have cost, given only the values at the knots around its edges.

        Args:
            starts_ns: starts of the spans (ns).
            ends_ns: their ends (ns), same shape.
            slack_ns: how far a knot may lie from the moment at which the curve had its value.
            quantum: by how much the value of a knot may be short of the true one: at the start of a span by all of it
                and at its end by nothing, or the other way round.
        """
        starts, ends = np.asarray(starts_ns, np.int64), np.asarray(ends_ns, np.int64)
        start_low, end_low = self.bracket(starts - slack_ns)[0], self.bracket(ends - slack_ns)[0]
        start_high, end_high = self.bracket(starts + slack_ns)[1], self.bracket(ends + slack_ns)[1]
        return np.maximum(end_low - start_high - quantum, 0.0), end_high - start_low + quantum

    def scaled(self, factor: float) -> Curve:
        """The curve times a number."""
        return Curve(self.times_ns, self.values * factor)

    def within(self, start_ns: int, end_ns: int) -> Curve:
        """The curve between two moments, with knots at both, level outside."""
        first = np.searchsorted(self.times_ns, start_ns, side="right")
        last = np.searchsorted(self.times_ns, end_ns, side="left")
        times = np.concatenate([[start_ns], self.times_ns[first:last], [end_ns]]).astype(np.int64)
        return Curve(times, self.at(times))

    def extended(self, time_ns: int, value: float) -> Curve:
        """The curve with one more knot after its last."""
        return Curve(np.append(self.times_ns, time_ns), np.append(self.values, value))


def _rises(before: Values, after: Values) -> Values:
    """Differences of values of one curve: interpolated, a later one may come out lower by a rounding, never fallen."""
    return np.asarray(np.maximum(after - before, 0.0))


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

    def taking(self, values: Sequence[float]) -> Steps:
        """Of a step function of places in a list, the one of the values there; NaN stays."""
        known = np.isfinite(self.values)
        found = np.asarray(values, np.float64)[np.where(known, self.values, 0).astype(np.int64)]
        return Steps(self.edges_ns, np.where(known, found, np.nan))

    def seconds_above(self, start_ns: int, end_ns: int, level: float = 0.5) -> float:
        """How much of an interval (ns) is spent above a level (s)."""
        inner = self.edges_ns[(self.edges_ns > start_ns) & (self.edges_ns < end_ns)]
        edges = np.concatenate([[start_ns], inner, [max(start_ns, end_ns)]]).astype(np.int64)
        return float(np.diff(edges)[self.at(edges[:-1]) > level].sum()) / NS_PER_S

    def between(self, start_ns: int, end_ns: int) -> Values:
        """Every value in force at some time of an interval (ns)."""
        first = int(np.searchsorted(self.edges_ns, start_ns, side="right")) - 1
        last = int(np.searchsorted(self.edges_ns, end_ns, side="left"))
        return self.values[max(first, 0) : max(last, first + 1, 1)]


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
    values = curve.at(times)
    rises = _rises(values[:-1], values[1:]) * np.nan_to_num(weight.at(times[:-1]))
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
    return np.asarray(times[np.append(True, times[1:] != times[:-1])], np.int64)


def turns(curves: Sequence[Curve], first: int | None = None) -> list[list[Stretch]]:
    """Who is heard where several recorded the same counter: each moment belongs to the longest record that has it.

    Args:
        curves: the records.
        first: which of them comes before longer ones; none of them by default.

    Returns:
        For each curve, in the order of `curves`, its stretches; those of different curves do not overlap.
    """

    def rank(index: int) -> tuple[bool, int, int, bytes]:  # in the end by content, so that the order does not matter
        curve = curves[index]
        content = curve.times_ns.tobytes() + curve.values.tobytes()
        return index == first, curve.end_ns - curve.start_ns, curve.start_ns, content

    heard: list[list[Stretch]] = [[] for _ in curves]
    taken: list[Stretch] = []
    for index in sorted(range(len(curves)), key=rank, reverse=True):
        curve = curves[index]
        heard[index] = without(curve.start_ns, curve.end_ns, taken)
        taken.append((curve.start_ns, curve.end_ns))
    return heard


def without(start_ns: int, end_ns: int, holes: Iterable[Stretch]) -> list[Stretch]:
    """What is left of an interval (ns) outside of any holes in it."""
    left = []
    since_ns = start_ns
    for hole_start_ns, hole_end_ns in sorted(holes):
        left.append((since_ns, min(hole_start_ns, end_ns)))
        since_ns = max(since_ns, hole_end_ns)
    left.append((since_ns, end_ns))
    return [(start, end) for start, end in left if end > start]


def elapsed(stretches: Sequence[Stretch]) -> Curve:
    """Seconds that lay within any of the stretches (start, end in ns), as a cumulative curve."""
    times: list[int] = []
    values: list[float] = []
    total = 0.0
    for start_ns, end_ns in _disjoint(stretches):
        times += [start_ns, end_ns]
        values += [total, total := total + (end_ns - start_ns) / NS_PER_S]
    return Curve.of(times, values)


def _disjoint(stretches: Sequence[Stretch]) -> list[Stretch]:
    joined: list[Stretch] = []
    for start_ns, end_ns in sorted(stretches):
        if end_ns <= start_ns:
            continue
        if joined and start_ns <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end_ns, joined[-1][1]))
        else:
            joined.append((start_ns, end_ns))
    return joined
