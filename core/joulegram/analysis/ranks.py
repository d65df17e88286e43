"""How well one measure ranks another: Kendall τ, Spearman ρ and Pearson r with bootstrap intervals, and flipped pairs.

Two values whose difference is at most `noise`, as a share of the smaller one's magnitude, are a tie. A pair flips where
both measures tell its two apart and disagree on which is more. The coefficients know nothing of noise: they are those
of the literature, on the values as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from joulegram.extras import MissingExtra

Floats = np.ndarray[Any, np.dtype[np.float64]]
Signs = np.ndarray[Any, np.dtype[np.int8]]
Indices = np.ndarray[Any, np.dtype[np.int64]]

RESAMPLES = 1_000
CONFIDENCE = 0.95
FEWEST = 3
"""Two points always lie on a line."""
FEWEST_TO_RESAMPLE = 5
"""With fewer points most resamples hold two or three distinct ones, and an interval would say nothing."""


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient of correlation between −1 and 1, and its bootstrap interval.

    Args:
        value: None where it is not defined: fewer than `FEWEST` points, or a measure that never changes.
        low: 2.5th percentile over resampled points; None for fewer than `FEWEST_TO_RESAMPLE` of them.
        high: 97.5th percentile.
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two measures of the same points agree.

    Args:
        points: how many points have both measures.
        kendall: τ-b.
        spearman: ρ.
        pearson: r.
        pairs: how many pairs these points make.
        flipped: pairs that both measures tell apart, in opposite order.
        tied: pairs that at least one of them does not tell apart.
    """

    points: int
    kendall: Coefficient
    spearman: Coefficient
    pearson: Coefficient
    pairs: int
    flipped: int
    tied: int

    @property
    def flip_share(self) -> float | None:
        """Flipped pairs over all pairs; None where there is no pair."""
        return self.flipped / self.pairs if self.pairs else None


def agreement(
    x: Floats, y: Floats, noise_x: float = 0.0, noise_y: float = 0.0, resamples: int = RESAMPLES
) -> Agreement:
    """How two measures agree on the order of the same points. O(resamples · n²) time, O(n²) memory.

    Args:
        x: n values; NaN where missing. A point that lacks either value drops out.
        y: n values of the other measure.
        noise_x: differences up to this share of the smaller value are ties.
        noise_y: the same of the other measure.
        resamples: for the intervals, drawn alike every time; 0 for no intervals.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    stats = scipy_stats()
    known = np.isfinite(x) & np.isfinite(y)
    x, y = np.asarray(x, float)[known], np.asarray(y, float)[known]
    n = len(x)
    product = order(x, noise_x) * order(y, noise_y)
    defined = n >= FEWEST and bool(np.ptp(x) > 0) and bool(np.ptp(y) > 0)
    intervals = _intervals(x, y, resamples) if resamples and defined and n >= FEWEST_TO_RESAMPLE else {}

    def coefficient(name: str, correlate: Any) -> Coefficient:
        return Coefficient(float(correlate(x, y).statistic) if defined else None, *intervals.get(name, (None, None)))

    return Agreement(
        points=n,
        kendall=coefficient("kendall", stats.kendalltau),
        spearman=coefficient("spearman", stats.spearmanr),
        pearson=coefficient("pearson", stats.pearsonr),
        pairs=n * (n - 1) // 2,
        flipped=int(np.count_nonzero(product < 0)) // 2,
        tied=(int(np.count_nonzero(product == 0)) - n) // 2,
    )


def flipped_pairs(x: Floats, y: Floats, noise_x: float = 0.0, noise_y: float = 0.0) -> Indices:
    """Indices (m, 2) of the pairs that both measures tell apart, in opposite order; the first index is the smaller.

    A point that lacks either value is in no pair.
    """
    return np.argwhere(np.triu(order(x, noise_x) * order(y, noise_y)) < 0)


def ranks(values: Floats, noise: float = 0.0) -> tuple[list[int | None], list[bool]]:
    """Each point's rank, which is one more than the points that are clearly less, and whether it ties with another.

    Ranks are None, and nothing ties, where a value is NaN.
    """
    known = np.isfinite(values)
    signs = order(values, noise)[:, known]
    places = (1 + (signs > 0).sum(axis=1)).tolist()
    tied = (signs == 0).sum(axis=1) > 1  # each with itself
    return [place if k else None for place, k in zip(places, known, strict=True)], (tied & known).tolist()


def order(values: Floats, noise: float = 0.0) -> Signs:
    """The order of each pair (n, n): 1 where the row's value is greater than the column's, −1 less, 0 for a tie.

    A value that is NaN ties with all others.
    """
    values = np.asarray(values, float)
    signs = np.zeros((len(values),) * 2, np.int8)
    magnitudes = np.abs(values)
    for row, value in enumerate(values):  # one row at a time: the differences of all pairs at once are 8 times as large
        difference = value - values
        clear = np.abs(difference) > noise * np.minimum(magnitudes[row], magnitudes)
        signs[row, clear] = np.sign(difference[clear])
    return signs


def _intervals(x: Floats, y: Floats, resamples: int) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the coefficients over points drawn with replacement.

    A resample is its points' weights w. τ-b of it, over all its pairs, is Σ wᵢwⱼ sˣᵢⱼ sʸᵢⱼ over the root of
    Σ wᵢwⱼ |sˣᵢⱼ| · Σ wᵢwⱼ |sʸᵢⱼ|, s being the orders of pairs: products of matrices, for all resamples at once.
    """
    stats, n = scipy_stats(), len(x)
    drawn = np.random.default_rng(0).integers(0, n, (resamples, n))
    weights = np.zeros((resamples, n), np.float32)
    np.add.at(weights, (np.arange(resamples)[:, None], drawn), 1)

    def weighted(signs: Signs) -> Floats:
        return np.asarray(np.einsum("bi,bi->b", weights @ signs.astype(np.float32), weights), float)

    signs_x, signs_y = order(x), order(y)
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample in which a measure never changes has none
        tau = weighted(signs_x * signs_y) / np.sqrt(weighted(np.abs(signs_x)) * weighted(np.abs(signs_y)))
        rho = _pearson(stats.rankdata(x[drawn], axis=1), stats.rankdata(y[drawn], axis=1))
        r = _pearson(x[drawn], y[drawn])
    tails = [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]
    found = {"kendall": tau, "spearman": rho, "pearson": r}
    return {name: _pair(np.nanpercentile(values, tails)) for name, values in found.items()}


def _pearson(x: Floats, y: Floats) -> Floats:
    """Pearson's r of each row of two (b, n) arrays; NaN where a row of either never changes."""
    x, y = (rows - rows.mean(axis=1, keepdims=True) for rows in (x, y))
    squares = np.einsum("bi,bi->b", x, x) * np.einsum("bi,bi->b", y, y)
    return np.asarray(np.einsum("bi,bi->b", x, y) / np.sqrt(squares), float)


def _pair(bounds: Floats) -> tuple[float, float]:
    low, high = np.clip(bounds, -1.0, 1.0).tolist()
    return low, high


def scipy_stats() -> Any:
    """`scipy.stats`.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    try:
        from scipy import stats
    except ImportError as error:
        raise MissingExtra('Comparing runs needs SciPy: pip install "joulegram[analysis]"') from error
    return stats
