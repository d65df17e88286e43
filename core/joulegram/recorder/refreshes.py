"""When a counter refreshed, found from readings that come when they come.

A counter that lags (a GPU's, by about a tenth of a second) stands still between two refreshes. A reading that equals
the one before says that there was none; one that differs, that there was one in between. Samples are put in the middle
of that time, so a span's edge is interpolated between refreshes and not between readings.
"""

from __future__ import annotations

from joulegram.units import NS_PER_S

STILL_NS = NS_PER_S // 2
"""A counter that does not change for this long, or for five refreshes, counts nothing."""
SHARP = 0.75
"""Part of the lag within which a refresh should be known; one that is known less well waits for the next."""


class Refreshes:
    """One counter's refreshes. Owned by the sampler's thread.

    Args:
        lag_ns: the longest time between two refreshes (ns); 0 for a counter that is current whenever it is read.

    Attributes:
        slack_ns: how far a moment that `moment` gave may lie from the refresh (ns).
    """

    __slots__ = ("_changed_ns", "_changes", "_first_ns", "_lag_ns", "_last_ns", "_same_ns", "_value", "slack_ns")

    def __init__(self, lag_ns: int) -> None:
        self.slack_ns = 0
        self._lag_ns = lag_ns
        self._value: float | None = None
        self._same_ns = self._last_ns = 0
        self._changes = self._first_ns = self._changed_ns = 0

    @property
    def period_ns(self) -> int | None:
        """The mean time between refreshes so far (ns); None before the second."""
        return (self._changed_ns - self._first_ns) // (self._changes - 1) if self._changes > 1 else None

    def moment(self, time_ns: int, value: float) -> int | None:
        """The moment (ns) that a reading is of; None for one that tells nothing new."""
        if not self._lag_ns:
            return time_ns
        if self._value is None:
            self._value, self._same_ns, self._last_ns = value, time_ns, time_ns - self._lag_ns // 2
            return self._last_ns
        still = value == self._value
        since_ns, self._value, self._same_ns = self._same_ns, value, time_ns
        if still:
            return self._at(time_ns - self._lag_ns) if time_ns - self._last_ns > self._patience_ns else None
        self._count(time_ns)
        width_ns = min(time_ns - since_ns, self._lag_ns)
        if width_ns > SHARP * self._lag_ns and time_ns - self._last_ns < 3 * self._lag_ns:
            return None
        self.slack_ns = max(self.slack_ns, (width_ns + 1) // 2)
        return self._at(time_ns - width_ns // 2)

    @property
    def _patience_ns(self) -> int:
        return max(STILL_NS, 5 * self._lag_ns)

    def _at(self, moment_ns: int) -> int:
        self._last_ns = moment_ns
        return moment_ns

    def _count(self, time_ns: int) -> None:
        self._changes += 1
        self._first_ns = self._first_ns or time_ns
        self._changed_ns = time_ns
