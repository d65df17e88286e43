"""An energy counter held against the power readings of the same device, once, over the first steady stretch of a run.

Some counters are far off: one in use gained 187 J in 5 s of idling where the power readings summed up to 327 J
(github.com/ml-energy/zeus/issues/181), and consumer cards' lag behind when they are read often. Power readings see a
part of the time only, a quarter of it on some GPUs, so they say something of energy only where power is steady.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

from joulegram.units import NS_PER_S

STRETCH_NS = 5 * NS_PER_S
GIVE_UP_NS = 60 * NS_PER_S
"""A device whose power has not been steady by then is not looked at any longer."""
PERIOD_NS = NS_PER_S // 20
"""From one reading of the power to the next, at least: edges of spans make a counter be read more often than that."""
STEADY = 0.1
"""All readings of a steady stretch lie within so much of their mean."""
FAR = 2.0
"""Counter and power are compared with their accuracy, the spread of the power, and a reading's time at both ends of the
stretch; what is off by no more than twice all of that together is no finding."""

Reading = tuple[int, float, float]
"""When (ns), joules on the counter, power (W)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a counter and the power readings said of the same stretch.

    Args:
        counted_j: by the counter (J).
        summed_j: by the power, summed up (J).
        seconds: how long it was (s).
        far: whether they are further apart than accuracy and sampling explain.
    """

    counted_j: float
    summed_j: float
    seconds: float
    far: bool

    @property
    def ratio(self) -> float:
        """The counter's joules over the power's."""
        return self.counted_j / self.summed_j


class CrossCheck:
    """One device's check. Owned by the thread that reads.

    Args:
        accuracy: of the device's sensor, as a part of its figures.

    Attributes:
        done: there is a finding, or there will be none.
    """

    def __init__(self, accuracy: float) -> None:
        self.done = False
        self._accuracy = accuracy
        self._began_ns: int | None = None
        self._stretch: list[Reading] = []

    def due(self, time_ns: int) -> bool:
        """Whether it is time (ns) for the next reading."""
        return not self._stretch or time_ns - self._stretch[-1][0] >= PERIOD_NS

    def take(self, time_ns: int, joules: float, watts: float) -> Finding | None:
        """Takes a reading of both; the finding, once there is one."""
        self._began_ns = time_ns if self._began_ns is None else self._began_ns
        if not (isfinite(joules) and watts > 0) or (self._stretch and joules < self._stretch[-1][1]):
            self._stretch = []
            return None
        self._stretch.append((time_ns, joules, watts))
        if self._spread() > STEADY:
            self._stretch = self._stretch[-1:]
        if time_ns - self._stretch[0][0] >= STRETCH_NS:
            self.done = True
            return self._found()
        self.done = time_ns - self._began_ns >= GIVE_UP_NS
        return None

    def _spread(self) -> float:
        watts = [reading[2] for reading in self._stretch]
        return (max(watts) - min(watts)) * len(watts) / sum(watts)

    def _found(self) -> Finding:
        """Between the counter's first change and its last, as what it shows between two refreshes is old."""
        changes = [place for place, (one, other) in enumerate(pairwise(self._stretch), 1) if other[1] > one[1]]
        first, last = (changes[0], changes[-1]) if len(changes) > 1 else (0, len(self._stretch) - 1)
        part = self._stretch[first : last + 1]
        seconds = (part[-1][0] - part[0][0]) / NS_PER_S
        summed_j = sum((b[2] + a[2]) / 2 * (b[0] - a[0]) / NS_PER_S for a, b in pairwise(part))
        counted_j = part[-1][1] - part[0][1]
        reading_s = max(b[0] - a[0] for a, b in pairwise(self._stretch)) / NS_PER_S
        explained = self._accuracy + self._spread() + 2 * reading_s / seconds
        return Finding(counted_j, summed_j, seconds, abs(counted_j / summed_j - 1) > FAR * explained)
