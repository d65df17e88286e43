"""Costs of many runs as they add up over time: each run's is spread evenly over its own time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from joulegram.analysis.entries import Entry
from joulegram.curves.curve import Values

POINTS = 400
"""As many as a page can show."""
SHORTEST_S = 1.0
"""A run that took no time at all is spread over this."""


def grid(entries: Sequence[Entry]) -> Values:
    """Moments (s since 1970) from the first start to the last end, evenly; none where no start is known."""
    known = [entry for entry in entries if np.isfinite(entry.start_s)]
    if not known:
        return np.array([])
    first_s = min(entry.start_s for entry in known)
    last_s = max(entry.start_s + max(entry.duration_s, SHORTEST_S) for entry in known)
    return np.linspace(first_s, last_s, POINTS)


def adding_up(parts: Mapping[str, Sequence[Entry]], field: str, times_s: Values) -> dict[str, list[float]]:
    """What each part had cost at each time: never falling; shape of `times_s`. O(n log n) for n runs.

    Args:
        parts: runs by part.
        field: of the figures.
        times_s: moments (s since 1970), increasing.
    """
    return {part: _spread(entries, field, times_s).tolist() for part, entries in parts.items()}


def _spread(entries: Sequence[Entry], field: str, times_s: Values) -> Values:
    told = [
        (entry.start_s, max(entry.duration_s, SHORTEST_S), entry.figures[field].value or 0.0)
        for entry in entries
        if np.isfinite(entry.start_s)
    ]
    if not told:
        return np.zeros(len(times_s))
    starts, lengths, values = (np.array(column, float) for column in zip(*told, strict=True))
    # The rate changes at each start and each end; between two of these moments the sum is straight.
    moments = np.concatenate([starts, starts + lengths])
    order = np.argsort(moments, kind="stable")
    moments, rates = moments[order], np.cumsum(np.concatenate([values / lengths, -values / lengths])[order])
    sums = np.concatenate([[0.0], np.cumsum(rates[:-1] * np.diff(moments))])
    # Rounding may take a bit off where a sum stands still.
    return np.asarray(np.maximum.accumulate(np.interp(times_s, moments, np.maximum(sums, 0.0))))
