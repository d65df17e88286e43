"""A comparison in the terminal, within 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from joulegram.report.comparison import (
    HEADS,
    SHOW,
    Comparison,
    by_energy,
    fronts,
    ground,
    informative,
    show_coefficient,
    show_figure,
    show_flips,
    show_interval,
    show_pair,
    show_rank,
    title,
)
from joulegram.report.table import columns, narrow
from joulegram.report.words import elide, plain, shorten

MOST_POINTS = 40
POINTS_AT_AN_END = 15


def print_comparison(found: Comparison, console: Console | None = None) -> None:
    """Prints a comparison: what follows from it, the ranking, how measures agree, and what it stands on.

    Args:
        found: a comparison, as `joulegram compare --json` prints it.
        console: where to; standard output unless given.
    """
    said, rows = fronts(found)
    front = columns(None, "cost")
    front.add_column("", overflow="fold", ratio=1)
    for head, labels in rows:
        front.add_row(head, Text(labels))
    sections: list[RenderableType] = [
        Text(f"{title(found)} compared", style="bold"),
        _lines(found["sentences"]),
        _points(found),
        _ranking(found),
        _agreements(found),
        Group(Text(said), front) if rows else Text(said),
        _lines(ground(found), style="dim"),
    ]
    (console or Console()).print(narrow(Group(*(Padding(section, (0, 0, 1, 0)) for section in sections))))


def _lines(lines: Sequence[str], style: str = "") -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        table.add_row("•", Text(plain(line), style=style))
    return table


def _points(found: Comparison) -> Table:
    """Which letter is which run."""
    metric = found["quality"]["metric"]
    table = columns(None, "")
    table.add_column("run", overflow="fold", ratio=1)
    table.add_column("id", no_wrap=True)
    if metric is not None:
        table.add_column(Text(shorten(plain(metric), 20)), justify="right", no_wrap=True)
    head, _, tail = _shown(found)
    listed: dict[str, Comparison] = {}
    for point in sorted((*head, *tail), key=found["points"].index):
        listed.setdefault(point["run"], point)
    for run, point in listed.items():
        quality = [] if metric is None else [f"{point['metrics'][metric]:.4g}" if metric in point["metrics"] else "–"]
        table.add_row(
            Text(point["label"].partition("·")[0], style="bold"),
            Text(shorten(plain(point["name"]), 60)),
            Text(plain(run)),
            *quality,
        )
    return table


def _shown(found: Comparison) -> tuple[Sequence[Comparison], int, Sequence[Comparison]]:
    return elide(by_energy(found), MOST_POINTS, POINTS_AT_AN_END)


def _ranking(found: Comparison) -> Table:
    table = columns(None, "", *HEADS.values())
    head, left_out, tail = _shown(found)
    for point in head:
        table.add_row(*_ranked(point))
    if left_out:
        table.add_row("⋮", f"{left_out} more", *["⋮"] * (len(SHOW) - 1), style="dim")
    for point in tail:
        table.add_row(*_ranked(point))
    table.caption = Text("Least energy first; under each figure its rank, = for a tie. Equal: at equal intensity.")
    return table


def _ranked(point: Comparison) -> list[RenderableType]:
    cells = [Text.assemble(show_figure(point, f), "\n", (show_rank(point, f), "dim")) for f in SHOW]
    return [Text(point["label"], style="bold"), *cells]


def _agreements(found: Comparison) -> Table:
    table = columns(None, "", "n", "Kendall τ", "Spearman ρ", "Pearson r", "flip", "tie")
    for agreed in informative(found):
        coefficients = [
            Text.assemble(show_coefficient(agreed[name]), "\n", (show_interval(agreed[name]), "dim"))
            for name in ("kendall", "spearman", "pearson")
        ]
        table.add_row(
            Text(show_pair(found, agreed).replace(" – ", " –\n")),
            str(agreed["points"]),
            *coefficients,
            Text(show_flips(agreed).replace(" (", "\n(")),
            f"{agreed['tied']:,}",
        )
    table.caption = Text("Under each coefficient its 95 % bootstrap interval, from five points on.")
    return table
