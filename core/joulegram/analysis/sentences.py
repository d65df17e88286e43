"""What follows, in plain words: what a pair that flips differs in, and the reason, where the figures support one.

Energy is power × time, and carbon is energy × intensity. Of the two factors of a difference, as logarithms, the one
that makes at least half of it is the reason. For time it is the phase of the loop that at least half of the difference
was spent in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from joulegram.analysis.noise import Noise
from joulegram.analysis.points import Measure, Point
from joulegram.units import show_flops, show_percent, show_power

# A phase that is not computing, as what a run does in it.
_DOING = {
    "data": "waiting for data",
    "validation": "in validation",
    "checkpoint": "writing checkpoints",
    "sanity": "in the sanity check",
    "other": "outside the training loop",
}
_COMPUTING = frozenset({"forward", "backward", "optimizer"})

Noises = Mapping[str, Noise]


def flip_sentence(a: Point, b: Point, x: Measure, y: Measure, noises: Noises) -> str:
    """What a flipped pair differs in, and why.

    ``B needs 18 % fewer FLOPs than A and 9 % more energy: it spends 31 % of its time waiting for data, A 4 %.``

    Args:
        a: one point of a pair that flips between the measures.
        b: the other one.
        x: the measure that is thought to tell the other.
        y: the other.
        noises: of each measure.
    """
    if b.figures[x.field] > a.figures[x.field]:
        a, b = b, a
    less = f"{show_percent(1 - b.figures[x.field] / a.figures[x.field])} {x.fewer} {x.label}"
    said = f"{b.label} needs {less} than {a.label} and {_more(a.figures[y.field], b.figures[y.field], y.label)}"
    why = _reason(a, b, y.field, noises)
    return f"{said}: {why}." if why else f"{said}."


def _reason(a: Point, b: Point, field: str, noises: Noises) -> str:
    """Why `b` has more of a measure than `a`; empty where nothing that was measured tells."""
    if field == "carbon_g":
        return _why_carbon(a, b, noises)
    return _why_energy(a, b, noises) if field == "energy_j" else _why_time(a, b, noises)


def _why_carbon(a: Point, b: Point, noises: Noises) -> str:
    carbons = a.figures["carbon_g"], b.figures["carbon_g"]
    if not a.intensity or not b.intensity or not _makes_half(a.intensity, b.intensity, *carbons):
        return _why_energy(a, b, noises)
    return f"its electricity was of {b.intensity:.0f} gCO₂e/kWh, that of {a.label} of {a.intensity:.0f}"


def _why_energy(a: Point, b: Point, noises: Noises) -> str:
    found = []
    energies = a.figures.get("energy_j"), b.figures.get("energy_j")
    times = a.figures.get("duration_s"), b.figures.get("duration_s")
    if times[0] and times[1] and _makes_half(*times, *energies):
        ratio = times[1] / times[0]
        longer = f"it takes {show_percent(ratio - 1)} longer" if ratio < 2 else f"it takes {ratio:.1f} times as long"
        found.append(", and ".join(filter(None, (longer, _why_time(a, b, noises)))))
    if a.power_w and b.power_w and _makes_half(a.power_w, b.power_w, *energies):
        found.append(f"it draws {show_power(b.power_w)} on average, {a.label} {show_power(a.power_w)}")
    return ", and ".join(found)


def _why_time(a: Point, b: Point, noises: Noises) -> str:
    """What at least half of the longer time was spent in; for computing, how fast that went where that is known."""
    extra_s = b.figures["duration_s"] - a.figures["duration_s"]
    if not b.phases_s or not a.phases_s or extra_s <= 0:
        return ""
    for phase, doing in _DOING.items():
        seconds = [point.phases_s.get(phase, 0.0) for point in (b, a)]
        if seconds[0] - seconds[1] >= extra_s / 2:
            shares = [show_percent(s / point.figures["duration_s"]) for s, point in zip(seconds, (b, a), strict=True)]
            return f"it spends {shares[0]} of its time {doing}, {a.label} {shares[1]}"
    computing = [sum(point.phases_s.get(phase, 0.0) for phase in _COMPUTING) for point in (b, a)]
    if computing[0] - computing[1] < extra_s / 2:
        return ""
    return _pace(a, b, computing, noises) or "most of the longer time it computes"


def _pace(a: Point, b: Point, computing_s: Sequence[float], noises: Noises) -> str:
    """How fast two points compute, where `b` is clearly slower; the seconds are of `b`, then of `a`."""
    flops = b.figures.get("flops"), a.figures.get("flops")
    if not flops[0] or not flops[1] or not computing_s[1]:
        return ""
    rates = flops[0] / computing_s[0], flops[1] / computing_s[1]
    if rates[0] * (1 + noises["duration_s"].share) >= rates[1]:
        return ""
    peak = f" ({show_percent(b.mfu)} of the peak, {a.label} {show_percent(a.mfu)})" if a.mfu and b.mfu else ""
    return f"it computes {show_flops(rates[0])} a second, {a.label} {show_flops(rates[1])}{peak}"


def _makes_half(a: float | None, b: float | None, whole_a: float | None, whole_b: float | None) -> bool:
    """Whether one factor makes at least half of a difference, the two factors as logarithms."""
    if not a or not b or not whole_a or not whole_b:
        return False
    return math.log(b / a) >= math.log(whole_b / whole_a) / 2


def _more(a: float, b: float, label: str) -> str:
    """``9 % more energy``; ``2.4 times the energy`` where it is twice as much or more."""
    return f"{show_percent(b / a - 1)} more {label}" if b < 2 * a else f"{b / a:.1f} times the {label}"


def agreement_sentence(x: Measure, y: Measure, pairs: int, flipped: int, tied: int) -> str:
    """How two measures order all pairs.

    ``Of 45 pairs, 8 (18 %) are in another order by energy than by FLOPs; 12 are ties.``
    """
    share = f" ({show_percent(flipped / pairs)})" if flipped else ""
    ties = f"; {tied:,} {'is a tie' if tied == 1 else 'are ties'}" if tied else ""
    return (
        f"Of {pairs:,} pair{'' if pairs == 1 else 's'}, {f'{flipped:,}' if flipped else 'none'}{share} "
        f"{'are' if flipped > 1 else 'is'} in another order by {y.label} than by {x.label}{ties}."
    )


def listing(labels: Sequence[str]) -> str:
    """``A, B and C``."""
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"
