"""A comparison as a scatter matrix: every measure against every other, with flipped pairs joined by a line.

A line between two runs that flip falls from left to right, where the two measures would have it rise.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from joulegram.report.charts import Chart
from joulegram.report.comparison import SHOW, Comparison, point_name, short_label
from joulegram.report.words import shorten

PANEL_PX = 165
GAP = 0.035
"""Between panels, as a share of the whole."""
MOST_LABELS = 12
"""Points that are named in the picture; more would lie on each other."""
WIDE = 5.0
"""Greatest value over least from which an axis is logarithmic."""
_POINTS, _FLIPS = 0, 3
"""Colours."""


def matrix(found: Comparison) -> list[Chart]:
    """The scatter matrix; nothing where fewer than two measures have two values that differ."""
    columns = {m["field"]: [point[m["field"]] for point in found["points"]] for m in found["measures"]}
    shown = [m for m in found["measures"] if m["known"] > 1 and len({*columns[m["field"]]} - {None}) > 1]
    if len(shown) < 2:
        return []
    agreements = {(a["x"], a["y"]): a for a in found["agreements"]}
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"showlegend": False, "height": PANEL_PX * (len(shown) - 1) + 90, "hovermode": "closest"}
    for row, y in enumerate(shown[1:]):
        for column, x in enumerate(shown[: row + 1]):
            number = len(data) // 2 + 1
            axes = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
            agreed = agreements[x["field"], y["field"]]
            data += [_lines(found, agreed) | axes, _dots(found, x, y) | axes]
            side = len(shown) - 1
            is_last, is_first = row == side - 1, column == 0
            layout[f"xaxis{number}"] = _axis(x, columns[x["field"]], column, side, f"y{number}", is_last)
            layout[f"yaxis{number}"] = _axis(y, columns[y["field"]], side - 1 - row, side, f"x{number}", is_first)
    return [
        Chart(
            id="chart-matrix",
            title="Every measure against every other",
            words=_words(found, shown, agreements),
            data=data,
            layout=layout,
        )
    ]


def _words(
    found: Comparison, shown: Sequence[Mapping[str, Any]], agreements: Mapping[tuple[str, str], Mapping[str, Any]]
) -> str:
    named = sum(len(agreed["flips"]) for agreed in agreements.values())
    counted = sum(agreed["flipped"] for agreed in agreements.values())
    marked = "A line joins two points that change their order between the measures of a panel"
    some = f" ({named:,} of {counted:,} are drawn, the widest apart)" if named < counted else ""
    return (
        f"{len(found['points'])} points by {', '.join(m['label'] for m in shown)}. {marked}{some}; "
        f"{'there is none' if not counted else 'the table below counts them'}."
    )


def _axis(
    measure: Mapping[str, Any], values: Sequence[float | None], place: int, side: int, anchor: str, is_outer: bool
) -> dict[str, Any]:
    """One axis of a panel; only those at the picture's left and bottom have names and numbers."""
    known = [value for value in values if value is not None]
    width = (1 - GAP * (side - 1)) / side
    start = place * (width + GAP)
    return {
        "type": "log" if max(known) > WIDE * min(known) else "linear",
        "title": {"text": html.escape(_named(measure)) if is_outer else ""},
        "domain": [start, min(1.0, start + width)],
        "anchor": anchor,
        "showticklabels": is_outer,
        "nticks": 4,
        "exponentformat": "SI",
    }


def _named(measure: Mapping[str, Any]) -> str:
    """An axis's name, with the unit of its numbers."""
    unit = {"duration_s": " (s)", "energy_j": " (J)", "carbon_g": " (g)", "carbon_equal_g": " (g)"}
    return short_label(measure["label"]) + unit.get(measure["field"], "")


def _dots(found: Comparison, x: Mapping[str, Any], y: Mapping[str, Any]) -> dict[str, Any]:
    points = [p for p in found["points"] if p[x["field"]] is not None and p[y["field"]] is not None]
    few = len(points) <= MOST_LABELS
    return {
        "type": "scatter",
        "mode": "markers+text" if few else "markers",
        "x": [point[x["field"]] for point in points],
        "y": [point[y["field"]] for point in points],
        "text": [html.escape(point["label"]) if few else "" for point in points],
        "textposition": "top center",
        "cliponaxis": False,
        "customdata": [_hover(point, x, y) for point in points],
        "hovertemplate": "%{customdata}<extra></extra>",
        "marker": {"size": 7 if few else 5, "opacity": 0.9 if few else 0.6},
        "meta": {"colour": _POINTS},
    }


def _hover(point: Mapping[str, Any], *measures: Mapping[str, Any]) -> str:
    figures = [f"{m['label']}: {SHOW[m['field']](point[m['field']])}" for m in measures]
    return html.escape("\n".join([shorten(point_name(point), 40), *figures])).replace("\n", "<br>")


def _lines(found: Comparison, agreed: Mapping[str, Any]) -> dict[str, Any]:
    """The flipped pairs of a panel as one broken line."""
    points = {point["label"]: point for point in found["points"]}
    ends: dict[str, list[float | None]] = {"x": [], "y": []}
    for pair in agreed["flips"]:
        for axis, values in ends.items():
            values += [*(points[label][agreed[axis]] for label in pair), None]
    return {
        "type": "scatter",
        "mode": "lines",
        **ends,
        "hoverinfo": "skip",
        "line": {"width": 1.5 if len(agreed["flips"]) < MOST_LABELS else 0.6},
        "meta": {"colour": _FLIPS},
    }
