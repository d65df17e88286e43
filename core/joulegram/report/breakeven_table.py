"""A break-even in the terminal, within 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from joulegram.report.table import columns, narrow
from joulegram.report.words import plain, shorten
from joulegram.units import show_chance, show_count, show_energy, show_long, show_mass

Found = Mapping[str, Any]
Row = Mapping[str, Any]

_LABELS = {"energy_j": ("by energy", show_energy), "carbon_g": ("by carbon", show_mass)}


def print_break_even(found: Found, console: Console | None = None) -> None:
    """Prints a break-even: what follows, and the figures that it stands on.

    Args:
        found: as `joulegram breakeven --json` prints it.
        console: where to; standard output unless given.
    """
    title = f"{shorten(plain(found['before']['label']), 32)} → {shorten(plain(found['after']['label']), 32)}"
    sections: list[RenderableType] = [Text(title, style="bold"), _lines(found["sentences"]), _figures(found)]
    (console or Console()).print(narrow(Group(*(Padding(section, (0, 0, 1, 0)) for section in sections))))


def _lines(lines: list[str]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        table.add_row("•", Text(plain(line)))
    return table


def _figures(found: Found) -> Table:
    table = columns(None, "", "best", "low", "high")
    for row in found["measures"]:
        name = row["measure"]
        if row["verdict"] == "unknown":
            continue
        if len(table.rows):
            table.add_section()
        heading, show = _LABELS[name]
        table.add_row(Text(heading, style="bold"))
        for label, figure in (("development", row["development"]), *_requests_of(found, row)):
            table.add_row(f"  {label}", *(_shown(figure, bound, show) for bound in ("value", "low", "high")))
        never = {"value": "never", "low": "–", "high": "never"}
        shown = [
            never[bound] if row["requests"][bound] is None else show_count(row["requests"][bound]) for bound in never
        ]
        table.add_row("  requests", *shown)
        if row["payback_s"] is not None and row["verdict"] == "pays":
            table.add_row("  payback time", *(_shown(row["payback_s"], bound, show_long) for bound in never))
        if row["probability"] is not None and row["saving"]["low"] != row["saving"]["high"]:
            table.add_row("  chance of a saving", show_chance(row["probability"]))
    table.caption = Text("Bounds hold 95 of 100 cases: hours that differ, and what counters and prices may be off by.")
    return table


def _requests_of(found: Found, row: Row) -> list[tuple[str, Row]]:
    name, sides = row["measure"], ("before", "after")
    costs = [(f"a request {which}", found[which][name]) for which in sides]
    if name == "carbon_g" and found["embodied"]["in_requests"]:
        costs += [(f"its hardware {which}", found[which]["embodied_g"]) for which in sides]
    return [*costs, ("a request saves", row["saving"])]


def _shown(figure: Row, bound: str, show: Any) -> str:
    value = figure[bound]
    if value is None:
        return "–"
    return f"−{show(-value)}" if value < 0 else str(show(value))
