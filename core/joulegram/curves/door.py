"""A cumulative curve as it grows: the fewest straight pieces within ε of every sample.

The swinging door of industrial historians, in its strict form: a sample ends a piece only if the straight line to it
passes within ε of every sample in between, so ε is a bound and not a habit.
"""

from __future__ import annotations

from array import array
from math import inf


class GrowingCurve:
    """Knots of a cumulative curve, and the last sample after them.

    Knots are samples, never averages, so the curve cannot fall where the samples do not. Owned by one thread;
    `times_ns` and `values` only ever grow at their end, so another thread may copy a prefix.

    Attributes:
        times_ns: times of the knots (ns).
        values: values at the knots.
        tip: the last sample (ns, value), knot or not; None before the first.
        epsilon: how far the straight piece may pass from the tip.
    """

    __slots__ = ("_before", "_hi", "_lo", "_t0", "_v0", "epsilon", "flushed", "times_ns", "tip", "told", "values")

    def __init__(self) -> None:
        self._t0, self._v0 = 0, 0.0
        self._lo, self._hi = -inf, inf
        self.times_ns = array("q")
        self.values = array("d")
        self.tip: tuple[int, float] | None = None
        self._before: tuple[int, float] | None = None
        self.flushed = 0
        """How many knots have been handed over for writing; the writer's mark."""
        self.told: tuple[int, float] | None = None
        """The last tip that was handed over for writing; the writer's mark."""
        self.epsilon = 0.0

    def add(self, time_ns: int, value: float, epsilon: float) -> None:
        """Takes a sample, later and not lower than the one before.

        Args:
            time_ns: when it was taken (ns).
            value: the cumulative value then.
            epsilon: how far the straight piece may pass from this sample, in the value's unit.
        """
        if self.tip is None:
            self.tip = (time_ns, value)
            self._knot()
            return
        dt = time_ns - self._t0
        if dt > 0 and not self._lo <= (value - self._v0) / dt <= self._hi:
            self._knot()
            dt = time_ns - self._t0
        self._before, self.tip, self.epsilon = self.tip, (time_ns, value), epsilon
        if dt > 0:  # no min and max: this runs for every sample of every curve
            high, low = (value + epsilon - self._v0) / dt, (value - epsilon - self._v0) / dt
            self._hi = min(self._hi, high)
            self._lo = max(self._lo, low)

    def pin(self) -> None:
        """Makes the last sample a knot."""
        if self.tip is not None and self.times_ns[-1] != self.tip[0]:
            self._knot()

    def pin_two(self) -> None:
        """Makes the last two samples knots: the piece so far could have ended at either of them."""
        if self._before is not None and self._before[0] > self.times_ns[-1]:
            tip, self.tip = self.tip, self._before
            self._knot()
            self.tip = tip
        self.pin()

    def pin_at(self, time_ns: int, value: float) -> None:
        """Takes a sample that is a knot."""
        self.add(time_ns, value, 0.0)
        self.pin()

    def copy(self) -> GrowingCurve:
        """The same curve, growing on its own; nothing of it counts as written."""
        twin = GrowingCurve()
        twin.times_ns, twin.values, twin.tip, twin.epsilon = self.times_ns[:], self.values[:], self.tip, self.epsilon
        twin._before = self._before
        if self.tip is not None:
            twin._t0, twin._v0, twin._lo, twin._hi = self._t0, self._v0, self._lo, self._hi
        return twin

    def _knot(self) -> None:
        assert self.tip is not None
        self._t0, self._v0 = self.tip
        self.times_ns.append(self._t0)
        self.values.append(self._v0)
        self._lo, self._hi = -inf, inf
