"""What of the curves has yet to be written: new knots, and where each curve ends now.

A curve that goes on straight needs no words: its reader carries it on along its last piece. Its end is written only
where that would miss it by more than the ε that it is compressed with anyway.
"""

from __future__ import annotations

from collections.abc import Iterable

from joulegram.curves.door import GrowingCurve
from joulegram.records import Knots
from joulegram.units import NS_PER_S

LAG_NS = NS_PER_S
"""A curve that ends this much before the newest is named, so that it holds none of the others back."""


def new_knots(base_ns: int, curves: Iterable[tuple[str, GrowingCurve]]) -> Knots:
    """The line that brings a reader of all lines before up to date. Called by the thread that writes.

    Args:
        base_ns: what times in the line count from (ns).
        curves: every curve by its name.
    """
    knots: dict[str, tuple[list[int], list[float]]] = {}
    tips: dict[str, tuple[int, float]] = {}
    ends = [(name, curve, curve.tip) for name, curve in curves]
    newest_ns = max((tip[0] for _, _, tip in ends if tip is not None), default=base_ns)
    until_ns = newest_ns
    for name, curve, tip in ends:
        first, last = curve.flushed, len(curve.values)
        if last > first:
            knots[name] = (
                [time_ns - base_ns for time_ns in curve.times_ns[first:last]],
                list(curve.values[first:last]),
            )
            curve.flushed = last
        if tip is None or not last or tip[0] <= curve.times_ns[last - 1]:
            continue
        if tip[0] >= newest_ns - LAG_NS and _goes_on(curve, last - 1, tip):
            until_ns = min(until_ns, tip[0])
        else:
            tips[name] = (tip[0] - base_ns, tip[1])
            curve.told = tip
    return Knots(base_ns, knots, tips, until_ns - base_ns)


def _goes_on(curve: GrowingCurve, knot: int, tip: tuple[int, float]) -> bool:
    """Whether the straight from a curve's last knot through the tip that was told leads to its tip now."""
    if curve.told is None or curve.told[0] <= curve.times_ns[knot]:
        return False
    (told_ns, told), knot_ns, value = curve.told, curve.times_ns[knot], curve.values[knot]
    expected = told + (told - value) * ((tip[0] - told_ns) / (told_ns - knot_ns))
    return abs(expected - tip[1]) <= curve.epsilon
