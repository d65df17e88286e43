"""What the loop itself adds up, FLOPs above all, as cumulative curves that are exact at every edge of a span."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping

from joulegram.curves.door import GrowingCurve
from joulegram.curves.phases import MOST_MARKS
from joulegram.units import NS_PER_S

EPSILON_S = 0.5
"""Between edges compression may move a curve by what this time adds at the running mean."""

Totals = dict[str, float]


class TallyLog:
    """Running totals by name. `add` and `edge` are called by the loop's threads, the rest by the sampler's.

    Args:
        start_ns: when the run started (ns).
    """

    def __init__(self, start_ns: int) -> None:
        self._lock = threading.Lock()
        self._totals: Totals = {}
        self._edges: deque[tuple[int, Totals]] = deque(maxlen=MOST_MARKS)
        self._sample: tuple[int, Totals] | None = None
        self._curves: dict[str, GrowingCurve] = {}
        self._start_ns = self._last_ns = start_ns

    def add(self, amounts: Mapping[str, float]) -> None:
        """Adds amounts to the totals of their names."""
        with self._lock:
            for name, amount in amounts.items():
                self._totals[name] = self._totals.get(name, 0.0) + amount

    def edge(self, time_ns: int) -> None:
        """A span has an edge now: the curves are exact there."""
        self._edges.append((time_ns, self._now()))

    def settle(self, now_ns: int, until_ns: int) -> None:
        """Grows the curves by what happened up to `until_ns`; a sample waits until no edge before it can come."""
        for time_ns, totals, is_edge in self._due(until_ns):
            self._grow(time_ns, totals, is_edge)
        if until_ns >= now_ns:
            self._grow(now_ns, self._now(), pinned=True)
        elif self._sample is None:
            self._sample = (now_ns, self._now())

    def ahead(self, now_ns: int) -> list[tuple[int, Totals]]:
        """How far the curves have come (ns), the edges after that, and the totals now; may be called by any thread."""
        return [(self._last_ns, {}), *self._edges.copy(), (now_ns, self._now())]

    def curves(self) -> Iterator[tuple[str, GrowingCurve]]:
        """The curves by the names that they have in a journal."""
        for name, curve in list(self._curves.items()):
            yield f"tally {name}", curve

    def _now(self) -> Totals:
        with self._lock:
            return dict(self._totals)

    def _due(self, until_ns: int) -> Iterator[tuple[int, Totals, bool]]:
        while self._edges and self._edges[0][0] <= until_ns:
            if self._sample is not None and self._sample[0] < self._edges[0][0]:
                yield (*self._sample, False)
                self._sample = None
            yield (*self._edges.popleft(), True)
        if self._sample is not None and self._sample[0] <= until_ns:
            yield (*self._sample, False)
            self._sample = None

    def _grow(self, time_ns: int, totals: Totals, pinned: bool) -> None:
        if time_ns <= self._last_ns:  # threads that stamped their edges in another order than they left them
            return
        for name, total in totals.items():
            curve = self._curves.get(name)
            if curve is None:
                curve = GrowingCurve()
                curve.add(self._last_ns, 0.0, 0.0)
                self._curves[name] = curve
            curve.add(time_ns, total, EPSILON_S * total * NS_PER_S / max(NS_PER_S, time_ns - self._start_ns))
            if pinned:
                curve.pin()
        self._last_ns = time_ns
