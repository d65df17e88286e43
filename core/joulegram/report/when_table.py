"""When to run, in the terminal, within 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from joulegram.report.table import narrow
from joulegram.report.words import plain, shorten, show_moment
from joulegram.units import show_duration

Json = Mapping[str, Any]


def print_plans(found: Json, console: Console | None = None) -> None:
    """Prints when to run: what follows, each start beside what it is measured against, and what it stands on.

    Args:
        found: advice, as ``joulegram when --json`` prints it.
        console: where to; standard output unless given.
    """
    zones = found["zones"]
    job = f"The job takes {show_duration(zones[0]['duration_s'])} and draws the same power throughout"
    ground = [job, *(_pauses(zone) for zone in zones if zone["paused"]), *map(_kind, zones), *found["notes"]]
    sections: list[RenderableType] = [
        _lines(found["sentences"]),
        _starts(zones),
        _lines(list(dict.fromkeys(ground)), "dim"),
    ]
    (console or Console()).print(narrow(Group(*(Padding(section, (0, 0, 1, 0)) for section in sections))))


def _starts(zones: Sequence[Json]) -> Table:
    table = Table(header_style="dim", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("zone", "", "start", "g/kWh", "bounds", "saves", "95 %"):
        is_text = name in ("zone", "", "start")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=True, overflow="ellipsis")
    for zone in zones:
        name = shorten(plain(zone["zone"]), 12)
        table.add_row(Text(name, style="bold"), "now", *_schedule(zone["now"]))
        table.add_row("", "best start", *_schedule(zone["best"]), *_saving(zone["saving"]))
        if zone["paused"]:
            breaks = len(zone["paused"]["stretches"]) - 1
            said = f"{breaks} pause{'s' if breaks > 1 else ''}"
            table.add_row("", said, *_schedule(zone["paused"]), *_saving(zone["paused_saving"]))
        for said, field in (("random start", "random"), ("mean of 24 h", "day")):
            saved = _percent(zone[f"{field}_saving"])
            table.add_row("", said, "", f"{zone[f'{field}_g_per_kwh']:.0f}", "", saved, "", style="dim")
    return table


def _schedule(schedule: Json) -> tuple[str, str, str]:
    low, high = f"{schedule['low']:.0f}", f"{schedule['high']:.0f}"
    bounds = "" if low == high else f"{low} – {high}"
    return show_moment(schedule["stretches"][0][0]), f"{schedule['g_per_kwh']:.0f}", bounds


def _saving(saving: Json) -> tuple[str, str]:
    low, high = _percent(saving["low"]), _percent(saving["high"])
    return _percent(saving["value"]), "" if low == high else f"{low} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %".replace("-", "−")


def _pauses(zone: Json) -> str:
    runs = ", ".join(f"{show_moment(start)} – {show_moment(end)[-5:]}" for start, end in zone["paused"]["stretches"])
    return f"{plain(zone['zone'])} with pauses: {runs}"


def _kind(zone: Json) -> str:
    basis = "basis unknown" if zone["basis"] == "unknown" else zone["basis"]
    kind = f"{zone['signal']}, {basis}, {zone['accounting']}-based, from {plain(zone['source'])}"
    return f"Intensity of {plain(zone['zone'])}: {kind}"


def _lines(lines: Sequence[str], style: str = "") -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        table.add_row("•", Text(plain(line), style=style))
    return table
