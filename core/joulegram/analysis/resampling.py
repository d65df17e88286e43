"""How far a figure might have come out otherwise: hours drawn again, in blocks, as neighbours are alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from joulegram.curves.curve import Values

DRAWS = 2000
LEAST_HOURS = 12
"""Hours from which drawing them again tells something."""
LONGEST_BLOCK_H = 24
"""A day, whose hours are alike from one to the next."""


def drawn_sums(hours: Sequence[Sequence[float]], seed: int) -> Values:
    """Sums over hours that are drawn with replacement, in blocks of up to a day (a circular block bootstrap).

    Args:
        hours: rows in the order of time, each of the same measures: shape (n, k).
        seed: of the draws, which are the same each time.

    Returns:
        The sum of each measure for each draw: shape (`DRAWS`, k).
    """
    values = np.asarray(hours, float)
    count = len(values)
    block = max(1, min(LONGEST_BLOCK_H, count // 4))
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, count, (DRAWS, -(-count // block)))
    places = ((starts[:, :, None] + np.arange(block)) % count).reshape(DRAWS, -1)[:, :count]
    return np.asarray(values[places].sum(axis=1))
