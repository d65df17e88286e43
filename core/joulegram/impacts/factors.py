"""The table of factors, and the user's own in front of it.

The table is `factors.csv` beside this file: one factor a row, with its bounds, what it includes (`boundary`), its
source, and how good it is (`published`, `derived` from published figures, `assumed`, or `low` where methods disagree by
a factor of ten). Sources' figures are kept, not their files.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from joulegram.config import IMPACT_FACTORS, SITE, ConfigError
from joulegram.host.products import plain_name

TABLE = Path(__file__).with_name("factors.csv")
Kind = Literal["device", "host", "component", "onsite water", "grid"]
Own = Mapping[str, Mapping[str, Any]]
"""The user's own factors (`Settings.impacts`): of a device by its product name, of ``host``, of ``site``."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One row.

    Args:
        name: what it is of.
        factor: what it is, ending in its unit.
        value: the best value.
        low: lower bound.
        high: upper bound.
        unit: in words.
        boundary: what is included; for water, its basis.
        year: of the source; None for the user's own.
        source: who says so.
        quality: ``published``, ``derived``, ``assumed``, ``low`` or ``as set``.
    """

    name: str
    factor: str
    value: float
    low: float
    high: float
    unit: str
    boundary: str
    year: int | None
    source: str
    quality: str

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {name: getattr(self, name) for name in self.__slots__}

    def in_words(self) -> str:
        """``164 kg CO2e (cradle to gate; NVIDIA …, 2025)``."""
        source = f"{self.source}, {self.year}" if self.year else self.source
        told = "; ".join(filter(None, [self.boundary, source, "of low quality" if self.quality == "low" else ""]))
        return f"{self.value:.4g} {self.unit} ({told})"


class Factors:
    """The table with the user's own factors in front of it.

    Args:
        own: the user's own; see `Own`.
    """

    def __init__(self, own: Own | None = None) -> None:
        self._own = {plain_name(name): options for name, options in (own or {}).items()}
        self.site: Mapping[str, Any] = self._own.get(SITE, {})

    def find(self, kind: Kind, names: Iterable[str], factor: str) -> Factor | None:
        """The factor of the first of some names that has one; None where none has.

        Args:
            kind: of what the names are.
            names: as drivers or people spell them; no part of a name is a match.
            factor: its name, ending in its unit.
        """
        for name in map(plain_name, names):
            if kind in ("device", "host") and factor in self._own.get(name, {}):
                return as_set(name, factor, self._own[name][factor])
            if found := _table().get((kind, name, factor)):
                return found
        return None

    def device(self, product: str, factor: str) -> Factor | None:
        """A device's factor, by its product name."""
        return self.find("device", (product, "any device"), factor) if product else None

    def component(self, name: str, factor: str) -> Factor:
        """A component's factor, which the table has.

        Raises:
            KeyError: it has not.
        """
        return _table()["component", name, factor]

    def has_component(self, name: str, factor: str) -> bool:
        """Whether the table has a component's factor."""
        return ("component", name, factor) in _table()


def as_set(name: str, factor: str, value: float, boundary: str = "") -> Factor:
    """A factor that the user set."""
    return Factor(name, factor, value, value, value, IMPACT_FACTORS[factor], boundary, None, "as set", "as set")


def check(own: Own) -> None:
    """Whether the table has what the user's settings name.

    Raises:
        ConfigError: it has not; the message names what it has.
    """
    place = own.get(SITE, {}).get("water")
    if place is not None and not Factors().find("onsite water", [place], "onsite_l_per_kwh"):
        known = ", ".join(name for kind, name, _ in _table() if kind == "onsite water")
        raise ConfigError(f"impacts.site.water = {place!r}: the table has no such place; it has: {known}")


@cache
def _table() -> Mapping[tuple[str, str, str], Factor]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        (row["kind"], plain_name(name), row["factor"]): Factor(
            name=name,
            factor=row["factor"],
            value=float(row["value"]),
            low=float(row["low"]),
            high=float(row["high"]),
            unit=row["unit"],
            boundary=row["boundary"],
            year=int(row["year"]),
            source=row["source"],
            quality=row["quality"],
        )
        for row in rows
        for name in row["names"].split("|")
    }
