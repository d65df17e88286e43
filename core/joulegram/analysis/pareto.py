"""Which points nothing beats: the front between what something costs and how good it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from joulegram.analysis.ranks import Floats, order

Flags = np.ndarray[Any, np.dtype[np.bool_]]


def front(cost: Floats, quality: Floats, noise_cost: float = 0.0, noise_quality: float = 0.0) -> Flags:
    """Which of n points are on the front (n,): no other is as good and as cheap, and clearly better in one of the two.

    Args:
        cost: n values, less is better; NaN where missing.
        quality: n values, more is better. A point that lacks either value is not on the front.
        noise_cost: differences up to this share of the smaller cost are not clear.
        noise_quality: the same of quality.
    """
    known = np.isfinite(cost) & np.isfinite(quality)
    as_cheap = np.less_equal.outer(cost, cost)
    as_good = np.greater_equal.outer(quality, quality)
    clearly = (order(cost, noise_cost) < 0) | (order(quality, noise_quality) > 0)
    beaten = (as_cheap & as_good & clearly)[known].any(axis=0)
    return known & ~beaten
