"""What goes wrong while telling of costs is said once; nobody's server hears of it otherwise."""

from __future__ import annotations

import logging


class Complaints:
    """Says the first problem of one thing, through the logger ``joulegram``.

    Args:
        what: what cannot be told.
    """

    def __init__(self, what: str) -> None:
        self._what, self._said = what, False

    def say_once(self, problem: Exception) -> None:
        """Says it, if it is the first."""
        if not self._said:
            self._said = True
            logging.getLogger("joulegram").warning("joulegram could not tell its %s: %r", self._what, problem)
