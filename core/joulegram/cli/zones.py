"""``joulegram zones``: grid zones by code or name."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from joulegram.feeds.annual import search

MOST = 60


def print_zones(text: str) -> int:
    """Prints the zones that match; 1 if none does."""
    zones = search(text)
    if not zones:
        print(
            f"joulegram: no zone matches {text!r}; try a country's English name or its two-letter code", file=sys.stderr
        )
        return 1
    table = Table(box=None, pad_edge=False)
    for heading in ("zone", "name", "gCO2e/kWh", "year", "basis"):
        table.add_column(
            heading, justify="right" if heading == "gCO2e/kWh" else "left", overflow="ellipsis", no_wrap=True
        )
    shown = zones if text or len(zones) <= MOST else zones[:MOST]
    for zone in shown:
        table.add_row(Text(zone.code), Text(zone.name), f"{zone.g_per_kwh:.0f}", str(zone.year), zone.basis)
    console = Console()
    console.print(table)
    if len(shown) < len(zones):
        console.print(f"… and {len(zones) - len(shown)} more: joulegram zones TEXT finds one")
    return 0
