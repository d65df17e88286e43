"""Annual mean intensities of countries, states and provinces: the feed that needs no network and always answers.

The table is `annual.csv` beside this file; each row names its publisher, licence, year and basis. Country figures are
Ember's (generation, lifecycle), those of states and provinces are direct: the two are never combined in one point.
"""

from __future__ import annotations

import csv
import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast

from joulegram.feeds import Feed, NotServed
from joulegram.records import Basis, IntensityPoint

# Beside this file and not through importlib.resources, whose import alone takes 15 ms of a run's start.
TABLE = Path(__file__).with_name("annual.csv")
WORLD = "WORLD"

# Low and high factor on an annual mean: 2.5th and 97.5th percentile of an hour over its own grid's mean (35 zone-years
# of 11 grids), and of an hour in a part of a country over the whole country's mean (that times 51 US states), derived
# by `benchmarks/intensity_spread.py`.
HOURLY_LOW, HOURLY_HIGH = 0.33, 2.03
PART_LOW, PART_HIGH = 0.13, 2.87

HINT = 'set zone=…, JOULEGRAM_ZONE or "zone" in the configuration (joulegram zones TEXT finds it)'

# ISO 3166 alpha-2 countries have two letters; the table's only other code of that shape is the European Union.
_NOT_COUNTRIES = frozenset({"EU"})
# What people write instead of GB and US.
_ALIASES = MappingProxyType({"UK": "GB", "USA": "US"})
_PART_OF_COUNTRY = re.compile(r"([A-Z]{2})(-[A-Z0-9]+)+")


@dataclass(frozen=True, slots=True)
class Zone:
    """A row of the table: the annual mean intensity of one zone.

    Args:
        code: ISO 3166 code of a country (``DK``) or its part (``US-CA``), ``US-EGRID-…``, a continent or ``WORLD``.
        name: its English name.
        year: the year that the mean is of.
        g_per_kwh: gCO2e per kWh.
        basis: ``lifecycle`` or ``direct``; the two are not comparable.
        source: publisher and release.
        licence: the publisher's terms.
        note: what a reader should know of this row; mostly empty.
    """

    code: str
    name: str
    year: int
    g_per_kwh: float
    basis: Basis
    source: str
    licence: str
    note: str


class AnnualFeed(Feed):
    """Annual means as a feed like the others: the same value at all times."""

    name = "annual"
    title = "annual means"

    @property
    def ready(self) -> bool:
        """Always: it asks nobody."""
        return True

    def serves(self, zone: str) -> bool:
        """All zones; those that are not known get the world's mean."""
        return True

    def latest(self, zone: str) -> IntensityPoint:
        """The mean, for this hour."""
        hour_s = self.now_s() // 3600 * 3600
        return self.history(zone, hour_s, hour_s + 3600)[0]

    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """The mean, for all of a time, on the basis that is wanted where the table has it."""
        on_basis = [point for point in points(zone) if self.wanted_basis in (None, point.basis)]
        if not on_basis:
            raise NotServed(f"the table has no {self.wanted_basis} figure for {zone}")
        return [replace(on_basis[0], start_s=start_s, length_s=end_s - start_s)]


def points(zone: str | None) -> tuple[IntensityPoint, ...]:
    """The best annual mean per basis: the zone's own row, else its country's, else the world's.

        points("DK-DK1")  # Denmark's mean, with bounds as wide as a part of a country needs

    One lifecycle point, and a direct one where the table has one for the zone itself; neither has a time. An unknown
    zone gets the world average between the cleanest and the dirtiest country: never a country's figure.

    Args:
        zone: what the user gave: a code, a country's English name, or None. Case does not matter.
    """
    code = resolve(zone)
    if code is None:
        return (_world(zone),)
    if code == WORLD:
        return (_world(None),)  # to name the world is to name no grid
    rows = _table()
    own = rows.get(code)
    if own is not None and own.basis == "lifecycle":
        return (_known(own, code),)
    country = _known(rows[code[:2]], code)
    return (country,) if own is None else (country, _known(own, code))


