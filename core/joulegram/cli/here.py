"""``joulegram zones --here``: where this machine is, how that was found out, and what it means for the figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from joulegram import config, pricing
from joulegram.feeds.annual import points, resolve
from joulegram.place import Sources, find


def here(sources: Sources | None = None) -> dict[str, Any]:
    """What is known of this machine's place, as plain data.

    Args:
        sources: what is asked besides the user; by default what there is.

    Raises:
        ConfigError: the configuration is not understood.
    """
    settings = config.load()
    origin = config.origin("zone")
    place = find(settings, f"{config.PREFIX}ZONE" if origin == "environment" else str(origin), sources)
    pue = pricing.pue_of(settings.pue) if settings.pue is not None or place.pue is None else place.pue
    return {
        "schema_version": 1,
        "zone": place.zone,
        "known": resolve(place.zone) is not None,
        "how": place.how,
        "provider": place.provider,
        "region": place.region,
        "pue": asdict(pue),
        "intensity": [asdict(point) for point in points(place.zone)],
        "tried": [asdict(step) for step in place.tried],
    }


def print_here(found: dict[str, Any], console: Console | None = None) -> None:
    """Prints what `here` found."""
    console = console or Console()
    pue = found["pue"]
    bounds = "" if pue["low"] == pue["high"] else f" ({pue['low']:g} to {pue['high']:g})"
    lines = [
        ("zone", found["zone"] or "unknown"),
        ("how", found["how"]),
        *(("intensity", _intensity(point)) for point in found["intensity"]),
        ("PUE", f"{pue['value']:g}{bounds}: {pue['source']}"),
    ]
    console.print(_grid(lines))
    console.print("\nAsked, one after the other:")
    console.print(_grid((f"{'+' if step['helped'] else '-'} {step['asked']}", step["said"]) for step in found["tried"]))


def _intensity(point: dict[str, Any]) -> str:
    return f"{point['g_per_kwh']:g} gCO2e/kWh ({point['basis']}): {point['note']}"


def _grid(rows: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*map(Text, row))
    return table
