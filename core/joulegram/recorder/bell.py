"""Waking a thread that waits, at the least cost of waiting."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock


class Bell:
    """One thread waits for it, any may ring it; each ring, or several before it is heard, is heard once.

    A lock that is held for as long as nothing has happened. `threading.Event` makes a new one for every wait.
    """

    __slots__ = ("_silence",)

    def __init__(self) -> None:
        self._silence = Lock()
        self._silence.acquire()

    def ring(self) -> None:
        """Ends the wait, or the next one if nobody waits."""
        if self._silence.locked():
            with suppress(RuntimeError):  # another thread rang at this very moment
                self._silence.release()

    def wait(self, most_s: float) -> bool:
        """Waits for a ring, for `most_s` seconds at most; whether it rang."""
        return self._silence.acquire(timeout=max(0.0, most_s))
