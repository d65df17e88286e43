"""The marks of a loop in the time of its device: in order, and up to which moment they are all known."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count

from joulegram.clocks import Edge
from joulegram.curves.phases import MOST_MARKS, Cursor, Mark
from joulegram.units import NS_PER_S

Stamp = int | Edge
"""When something is: on the host (monotonic ns), or in the device's queue."""

PATIENCE_NS = 5 * NS_PER_S
"""An edge whose time on the device is not known after this is taken at the host's: the journal waits for no device."""


def on_host_ns(stamp: Stamp) -> int:
    """The host's time of a stamp (ns)."""
    return stamp if isinstance(stamp, int) else stamp.asked_ns


class DeviceMarks:
    """Marks on their way to the channels of accelerators. Owned by the sampler's thread.

    Edges become known one after the other, later than they are; but none can be before it was asked for. So up to the
    moment at which the first unknown one was asked for, all marks are known.

    Args:
        on_host: where the loop's own marks stand: until the first edge on a device these are the device's too.
    """

    def __init__(self, on_host: Cursor) -> None:
        self.cursor = Cursor()
        """Where a channel that comes later starts from."""
        self.cursor.follow(on_host)
        self._waiting: deque[tuple[Stamp, str | None]] = deque(maxlen=MOST_MARKS)
        self._known: list[tuple[int, int, str | None]] = []
        self._numbers = count()

    def add(self, stamp: Stamp, entered: str | None) -> None:
        """Takes a mark, in order of the host's time."""
        self._waiting.append((stamp, entered))

    def advance(self, until_ns: int, patience_ns: int = PATIENCE_NS) -> tuple[int, list[Mark]]:
        """Up to when marks are known, at most until a moment (ns), and those up to then that are new."""
        while self._waiting:
            stamp, entered = self._waiting[0]
            time_ns = stamp if isinstance(stamp, int) else stamp.reached_ns
            if time_ns is None:
                time_ns = on_host_ns(stamp)
                if time_ns > until_ns - patience_ns:
                    until_ns = min(until_ns, time_ns)
                    break
            self._waiting.popleft()
            heappush(self._known, (time_ns, next(self._numbers), entered))
        marks = list(self._until(until_ns))
        for mark in marks:
            self.cursor.add(mark)
        for _ in self.cursor.walk(until_ns, until_ns):
            pass
        return until_ns, marks

    def _until(self, time_ns: int) -> Iterator[Mark]:
        while self._known and self._known[0][0] <= time_ns:
            known_ns, _, entered = heappop(self._known)
            yield known_ns, entered
