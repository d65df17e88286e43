"""How long the loop was in each phase, and how often it entered it, as cumulative curves."""

from __future__ import annotations

from collections.abc import Iterator

from joulegram.curves.door import GrowingCurve
from joulegram.curves.phases import OTHER, Cursor
from joulegram.units import NS_PER_S

# Wider than a usual step, whose phases would be a knot each; edges of spans are knots, so no span's figure has it.
EPSILON_S = 0.5
EPSILON_ENTRIES = 2.0


class PhaseLog:
    """Seconds in, and entries into, each phase since the run started (ns). Owned by the sampler's thread."""

    def __init__(self, start_ns: int) -> None:
        self.cursor = Cursor()
        self._until_ns = start_ns
        self._phase = self.cursor.phase
        self._spent_ns: dict[str, int] = {}
        self._first_ns: dict[str, int] = {}
        self._entries: dict[str, int] = {OTHER: 1}
        self._seconds: dict[str, GrowingCurve] = {}
        self._counts: dict[str, GrowingCurve] = {}

    def settle(self, until_ns: int, phases_used: bool) -> None:
        """Takes in the marks up to `until_ns`; curves grow once a phase has been used."""
        if until_ns <= self._until_ns:
            return
        for spent_ns, phase, end_ns, is_edge in self.cursor.walk(self._until_ns, until_ns):
            self._first_ns.setdefault(phase, end_ns - spent_ns)
            self._spent_ns[phase] = self._spent_ns.get(phase, 0) + spent_ns
            if phase != self._phase:
                self._phase = phase
                self._entries[phase] = self._entries.get(phase, 0) + 1
            if is_edge and phases_used:
                self._grow(end_ns, pinned=True)
        if phases_used:
            self._grow(until_ns, pinned=False)
        self._until_ns = until_ns

    def curves(self) -> Iterator[tuple[str, GrowingCurve]]:
        """The curves by the names that they have in a journal."""
        for phase, curve in list(self._seconds.items()):
            yield f"phase_s {phase}", curve
        for phase, curve in list(self._counts.items()):
            yield f"phase_n {phase}", curve

    def _grow(self, time_ns: int, pinned: bool) -> None:
        for phase, spent_ns in self._spent_ns.items():
            for curves, value, epsilon in (
                (self._seconds, spent_ns / NS_PER_S, EPSILON_S),
                (self._counts, float(self._entries.get(phase, 0)), EPSILON_ENTRIES),
            ):
                if phase not in curves:
                    curves[phase] = GrowingCurve()
                    curves[phase].add(self._first_ns[phase], 0.0, 0.0)
                curves[phase].add(time_ns, value, epsilon)
                if pinned:
                    curves[phase].pin()
