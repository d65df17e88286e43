"""How a budget stands, in the terminal, within 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from joulegram.report.table import columns, narrow
from joulegram.report.words import plain, quantity, show_bounds, show_value
from joulegram.units import show_energy, show_mass, show_percent

_SHOW = {"energy_j": ("energy", show_energy), "carbon_g": ("carbon", show_mass)}
_STYLE = {"within": "green", "near": "yellow", "at risk": "yellow", "over": "red", "unknown": "red"}


def print_budget(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints how a budget stands: in words, and each limit with what was spent of it.

    Args:
        found: as `joulegram budget --json` prints it.
        console: where to; standard output unless given.
    """
    title = Text.assemble(
        (plain(f"{found['project']}, {found['month']}"), "bold"), "  ", (found["level"], _STYLE[found["level"]])
    )
    told = Table.grid(padding=(0, 1, 0, 0))
    for line in found["sentences"]:
        told.add_row("•", Text(plain(line)))
    table = columns(None, "", "budget", "spent", "bounds", "", "forecast")
    for row in found["budgets"]:
        label, show = _SHOW[row["measure"]]
        spent = quantity(row["spent"])
        table.add_row(
            label,
            show(row["limit"]),
            show_value(spent, show),
            "" if spent.value is None else show_bounds(spent, show),
            "" if row["share"] is None else show_percent(row["share"]),
            "–" if row["forecast"] is None else show(row["forecast"]),
        )
    sections: list[RenderableType] = [title, told, table]
    (console or Console()).print(narrow(Group(*(Padding(section, (0, 0, 1, 0)) for section in sections))))