def resolve(zone: str | None) -> str | None:
    """The code of what a user typed: ``denmark`` → ``DK``, `` dk-dk1 `` → ``DK-DK1``; None where nothing matches."""
    if zone is None:
        return None
    rows, code = _table(), zone.strip().upper()
    code = _ALIASES.get(code, code)
    part = _PART_OF_COUNTRY.fullmatch(code)
    if code in rows or (part is not None and _is_country(part[1])):
        return code
    return _codes_by_name().get(_plain(zone))


def search(text: str = "") -> list[Zone]:
    """Zones whose code or name contains `text`, whatever its case and accents; all of them for no text."""
    wanted = _plain(text)
    return [zone for zone in _table().values() if wanted in _plain(zone.code) or wanted in _plain(zone.name)]


def _known(row: Zone, code: str) -> IntensityPoint:
    """A row as the intensity of `code`, which may be a part of the row's country."""
    low, high = HOURLY_LOW, HOURLY_HIGH
    note = [f"annual mean of {row.year}, {row.name}"]
    if row.code != code:
        note.append(f"the table has no {row.basis} figure for {code}, so its country's is used")
    if row.code != code or not (_is_country(row.code) or _PART_OF_COUNTRY.fullmatch(row.code)):
        # A country is to its continent as a state to its country: somewhere in it, with a mean of its own.
        low, high = PART_LOW, PART_HIGH
    if row.note:
        note.append(row.note)
    return _point(row, low * row.g_per_kwh, high * row.g_per_kwh, "; ".join(note))


def _world(zone: str | None) -> IntensityPoint:
    """The world average between the countries' extremes, with what to do about it."""
    asked = "" if zone is None or not zone.strip() else f' "{zone.strip()}"{_nearest(zone)}'
    # A lifecycle of nothing at all is a country without figures of its own, not a clean one.
    countries = [row.g_per_kwh for row in _table().values() if _is_country(row.code) and row.g_per_kwh > 0]
    return _point(_table()[WORLD], min(countries), max(countries), f"zone{asked} unknown: world average; {HINT}")


def _point(row: Zone, low: float, high: float, note: str) -> IntensityPoint:
    return IntensityPoint(
        g_per_kwh=row.g_per_kwh,
        low=low,
        high=high,
        zone=row.code,
        source=f"{row.source} ({row.licence})",
        kind="static",
        basis=row.basis,
        scope=_scope(row.source),
        note=note,
    )


def _scope(source: str) -> Literal["consumption", "generation", "unknown"]:
    """Whose electricity a source counts, where it says so: Ember and eGRID what is generated, Canada what is used."""
    if source.startswith(("Ember", "US EPA eGRID")):
        return "generation"
    return "consumption" if "consumption intensity" in source else "unknown"


def _nearest(zone: str) -> str:
    """`` (nearest: DK Denmark, …)`` for a misspelt zone; empty where nothing is near."""
    wanted = _plain(zone)
    by_text = {text: row for row in _table().values() for text in (_plain(row.code), _plain(row.name))}
    near = dict.fromkeys(by_text[text].code for text in difflib.get_close_matches(wanted, by_text, n=3, cutoff=0.7))
    return f" (nearest: {', '.join(f'{code} {_table()[code].name}' for code in near)})" if near else ""


def _is_country(code: str) -> bool:
    return len(code) == 2 and code in _table() and code not in _NOT_COUNTRIES


def _plain(text: str) -> str:
    """Text without case, accents and outer blanks: what two spellings of a name share."""
    letters = unicodedata.normalize("NFKD", text.strip().casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


@cache
def _table() -> Mapping[str, Zone]:
    """Code → row, in the table's order; each code has one row."""
    text = TABLE.read_text(encoding="utf-8")
    return MappingProxyType({row.code: row for row in _rows(csv.DictReader(text.splitlines()))})


def _rows(lines: Iterable[dict[str, str]]) -> Iterable[Zone]:
    for line in lines:
        yield Zone(
            code=line["zone"],
            name=line["name"],
            year=int(line["year"]),
            g_per_kwh=float(line["g_co2e_per_kwh"]),
            basis=cast(Basis, line["basis"]),
            source=line["source"],
            licence=line["licence"],
            note=line["note"],
        )


@cache
def _codes_by_name() -> Mapping[str, str]:
    """Plain name → code; a country's comes before a state's of the same name (Georgia)."""
    states_first = sorted(_table().values(), key=lambda row: _is_country(row.code))
    return MappingProxyType({_plain(row.name): row.code for row in states_first})
