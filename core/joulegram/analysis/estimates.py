"""Figures that were measured under noise, and whether one is less than another.

What is off by chance (hours that differ) and what is off by a factor (a counter's gain, a price) are kept apart: a
factor that both figures share scales their difference and cannot turn its sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import erf, fsum, inf, isfinite, isnan, prod, sqrt
from typing import Any

Z = 1.96
"""Standard errors on either side that hold the true value in 95 of 100 cases."""
REPEATS_SD = 0.032
"""Standard deviation of one run's energy over that of like runs (the median of 91 networks of EC-NAS that were trained
three times each, Bakhtiarifard, Igel, Selvan 2024): what is assumed where there is one figure only."""
LEAST_HOURS = 4
"""Hours from which their spread tells a standard error."""
MOST_ALIKE = 0.95
"""Autocorrelation above which hours would be worth next to nothing."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure.

    Args:
        value: best value.
        error: standard error.
        gains: by cause, the least and the greatest factor that it may be off by; those of one cause are the same
            factor in each figure.
    """

    value: float
    error: float = 0.0
    gains: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain types; bounds of 95 %, null where there is none."""
        low, high = _times(self.value - Z * self.error, self.value + Z * self.error, self.gains.values())
        return {"value": self.value, "low": max(0.0, low), "high": number(high), "error": self.error}


@dataclass(frozen=True, slots=True)
class Saving:
    """What `before` has more than `after`, between two bounds of 95 %.

    Args:
        value: best value; negative where there is none.
        low: lower bound.
        high: upper bound; infinite where there is none.
        probability: that `after` is less; None where a factor has no bound.
    """

    value: float
    low: float
    high: float
    probability: float | None

    @property
    def is_certain(self) -> bool:
        """Whether even its lower bound is a saving."""
        return self.low > 0

    def plus(self, other: Saving) -> Saving:
        """Both together, added as intervals; the probability stays this one's."""
        return Saving(self.value + other.value, self.low + other.low, self.high + other.high, self.probability)

    def to_json(self) -> dict[str, Any]:
        """Plain types, null where there is no bound."""
        return {"value": self.value, "low": number(self.low), "high": number(self.high)}


def saving(before: Estimate, after: Estimate) -> Saving:
    """How much less `after` is."""
    shared = {
        cause: (min(gain[0], after.gains[cause][0]), max(gain[1], after.gains[cause][1]))
        for cause, gain in before.gains.items()
        if cause in after.gains
    }
    own = [[gain for cause, gain in each.gains.items() if cause not in shared] for each in (before, after)]
    (least_before, most_before), (least_after, most_after) = map(_product, own)
    low = _less(before, least_before, after, most_after, -Z)
    high = _less(before, most_before, after, least_after, Z)
    value = before.value - after.value
    low, high = _times(low, high, shared.values())
    factors = [(least_before, most_before), (least_after, most_after)]
    variances = [
        each.error**2 + (each.value * (most - least)) ** 2 / 12  # a factor may be anything between its bounds
        for each, (least, most) in zip((before, after), factors, strict=True)
        if each.value
    ]
    return Saving(value, min(low, value), max(high, value), _probability(value, sqrt(fsum(variances))))


def _less(before: Estimate, gain_before: float, after: Estimate, gain_after: float, errors: float) -> float:
    one, other = _scaled(before.value, gain_before), _scaled(after.value, gain_after)
    spread = sqrt(_scaled(before.error, gain_before) ** 2 + _scaled(after.error, gain_after) ** 2)
    found = one - other + errors * spread
    return (-inf if errors < 0 else inf) if isnan(found) else found


def _scaled(value: float, gain: float) -> float:
    return value * gain if value else 0.0


def _product(gains: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return prod(low for low, _ in gains), prod(high for _, high in gains)


def _times(low: float, high: float, gains: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """An interval times factors that are not negative."""
    for least, most in gains:
        ends = [_scaled(end, gain) for end in (low, high) for gain in (least, most)]
        low, high = min(ends), max(ends)
    return low, high


def _probability(value: float, deviation: float) -> float | None:
    if not isfinite(deviation):
        return None
    if not deviation:
        return 0.5 if not value else float(value > 0)
    return 0.5 * (1 + erf(value / deviation / sqrt(2)))


def ratio_error(over: Sequence[float], under: Sequence[float]) -> float | None:
    """Standard error of Σ over / Σ under from how much its parts differ; None where they are too few to tell.

    That of a ratio estimator, widened as neighbours are alike: n parts of which one tells ρ of the next are worth
    n (1 - ρ) / (1 + ρ), and Student's t is that of so many. Of simulated hours 1.96 of it hold the truth in 9 of 10
    cases or more, from a day on where ρ is 0.5, from three where it is 0.8; as if independent, in 7 and in 5.

    Args:
        over: energy or carbon of each part (of each hour), in the order of time.
        under: how many requests it had.
    """
    count, whole = len(over), fsum(under)
    if count < LEAST_HOURS or not whole:
        return None
    ratio = fsum(over) / whole
    rests = [part - ratio * base for part, base in zip(over, under, strict=True)]
    squares = fsum(rest**2 for rest in rests)
    alike = likeness(rests)
    worth = count * (1 - alike) / (1 + alike)
    variance = squares * count / (count - 1) * count / worth
    return student_t(max(LEAST_HOURS, worth) - 1) / Z * sqrt(variance) / whole


def likeness(rests: Sequence[float]) -> float:
    """Autocorrelation of neighbours, from 0 to `MOST_ALIKE`; corrected for what few parts hide of it.

    The bias of its estimate is -(1 + 4 ρ) / n (Kendall, Biometrika 41, 1954); of `LEAST_HOURS` it tells nothing.
    """
    squares = fsum(rest**2 for rest in rests)
    if len(rests) <= LEAST_HOURS or not squares:
        return 0.0
    found = fsum(one * other for one, other in pairwise(rests)) / squares
    return min(max(0.0, found + (1 + 4 * found) / len(rests)), MOST_ALIKE)


def student_t(freedom: float) -> float:
    """The 97.5th percentile of Student's t, to a percent from 3 degrees of freedom on.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    z = Z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + fsum(term / freedom ** (power + 1) for power, term in enumerate(terms))


def number(value: float) -> float | None:
    """A number as JSON holds it; None where it is none."""
    return value if isfinite(value) else None
