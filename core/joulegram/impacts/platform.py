"""A run's platform: its devices and hosts, what their making took, and each span's part of that.

Devices, hosts and buildings are figures of their own. The total is of devices and hosts, and of buildings where there
is a figure; network, storage elsewhere and whoever runs it all are outside of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from joulegram.curves.curve import Curve
from joulegram.curves.parts import wholes
from joulegram.curves.trace import HostTrace, Trace
from joulegram.impacts import components, water
from joulegram.impacts.allocation import CONVENTION, HOST_RULE, allocated, device_rule, device_s, uncounted
from joulegram.impacts.factors import Factor, Factors, Own, as_set
from joulegram.impacts.water import WaterFigure, litres, per_kwh
from joulegram.quantities import Quantity, total
from joulegram.records import CARDS, Hardware

Part = Literal["device", "host", "building"]
G_PER_KG = 1000.0
BOUNDARY = (
    "the making of devices and hosts, by the time reserved, and of buildings where a figure is known; no network, "
    "no storage elsewhere, end of life as each factor says"
)
INDICATORS: Mapping[str, str] = {"adpe": "adpe_kg_sb", "primary_energy": "primary_energy_mj"}
"""What is counted if the user says so, by its switch."""
HARDWARE_FACTORS = ("embodied_kg", "building_kg", "mass_kg", "lifetime_y")


@dataclass(frozen=True, slots=True)
class EmbodiedFigure:
    """Grams of one thing's making (gCO2e)."""

    part: Part
    what: str
    embodied_g: Quantity

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {"part": self.part, "what": self.what, **self.embodied_g.to_json()}


NOT_RECORDED = uncounted("nothing was recorded")


