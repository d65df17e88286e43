"""Cloud regions: the grid that each is on, and the PUE that its provider has published.

The table is `regions.csv` beside this file. Which grid a region is on was worked out for joulegram, from where the
providers say that their regions are. PUEs are the providers' own, of one region and year, as Real Time Cloud (Green
Software Foundation, revision b2858aa2) has collected them; Azure's of 2022 are what buildings were designed for. Fleet
averages: AWS (2024), Google (2024), Microsoft (fiscal year 2025), each in the company's sustainability report.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from joulegram.records import Pue

TABLE = Path(__file__).with_name("regions.csv")
TITLES: Mapping[str, str] = MappingProxyType(
    {"aws": "AWS", "azure": "Azure", "gcp": "Google Cloud", "ovhcloud": "OVHcloud", "scaleway": "Scaleway"}
)
_DESIGN = "design value"


@dataclass(frozen=True, slots=True)
class Region:
    """A row of the table.

    Args:
        provider: ``aws``, ``azure``, ``gcp``, ``ovhcloud`` or ``scaleway``.
        region: what the provider calls it.
        country: ISO 3166 code of its country, or of its state or province.
        grid: code of its grid, where that is known more closely.
        location: where it is, in words.
        pue: facility energy over IT energy; None where none is published.
        year: the year that this is of.
        note: what a reader should know of it; mostly empty.
    """

    provider: str
    region: str
    country: str
    grid: str | None
    location: str
    pue: float | None
    year: int | None
    note: str

    @property
    def zone(self) -> str:
        """The grid zone: as close as it is known."""
        return self.grid or self.country

    @property
    def title(self) -> str:
        """Provider and region, in words."""
        return f"{TITLES[self.provider]} {self.region}"


@dataclass(frozen=True, slots=True)
class Fleet:
    """A provider's average over all that it runs."""

    pue: float
    year: str


FLEETS: Mapping[str, Fleet] = MappingProxyType(
    {"aws": Fleet(1.15, "2024"), "azure": Fleet(1.17, "fiscal year 2025"), "gcp": Fleet(1.09, "2024")}
)


def find(provider: str, region: str) -> Region | None:
    """A region by its exact name; None where the table has none of that name."""
    return _table().get((provider, region))


def search(text: str = "") -> list[Region]:
    """Regions whose provider, name or location contains `text`, whatever its case; all of them for no text."""
    wanted = text.strip().casefold()
    return [row for row in _table().values() if wanted in f"{row.provider} {row.region}\n{row.location}".casefold()]


def pue_of(provider: str, region: str | None) -> Pue | None:
    """A region's PUE as its provider has published it, else the fleet's; None where there is neither.

    What was not observed in that region (a design value, a fleet's average) is bounded by what the provider's regions
    have shown. All of it is ``estimated``: a year's mean, not this hour's.
    """
    row, fleet = find(provider, region or ""), FLEETS.get(provider)
    if row is not None and row.pue is not None:
        if row.note != _DESIGN:
            return Pue(row.pue, row.pue, row.pue, "estimated", f"{row.title}, {row.year}, as its provider published")
        source = f"{row.title}, {row.year}, a design value that its provider published"
        return Pue(row.pue, *_range(provider), "estimated", source)
    if fleet is None:
        return None
    why = f"none is published for {region}" if region else "its region is not known"
    source = f"{TITLES[provider]}'s average over all regions, {fleet.year}: {why}"
    return Pue(fleet.pue, *_range(provider), "estimated", source)


@cache
def _range(provider: str) -> tuple[float, float]:
    """The lowest and the highest PUE that a provider's regions have shown."""
    shown = [row.pue for row in _table().values() if row.provider == provider and row.pue and row.note != _DESIGN]
    return min(shown), max(shown)


@cache
def _table() -> Mapping[tuple[str, str], Region]:
    """Provider and name → row, in the table's order."""
    text = TABLE.read_text(encoding="utf-8")
    return MappingProxyType({(row.provider, row.region): row for row in _rows(csv.DictReader(text.splitlines()))})


def _rows(lines: Iterable[dict[str, str]]) -> Iterable[Region]:
    for line in lines:
        yield Region(
            provider=line["provider"],
            region=line["region"],
            country=line["zone"],
            grid=line["grid_zone"] or None,
            location=line["location"],
            pue=float(line["pue"]) if line["pue"] else None,
            year=int(line["pue_year"]) if line["pue_year"] else None,
            note=line["note"],
        )
