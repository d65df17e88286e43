"""The parts of a comparison's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from joulegram.report.charts import Chart
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
from joulegram.report.markup import Html, join, section, table, tag
from joulegram.report.sections import chart_places


def comparison_body(found: Comparison, drawn: Sequence[Chart]) -> Html:
    """All that a comparison's page shows."""
    return join(
        tag("header", tag("p", "joulegram comparison", class_="kicker"), tag("h1", title(found))),
        _follows(found),
        _ranking(found),
        section("charts", "Measure against measure", *chart_places(drawn)) if drawn else "",
        _agreements(found),
        _quality(found),
        section("ground", "What this stands on", *(tag("p", line) for line in ground(found))),
    )


def _follows(found: Comparison) -> Html:
    return section("follows", "What follows", tag("ul", *(tag("li", sentence) for sentence in found["sentences"])))


def _ranking(found: Comparison) -> Html:
    metrics = list(dict.fromkeys(name for point in found["points"] for name in point["metrics"]))
    rows = [
        [
            point["label"],
            join(point["name"], tag("small", point["run"])),
            *(_cell(point, field) for field in SHOW),
            *(f"{point['metrics'][name]:.4g}" if name in point["metrics"] else "–" for name in metrics),
        ]
        for point in by_energy(found)
    ]
    heads = ("", "Run", *(head[:1].upper() + head[1:] for head in HEADS.values()), *metrics)
    caption = "Ranked by each measure; the least energy first, = for a tie. Equal: at equal grid intensity"
    return section("ranking", "Ranking", table(caption, heads, rows, numeric=range(2, len(heads))))


def _cell(point: Mapping[str, Any], field: str) -> Html:
    value = point[field]
    figure = tag(
        "span",
        show_figure(point, field),
        class_="absent" if value is None else None,
        data_field=field,
        data_value="" if value is None else repr(value),
    )
    return join(figure, tag("small", show_rank(point, field)))


def _agreements(found: Comparison) -> Html:
    rows = [
        [
            show_pair(found, agreed),
            agreed["points"],
            *(
                join(show_coefficient(agreed[name]), tag("small", show_interval(agreed[name])))
                for name in ("kendall", "spearman", "pearson")
            ),
            show_flips(agreed),
            f"{agreed['tied']:,}",
        ]
        for agreed in informative(found)
    ]
    heads = ("Measures", "Points", "Kendall τ", "Spearman ρ", "Pearson r", "Pairs that flip", "Ties")
    caption = "How measures agree; under each coefficient its 95 % bootstrap interval, from five points on"
    return section("agreements", "Agreement", table(caption, heads, rows, numeric=range(1, len(heads))))


def _quality(found: Comparison) -> Html:
    said, rows = fronts(found)
    shown = [table("Pareto fronts", ("Cost", "Not beaten"), rows)] if rows else []
    return section("quality", "Pareto fronts", tag("p", said), *shown)
