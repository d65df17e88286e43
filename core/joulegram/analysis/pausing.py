"""Work that may be paused: when it runs so that it emits least, by dynamic programming over slots of time.

A pause is not free. It draws power while it lasts, and what was not saved before it is done again after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from joulegram.analysis.outlook import Outlook
from joulegram.curves.curve import Values

FINEST_S = 300.0
MOST_SLOTS = 1000

Stretches = tuple[tuple[float, float], ...]
"""When work runs: (start, end) in s since 1970, in order."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """What pausing costs.

    Args:
        idle_share: power while paused over power at work, 0 to 1.
        resume_s: work (s) that is repeated after each pause.
        stretch_s: shortest time (s) between two pauses.
    """

    idle_share: float = 0.0
    resume_s: float = 0.0
    stretch_s: float = 0.0


def cheapest_stretches(expected: Outlook, duration_s: float, pauses: Pauses) -> Stretches:
    """When work of a duration runs so that it emits least, its pauses included.

    Exact for work that starts and pauses at slots of five minutes, of a thousandth of the outlook where that is longer;
    the work is a whole number of them.

    Args:
        expected: at least as long as the work.
        duration_s: of the work without pauses (s).
        pauses: what they cost.
    """
    span_s = expected.end_s - expected.start_s
    work = max(1, round(duration_s / max(FINEST_S, span_s / MOST_SLOTS)))
    slot_s = duration_s / work
    count = int(span_s / slot_s + 1e-9)
    edges = expected.start_s + slot_s * np.arange(count + 1, dtype=float)
    sums = np.asarray(expected.up_to(edges) / slot_s)
    repeated, shortest = (ceil(s / slot_s - 1e-9) for s in (pauses.resume_s, pauses.stretch_s))
    search = _Search(sums, work, pauses.idle_share, min(repeated, work), max(1, shortest))
    return tuple((float(edges[start]), float(edges[end])) for start, end in search.stretches())


class _Search:
    """The least cost from each slot on, at work and paused, for each amount of work that is left.

    Work that would have to repeat more than it has done had better not have begun; so what is left never grows beyond
    the whole.

    Args:
        sums: cost of working through all slots up to each edge, shape (n + 1,).
        work: slots of work.
        idle_share: cost of a paused slot over one at work.
        repeated: slots of work that a pause adds.
        shortest: fewest slots at work between two pauses.
    """

    def __init__(self, sums: Values, work: int, idle_share: float, repeated: int, shortest: int) -> None:
        self._sums, self._costs, self._idle_share = sums, np.diff(sums), idle_share
        self._work, self._repeated, self._shortest = work, repeated, shortest
        count = len(self._costs)
        self._at_work = np.full((count + 1, work + 1), np.inf)
        self._paused = np.full((count + 1, work + 1), np.inf)
        self._at_work[:, 0] = self._paused[:, 0] = 0.0
        for slot in reversed(range(count)):
            self._paused[slot, 1:] = np.minimum(self._waits(slot), self._resumes(slot))[1:]
            self._at_work[slot, 1:] = np.minimum(self._goes_on(slot), self._paused[slot, 1:])

    def _begins(self, slot: int) -> Values:
        """Cost of working from a slot on for the shortest stretch, or to the end; by what is left, (work + 1,)."""
        left = np.arange(self._work + 1)
        ran = np.minimum(left, self._shortest)
        after = slot + ran
        fits = after < len(self._sums)
        after = np.where(fits, after, slot)
        cost = self._sums[after] - self._sums[slot] + self._at_work[after, left - ran]
        return np.where(fits, cost, np.inf)

    def _waits(self, slot: int) -> Values:
        return np.asarray(self._idle_share * self._costs[slot] + self._paused[slot + 1])

    def _resumes(self, slot: int) -> Values:
        found = np.full(self._work + 1, np.inf)
        found[: self._work + 1 - self._repeated] = self._begins(slot)[self._repeated :]
        return found

    def _goes_on(self, slot: int) -> Values:
        return np.asarray(self._costs[slot] + self._at_work[slot + 1, :-1])

    def stretches(self) -> list[tuple[int, int]]:
        """The slots of the cheapest way: of those that cost the same the earliest, with the fewest pauses."""
        starts = [float(self._begins(slot)[self._work]) for slot in range(len(self._costs))]
        slot = _first_least(starts)
        found: list[tuple[int, int]] = []
        left = self._work
        while left:
            start, ran = slot, min(left, self._shortest)
            slot, left = slot + ran, left - ran
            while left and _is_least(self._goes_on(slot)[left - 1], self._at_work[slot, left]):
                slot, left = slot + 1, left - 1
            found.append((start, slot))
            if left:
                while not _is_least(self._resumes(slot)[left], self._paused[slot, left]):
                    slot += 1
                left += self._repeated
        return found


def _is_least(cost: float, least: float) -> bool:
    return bool(cost <= least + 1e-9 * abs(least))


def _first_least(costs: list[float]) -> int:
    least = min(costs)
    return next(place for place, cost in enumerate(costs) if _is_least(cost, least))
