"""Who pays a channel's joules while requests overlap: a virtual clock, as fair queueing has it.

With `w` the weight of a request and `W` the sum of the weights in flight, virtual time is `V = ∫ dt / W`: how long a
unit of weight has had a device to itself, so to speak. It is one for all channels. What a unit of weight has been
charged is a curve over virtual time, one for each channel, whose slope is the channel's power; a request costs
`w · (curve(V(end)) - curve(V(begin)))`: two look-ups, however many requests overlap and however late counters are read.

Joules, weights and virtual time are whole numbers here, fine enough that rounding is lost in the last bit of a float: a
weight may be 10²⁰ times another, a server may run for years.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ldexp

FINE_BITS = 96
WEIGHT_BITS = 10
TIME_BITS = 112
MOST_WEIGHT = 2.0**70
"""A request may weigh this much; FLOPs of the largest step are far below."""

Part = tuple[int, int, int]
"""A stretch of a request: its weight, and the virtual times between which it had it."""


def fine(energy_j: float) -> int:
    """Joules as a whole number of 2⁻⁹⁶ J."""
    return int(ldexp(energy_j, FINE_BITS))


def joules(fine_j: int) -> float:
    """Joules of a whole number of 2⁻⁹⁶ J."""
    return fine_j / (1 << FINE_BITS)


def units(weight: float) -> int:
    """A weight as a whole number of 2⁻¹⁰; the least one for what is above zero.

    Raises:
        ValueError: no number, less than nothing, or beyond `MOST_WEIGHT`.
    """
    if not 0 <= weight <= MOST_WEIGHT:
        raise ValueError(f"weight = {weight!r}: a number from 0 to {MOST_WEIGHT:.1e} is needed")
    return max(1, round(ldexp(weight, WEIGHT_BITS))) if weight else 0


@dataclass(slots=True)
class VirtualClock:
    """Virtual time, and the time with somebody in flight. Not thread-safe.

    Attributes:
        time_ns: up to when it has gone.
        virtual: ∫ dt / W up to there (2⁻¹¹² ns per unit of weight).
        busy_ns: time with a weight in flight.
        weight: sum of the weights in flight (`units`).
        history: of its past, since when it was last forgotten: times, virtual times, busy times, weights from then on.
    """

    time_ns: int = 0
    virtual: int = 0
    busy_ns: int = 0
    weight: int = 0
    history: tuple[list[int], list[int], list[int], list[int]] = field(default_factory=lambda: ([0], [0], [0], [0]))

    def change(self, time_ns: int, weight: int) -> int:
        """The weight in flight changes by this much; the virtual time of it. Called in order of time."""
        if self.weight and time_ns > self.time_ns:
            passed_ns = time_ns - self.time_ns
            self.virtual += (passed_ns << TIME_BITS) // self.weight
            self.busy_ns += passed_ns
        self.time_ns = time_ns
        if weight:
            self.weight += weight
            times, virtuals, busies, weights = self.history
            times.append(time_ns)
            virtuals.append(self.virtual)
            busies.append(self.busy_ns)
            weights.append(self.weight)
        return self.virtual

    def at(self, time_ns: int) -> tuple[int, int]:
        """Virtual time and busy time (ns) of a moment that it has not forgotten."""
        times, virtuals, busies, weights = self.history
        last = max(0, bisect_right(times, time_ns) - 1)
        weight, passed_ns = weights[last], time_ns - times[last]
        if not weight or passed_ns <= 0:
            return virtuals[last], busies[last]
        return virtuals[last] + (passed_ns << TIME_BITS) // weight, busies[last] + passed_ns

    def forget(self, before_ns: int) -> None:
        """Lets go of what was before."""
        last = bisect_right(self.history[0], before_ns) - 1
        if last > 0:
            for column in self.history:
                del column[:last]


@dataclass(slots=True)
class Tariff:
    """What a unit of weight has been charged on one channel, over virtual time, and where its joules went.

    Attributes:
        virtual: virtual times of the curves' knots.
        active: what is shared by weight, up to each of them (2⁻⁹⁶ J · 2¹¹² per unit of weight).
        idle: idle power, shared alike.
        active_slope: of the curve from each of them on: power (2⁻⁹⁶ J per ns).
        idle_slope: the same of idle power.
        shared: all that was used while somebody was in flight (2⁻⁹⁶ J).
        charged: what requests have been charged of it (2⁻⁹⁶ J).
        unattributed: what is nobody's (2⁻⁹⁶ J).
    """

    virtual: list[int]
    active: list[int] = field(default_factory=lambda: [0])
    idle: list[int] = field(default_factory=lambda: [0])
    active_slope: list[int] = field(default_factory=lambda: [0])
    idle_slope: list[int] = field(default_factory=lambda: [0])
    shared: int = 0
    charged: int = 0
    unattributed: int = 0

    def use(self, begin: tuple[int, int], end: tuple[int, int], duration_ns: int, active: int, idle: int) -> None:
        """Adds energy that was used evenly over a stretch of time.

        Args:
            begin: virtual and busy time of its beginning.
            end: of its end.
            duration_ns: how long it was, 1 at least.
            active: shared by those in flight, by weight (2⁻⁹⁶ J).
            idle: what the device draws with nothing running; shared in the same way, kept apart (2⁻⁹⁶ J).
        """
        busy_ns = end[1] - begin[1]
        shared = active * busy_ns // duration_ns + idle * busy_ns // duration_ns
        self.shared += shared
        self.unattributed += active + idle - shared
        self._knot(begin[0], active // duration_ns, idle // duration_ns)
        self._knot(end[0], 0, 0)

    def cost(self, parts: Iterable[Part]) -> tuple[int, int]:
        """What stretches of a request cost: active, and idle power (2⁻⁹⁶ J)."""
        active = idle = 0
        for weight, begin, end in parts:
            active_begin, idle_begin = self._at(begin)
            active_end, idle_end = self._at(end)
            active += weight * (active_end - active_begin)
            idle += weight * (idle_end - idle_begin)
        return active >> TIME_BITS, idle >> TIME_BITS

    def drop(self, energy: int) -> None:
        """What has been shared, and will not be charged (2⁻⁹⁶ J), is nobody's."""
        self.charged += energy
        self.unattributed += energy

    def forget(self, before: int) -> None:
        """Lets go of what was before a virtual time."""
        last = bisect_right(self.virtual, before) - 1
        if last > 0:
            for column in (self.virtual, self.active, self.idle, self.active_slope, self.idle_slope):
                del column[:last]

    def _knot(self, virtual: int, active_slope: int, idle_slope: int) -> None:
        """From here on the curves have these slopes."""
        if virtual > self.virtual[-1]:
            active, idle = self._at(virtual)
            self.virtual.append(virtual)
            self.active.append(active)
            self.idle.append(idle)
            self.active_slope.append(active_slope)
            self.idle_slope.append(idle_slope)
        else:
            self.active_slope[-1], self.idle_slope[-1] = active_slope, idle_slope

    def _at(self, virtual: int) -> tuple[int, int]:
        last = bisect_right(self.virtual, virtual) - 1
        if last < 0:
            return self.active[0], self.idle[0]
        passed = virtual - self.virtual[last]
        return (
            self.active[last] + self.active_slope[last] * passed,
            self.idle[last] + self.idle_slope[last] * passed,
        )
