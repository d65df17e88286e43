"""Runs in the terminal: tables that fit 80 columns, in units that a person reads.

User text goes through `words.plain` into `Text`, never into rich markup: a run may be called ``[bold]`` or worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from joulegram.quantities import Quantity
from joulegram.report.words import (
    TOTALS,
    Document,
    Show,
    absences,
    carbon_apart,
    channel_place,
    channels,
    efficiencies,
    elide,
    grid_in_words,
    moment,
    parts,
    plain,
    platform,
    platform_in_words,
    quantity,
    share_of,
    shorten,
    show_bounds,
    show_lacking,
    show_methods,
    show_place,
    show_share,
    show_value,
    span_name,
)
from joulegram.units import show_duration, show_energy, show_flops, show_mass

WIDTH = 80
MOST_SPANS = MOST_LAYERS = 20
SPANS_AT_AN_END = 5
SHORTEST_ID = 8

_METHOD_STYLE = {"measured": "green", "modelled": "cyan", "estimated": "yellow", "missing": "red"}
_STATUS_STYLE = {"running": "cyan", "finished": "green", "failed": "red", "interrupted": "yellow", "lost": "magenta"}


def print_run(document: Document, console: Console | None = None) -> None:
    """Prints one run: its totals, channels, epochs and phases, and what is missing from them.

    Args:
        document: a run document.
        console: where to; standard output unless given.
    """
    sections: list[RenderableType] = [_heading(document), _totals(document)]
    grid = grid_in_words(document)
    if grid:
        sections.append(Text(grid))
    if efficiencies(document):
        sections.append(_efficiency(document))
    sections.append(_channels(document))
    if platform(document):
        sections.append(_platform(document))
    _, spans = parts(document)
    if spans:
        table = _spans_table(None, document)
        table.caption = _methods_line([span["footprint"] for span in spans])
        sections.append(table)
    if document["footprint"].get("phases"):
        sections.append(_phases(document))
    sections += [_layers(step) for step in document.get("steps", ()) if step["layers"]]
    sections += [_missing(document), _coverage(document)]
    (console or Console()).print(narrow(Group(*(Padding(section, (0, 0, 1, 0)) for section in sections))))


def print_runs(entries: Sequence[Mapping[str, Any]], console: Console | None = None) -> None:
    """Prints a listing of runs, two lines each.

    Args:
        entries: run documents, or their ``run`` and ``footprint`` alone, in the order to be shown.
        console: where to; standard output unless given.
    """
    console = console or Console()
    if not entries:
        console.print("No runs recorded yet.")
        return
    width = _id_width([entry["run"]["id"] for entry in entries])
    table = columns(None)
    table.add_column("run\n", no_wrap=True)
    table.add_column("name\nproject", overflow="fold", ratio=1)
    table.add_column("stage\nstatus", no_wrap=True)
    table.add_column("started\nduration", no_wrap=True)
    table.add_column("energy\nmethod", justify="right", no_wrap=True)
    table.add_column("CO₂e\nmethod", justify="right", no_wrap=True)
    for entry in entries:
        table.add_row(*_listed(entry, width))
    console.print(narrow(table))


def summary_table(document: Document) -> RenderableType:
    """The run in brief, for the end of a fit: one row per epoch and one for the whole run, within 80 columns."""
    whole = document["footprint"]
    table = _spans_table(f"joulegram: {shorten(plain(document['run']['name']), 60)}", document)
    table.add_section()
    table.add_row("run", *_cost(whole["duration_s"], whole), style="bold")
    table.caption = _methods_line([*(span["footprint"] for span in parts(document)[1]), whole])
    return narrow(table)


def narrow(content: RenderableType) -> RenderableType:
    """`content` no wider than 80 columns on a wider screen: a row's ends stay within one glance."""
    grid = Table.grid()
    grid.add_column(max_width=WIDTH)
    grid.add_row(content)
    return grid


