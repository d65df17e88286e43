"""From what a source shows to the joules of a counter: a counter's as they are, those of a power summed up.

A counter's joules are measured. Those of a power are modelled, whoever's the sensor is: what was drawn from one reading
to the next is a formula's. `summed` says so of a channel, with what that adds to the sensor's own bounds.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, InvalidOperation
from math import inf, isfinite, nan
from typing import Any, Protocol

from joulegram.records import Channel
from joulegram.units import J_PER_KWH, NS_PER_S

_ENERGY_J = {
    "J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "kJ": 1e3, "MJ": 1e6,
    "Wh": J_PER_KWH / 1e3, "mWh": J_PER_KWH / 1e6, "kWh": J_PER_KWH, "MWh": J_PER_KWH * 1e3, "Wmin": 60.0,
    "joules": 1.0, "millijoules": 1e-3, "microjoules": 1e-6,
    "watt_hours": J_PER_KWH / 1e3, "kilowatt_hours": J_PER_KWH, "watt_minutes": 60.0,
}  # fmt: skip
_POWER_W = {
    "W": 1.0, "mW": 1e-3, "uW": 1e-6, "kW": 1e3,
    "watts": 1.0, "milliwatts": 1e-3, "microwatts": 1e-6, "kilowatts": 1e3,
}  # fmt: skip
UNITS = (*_ENERGY_J, *_POWER_W)


AVERAGES_GAIN = (0.95, 1.05)
"""An allowance for readings taken now and then, of a power that is an average over all of the time between them."""
MOMENTS_GAIN = (0.65, 1.35)
"""Adding up the power of moments erred by 39 % on average, and by 5 % with remedies (repetitions, random delays) that a
run cannot take: Yang, Adamek and Armour, SC24, arXiv 2312.02741. An allowance, also where nobody says what is shown."""


class Tally(Protocol):
    """Turns the answers of one source into the joules of a counter that never falls but to begin again."""

    def take(self, time_ns: int, value: float) -> float:
        """Joules, given what was answered to a question of that moment; NaN for NaN."""


class Counted:
    """A counter's own joules.

    One that falls is believed at its second lower answer: after a restart some smart plugs show zero for a moment,
    before they remember, and all that they ever counted would count again.

    Args:
        factor: joules in the source's unit.
    """

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._last_j = -inf
        self._doubted = False

    def take(self, time_ns: int, value: float) -> float:
        """Joules on the counter."""
        del time_ns
        joules = value * self._factor
        if joules < self._last_j and not self._doubted:
            self._doubted = True
            return nan
        if isfinite(joules):
            self._last_j, self._doubted = joules, False
        return joules


class Integrated:
    """Joules of a power: between two answers it is taken to have gone straight from one to the other.

    Args:
        factor: watts in the source's unit.
        most_s: two answers further apart than this (s) have an unknown energy between them.
    """

    def __init__(self, factor: float, most_s: float) -> None:
        self._factor, self._most_s = factor, most_s
        self._joules = 0.0
        self._last: tuple[int, float] | None = None

    def take(self, time_ns: int, value: float) -> float:
        """Joules since the first answer."""
        watts = value * self._factor
        if self._last is not None:
            since_ns, before_w = self._last
            elapsed_s = (time_ns - since_ns) / NS_PER_S
            if watts >= 0 and elapsed_s <= self._most_s:
                self._joules += (watts + before_w) / 2 * elapsed_s
            else:  # a counter that falls has begun again: that tells that what was used meanwhile is not in it
                self._joules -= 1.0
        self._last = (time_ns, watts) if watts >= 0 else None
        return self._joules if watts >= 0 else nan


def summed(sensor: Channel, gain: tuple[float, float] = MOMENTS_GAIN) -> Channel:
    """The channel of a power's joules.

    Args:
        sensor: what is known of what measures the power.
        gain: bounds of what summing up does to its joules, as factors.
    """
    low, high = gain
    return replace(
        sensor,
        method="modelled",
        how=f"{sensor.how}, summed up along straight lines",
        gain_low=sensor.gain_low * low,
        gain_high=sensor.gain_high * high,
    )


def tally(unit: str, most_s: float) -> Tally:
    """What turns answers in one of `UNITS` into joules; see `Integrated` for `most_s`."""
    return Integrated(_POWER_W[unit], most_s) if unit in _POWER_W else Counted(_ENERGY_J[unit])


def joules_in(unit: str) -> float | None:
    """Joules in a unit of energy; None for one of power."""
    return _ENERGY_J.get(unit)


def decimals(value: Any) -> int:
    """How many places a number is shown with after its point; 0 where it is none."""
    try:
        exponent = Decimal(str(value)).as_tuple().exponent
    except InvalidOperation:
        return 0
    return max(0, -exponent) if isinstance(exponent, int) else 0


def number(value: Any) -> float:
    """A finite number, also one written as text; NaN for anything else."""
    try:
        found = nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return nan
    return found if isfinite(found) else nan
