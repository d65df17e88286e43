"""Litres of water: on site, to cool the machines, and off site, to make their electricity.

On site goes by IT energy (WUE), off site by the building's (EWIF); PUE is in the second already. They are two figures,
as are water that is consumed and water that is withdrawn, most of which comes back: none is ever added to another.

Whether a reservoir's evaporation is electricity's is contested; `hydro` of the site says whether it counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from joulegram.impacts.allocation import uncounted
from joulegram.impacts.factors import Factor, Factors, as_set
from joulegram.quantities import Quantity
from joulegram.units import J_PER_KWH

WORLD = "WORLD"
INDOORS = frozenset({"laptop", "desktop"})
"""Machines that no data centre cools."""


@dataclass(frozen=True, slots=True)
class WaterFigure:
    """Litres of one part on one basis; figures of different ones are never added."""

    part: Literal["onsite", "offsite"]
    basis: str
    water_l: Quantity

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {"part": self.part, "basis": self.basis, **self.water_l.to_json()}


def onsite(factors: Factors, chassis: Sequence[str]) -> Factor | None:
    """Litres for each kWh of IT energy: as set, or of the place that is set, else by the machines' cases.

    Args:
        factors: the table, and the user's own.
        chassis: of each host; empty where it is not known.
    """
    site = factors.site
    if "onsite_l_per_kwh" in site:
        return as_set("site", "onsite_l_per_kwh", site["onsite_l_per_kwh"], site.get("onsite_basis", "consumption"))
    indoors = bool(chassis) and INDOORS.issuperset(chassis)
    place = site.get("water") or ("dry" if indoors else "data centre" if set(chassis) == {"server"} else "unknown")
    return factors.find("onsite water", [place], "onsite_l_per_kwh")


def offsite(factors: Factors, zone: str | None) -> Factor | None:
    """Litres for each kWh of electricity: as set, else of the zone or its country, else between all countries'.

    None where reservoirs shall not count and no figure without them is known.
    """
    site = factors.site
    if "offsite_l_per_kwh" in site:
        return as_set("site", "offsite_l_per_kwh", site["offsite_l_per_kwh"], site.get("offsite_basis", "consumption"))
    if site.get("hydro", True):
        return factors.find("grid", [*around(zone), WORLD], "offsite_l_per_kwh")
    return factors.find("grid", around(zone), "offsite_l_per_kwh_without_hydro")


def around(zone: str | None) -> Iterator[str]:
    """A zone and those that it lies in, the smallest first: ``US-CA``, ``US``."""
    parts = (zone or "").split("-")
    for length in range(len(parts), 0, -1):
        yield "-".join(parts[:length])


def litres(energy_j: Quantity, factor: Factor | None, over: str) -> Quantity:
    """Energy × litres for each kWh of it.

    Args:
        energy_j: of a span (J).
        factor: litres for each kWh; None where none is known.
        over: in words, which energy that is.
    """
    if factor is None:
        return uncounted("no figure without reservoirs is known for this zone; set impacts.site.offsite_l_per_kwh")
    return per_kwh(energy_j, factor, over)


def per_kwh(energy_j: Quantity, factor: Factor, over: str) -> Quantity:
    """Energy × a factor for each kWh of it; see `litres`."""
    if energy_j.value is None:
        return uncounted(energy_j.how or "no energy is known", energy_j.missing)
    low, high = energy_j.low or 0.0, energy_j.high
    return Quantity(
        energy_j.value * factor.value / J_PER_KWH,
        low * factor.low / J_PER_KWH,
        None if high is None else high * factor.high / J_PER_KWH,
        "estimated",
        f"{over} × {factor.in_words()}",
        energy_j.missing,
    )
