"""A rebound in the terminal, within 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from joulegram.report.table import columns, narrow
from joulegram.report.words import plain
from joulegram.units import J_PER_KWH, show_change, show_count, show_duration, show_energy, show_mass

Found = Mapping[str, Any]
Row = Mapping[str, Any]
Show = Callable[[float], str]

_FACTORS: Mapping[str, tuple[str, Show]] = {
    "activity": ("{unit} a day", show_count),
    "energy_intensity": ("energy of a {one}", lambda kwh: show_energy(kwh * J_PER_KWH)),
    "grid_intensity": ("grid (g/kWh)", lambda value: f"{value:,.1f}"),
    "pue": ("PUE", lambda value: f"{value:.3f}"),
}


def print_rebound(found: Found, console: Console | None = None) -> None:
    """Prints what changed between two windows: totals, what each factor did to them, and the development.

    Args:
        found: as `joulegram rebound --json` prints it.
        console: where to; standard output unless given.
    """
    title = "Development, before and after" if found["word"] is None else f"{str(found['word']).capitalize()}"
    sections: list[RenderableType] = [Text(title, style="bold"), _lines(found["sentences"])]
    if found["service"] is not None:
        sections.append(_service(found))
    if found["development"] is not None and not found["development"]["why"]:
        sections.append(_development(found["development"]))
    (console or Console()).print(narrow(Group(*(Padding(section, (0, 0, 1, 0)) for section in sections))))


def _lines(lines: list[str]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        table.add_row("•", Text(plain(line)))
    return table


def _service(found: Found) -> Table:
    table = columns(None, "", "before", "after", "its part")
    change, sides = found["change"], (found["before"], found["after"])
    table.add_row("hours", *(f"{side['hours']:,}" for side in sides))
    table.add_row("energy", *(show_energy(side["energy_j"]) for side in sides))
    table.add_row("energy a day", *(show_energy(side["energy_j_per_day"]) for side in sides))
    table.add_row("energy with nobody’s", *(show_energy(side["whole_j"]) for side in sides))
    beside = max(change["before"], change["after"])
    in_grams = change["unit"] == "g a day"
    show: Show = show_mass if in_grams else lambda kwh: show_energy(kwh * J_PER_KWH)
    if in_grams:
        table.add_row("carbon", *(show_mass(side["carbon_g"]) for side in sides))
        table.add_row(
            "carbon a day",
            *(show_mass(change[which]) for which in ("before", "after")),
            show_change(change["change"], show, beside),
        )
    for name, part in change["parts"].items():
        label, shown = _FACTORS[name]
        label = label.format(unit=found["unit"], one=found["unit"].removesuffix("s"))
        table.add_row(
            f"  {label}", *(shown(value) for value in change["factors"][name]), show_change(part, show, beside)
        )
    return table


def _development(row: Row) -> Table:
    table = columns(None, "development", "before", "after")
    sides = row["before"], row["after"]
    table.add_row("time", *(show_duration(side["weeks"] * 7 * 86_400) for side in sides))
    table.add_row("runs", *(f"{side['runs']:,}" for side in sides))
    table.add_row("runs a week", *(f"{side['runs_per_week']:,.3g}" for side in sides))
    table.add_row("different set-ups", *(f"{side['setups']:,}" for side in sides))
    table.add_row("energy", *(show_energy(side["energy_j"]) for side in sides))
    table.add_row("energy a week", *(show_energy(side["energy_j_per_week"]) for side in sides))
    table.add_row("energy of a run", *(show_energy(side["j_per_run"]) for side in sides))
    return table