@dataclass(frozen=True, slots=True)
class Impacts:
    """What the platform of a span took, beside its operation.

    Args:
        embodied_g: making of devices and hosts (gCO2e), in no figure of operational carbon.
        embodied: its parts, those that are not counted included.
        water: litres on site and off site, each on its basis.
        ewaste_g: mass of devices and hosts that becomes waste (g), shared as their making is.
        indicators: metals (kg Sb eq) and primary energy (MJ), by name, where the user wants them.
    """

    embodied_g: Quantity = NOT_RECORDED
    embodied: tuple[EmbodiedFigure, ...] = ()
    water: tuple[WaterFigure, ...] = ()
    ewaste_g: Quantity = NOT_RECORDED
    indicators: tuple[tuple[str, Quantity], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain types, as parts of a footprint."""
        return {
            "embodied_g": self.embodied_g.to_json(),
            "embodied": [figure.to_json() for figure in self.embodied],
            "water_l": [figure.to_json() for figure in self.water],
            "ewaste_g": self.ewaste_g.to_json(),
            **{name: figure.to_json() for name, figure in self.indicators},
        }


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """A device or a host of a run.

    Args:
        part: which of the two.
        id: a channel's identity or a host's name.
        name: what it is, in words.
        why_not: why nothing of it is counted; empty where something may be.
        reserved_s: seconds of the whole thing that are the run's.
        rule: in words, whose they are.
        told_apart: whether it is known who else had it.
        made: its factors by name; those that are not known are not there.
        lacking: what is not in some of these, by factor.
    """

    part: Part
    id: str
    name: str
    why_not: str
    reserved_s: Curve
    rule: str
    told_apart: bool
    made: Mapping[str, Factor]
    lacking: Mapping[str, tuple[str, ...]]

    @property
    def what(self) -> str:
        """Name and identity."""
        return f"{self.name} ({self.id})" if self.name else self.id

    def share(self, factor: str, start_ns: int, end_ns: int, scale: float = 1.0) -> Quantity:
        """What of a factor a span has."""
        made, lifetime = self.made.get(factor), self.made.get("lifetime_y")
        if self.why_not:
            return uncounted(self.why_not)
        if made is None or lifetime is None:
            setting = "host" if self.part == "host" else f'"{self.name}"'
            lacking = factor if made is None else "lifetime_y"
            return uncounted(f"no {lacking} is known; in the configuration: impacts.{setting}.{lacking}")
        figure = allocated(made, lifetime, float(self.reserved_s.over([start_ns], [end_ns])[0]), self.rule, scale)
        if not self.told_apart:
            figure = replace(figure, low=0.0)
        lacks = self.lacking.get(factor, ())
        return replace(figure, high=None, missing=lacks) if lacks else figure

    def to_json(self) -> dict[str, Any]:
        """What was assumed of it."""
        return {
            "id": self.id,
            "name": self.name,
            "share": self.rule,
            "factors": {name: factor.to_json() for name, factor in self.made.items()},
            "not_counted": self.why_not or None,
        }


class Platform:
    """The platform of a run.

    Args:
        trace: what was recorded.
        zone: the grid's zone; None for unknown.
        own: the user's own factors, and what is counted.
    """

    def __init__(self, trace: Trace, zone: str | None, own: Own | None = None) -> None:
        self._trace, self._zone = trace, zone
        self._factors = Factors(own)
        wanted = (field for switch, field in INDICATORS.items() if self._factors.site.get(switch))
        self._indicators = tuple(wanted)

    def impacts(self, start_ns: int, end_ns: int, energy_j: Quantity, facility_j: Quantity) -> Impacts:
        """What a span's platform took.

        Args:
            start_ns: of the span (ns).
            end_ns: its end (ns).
            energy_j: its IT energy (J).
            facility_j: the same with the building's (J).
        """
        embodied = tuple(self._embodied(start_ns, end_ns))
        return Impacts(
            embodied_g=_summed(embodied),
            embodied=embodied,
            water=tuple(self._water(energy_j, facility_j)),
            ewaste_g=self._total("mass_kg", start_ns, end_ns, G_PER_KG),
            indicators=tuple(
                (field, self._total(field, start_ns, end_ns, 1.0, self._of_electricity(field, facility_j)))
                for field in self._indicators
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """What was assumed, with its sources."""
        hardware = {host.name: host.hardware for host in self._trace.hosts}
        devices = [thing.to_json() for thing in self._things if thing.part == "device"]
        hosts = [
            {**thing.to_json(), "hardware": _facts(hardware.get(thing.id))}
            for thing in self._things
            if thing.part == "host"
        ]
        onsite, offsite = self._water_factors
        return {
            "convention": CONVENTION,
            "boundary": BOUNDARY,
            "devices": devices,
            "hosts": hosts,
            "water": {
                "hydro": bool(self._factors.site.get("hydro", True)),
                "onsite": onsite.to_json() if onsite else None,
                "offsite": offsite.to_json() if offsite else None,
            },
            "indicators": list(self._indicators),
            "quality": "low: methods disagree by a factor of ten" if self._indicators else None,
        }

    # -- devices and hosts ----------------------------------------------------------------------------------------

    @cached_property
    def _things(self) -> list[Thing]:
        return [*self._devices(), *map(self._host, self._trace.hosts)]

    def _devices(self) -> Iterator[Thing]:
        """Cards and modules, each once: a module's own GPU is the module."""
        channels = self._trace.channels
        for name, trace in channels.items():
            kind, product = trace.channel.kind, trace.channel.product
            inside = (whole.channel.kind for whole in wholes(trace, channels.values()))
            if kind not in CARDS | {"soc"} or "soc" in inside:
                continue
            factors = (*HARDWARE_FACTORS, *self._indicators)
            made = {factor: found for factor in factors if (found := self._factors.device(product, factor))}
            why_not = "" if product else "what device it is was not recorded"
            told_apart = trace.channel.share != "undivided"
            yield Thing("device", name, product, why_not, device_s(trace), device_rule(trace), told_apart, made, {})

    def _host(self, host: HostTrace) -> Thing:
        if host.hardware is None:
            why_not = "what machine it is was not recorded"
        elif not len(host.reserved_s):
            why_not = "what it reserved of its cores was not recorded"
        else:
            why_not = ""
        made: dict[str, Factor] = {}
        lacking: dict[str, tuple[str, ...]] = {}
        if host.hardware is not None:
            for factor in (*HARDWARE_FACTORS, *self._indicators):
                if (found := self._of_host(host.hardware, factor)) is not None:
                    made[factor], lacking[factor] = found
        return Thing("host", host.name, _host_name(host), why_not, host.reserved_s, HOST_RULE, True, made, lacking)

    def _of_host(self, hardware: Hardware, factor: str) -> tuple[Factor, tuple[str, ...]] | None:
        """A host's factor: as set, of its model, by its components, of its kind; and what is not in it."""
        if told := self._factors.find("host", ("host", hardware.product), factor):
            return told, ()
        kind = _kind(hardware)
        assembled = kind == "server" and factor in components.IMPACTS
        if assembled and (made := components.server(self._factors, hardware, factor)):
            return made
        if hardware.virtual and factor == "mass_kg":
            return None
        told = self._factors.find("host", (kind,), factor)
        return (told, ()) if told else None

    # -- figures --------------------------------------------------------------------------------------------------

    def _embodied(self, start_ns: int, end_ns: int) -> Iterator[EmbodiedFigure]:
        for thing in self._things:
            yield EmbodiedFigure(thing.part, thing.what, thing.share("embodied_kg", start_ns, end_ns, G_PER_KG))
        for thing in self._things:
            if "building_kg" in thing.made:
                figure = thing.share("building_kg", start_ns, end_ns, G_PER_KG)
                yield EmbodiedFigure("building", f"the building's part for {thing.what}", figure)
        if not any("building_kg" in thing.made for thing in self._things):
            why = "no figure is known; in the configuration: impacts.host.building_kg"
            yield EmbodiedFigure("building", "the building", uncounted(why))

    def _total(self, factor: str, start_ns: int, end_ns: int, scale: float, *more: tuple[str, Quantity]) -> Quantity:
        parts = [(thing.what, thing.share(factor, start_ns, end_ns, scale)) for thing in self._things]
        return total([*more, *parts], "not counted: no device or host was recorded")

    def _of_electricity(self, field: str, facility_j: Quantity) -> tuple[str, Quantity]:
        factor = f"{field}_per_kwh"
        found = self._factors.find("grid", water.around(self._zone), factor)
        if factor in self._factors.site:
            found = as_set("site", factor, self._factors.site[factor])
        if found is None:
            why = f"no figure is known for this zone; in the configuration: impacts.site.{factor}"
            return "electricity", uncounted(why)
        return "electricity", per_kwh(facility_j, found, "facility energy")

    @cached_property
    def _water_factors(self) -> tuple[Factor | None, Factor | None]:
        cases = [host.hardware.chassis if host.hardware else "" for host in self._trace.hosts]
        return water.onsite(self._factors, cases), water.offsite(self._factors, self._zone)

    def _water(self, energy_j: Quantity, facility_j: Quantity) -> Iterator[WaterFigure]:
        onsite, offsite = self._water_factors
        basis = onsite.boundary if onsite else "consumption"
        yield WaterFigure("onsite", basis, litres(energy_j, onsite, "IT energy"))
        basis = offsite.boundary if offsite else "consumption"
        yield WaterFigure("offsite", basis, litres(facility_j, offsite, "facility energy"))


def _summed(embodied: Iterable[EmbodiedFigure]) -> Quantity:
    """Devices and hosts, and buildings where there is a figure: without one they are outside of the boundary."""
    counted = [
        (figure.what, figure.embodied_g)
        for figure in embodied
        if figure.part != "building" or figure.embodied_g.value is not None
    ]
    return total(counted, "not counted: no device or host was recorded")


def _kind(hardware: Hardware) -> str:
    """Whose factors count: of a case that is not told, as of a server whose lower bound is a laptop's."""
    return "server" if hardware.virtual else hardware.chassis or "unknown"


def _host_name(host: HostTrace) -> str:
    hardware = host.hardware
    if hardware is None:
        return ""
    kind = "virtual machine" if hardware.virtual else hardware.chassis or "machine of unknown kind"
    memory = "" if hardware.memory_gb is None else f", {hardware.memory_gb:.3g} GB"
    return f"{kind}, {hardware.threads} logical CPUs{memory}"


def _facts(hardware: Hardware | None) -> dict[str, Any] | None:
    if hardware is None:
        return None
    names = ("chassis", "product", "cpu", "sockets", "threads", "memory_gb", "virtual")
    return {name: getattr(hardware, name) for name in names}
