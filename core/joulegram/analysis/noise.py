"""What a difference has to exceed to be one: noise from repeats, where there are any, else a stated floor.

Repeats tell how much single runs of one set-up differ. Of two of them, 19 in 20 differ by less than 2.8 standard
deviations: the repeatability limit of ISO 5725-6.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from joulegram.units import show_percent

FLOOR = 0.05
"""Of single runs with nothing to tell their noise. In EC-NAS (Bakhtiarifard, Igel, Selvan 2024) 91 networks were
trained three times each; the energy of the three has a standard deviation of 3.2 % (median)."""
REPEATABILITY = 2.8
ENOUGH = 4
"""Degrees of freedom from which repeats may also lower the floor: fewer may be alike by chance."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Differences up to `share` of the smaller value are ties; `how` says where that is from."""

    share: float
    how: str


def noise(groups: Iterable[Sequence[float]], floor: float = FLOOR) -> Noise:
    """The noise of one measure.

    Args:
        groups: positive values of the repeats of each set-up; those of a single run tell nothing.
        floor: what is assumed where there are too few repeats.
    """
    repeated = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in repeated)
    if not freedom:
        return Noise(floor, f"no repeats: {show_percent(floor)} is assumed" if floor else "no repeats")
    limit = REPEATABILITY * math.sqrt(sum(_squares(group) for group in repeated) / freedom)
    how = f"from {sum(map(len, repeated))} repeats of {len(repeated)} set-up{'s' if len(repeated) > 1 else ''}"
    if freedom < ENOUGH and limit < floor:
        return Noise(
            floor, f"{how} it would be {show_percent(limit)}, but they are few: {show_percent(floor)} is assumed"
        )
    return Noise(limit, how)


def _squares(group: Sequence[float]) -> float:
    """Sum of squared deviations from the mean, relative to it."""
    mean = math.fsum(group) / len(group)
    return math.fsum((value / mean - 1) ** 2 for value in group)
