"""Compute beside energy and carbon: FLOPs of a span from what was counted, and the figures that follow from all three.

What its steps add up to is tallied while a run records; the names of the tallies are in `records`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

from joulegram.curves.curve import Curve
from joulegram.curves.trace import Trace
from joulegram.flops.peaks import Peak
from joulegram.flops.steps import MOST_EXACT
from joulegram.quantities import Quantity, weakest
from joulegram.records import FLOPS_IN, FLOPS_LESS, FLOPS_MORE, STEPS_OPAQUE, STEPS_UNCOUNTED, StepCount

PFLOP = 1e15


def flops(trace: Trace, start_ns: int, end_ns: int, phase: str | None = None) -> Quantity:
    """Floating-point operations of a span, of all phases or of one.

    Args:
        trace: what was recorded.
        start_ns: of the span (ns).
        end_ns: its end (ns).
        phase: the phase that they were counted in; all of them by default.
    """
    names = [
        name for name in trace.tallies if name.startswith(FLOPS_IN) and phase in (None, name.removeprefix(FLOPS_IN))
    ]
    counted = [count for counts in trace.counts for count in counts]
    uncounted = _tally(trace, STEPS_UNCOUNTED, start_ns, end_ns)
    why = "; ".join(dict.fromkeys(count.how for count in counted if count.flops is None))
    value = sum(_tally(trace, name, start_ns, end_ns) for name in names)
    if value <= 0 and (uncounted > 0 or not names):
        return Quantity.absent(why or "no step was counted")
    missing = [f"{round(uncounted)} steps that were not counted: {why}"] if uncounted > 0.5 else []
    if _tally(trace, STEPS_OPAQUE, start_ns, end_ns) > 0.5:
        missing.append("operations without a formula: " + ", ".join(_opaque(counted)))
    part = value / total if (total := _all(trace, start_ns, end_ns)) > 0 else 0.0
    less, more = (part * _tally(trace, name, start_ns, end_ns) for name in (FLOPS_LESS, FLOPS_MORE))
    how = [count.how for count in counted if count.flops is not None]
    if less + more > 0:
        how.append(f"after {MOST_EXACT} sizes of inputs, others are scaled from steps of sizes that agree to an eighth")
    return Quantity(
        value,
        max(0.0, value - less),
        None if missing else value + more,
        "modelled",
        "; ".join(dict.fromkeys(how)) or "as given",
        tuple(missing),
    )


def _all(trace: Trace, start_ns: int, end_ns: int) -> float:
    return sum(_tally(trace, name, start_ns, end_ns) for name in trace.tallies if name.startswith(FLOPS_IN))


def _tally(trace: Trace, name: str, start_ns: int, end_ns: int) -> float:
    return float(trace.tallies.get(name, Curve()).over([start_ns], [end_ns])[0])


def _opaque(counts: list[StepCount]) -> list[str]:
    return sorted(set(chain.from_iterable(count.unknown for count in counts)))


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What follows from compute, energy, carbon and time together.

    Args:
        flop_per_s: FLOPs over the span's time, without what counting them took.
        flop_per_j: FLOPs over this run's share of IT energy.
        carbon_g_per_pflop: grams of CO2e over 10^15 FLOPs.
        mfu: model FLOP/s utilisation: FLOP/s over the peak rate of the devices; recomputed operations count.
        outside_j: this run's energy in phases of the loop in which nothing was counted (data, checkpoints, idle) (J).
    """

    flop_per_s: Quantity
    flop_per_j: Quantity
    carbon_g_per_pflop: Quantity
    mfu: Quantity
    outside_j: Quantity

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {
            "flop_per_s": self.flop_per_s.to_json(),
            "flop_per_j": self.flop_per_j.to_json(),
            "carbon_g_per_pflop": self.carbon_g_per_pflop.to_json(),
            "mfu": self.mfu.to_json(),
            "outside_j": self.outside_j.to_json(),
        }


def ratio(over: Quantity, under: Quantity, how: str, scale: float = 1.0) -> Quantity:
    """One figure over another, times `scale`, with the bounds that theirs allow."""
    missing = tuple(dict.fromkeys((*over.missing, *under.missing)))
    if over.value is None or not under.value:
        return Quantity.absent((over if over.value is None else under).how or "nothing to divide by", missing)
    value = scale * over.value / under.value
    low = 0.0 if over.low is None or under.high is None else scale * over.low / under.high
    high = None if over.high is None or not under.low else scale * over.high / under.low
    method = weakest([over.method, under.method])
    return Quantity(value, min(low, value), None if high is None else max(high, value), method, how, missing)


def by_request(energy: Quantity, carbon: Quantity, requests: int, tokens: float, of: str = "") -> dict[str, Quantity]:
    """Energy (J) and carbon (g) of a request, and of a thousand tokens.

    Args:
        energy: of all requests (J).
        carbon: the same (g).
        requests: how many.
        tokens: how many they told of.
        of: what the names of the figures begin with.
    """
    under = {
        "request": (exactly(requests, "no request ended"), 1.0),
        "1000_tokens": (exactly(tokens if tokens >= 1 else 0.0, "no tokens were told"), 1000.0),
    }
    return {
        f"{of}{unit}_per_{what}": ratio(
            over, count, f"{words} over {'requests' if what == 'request' else 'tokens'}", scale
        )
        for what, (count, scale) in under.items()
        for unit, words, over in (("j", "energy", energy), ("g", "grams", carbon))
    }


def exactly(value: float, how: str = "") -> Quantity:
    """A figure without doubt; missing where it is not above zero."""
    return Quantity(value, value, value, "measured", how) if value > 0 else Quantity.absent(how)


def utilisation(flop_per_s: Quantity, trace: Trace, peak_of: Callable[[str, str], Peak | None]) -> Quantity:
    """FLOP/s over the peak of all devices that counted steps ran on.

    Args:
        flop_per_s: of all of them together.
        trace: which those were, and what they computed in.
        peak_of: the peak rate of a device for a data type; None where it is not known.
    """
    total = 0.0
    sources: dict[str, None] = {}
    for counts in trace.counts:
        most = max(counts, key=lambda count: count.flops or 0)
        if not most.flops:
            continue
        if most.device is None or most.dtype is None:
            return Quantity.absent("not every device that steps ran on is known")
        peak = peak_of(most.device, most.dtype)
        if peak is None:
            return Quantity.absent(
                f"no peak rate of {most.device} for {most.dtype} is known; "
                f'in the configuration: peaks."{most.device}".{most.dtype} = FLOP/s'
            )
        total += peak.flop_per_s * most.devices
        sources[f"{most.device} {peak.flop_per_s:.4g} FLOP/s in {most.dtype} ({peak.source})"] = None
    return ratio(flop_per_s, exactly(total, "no step was counted on a known device"), "of " + "; ".join(sources))
