"""A life cycle in the terminal, within 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from joulegram.report.lifecycle import (
    GROUND,
    HEADS,
    MOST_SWEEPS,
    LifeCycle,
    rows,
    show_figure,
    show_share_of,
    show_time,
    shown_fields,
    title,
)
from joulegram.report.table import columns, narrow
from joulegram.report.words import plain, shorten


def print_life_cycle(found: LifeCycle, console: Console | None = None) -> None:
    """Prints a life cycle: what follows from it, its parts, its searches, and how it is counted.

    Args:
        found: a life cycle, as `joulegram lifecycle --json` prints it.
        console: where to; standard output unless given.
    """
    sections: list[RenderableType] = [
        Text(plain(title(found)), style="bold"),
        _lines(found["sentences"]),
        _parts(found),
    ]
    if found["sweeps"]:
        sections.append(_sweeps(found))
    sections.append(_lines(GROUND, style="dim"))
    (console or Console()).print(narrow(Group(*(Padding(section, (0, 0, 1, 0)) for section in sections))))


def _lines(lines: Sequence[str], style: str = "") -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        table.add_row("•", Text(plain(line), style=style))
    return table


def _parts(found: LifeCycle) -> Table:
    fields = shown_fields(found)
    table = columns(
        None, "", "runs", "time", HEADS["energy_j"], "share", *(HEADS[f] for f in fields if f != "energy_j")
    )
    table.padding = (0, 1, 0, 0)
    for is_phase, name, part in rows(found):
        table.add_row(
            Text(name if is_phase else f"  {name}"),
            f"{part['runs']:,}",
            "" if is_phase else show_time(part),
            show_figure(part, "energy_j"),
            show_share_of(part, found["total"]),
            *(show_figure(part, field) for field in fields if field != "energy_j"),
            style="bold" if is_phase else "",
        )
    table.caption = Text("Share is of all energy; ≥: a run has no figure. Open runs are counted so far.")
    return table


def _sweeps(found: LifeCycle) -> Table:
    table = columns(None, "searches, the costliest first", "trials", HEADS["energy_j"], HEADS["carbon_g"], "grouped as")
    for sweep in found["sweeps"][:MOST_SWEEPS]:
        table.add_row(
            Text(shorten(plain(sweep["label"]), 30)),
            f"{sweep['trials']:,}",
            show_figure(sweep, "energy_j"),
            show_figure(sweep, "carbon_g"),
            sweep["how"],
        )
    if len(found["sweeps"]) > MOST_SWEEPS:
        table.caption = Text(f"and {len(found['sweeps']) - MOST_SWEEPS} more (--json lists all)")
    return table
