"""The table of levers in the terminal, within 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from joulegram.report.table import columns, narrow
from joulegram.report.words import plain
from joulegram.units import show_duration, show_energy, show_mass, show_percent


def print_levers(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints a table of levers.

    Args:
        found: as `joulegram levers --json` prints it.
        console: where to; standard output unless given.
    """
    of = f"{found['model']} of {found['project']}" if found["model"] else found["project"]
    told = Table.grid(padding=(0, 1, 0, 0))
    for line in found["sentences"]:
        told.add_row("•", Text(plain(line)))
    sections: list[RenderableType] = [Text(plain(f"Levers of {of}"), style="bold"), told, _levers(found)]
    (console or Console()).print(narrow(Group(*(Padding(section, (0, 0, 1, 0)) for section in sections))))


def _levers(found: Mapping[str, Any]) -> Table:
    table = columns(None, "")
    for phase in ("development", "deployment"):
        table.add_column(phase, overflow="fold", ratio=1)
    for row in found["rows"]:
        table.add_row(Text(row["label"], style="bold"), _cell(row["development"]), _cell(row["deployment"]))
        table.add_row()
    total = found["total"]
    carbon_g = total["carbon_g"]["value"]
    also = f" and {show_mass(carbon_g)} CO₂e, {found['basis']} basis" if carbon_g is not None else ""
    whole = "unknown energy" if total["energy_j"]["value"] is None else show_energy(total["energy_j"]["value"])
    table.caption = Text(f"Shares are of the whole life: {whole}{also}.")
    return table


def _cell(cell: Mapping[str, Any]) -> Text:
    if not cell["items"]:
        return Text(f"– {cell['why']}", style="dim")
    return Text("\n").join(_item(item) for item in cell["items"])


def _item(item: Mapping[str, Any]) -> Text:
    energy_j, carbon_g, share = item["energy_j"], item["carbon_g"], item["share"]
    figures = [
        None if energy_j is None else show_energy(energy_j),
        None if carbon_g is None else f"{show_mass(carbon_g)} CO₂e",
        None if share is None else show_percent(share),
        show_duration(item["duration_s"]) if "duration_s" in item else None,
    ]
    return Text.assemble(item["what"], ": ", ", ".join(f for f in figures if f), ("\n" + item["how"], "dim"))
