"""``joulegram zones TEXT``: grid zones by code or name, and cloud regions by name or location."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from joulegram.feeds.annual import points, search
from joulegram.place import regions

MOST = 60


def matches(text: str) -> dict[str, Any]:
    """Zones and cloud regions that match, as plain data."""
    return {
        "schema_version": 1,
        "zones": [asdict(zone) for zone in search(text)],
        "regions": [
            {**asdict(region), "zone": region.zone, "g_per_kwh": _g_per_kwh(region.zone)}
            for region in regions.search(text)
        ],
    }


def print_zones(text: str) -> int:
    """Prints the zones that match, and the cloud regions; 1 if none does. For no text, the first zones."""
    found = matches(text)
    zones, clouds = found["zones"], found["regions"] if text else []
    if not zones and not clouds:
        print(
            f"joulegram: no zone matches {text!r}; try a country's English name or its two-letter code, "
            "or a cloud region",
            file=sys.stderr,
        )
        return 1
    console = Console()
    shown = zones if text or len(zones) <= MOST else zones[:MOST]
    if shown:
        rows = ((z["code"], z["name"], f"{z['g_per_kwh']:.0f}", str(z["year"]), z["basis"]) for z in shown)
        console.print(_table(("zone", "name", "gCO2e/kWh", "year", "basis"), rows))
    if len(shown) < len(zones):
        console.print(f"… and {len(zones) - len(shown)} more: joulegram zones TEXT finds one, and cloud regions")
    if clouds:
        if shown:
            console.print()
        console.print(_table(("cloud", "region", "location", "zone", "gCO2e/kWh", "PUE"), map(_region_row, clouds)))
    return 0


def _region_row(region: dict[str, Any]) -> tuple[str, ...]:
    pue = "" if region["pue"] is None else f"{region['pue']:.2f}"
    intensity = f"{region['g_per_kwh']:.0f}"
    return (region["provider"], region["region"], region["location"], region["zone"], intensity, pue)


def _g_per_kwh(zone: str) -> float:
    """The zone's annual lifecycle mean, or its country's."""
    return points(zone)[0].g_per_kwh


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        right = heading in ("gCO2e/kWh", "PUE")
        table.add_column(heading, justify="right" if right else "left", overflow="ellipsis", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
