"""A server's making out of its components, by the formulae that Boavizta has published.

Their numbers are in the table; how many drives and how large a die there are, which no system tells, is assumed there,
between wide bounds. Only CPUs and memory have formulae for metals and primary energy: the rest is then missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from joulegram.impacts.factors import Factor, Factors
from joulegram.records import Hardware

Bound = Literal["value", "low", "high"]
_OPPOSITE: Mapping[Bound, Bound] = {"value": "value", "low": "high", "high": "low"}
IMPACTS = {"embodied_kg": "kg CO2e", "adpe_kg_sb": "kg Sb", "primary_energy_mj": "MJ"}
"""What there are formulae for, with its unit."""
_ENCLOSURE = "board, power supplies, case and storage"


@dataclass(frozen=True, slots=True)
class Formulae:
    """Components' making, at the best value or at a bound of everything that goes into it.

    Args:
        factors: the table.
        impact: ``embodied_kg``, ``adpe_kg_sb`` or ``primary_energy_mj``.
        bound: which of a factor's numbers to take.
    """

    factors: Factors
    impact: str
    bound: Bound = "value"

    def cpu(self, die_mm2: float) -> float:
        """One CPU of a die (mm²)."""
        return die_mm2 * self._of("cpu", f"{self.impact}_per_mm2") + self._of("cpu", self.impact)

    def ram(self, size_gb: float) -> float:
        """One memory module."""
        area_cm2 = size_gb / self._under("ram", "density_gb_per_cm2")
        return area_cm2 * self._of("ram", f"{self.impact}_per_cm2") + self._of("ram", self.impact)

    def ssd(self, size_gb: float) -> float:
        """One solid-state drive."""
        area_cm2 = size_gb / self._under("ssd", "density_gb_per_cm2")
        return area_cm2 * self._of("ssd", f"{self.impact}_per_cm2") + self._of("ssd", self.impact)

    def power_supplies(self) -> float:
        """All power supplies."""
        return self._of("psu", "units") * self._of("psu", "mass_kg") * self._of("psu", f"{self.impact}_per_kg")

    def enclosure(self) -> float:
        """What a server has whatever its CPUs and memory are: board, power supplies, case, assembly and drives."""
        parts = sum(self._of(name, self.impact) for name in ("board", "assembly", "case"))
        return parts + self.power_supplies() + self._of("ssd", "drives") * self.ssd(self._of("ssd", "drive_gb"))

    def server(self, sockets: int, memory_gb: float, part: float = 1.0) -> float:
        """A server, without accelerators.

        Args:
            sockets: how many CPUs.
            memory_gb: its memory.
            part: what part of a server's CPUs and enclosure counts.
        """
        modules = memory_gb / self._under("ram", "module_gb")
        made = modules * self.ram(self._under("ram", "module_gb"))
        made += part * sockets * self.cpu(self._of("cpu", "die_mm2"))
        return made + part * self.enclosure() if self.whole else made

    @property
    def whole(self) -> bool:
        """Whether there are formulae for all components."""
        return self.factors.has_component("board", self.impact)

    def _of(self, name: str, factor: str) -> float:
        return float(getattr(self.factors.component(name, factor), self.bound))

    def _under(self, name: str, factor: str) -> float:
        """Of a factor that is divided by: the higher it is the less comes out."""
        return float(getattr(self.factors.component(name, factor), _OPPOSITE[self.bound]))


def server(factors: Factors, hardware: Hardware, impact: str) -> tuple[Factor, tuple[str, ...]] | None:
    """A server's making by its components, and those that there is no formula for; None without a memory size.

    A virtual machine has its memory, and of CPUs and enclosure the part that its memory is of a usual server's.

    Args:
        factors: the table.
        hardware: what is known of the server.
        impact: see `Formulae`.
    """
    if hardware.memory_gb is None:
        return None
    part, sockets, name = 1.0, hardware.sockets, f"{hardware.sockets} CPUs"
    if hardware.virtual:
        part = min(1.0, hardware.memory_gb / factors.component("server", "memory_gb").value)
        sockets, name = 2, f"{part:.2g} of a server of 2 CPUs"
    bounds: tuple[Bound, ...] = ("value", "low", "high")
    value, low, high = (Formulae(factors, impact, bound).server(sockets, hardware.memory_gb, part) for bound in bounds)
    whole = Formulae(factors, impact).whole
    made = Factor(
        name=f"{name}, {hardware.memory_gb:.3g} GB",
        factor=impact,
        value=value,
        low=low,
        high=high,
        unit=IMPACTS[impact],
        boundary=f"manufacture of {name} and {hardware.memory_gb:.3g} GB{'' if whole else f', without {_ENCLOSURE}'}",
        year=2024,
        source="Boavizta's formulae for components",
        quality="derived" if whole else "low",
    )
    return made, () if whole else (f"{_ENCLOSURE}: no formula",)
