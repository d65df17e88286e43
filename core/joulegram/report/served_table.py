"""What serving cost in the terminal, within 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from joulegram.report.served import (
    PARTS,
    Found,
    Row,
    by_energy,
    channel_parts,
    energy,
    ground,
    hour_name,
    intensity,
    mass,
    route_name,
    several,
    share,
    title,
)
from joulegram.report.table import columns, narrow
from joulegram.report.words import elide, plain, shorten
from joulegram.units import show_energy

MOST_ROUTES = 20
MOST_HOURS, HOURS_AT_AN_END = 24, 8
_LONGEST_ROUTE, _LONGEST_CHANNEL = 22, 28


def print_served(found: Found, console: Console | None = None) -> None:
    """Prints what serving cost: what follows, routes, hours and channels of one run, or several runs side by side.

    Args:
        found: as `joulegram serve-report --json` prints it.
        console: where to; standard output unless given.
    """
    sections = _side_by_side(found) if several(found) else _one(found["runs"][0])
    (console or Console()).print(narrow(Group(*(Padding(section, (0, 0, 1, 0)) for section in sections))))


def _one(report: Row) -> list[RenderableType]:
    served = report["served"]
    head = Text.assemble((shorten(title(report), 60), "bold"), f"  {report['run']['status']}")
    sections: list[RenderableType] = [head, _lines(report["sentences"])]
    if served is None:
        return sections
    if served["routes"]:
        sections.append(_routes(served))
    sections += [_hours(served["hours"]), _channels(served["channels"]), _lines(ground(report), style="dim")]
    sections.append(Text(f"Run {plain(report['run']['id'])}", style="dim"))
    return sections


def _side_by_side(found: Found) -> list[RenderableType]:
    table = columns(None, "host\nrun", "requests", "all energy\nCO₂e", "nobody’s", "per request", "charged")
    table.padding = (0, 1, 0, 0)
    for report in found["runs"]:
        name = Text.assemble(shorten(plain(report["label"]), 24), "\n", (plain(report["run"]["id"])[:16], "dim"))
        if report["served"] is None:
            table.add_row(name, "–", "none told", *["–"] * 3)
        else:
            table.add_row(name, *_totals(report["served"]["total"]))
    together = found["sum"]
    if not together["why"]:
        table.add_section()
        table.add_row("all together", *_totals(together["total"]), style="bold")
    table.caption = Text(
        "Per request: with what was nobody’s; charged: without. joulegram serve-report RUN tells of one."
    )
    return [Text("Servers side by side", style="bold"), _lines(found["sentences"]), table]


def _totals(everything: Row) -> tuple[str, ...]:
    return (
        f"{everything['requests']:,}",
        f"{energy(everything, 'whole_j')}\n{mass(everything, 'whole_g')}",
        f"{energy(everything, 'unattributed_j')}\n{share(everything, 'unattributed_j', everything)}",
        f"{energy(everything, 'whole_j_per_request')}\n{mass(everything, 'whole_g_per_request')}",
        f"{energy(everything, 'j_per_request')}\n{mass(everything, 'g_per_request')}",
    )


def _lines(lines: Sequence[str], style: str = "") -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column()
    table.add_column(overflow="fold")
    for line in lines:
        table.add_row("•", Text(plain(line), style=style))
    return table


def _routes(served: Row) -> Table:
    everything, services = served["total"], served["services"]
    table = columns(None, "route", "requests", "failed", "energy", "of all", "per request", "1,000 tokens")
    table.padding = (0, 1, 0, 0)
    routes = by_energy(served["routes"])
    for row in routes[:MOST_ROUTES]:
        table.add_row(Text(shorten(route_name(row, services), _LONGEST_ROUTE)), *_cost(row, "energy_j", everything))
    if len(routes) > MOST_ROUTES:
        table.add_row(f"⋮ {len(routes) - MOST_ROUTES} more", *["⋮"] * 6, style="dim")
    table.add_section()
    table.add_row("all requests", *_cost(everything, "energy_j", everything))
    nobodys = f"{energy(everything, 'unattributed_j')}\n{mass(everything, 'unattributed_g')}"
    table.add_row("nobody’s", "", "", nobodys, share(everything, "unattributed_j", everything), "", "")
    table.add_row("all energy", *_cost(everything, "whole_j", everything), style="bold")
    return table


def _cost(row: Row, field: str, everything: Row) -> tuple[str, ...]:
    """Requests, and energy above grams: of all of them, of one, and of a thousand tokens."""
    of, grams = ("whole_", "whole_g") if field == "whole_j" else ("", "carbon_g")
    return (
        f"{row['requests']:,}",
        f"{row['failed']:,}",
        f"{energy(row, field)}\n{mass(row, grams)}",
        share(row, field, everything),
        f"{energy(row, f'{of}j_per_request')}\n{mass(row, f'{of}g_per_request')}",
        f"{energy(row, f'{of}j_per_1000_tokens')}\n{mass(row, f'{of}g_per_1000_tokens')}",
    )


def _hours(hours: Sequence[Row]) -> Table:
    table = columns(None, "hour (UTC)", "requests", "all energy", "nobody’s", "per request", "charged", "g/kWh")
    table.padding = (0, 1, 0, 0)
    head, left_out, tail = elide(hours, MOST_HOURS, HOURS_AT_AN_END)
    for hour in head:
        table.add_row(*_hour(hour))
    if left_out:
        table.add_row(f"⋮ {left_out} more", *["⋮"] * 6, style="dim")
    for hour in tail:
        table.add_row(*_hour(hour))
    table.caption = Text("Per request: with what was nobody’s in that hour; charged: without. g/kWh: PUE included.")
    return table


def _hour(hour: Row) -> tuple[str, ...]:
    return (
        hour_name(hour["start_s"]),
        f"{hour['requests']:,}",
        energy(hour, "whole_j"),
        share(hour, "unattributed_j", hour),
        energy(hour, "whole_j_per_request"),
        energy(hour, "j_per_request"),
        intensity(hour),
    )


def _channels(channels: Sequence[Row]) -> Table:
    table = columns(None, "channel", *PARTS.values(), "in no hour", "method")
    table.padding = (0, 1, 0, 0)
    for channel in channels:
        name = Text(shorten(plain(channel["id"]), _LONGEST_CHANNEL))
        if channel["inside"]:
            name.append(f"\ninside {shorten(plain(channel['inside']), _LONGEST_CHANNEL - 7)}", "dim")
        untold = "–" if channel["untold_j"] is None else show_energy(channel["untold_j"])
        table.add_row(name, *channel_parts(channel), untold, channel["method"])
    return table
