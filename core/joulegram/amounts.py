"""Amounts of energy and carbon as people write them: ``59257kWh``, ``12 J ± 1``, ``1.0e-4..1.2e-4 kWh``, ``50 kg``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf
from typing import Literal

from joulegram.units import J_PER_KWH

Field = Literal["energy_j", "carbon_g"]

_UNITS: dict[str, tuple[Field, float]] = {
    "µJ": ("energy_j", 1e-6),
    "mJ": ("energy_j", 1e-3),
    "J": ("energy_j", 1.0),
    "kJ": ("energy_j", 1e3),
    "MJ": ("energy_j", 1e6),
    "GJ": ("energy_j", 1e9),
    "mWh": ("energy_j", J_PER_KWH * 1e-6),
    "Wh": ("energy_j", J_PER_KWH * 1e-3),
    "kWh": ("energy_j", J_PER_KWH),
    "MWh": ("energy_j", J_PER_KWH * 1e3),
    "GWh": ("energy_j", J_PER_KWH * 1e6),
    "µg": ("carbon_g", 1e-6),
    "mg": ("carbon_g", 1e-3),
    "g": ("carbon_g", 1.0),
    "kg": ("carbon_g", 1e3),
    "t": ("carbon_g", 1e6),
}
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_UNIT = r"[a-zA-Zµμ]+?"
_AMOUNT = re.compile(
    rf"(?P<value>{_NUMBER})\s*(?P<first>{_UNIT})?"
    rf"(?:\s*(?P<between>±|\+/?-|\.\.)\s*(?P<other>{_NUMBER})\s*(?P<second>{_UNIT})?)?(?:CO2e?|CO₂e?)?"
)


@dataclass(frozen=True, slots=True)
class Amount:
    """Energy (J) or carbon (g), between two bounds.

    Args:
        field: which of the two.
        value: best value.
        low: lower bound.
        high: upper bound.
    """

    field: Field
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """As `amount` reads it, to the last digit."""
        unit = "J" if self.field == "energy_j" else "g"
        if self.low == self.high:
            return f"{self.value!r} {unit}"
        return f"{self.low!r}..{self.high!r} {unit}"


def amount(text: str) -> Amount:
    """What a text says; a range has its middle as its value.

    Raises:
        ValueError: it is no amount of energy or carbon, is negative, or its unit is not known.
    """
    found = _AMOUNT.fullmatch(text.strip())
    unit = found and (found["second"] or found["first"])
    if not found or not unit:
        raise ValueError(f"{text!r} is no amount: a number and a unit are needed, such as 59257kWh, 12J±1J or 50kg")
    field, size = _unit(unit)
    first_field, first_size = _unit(found["first"] or unit)
    if first_field != field:
        raise ValueError(f"{text!r} mixes energy and carbon")
    value = float(found["value"]) * first_size
    low = high = value
    if found["between"]:
        other = float(found["other"]) * size
        if found["between"] == "..":
            low, high = value, other
            value = (low + high) / 2
        else:
            low, high = max(0.0, value - other), value + other
    if not 0 <= low <= value <= high < inf:
        raise ValueError(f"{text!r} is no amount: its bounds have to be in order, and none may be negative")
    return Amount(field, value, low, high)


def energy_in_j(text: str) -> float:
    """Joules of an amount of energy without bounds.

    Raises:
        ValueError: it is none.
    """
    return _exact(text, "energy_j", "energy, such as 100kWh")


def mass_in_g(text: str) -> float:
    """Grams of an amount of carbon without bounds.

    Raises:
        ValueError: it is none.
    """
    return _exact(text, "carbon_g", "carbon, such as 50kg")


def _exact(text: str, field: Field, what: str) -> float:
    found = amount(text)
    if found.field != field or found.low != found.high:
        raise ValueError(f"{text!r} is no amount of {what}")
    return found.value


def _unit(name: str) -> tuple[Field, float]:
    """A unit's size; of those that only differ in case, such as mJ and MJ, the case tells."""
    name = name.replace("μ", "µ")
    alike = [name] if name in _UNITS else [unit for unit in _UNITS if unit.lower() == name.lower()]
    if len(alike) != 1:
        known = ", ".join(alike or _UNITS)
        raise ValueError(f"there is no unit {name!r}; {'it may be one of' if alike else 'known are'}: {known}")
    return _UNITS[alike[0]]
