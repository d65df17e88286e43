"""What the machine is made to do: how loaded it is over time, and where the epochs of the program under test lie."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Load:
    """Pieces of (seconds, load from 0 to 1), over and over, and the epochs (s) in which they are measured."""

    pieces: Sequence[tuple[float, float]]
    epochs_s: Sequence[float] = (20.0,)

    @property
    def edges_s(self) -> list[float]:
        return [0.0, *accumulate(self.epochs_s)]

    def watts(self, idle_w: float, peak_w: float) -> list[tuple[float, float]]:
        return [(seconds, idle_w + load * (peak_w - idle_w)) for seconds, load in self.pieces]


def _epochs(count: int, seconds: float) -> Load:
    loads = random.Random(count)
    return Load([(seconds, loads.random()) for _ in range(count)], [seconds] * count)


def _steps() -> Iterator[tuple[float, float]]:
    chance, left_s = random.Random(2), 20.0
    while left_s > 0:
        seconds = min(left_s, chance.uniform(0.1, 3.0))
        left_s -= seconds
        yield seconds, chance.random()


LOADS: Mapping[str, Load] = {
    "constant": Load([(20.0, 0.5)]),
    "square": Load([(0.35, 0.0), (0.35, 1.0)]),
    "epochs": _epochs(15, 1.3),
    "long-epochs": _epochs(3, 20.0),
    "idle": Load([(20.0, 0.0)]),
    "steps": Load(list(_steps())),
}
