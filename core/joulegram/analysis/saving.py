"""What becomes of a saving that is expected, by how alike the days of a grid have been.

Choosing the lowest of many expected hours chooses errors as well: of what they promise a part comes true. Where the sun
makes the pattern that is nearly all, where the wind does next to nothing. A zone's own days tell which: the part of the
differences between the hours of a day that came again a day later is the part of a saving that is kept, and how far an
hour was from the same hour of the day before is how far the saving may be off. A forecast is taken to be as good as the
day before, which is the least it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from joulegram.analysis.outlook import DAY_S
from joulegram.curves.curve import Values
from joulegram.curves.series import HOUR_S, Series
from joulegram.records import IntensityPoint

DAYS = 7
"""Days that are looked back on."""
LEAST_PAIRS = 4
"""Days that have to be known, each with the one before it."""
MOST_SPREAD = 3.0
"""Twenty times an hour of the day before: more tells nothing more."""

# From what came true on 11 grids (`benchmarks/savings.py`). Of what jobs emitted over what they were expected to, 95 %
# are, as logarithms, within so many times the spread of the days before.
SPREADS = 2.3
# Where too few days are known: what the median grid keeps, and the spread of the most restless one.
UNKNOWN_KEPT, UNKNOWN_SPREAD = 0.43, 0.49


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike a grid's days are.

    Args:
        kept: share of the differences between the hours of a day that come again a day later, 0 to 1.
        spread: of an hour over the same hour of the day before, as the root mean square of logarithms.
        days: pairs of days that it is from; 0 where too few are known.
    """

    kept: float
    spread: float
    days: int


UNKNOWN = Likeness(UNKNOWN_KEPT, UNKNOWN_SPREAD, 0)


@dataclass(frozen=True, slots=True)
class Saving:
    """What a schedule emits less than starting now, as a share of that; negative where it emits more.

    Args:
        promised: by the intensities that are expected.
        value: what is expected to come true of it.
        low: lower end of its 95 % interval.
        high: upper end of it.
    """

    promised: float
    value: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """Whether all of its interval is a saving."""
        return self.low > 0

    @property
    def is_exact(self) -> bool:
        """Whether it is of intensities that are known."""
        return self.low == self.high


def exactly(promised: float) -> Saving:
    """A saving by intensities that are known."""
    return Saving(promised, promised, promised, promised)


def foreseen(promised: float, moved: float, like: Likeness) -> Saving:
    """What may come of a saving.

    Args:
        promised: by the intensities that are expected, as a share.
        moved: share of the work that is done at another time than if the job starts now. Hours that both have are the
            same hours, whatever becomes of them.
        like: how alike days are.
    """
    left = 1 - like.kept * promised
    factor = exp(SPREADS * moved * like.spread)
    return Saving(promised, 1 - left, 1 - left * factor, 1 - left / factor)


def likeness(points: Sequence[IntensityPoint], now_s: float) -> Likeness:
    """How alike the days before a time (s since 1970) were: by `DAYS` of them, if enough are known; else `UNKNOWN`."""
    known = Series.of_points(point for point in points if point.kind != "static")
    kept, spread, pairs = alike(known.hourly(now_s - DAYS * DAY_S, DAYS * round(DAY_S / HOUR_S)).reshape(DAYS, -1))
    return Likeness(float(kept), float(spread), int(pairs)) if pairs >= LEAST_PAIRS else UNKNOWN


def alike(days: Values) -> tuple[Values, Values, Values]:
    """Figures of a `Likeness` for each of many times.

    The part that is kept is the slope of the hours' differences from their day's mean over those of the day before.

    Args:
        days: intensity by hour of some days one after another (gCO2e/kWh), shape (..., days, hours). A day with an hour
            that is unknown, or zero, is left out.

    Returns:
        The share that is kept, the spread, and from how many pairs of days they are; each of shape (...).
    """
    whole = np.asarray((np.nan_to_num(days) > 0).all(axis=-1, keepdims=True))
    pairs = whole[..., 1:, :] & whole[..., :-1, :]
    hours = np.where(whole, days, 1.0)
    apart = hours - hours.mean(axis=-1, keepdims=True)
    before, after = apart[..., :-1, :] * pairs, apart[..., 1:, :]
    both, alone = (before * after).sum(axis=(-2, -1)), (before**2).sum(axis=(-2, -1))
    kept = np.clip(np.divide(both, alone, out=np.zeros_like(alone), where=alone > 0), 0.0, 1.0)
    squares = np.diff(np.log(hours), axis=-2) ** 2 * pairs
    count = pairs.sum(axis=(-2, -1))
    spread = np.sqrt(squares.sum(axis=(-2, -1)) / np.maximum(count * days.shape[-1], 1))
    return kept, np.minimum(spread, MOST_SPREAD), count
