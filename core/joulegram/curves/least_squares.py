"""What each phase used by least squares over counter intervals, and how sure that is.

An interval in which the loop was for t_1, t_2, … in its phases used Σ t P, P being the mean power of each, and
something by which visits to a phase differ. The scatter of the latter tells the standard error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from joulegram.records import PhaseMoments

INTERVALS_EACH = 20
"""Fewest intervals for each phase."""
CONDITION = 1e3
"""Phases that are always in the same proportion cannot be told apart: the normal equations' condition says so."""


@dataclass(frozen=True, slots=True)
class PhaseEnergy:
    """What one phase used on one channel over some time.

    Args:
        fitted_j: its mean power times its time, and what it used in the intervals set aside (J); may err below zero.
        error_j: the standard error (J).
        unclear_j: by what the intervals set aside may change it (J).
        split_j: what it used (J) if each interval is split by time alone.
    """

    fitted_j: float
    error_j: float
    unclear_j: float
    split_j: float


def told_apart(later: PhaseMoments, earlier: PhaseMoments | None = None) -> dict[str, PhaseEnergy]:
    """What each phase used that there was between two points of a channel's sums; empty where they cannot tell.

    Args:
        later: the sums at the later point.
        earlier: at the earlier; None for the recording's start.
    """
    count = later.count - (earlier.count if earlier else 0)
    size = len(later.products)
    products = _full(later.products, size) - _full(earlier.products if earlier else [], size)
    each = _each(later)
    if earlier:
        each[:, : len(earlier.phases)] -= _each(earlier)
    there = np.flatnonzero(np.diag(products)[1:] > 0)
    if not len(there) or count < INTERVALS_EACH * len(there):
        return {}
    times, joules = products[1:, 1:][np.ix_(there, there)], products[1:, 0][there]
    scale = 1 / np.sqrt(np.diag(times))
    if np.linalg.cond(times * np.outer(scale, scale)) > CONDITION:
        return {}
    inverse = np.linalg.inv(times)
    watts = inverse @ joules
    z = np.concatenate([[1.0], -watts])
    used = np.concatenate([[0], there + 1])
    scatter = max(0.0, float(z @ products[np.ix_(used, used)] @ z)) / (count - len(there))
    errors_w = np.sqrt(scatter * np.diag(inverse))
    aside_j, unclear_j, spent_s, split_j = each
    fitted_j, errors_j = aside_j, np.zeros(size - 1)
    fitted_j[there] += watts * spent_s[there]
    errors_j[there] = errors_w * spent_s[there]
    figures = zip(fitted_j, errors_j, unclear_j, split_j, strict=True)
    return {phase: PhaseEnergy(*map(float, figure)) for phase, figure in zip(later.phases, figures, strict=True)}


def _each(moments: PhaseMoments) -> NDArray[np.float64]:
    return np.array([moments.aside_j, moments.unclear_j, moments.spent_s, moments.split_j])


def _full(triangle: list[list[float]], size: int) -> NDArray[np.float64]:
    full = np.zeros((size, size))
    for index, line in enumerate(triangle):
        full[index, : index + 1] = full[: index + 1, index] = line
    return full
