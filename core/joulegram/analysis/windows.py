"""What a service, or a project's development, did in a stretch of time: how much of it, at which cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from joulegram.analysis.unit_costs import UNKNOWN_BASIS
from joulegram.curves.series import HOUR_S
from joulegram.units import J_PER_KWH

Document = Mapping[str, Any]
Row = Mapping[str, Any]

DAY_S = 86_400.0
UNITS = ("requests", "tokens", "items")
"""What a server's work may be counted in."""


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of all servers together.

    Args:
        start_s: when it began (s since 1970).
        lasted_s: how much of it (s) anything served.
        volume: what was served.
        energy_j: what that was charged (IT).
        whole_j: all that the devices used in it, what was nobody's included.
        facility_j: what was charged, with PUE.
        carbon_g: the same in grams; None where that is not known.
    """

    start_s: float
    lasted_s: float
    volume: float
    energy_j: float
    whole_j: float
    facility_j: float
    carbon_g: float | None

    def plus(self, other: Hour) -> Hour:
        """Both servers' together."""
        carbon_g = None if self.carbon_g is None or other.carbon_g is None else self.carbon_g + other.carbon_g
        return Hour(
            self.start_s,
            max(self.lasted_s, other.lasted_s),
            self.volume + other.volume,
            self.energy_j + other.energy_j,
            self.whole_j + other.whole_j,
            self.facility_j + other.facility_j,
            carbon_g,
        )


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time.

    Args:
        hours: in the order of time, at least one.
        labels: whose.
        zones: where.
        bases: which emissions carbon counts.
        kinds: of the devices that are counted.
        notes: what a reader should know, in sentences.
    """

    hours: Sequence[Hour]
    labels: tuple[str, ...]
    zones: frozenset[str | None]
    bases: frozenset[str]
    kinds: frozenset[str]
    notes: tuple[str, ...] = ()

    def sum(self, field: str) -> float:
        """What the hours come to in ``lasted_s``, ``volume``, ``energy_j`` and so on."""
        return float(sum(getattr(hour, field) for hour in self.hours))

    @property
    def carbon_g(self) -> float | None:
        """Grams of what was charged; None where those of an hour are not known."""
        return None if any(hour.carbon_g is None for hour in self.hours) else self.sum("carbon_g")

    def to_json(self) -> dict[str, Any]:
        """Plain types: totals, and what they are a day and of each unit."""
        volume, energy_j, carbon_g, days = self.sum("volume"), self.sum("energy_j"), self.carbon_g, self.days
        return {
            "labels": list(self.labels),
            "zones": sorted(str(zone or "unknown") for zone in self.zones),
            "start_s": self.hours[0].start_s,
            "end_s": self.hours[-1].start_s + HOUR_S,
            "hours": len(self.hours),
            "lasted_s": self.sum("lasted_s"),
            "volume": volume,
            "energy_j": energy_j,
            "whole_j": self.sum("whole_j"),
            "carbon_g": carbon_g,
            "volume_per_day": volume / days,
            "energy_j_per_day": energy_j / days,
            "carbon_g_per_day": None if carbon_g is None else carbon_g / days,
            "j_per_unit": energy_j / volume if volume else None,
            "g_per_unit": carbon_g / volume if volume and carbon_g is not None else None,
        }

    @property
    def days(self) -> float:
        """How long it lasted, in days."""
        return self.sum("lasted_s") / DAY_S

    @property
    def factors(self) -> dict[str, float]:
        """What grams a day are the product of: units a day, kWh of one, g/kWh, and facility energy over IT energy."""
        volume, energy_j, facility_j = (self.sum(name) for name in ("volume", "energy_j", "facility_j"))
        found = {"activity": volume / self.days, "energy_intensity": energy_j / J_PER_KWH / volume if volume else 0.0}
        if self.carbon_g is not None and facility_j:
            pue = round(facility_j / energy_j, 9)  # the same where it is the same for all hours
            found |= {"grid_intensity": self.carbon_g / (energy_j / J_PER_KWH * pue), "pue": pue}
        return found


def window(documents: Iterable[Document], per: str, since_s: float = -inf, until_s: float = inf) -> Window | None:
    """The hours of servers that lie wholly between two times; None where there is none.

    Args:
        documents: of runs that served.
        per: what is counted (`UNITS`).
        since_s: when it begins (s since 1970).
        until_s: when it ends.
    """
    hours: dict[float, Hour] = {}
    inside: list[Document] = []
    uncounted = 0
    for document in documents:
        rows = [row for row in document["served"]["hours"] if since_s <= row["start_s"] <= until_s - HOUR_S]
        inside += [document] if rows else []
        uncounted += len(rows) - len(_counted(rows))
        for row in _counted(rows):
            hour = _hour(row, per, document["price"]["pue"]["value"])
            before = hours.get(hour.start_s)
            hours[hour.start_s] = hour if before is None else before.plus(hour)
    if not sum(hour.lasted_s for hour in hours.values()):
        return None
    return Window(
        [hours[start_s] for start_s in sorted(hours)],
        tuple(f"{one['run']['name']} ({one['run']['id']})" for one in inside),
        frozenset(one["run"]["zone"] for one in inside),
        frozenset(str(one["price"].get("basis") or UNKNOWN_BASIS) for one in inside),
        frozenset(
            channel["kind"] for one in inside for channel in one["served"]["channels"] if channel["inside"] is None
        ),
        (*_notes(inside), *([f"{uncounted} hours without a counter are left out."] if uncounted else [])),
    )


def _counted(rows: list[Row]) -> list[Row]:
    """Hours of requests whose energy is not known would make the others look cheaper."""
    return [row for row in rows if row["energy_j"]["value"] is not None or not row["requests"]]


def _notes(documents: Iterable[Document]) -> list[str]:
    notes = []
    for document in documents:
        label = f"{document['run']['name']} ({document['run']['id']})"
        if document["run"]["status"] == "running":
            notes.append(f"{label} is still running: it counts as far as it has come.")
        missing = document["served"]["total"]["energy_j"]["missing"]
        if missing:
            notes.append(f"{label}: its energy lacks {', '.join(missing)}.")
    return notes


def _hour(row: Row, per: str, pue: float) -> Hour:
    energy_j = row["energy_j"]["value"] or 0.0
    carbon_g = row["carbon_g"]["value"] if energy_j else 0.0
    whole_j = (row.get("whole_j") or row["energy_j"])["value"] or 0.0
    return Hour(row["start_s"], row["length_s"], float(row[per]), energy_j, whole_j, energy_j * pue, carbon_g)
