"""When within an epoch figures are logged: after so many batches, or so much time, and on all ranks at once."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import Any, Literal

Every = Literal["epoch"] | int | timedelta


def cadence(every: Every) -> Batches | Elapsed | None:
    """Counts batches or time; None for epochs, which need no counting.

    Raises:
        TypeError: `every` is neither ``"epoch"``, a number of batches nor a `timedelta`.
        ValueError: it is not positive.
    """
    if every == "epoch":
        return None
    if isinstance(every, bool) or not isinstance(every, int | timedelta):
        raise TypeError(f'every = {every!r}: "epoch", a number of batches or a timedelta is needed')
    if (every if isinstance(every, int) else every.total_seconds()) <= 0:
        raise ValueError(f"every = {every!r}: more than none is needed")
    return Batches(every) if isinstance(every, int) else Elapsed(every.total_seconds())


class Batches:
    """Due after every so many batches."""

    def __init__(self, every: int) -> None:
        self._every = self._left = every

    def restart(self) -> None:
        """Counts from here."""
        self._left = self._every

    def due(self, _: Any) -> bool:
        """Whether this batch's end is a time to log."""
        self._left -= 1
        if self._left > 0:
            return False
        self._left = self._every
        return True


class Elapsed:
    """Due after every so many seconds by the clock of rank 0.

    Clocks of ranks differ, and asking rank 0 at every batch would hold them all up. So rank 0 says after how many
    batches to ask again: as many as it expects until the time is up, but at most as many as it has seen.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self.restart()

    def restart(self) -> None:
        """Counts from here."""
        self._since_s = time.monotonic()
        self._stride = self._left = 1
        self._batches = 0

    def due(self, strategy: Any) -> bool:
        """Whether this batch's end is a time to log; a collective at the batches that all ranks agreed on."""
        self._left -= 1
        if self._left > 0:
            return False
        self._batches += self._stride
        due, self._stride = strategy.broadcast(self._decide())
        self._left = self._stride
        if due:
            self._since_s, self._batches = time.monotonic(), 0
        return bool(due)

    def _decide(self) -> tuple[bool, int]:
        elapsed_s = max(time.monotonic() - self._since_s, 1e-9)
        due = elapsed_s >= self._every_s
        remaining_s = self._every_s if due else self._every_s - elapsed_s
        expected = math.ceil(remaining_s * self._batches / elapsed_s)
        return due, max(1, min(expected, self._batches))
