"""What part of a thing's making is a span's: M = TE · TS · RS of the SCI specification (ISO/IEC 21031:2024).

TE is all that it emitted, TS the time reserved over its lifetime, RS the part of it that was reserved. Time is the
calendar's, whether the thing was busy or not: TS · RS is a curve, seconds of the whole thing, which subtracts like any.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from joulegram.curves.curve import Curve, Steps, Values, weigh
from joulegram.curves.trace import ChannelTrace
from joulegram.impacts.factors import Factor
from joulegram.quantities import Quantity

YEAR_S = 365.25 * 86_400
CONVENTION = "SCI (ISO/IEC 21031:2024): M = TE · TS · RS, TS by calendar time reserved, busy or not"
_DEVICE_RULES = {
    "process": "the run's part of the device by the energy that its processes used of it",
    "undivided": "the whole device: who else used it is not told apart",
}
WHOLE = "the whole device while the run had it"
HOST_RULE = "by reserved cores"


def device_rule(trace: ChannelTrace) -> str:
    """In words, how a device's time is shared."""
    return _DEVICE_RULES.get(trace.channel.share, WHOLE)


def device_s(trace: ChannelTrace) -> Curve:
    """Seconds of a whole device that are the run's: all of its time, or its part of a device that is shared.

    The parts of all who use a device sum to its time, as their energy does; while it uses none, the part before holds.
    """
    if trace.channel.share != "process" or len(trace.node) < 2:
        return trace.asked_s
    edges_ns = np.union1d(trace.node.times_ns, trace.run.times_ns)
    own_j, all_j = np.diff(trace.run.at(edges_ns)), np.diff(trace.node.at(edges_ns))
    parts = np.full(len(all_j), np.nan)
    np.divide(own_j, all_j, out=parts, where=all_j > 0)
    held = _held(np.minimum(parts, 1.0))
    return weigh(trace.asked_s, Steps(edges_ns, np.append(held, held[-1])))


def _held(parts: Values) -> Values:
    """Each unknown part as the one before it; those before the first as that one, all of it where none is known."""
    known = np.flatnonzero(np.isfinite(parts))
    if not len(known):
        return np.ones(len(parts))
    before = np.searchsorted(known, np.arange(len(parts)), side="right") - 1
    return parts[known[np.maximum(before, 0)]]


def allocated(made: Factor, lifetime: Factor, reserved_s: float, rule: str, scale: float = 1.0) -> Quantity:
    """A thing's making × time of the whole thing ÷ its lifetime.

        allocated(of_1000_kg, of_4_years, 3600.0, "", scale=1000).value  # 28.5 g

    Args:
        made: what the whole thing took.
        lifetime: how long it serves (y).
        reserved_s: seconds of the whole thing that are the span's.
        rule: in words, whose they are.
        scale: of the result's unit.
    """
    per_s = scale * reserved_s / YEAR_S
    value = made.value * per_s / lifetime.value
    return Quantity(
        value,
        min(value, made.low * per_s / lifetime.high),
        max(value, made.high * per_s / lifetime.low),
        "estimated",
        f"{made.in_words()} over {lifetime.value:g} y of calendar time, {rule}",
    )


def uncounted(why: str, missing: Iterable[str] = ()) -> Quantity:
    """A figure that is not counted, which is not zero."""
    return Quantity.absent(f"not counted: {why}", missing)
