"""What counters that trace a step have in common: what is found on the way, and how a trace leaves no mark."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

ENDLESS = "while: trip count unknown"
"""A loop that is counted as if it ran once."""


@dataclass(slots=True)
class Work:
    """What a part of a program computes.

    Args:
        flops: by the type computed in.
        unknown: operations without a formula, by name, and how often they are called.
        chosen: whether branches differ, of which only the greatest is in here.
        spread: devices that a part of it names to run on.
    """

    flops: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    chosen: bool = False
    spread: int = 1

    @property
    def total(self) -> int:
        """Floating-point operations of all types."""
        return self.flops.total()

    def add(self, other: Work, times: int = 1) -> None:
        """Adds what another part computes, as often as it runs."""
        for mine, theirs in ((self.flops, other.flops), (self.unknown, other.unknown)):
            mine.update({name: amount * times for name, amount in theirs.items() if amount * times})
        self.chosen |= other.chosen
        self.spread = max(self.spread, other.spread)

    def add_loop(self, test: Work, body: Work, trips: int | None) -> None:
        """Adds a loop that tests before each trip; of unknown length, one trip, and it is listed.

        Args:
            test: what decides whether it goes on.
            body: what a trip computes.
            trips: how often it goes on; None where nobody knows.
        """
        self.add(body, 1 if trips is None else trips)
        self.add(test, 1 if trips is None else trips + 1)
        if trips is None and (body.flops or body.unknown or test.flops or test.unknown):
            self.unknown[ENDLESS] += 1


def greatest(branches: list[Work]) -> Work:
    """Of several parts one of which runs, the one that computes most; what is unknown in any is unknown."""
    most = max(branches, key=lambda branch: branch.total)
    for branch in branches:
        most.chosen |= branch.total != most.total
        most.unknown |= branch.unknown
    return most


@contextmanager
def generators_kept() -> Iterator[None]:
    """Leaves Python's and NumPy's random numbers where they were."""
    import numpy as np

    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
