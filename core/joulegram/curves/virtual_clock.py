"""Who pays a channel's joules while requests overlap: a virtual clock, as fair queueing has it.

With `w` the weight of a request and `W` the sum of the weights in flight, the clock `S = ∫ dE / W` makes the request
cost `w · (S(end) - S(begin))`: two look-ups for each request, however many overlap. The idle power of a device has a
clock of its own, so that a request's part of it stays apart.

Joules and weights are whole numbers here, of 2⁻¹⁶⁰ J and of 2⁻¹⁰, which every float within range is exactly: what the
requests paid, what they still owe and what is nobody's are the energy, with no rounding at all, after any number of
requests of any weights. What a division leaves over goes into the next one.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from math import ldexp

FINE_BITS = 160
WEIGHT_BITS = 10
MOST_WEIGHT = 2.0**80
"""A request may weigh this much; FLOPs of the largest step are far below."""


def fine(energy_j: float) -> int:
    """Joules as a whole number of 2⁻¹⁶⁰ J."""
    return int(ldexp(energy_j, FINE_BITS))


def joules(fine_j: int) -> float:
    """Joules of a whole number of 2⁻¹⁶⁰ J."""
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
class Share:
    """What one request holds and owes."""

    weight: int
    active_at: int
    idle_at: int
    active: int = 0
    idle: int = 0


@dataclass(slots=True)
class VirtualClock:
    """One channel's clock. Not thread-safe: its owner calls it in order of time.

    Attributes:
        weight: sum of the weights in flight.
        active: the clock of what is shared by weight (2⁻¹⁶⁰ J per unit of weight).
        idle: that of idle power.
        pending: what those in flight owe so far, not charged yet.
        unattributed: what is nobody's: used with nobody in flight, by others, or by requests that were dropped.
        shares: of those in flight, by their keys.
    """

    weight: int = 0
    active: int = 0
    idle: int = 0
    pending: int = 0
    unattributed: int = 0
    shares: dict[Hashable, Share] = field(default_factory=dict)
    _active_rest: int = 0
    _idle_rest: int = 0

    @property
    def rests(self) -> tuple[int, int]:
        """What the divisions of both clocks have left over so far; contained in `pending`."""
        return self._active_rest, self._idle_rest

    def use(self, active: int, idle: int = 0) -> None:
        """Adds energy (2⁻¹⁶⁰ J) that was used while those in flight were as they are now.

        Args:
            active: shared by those in flight, by weight.
            idle: what the device draws with nothing running; shared in the same way, kept apart.
        """
        weight = self.weight
        if not weight:
            self.unattributed += active + idle
            return
        self.pending += active + idle
        rise, self._active_rest = divmod(active + self._active_rest, weight)
        self.active += rise
        if idle:
            rise, self._idle_rest = divmod(idle + self._idle_rest, weight)
            self.idle += rise

    def begin(self, key: Hashable, weight: int) -> None:
        """From now on a request is in flight; one of weight 0 pays nothing."""
        self.shares[key] = Share(weight, self.active, self.idle)
        self.weight += weight

    def weigh(self, key: Hashable, weight: int) -> None:
        """From now on it weighs this much; one that is not in flight is left alone."""
        share = self.shares.get(key)
        if share is not None:
            self._owe(share)
            self._add_weight(weight - share.weight)
            share.weight = weight

    def end(self, key: Hashable) -> tuple[int, int]:
        """Charges a request and lets it go: its active part and its part of idle power."""
        share = self.shares.pop(key, None)
        if share is None:
            return 0, 0
        self._owe(share)
        self._add_weight(-share.weight)
        self.pending -= share.active + share.idle
        return share.active, share.idle

    def drop(self, key: Hashable) -> None:
        """Lets a request go uncharged: what it owed is nobody's."""
        owed = sum(self.end(key))
        self.unattributed += owed

    def owed(self, key: Hashable) -> tuple[int, int]:
        """What a request owes so far: its active part and its part of idle power."""
        share = self.shares.get(key)
        if share is None:
            return 0, 0
        return (
            share.active + share.weight * (self.active - share.active_at),
            share.idle + share.weight * (self.idle - share.idle_at),
        )

    def _owe(self, share: Share) -> None:
        share.active += share.weight * (self.active - share.active_at)
        share.idle += share.weight * (self.idle - share.idle_at)
        share.active_at, share.idle_at = self.active, self.idle

    def _add_weight(self, weight: int) -> None:
        self.weight += weight
        if not self.weight:  # nobody is left to pay what the divisions left over
            rest = self._active_rest + self._idle_rest
            self.pending -= rest
            self.unattributed += rest
            self._active_rest = self._idle_rest = 0
