"""Wall time, piecewise-straight between anchors: what the clock on the wall said at a monotonic moment, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from joulegram.curves.curve import Steps, Times, Values
from joulegram.records import Anchor, IntensityPoint
from joulegram.units import NS_PER_S

JUMP_NS = NS_PER_S // 2
"""Wall time that runs apart from monotonic time by more than this between two anchors jumped; less is slewing."""
MOST_NS = int(np.iinfo(np.int64).max // 2)
"""For ever, with room to subtract."""


class Timeline:
    """The anchors of one recorder, in order.

    Between two anchors wall time is straight. Where it jumped (a suspend, a clock that was set) it runs on at the old
    offset up to the later anchor: durations are not stretched over the jump.

    Args:
        anchors: at least one.
    """

    def __init__(self, anchors: Iterable[Anchor]) -> None:
        unique = {anchor.mono_ns: anchor for anchor in anchors}
        self.anchors = [unique[mono_ns] for mono_ns in sorted(unique)]
        self._mono = np.array([anchor.mono_ns for anchor in self.anchors], np.int64)
        self._wall = np.array([anchor.wall_ns for anchor in self.anchors], np.int64)
        awake_ns, passed_ns = np.diff(self._mono), np.diff(self._wall)
        # Close together, even a scheduler's pause between reading two clocks would bend the line out of shape.
        self._jumps = np.abs(passed_ns - awake_ns) > np.minimum(JUMP_NS, awake_ns // 10)
        # Wall nanoseconds per monotonic nanosecond after each anchor, and what each piece shows at its end.
        self._slopes = np.append(np.where(self._jumps, 1.0, passed_ns / awake_ns), 1.0)
        self._tops = np.append(np.where(self._jumps, self._wall[:-1] + awake_ns, self._wall[1:]), MOST_NS)

    def wall_s(self, times_ns: ArrayLike) -> Values:
        """Seconds since 1970 (UTC) at monotonic times (ns); shape of `times_ns`."""
        times = np.asarray(times_ns, np.int64)
        piece = np.clip(np.searchsorted(self._mono, times, side="right") - 1, 0, len(self._mono) - 1)
        since = (times - self._mono[piece]).astype(float)
        return np.asarray((self._wall[piece] + since * self._slopes[piece]) / NS_PER_S)

    def mono_ns(self, walls_s: ArrayLike) -> Times:
        """Monotonic times (ns) at wall times (s since 1970): the first moment that shows the time, or a later one."""
        walls = np.asarray(walls_s, float) * NS_PER_S
        piece = np.searchsorted(np.maximum.accumulate(self._tops), walls, side="left")
        since = (walls - self._wall[piece]) / self._slopes[piece]
        since = np.where(piece > 0, np.maximum(since, 0.0), since)  # a time that a jump left out
        return np.asarray(self._mono[piece] + since.astype(np.int64), np.int64)

    def slept_s(self, start_ns: int, end_ns: int) -> float:
        """Seconds between two monotonic moments that the machine was suspended for."""
        slept = 0
        for before, after in zip(self.anchors, self.anchors[1:], strict=False):
            # Asleep from the first moment on: the clocks are looked at after a run's end, and before what follows it.
            if before.boot_ns is not None and after.boot_ns is not None and start_ns <= before.mono_ns < end_ns:
                lag = (after.boot_ns - before.boot_ns) - (after.mono_ns - before.mono_ns)
                slept += lag if lag > JUMP_NS else 0
        return slept / NS_PER_S

    def in_force(self, points: Sequence[IntensityPoint]) -> Steps:
        """Which point holds when, over monotonic time, as its place among them; NaN where none does.

        Args:
            points: of one signal, basis and accounting; points with a time go before those without, later before
                earlier ones.
        """
        timeless = [place for place, point in enumerate(points) if point.start_s is None]
        default = float(timeless[-1]) if timeless else float("nan")
        timed = [(place, p.start_s, p.length_s or 0.0) for place, p in enumerate(points) if p.start_s is not None]
        if not timed:
            return Steps.constant(default)
        places, starts_s, lengths_s = (np.array(column, float) for column in zip(*timed, strict=True))
        ends_s = starts_s + lengths_s
        edges_s = np.unique(np.concatenate([starts_s, ends_s]))
        values = np.full(len(edges_s), default)
        stretches = zip(np.searchsorted(edges_s, starts_s), np.searchsorted(edges_s, ends_s), places, strict=True)
        for first, last, place in stretches:
            values[first:last] = place
        return self._on_monotonic(edges_s, values, default)

    def _on_monotonic(self, edges_s: Values, values: Values, default: float) -> Steps:
        """A step function of wall time as one of monotonic time: each stretch without a jump is mapped by itself."""
        starts = np.concatenate([[0], np.flatnonzero(self._jumps) + 1])
        ends = np.append(self._mono[starts[1:]], MOST_NS)
        times: list[int] = []
        levels: list[float] = []
        for first, end_ns in zip(starts.tolist(), ends.tolist(), strict=True):
            start_ns = int(self._mono[first]) if first else -MOST_NS
            wall_start_s = float(self.wall_s([start_ns])[0])
            here = np.searchsorted(edges_s, wall_start_s, side="right") - 1
            times.append(start_ns)
            levels.append(float(values[here]) if here >= 0 else default)
            reached_ns = self._reached(edges_s[here + 1 :], first, end_ns)
            times += reached_ns.tolist()
            levels += values[here + 1 : here + 1 + len(reached_ns)].tolist()
        return Steps(np.array(times, np.int64), np.array(levels))

    def _reached(self, walls_s: Values, first: int, end_ns: int) -> Times:
        """When the wall clock reached times, those that it did, in the stretch that begins at anchor `first`."""
        last = int(np.searchsorted(self._mono, end_ns, side="left"))
        walls_ns = walls_s * NS_PER_S
        piece = first + np.maximum(0, np.searchsorted(self._wall[first:last], walls_ns, side="right") - 1)
        times = (self._mono[piece] + (walls_ns - self._wall[piece]) / self._slopes[piece]).astype(np.int64)
        return np.asarray(times[: int(np.searchsorted(times, end_ns, side="left"))], np.int64)