def columns(title: str | None, *names: str) -> Table:
    """A table without lines, its first column to the left and the others to the right."""
    table = Table(
        title=Text(title) if title else None,
        title_style="bold",
        title_justify="left",
        caption_style="dim",
        caption_justify="left",
        header_style="dim",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    for place, name in enumerate(names):
        table.add_column(name, justify="right" if place else "left", no_wrap=True, overflow="ellipsis")
    return table


def _heading(document: Document) -> RenderableType:
    run = document["run"]
    status = run["status"] if document["footprint"].get("settled", True) else f"{run['status']}, provisional"
    first = Text.assemble(
        (shorten(plain(run["name"]), 120), "bold"), "  ", (status, _STATUS_STYLE.get(run["status"], ""))
    )
    started = moment(run.get("started"))
    facts = [
        f"project {plain(run['project'])}" if run.get("project") else "",
        run["stage"],
        show_duration(run["duration_s"]),
        started.astimezone().strftime("%Y-%m-%d %H:%M") if started else "",
        show_place(run),
        ", ".join(plain(host) for host in run.get("hosts", ())),
        f"{run['ranks']} ranks" if run.get("ranks", 1) > 1 else "",
    ]
    return Group(first, Text(" · ".join(fact for fact in facts if fact), style="dim"))


def _totals(document: Document) -> Table:
    table = columns(None, "", "total")
    table.add_column("bounds", ratio=1)
    table.add_column("method", no_wrap=True)
    for total in TOTALS:
        figure = quantity(document["footprint"].get(total.field))
        table.add_row(total.label, *_total(figure, total.show))
        if total.field == "carbon_g":
            for label, apart in carbon_apart(document):
                table.add_row(Text(plain(label)), *_total(apart, total.show))
    return table


def _total(figure: Quantity, show: Show) -> tuple[RenderableType, ...]:
    value = Text(show_value(figure, show), style="bold" if figure.value is not None else "red")
    return value, Text(plain(show_bounds(figure, show))), _method(figure)


def _efficiency(document: Document) -> Table:
    table = columns(None, "compute", "")
    table.add_column("bounds", ratio=1, overflow="fold")
    for total, figure in efficiencies(document):
        value = show_value(figure, total.show)
        table.add_row(total.label, value, Text(plain(show_bounds(figure, total.show))))
    return table


def _channels(document: Document) -> RenderableType:
    if not channels(document):
        return Text("No channel was recorded: nothing on this machine could be read.", style="dim")
    table = columns(None)
    table.add_column("channel", overflow="fold", ratio=1)
    table.add_column("this run", justify="right", no_wrap=True)
    table.add_column("bounds", justify="right", no_wrap=True)
    table.add_column("node", justify="right", no_wrap=True)
    table.add_column("method", no_wrap=True)
    for channel in channels(document):
        own, node = quantity(channel.get("energy_j")), quantity(channel.get("node_energy_j"))
        bounds = show_bounds(own, show_energy) if own.value is not None else "–"
        table.add_row(
            Text(channel_place(document, channel)),
            show_value(own, show_energy),
            bounds,
            show_value(node, show_energy),
            _method(own),
        )
    return table


def _platform(document: Document) -> Table:
    table = columns(None)
    table.add_column("platform", overflow="fold", max_width=30)
    table.add_column("total", justify="right", no_wrap=True)
    table.add_column("bounds", overflow="fold", ratio=1)
    for label, figure, show in platform(document):
        bounds = plain(show_bounds(figure, show)) + show_lacking(figure)
        table.add_row(Text(label), show_value(figure, show), Text(bounds))
    table.caption = Text(platform_in_words(document))
    return table


def _spans_table(title: str | None, document: Document) -> Table:
    word, spans = parts(document)
    table = columns(title, word, "duration", "energy", "bounds", "CO₂e", "bounds")
    head, left_out, tail = elide(spans, MOST_SPANS, SPANS_AT_AN_END)
    for span in head:
        table.add_row(*_span_row(span))
    if left_out:
        table.add_row("⋮", f"{left_out} more", *["⋮"] * 4, style="dim")
    for span in tail:
        table.add_row(*_span_row(span))
    return table


def _span_row(span: Mapping[str, Any]) -> tuple[RenderableType, ...]:
    return Text(shorten(span_name(span), 12)), *_cost(span["duration_s"], span["footprint"])


def _cost(duration_s: float, footprint: Mapping[str, Any]) -> tuple[str, ...]:
    energy, carbon = quantity(footprint.get("energy_j")), quantity(footprint.get("carbon_g"))
    return (
        show_duration(duration_s),
        show_value(energy, show_energy),
        show_bounds(energy, show_energy) if energy.value is not None else "–",
        show_value(carbon, show_mass),
        show_bounds(carbon, show_mass) if carbon.value is not None else "–",
    )


def _methods_line(footprints: Sequence[Mapping[str, Any]]) -> Text:
    """The methods of a table's figures, said once instead of in a column of its own."""
    energy = show_methods([quantity(footprint.get("energy_j")) for footprint in footprints])
    carbon = show_methods([quantity(footprint.get("carbon_g")) for footprint in footprints])
    return Text(f"energy {energy}; CO₂e {carbon}")


def _phases(document: Document) -> Table:
    footprint = document["footprint"]
    whole, whole_s = quantity(footprint.get("energy_j")), footprint["duration_s"]
    table = columns(None, "phase", "time", "of run", "compute", "energy", "of run", "CO₂e")
    for phase in footprint["phases"]:
        flops = quantity(phase.get("flops")).value
        energy, carbon = quantity(phase.get("energy_j")), quantity(phase.get("carbon_g"))
        table.add_row(
            Text(shorten(plain(phase["name"]), 20)),
            show_duration(phase["duration_s"]),
            show_share(phase["duration_s"] / whole_s if whole_s else None),
            show_flops(flops) if flops else "–",
            show_value(energy, show_energy),
            show_share(share_of(energy, whole)),
            show_value(carbon, show_mass),
        )
    table.caption = _methods_line(footprint["phases"])
    return table


def _layers(step: Mapping[str, Any]) -> Table:
    """What each module has of a kind of step: those that compute most, in their own order."""
    least = sorted((layer["flops"] for layer in step["layers"]), reverse=True)[:MOST_LAYERS][-1]
    title = f"{step['stage']} step, {shorten(plain(step['inputs']), 50)}"
    table = columns(title, "layer", "FLOPs", "of step", "of time")
    for layer in [layer for layer in step["layers"] if layer["flops"] >= least][:MOST_LAYERS]:
        name = Text.assemble(shorten(plain(layer["path"]), 40), (f" {plain(layer['kind'])}", "dim"))
        table.add_row(name, show_flops(layer["flops"]), show_share(layer["share"]), show_share(layer["time_share"]))
    return table


def _missing(document: Document) -> RenderableType:
    found = absences(document)
    if not found:
        return Text("Nothing is missing.", style="dim")
    table = columns(None)
    table.add_column("missing, or noted", overflow="fold", max_width=30)
    table.add_column("why", overflow="fold", ratio=1)
    for what, why in found:
        table.add_row(Text(what), Text(why))
    return table


def _coverage(document: Document) -> Text:
    line = f"Samples covered {show_share(document['footprint'].get('coverage'))} of the time."
    cpu_s = (document.get("recorder") or {}).get("cpu_s")
    if cpu_s is not None:
        line += f" Recording itself took {show_duration(cpu_s)} of CPU time."
    counting_j = quantity(document["footprint"].get("overhead_j")).value
    if counting_j:
        line += f" Counting operations took {show_energy(counting_j)}, which is in no figure above."
    return Text(f"{line}\nRun {plain(document['run']['id'])}", style="dim")


def _method(figure: Quantity) -> Text:
    return Text(figure.method, style=_METHOD_STYLE[figure.method])


def _listed(entry: Mapping[str, Any], width: int) -> tuple[RenderableType, ...]:
    run, footprint = entry["run"], entry["footprint"]
    energy, carbon = quantity(footprint.get("energy_j")), quantity(footprint.get("carbon_g"))
    started, name = moment(run.get("started")), run["name"] or run.get("error") or ""
    return (
        Text(plain(run["id"][:width]), style="bold"),
        Text.assemble(shorten(plain(name), 50), "\n", (shorten(plain(run.get("project") or "–"), 50), "dim")),
        Text.assemble(plain(run.get("stage") or "–"), "\n", (run["status"], _STATUS_STYLE.get(run["status"], ""))),
        Text.assemble(
            started.astimezone().strftime("%Y-%m-%d %H:%M") if started else "unknown",
            "\n",
            ("unknown" if run.get("duration_s") is None else show_duration(run["duration_s"]), "dim"),
        ),
        Text.assemble(show_value(energy, show_energy), "\n", _method(energy)),
        Text.assemble(show_value(carbon, show_mass), "\n", _method(carbon)),
    )


def _id_width(ids: Sequence[str]) -> int:
    """The fewest characters, at least 8, that tell the ids apart."""
    longest = max(map(len, ids))
    return next((n for n in range(SHORTEST_ID, longest) if len({i[:n] for i in ids}) == len(set(ids))), longest)
