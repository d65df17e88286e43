"""A phase is a share, not a thousand spans.

The loop marks when it changes phase, and each counter interval is split by the time spent in each. Marks also carry
the edges of spans, at which the curves are pinned, so that compression never enters a span's figure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

OTHER = "other"

Mark = tuple[int, str | None]
"""(time in ns, phase entered) or (time in ns, None) for the edge of a span."""


MOST_MARKS = 200_000
"""Marks kept for a reader that does not come: a meter that is stuck for good must not fill the memory."""


class Cursor:
    """One reader's way through the marks: contiguous intervals, taken in order. Owned by one thread."""

    __slots__ = ("_marks", "phase")

    def __init__(self) -> None:
        self._marks: deque[Mark] = deque(maxlen=MOST_MARKS)
        self.phase = OTHER
        """The phase at the end of what has been walked."""

    def add(self, mark: Mark) -> None:
        """Takes a mark, in order of time."""
        self._marks.append(mark)

    def follow(self, other: Cursor) -> None:
        """Starts where another cursor stands."""
        self._marks.extend(other._marks)
        self.phase = other.phase

    def walk(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, str, int, bool]]:
        """Pieces of an interval: (nanoseconds, phase, end in ns, whether a span has an edge at that end).

        A mark that came too late for its own interval takes effect at the start of this one.
        """
        since_ns = start_ns
        while self._marks and self._marks[0][0] < end_ns:
            mark_ns, entered = self._marks.popleft()
            at_ns = max(since_ns, mark_ns)
            yield at_ns - since_ns, self.phase, at_ns, entered is None
            since_ns = at_ns
            if entered is not None:
                self.phase = entered
        yield end_ns - since_ns, self.phase, end_ns, False
