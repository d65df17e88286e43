"""A what-if in the terminal, within 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from joulegram.report.table import columns, narrow
from joulegram.report.whatif import (
    SPREAD,
    Row,
    WhatIf,
    by_hour,
    ground,
    kind,
    show_own,
    show_spread,
    show_time,
    show_times,
    timed,
    title,
)
from joulegram.report.words import plain, shorten
from joulegram.units import show_mass

_FIELDS = ("min_g", "p25_g", "median_g", "p75_g", "max_g")
_TIMES = {"min_g": "min_over_mean", "max_g": "max_over_mean"}
_LONGEST_ZONE = 20


def print_what_if(found: WhatIf, console: Console | None = None) -> None:
    """Prints a what-if: what follows from it, the zones, the starts, and what it stands on.

    Args:
        found: a what-if, as `joulegram whatif --json` prints it.
        console: where to; standard output unless given.
    """
    sections: list[RenderableType] = [Text(title(found), style="bold"), _lines(found["sentences"]), _zones(found)]
    if by_hour(found):
        sections.append(_best(by_hour(found)))
    if found["rows"][0]["starts"]:
        sections.append(_starts(found["rows"]))
    sections.append(_lines(ground(found), style="dim"))
    (console or Console()).print(narrow(Group(*(Padding(section, (0, 0, 1, 0)) for section in sections))))


def _lines(lines: Sequence[str], style: str = "") -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        table.add_row("•", Text(plain(line), style=style))
    return table


def _zone(row: Row) -> Text:
    return Text.assemble((shorten(plain(row["zone"]), _LONGEST_ZONE), "bold"), "\n", (kind(row), "dim"))


def _zones(found: WhatIf) -> Table:
    fields = _FIELDS if timed(found) else tuple(_TIMES)
    table = columns(None, "", *(SPREAD[field] for field in fields), "average", "own")
    table.padding = (0, 1, 0, 0)
    for row in found["rows"]:
        own, place = show_own(row)
        spread = [
            Text.assemble(show_spread(row, field), "\n", (show_times(row, _TIMES.get(field, "")), "dim"))
            for field in fields
        ]
        table.add_row(_zone(row), *spread, show_mass(row["at_mean_g"]), Text.assemble(own, "\n", (place, "dim")))
    if timed(found):
        table.caption = Text("Over all start hours; below the least and the most, how many times the average.")
    return table


def _best(rows: Sequence[Row]) -> Table:
    table = columns(None, "", "best start", "", "worst start", "")
    for row in rows:
        spread = row["by_start"]
        table.add_row(
            Text(f"{shorten(plain(row['zone']), _LONGEST_ZONE)} {row['intensity']}"),
            show_time(spread["best"]),
            show_mass(spread["min_g"]),
            show_time(spread["worst"]),
            show_mass(spread["max_g"]),
        )
    return table


def _starts(rows: Sequence[Row]) -> Table:
    table = columns(None, "start")
    table.add_column("zone", no_wrap=True, overflow="ellipsis")
    for name in ("CO₂e", "dearer than"):
        table.add_column(name, justify="right", no_wrap=True)
    for place, start in enumerate(rows[0]["starts"]):
        for row in rows:
            there = row["starts"][place]
            table.add_row(
                show_time(start["start"]),
                Text(f"{shorten(plain(row['zone']), _LONGEST_ZONE)} {row['intensity']}"),
                "not known" if there["carbon_g"] is None else show_mass(there["carbon_g"]),
                "" if there["percentile"] is None else f"{there['percentile']:.0f} %",
            )
    table.caption = Text("Times are UTC; the last column is the part of the start hours that cost less.")
    return table
