"""A what-if in pictures: grams over all start hours, zone by zone; and over the year for one zone.

A box holds the middle half of the start hours, its whiskers nine tenths of them.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from joulegram.report.charts import WORTH, Chart
from joulegram.report.whatif import WhatIf, kind, show_own, show_spread, show_time, timed
from joulegram.report.words import plain, shorten
from joulegram.units import show_mass

_BOXES, _MEAN, _OWN, _HOURS, _ROLLING = 1, 0, 3, 6, 2
"""Colours."""
_BOX = {"q1": "p25_g", "median": "median_g", "q3": "p75_g", "lowerfence": "p5_g", "upperfence": "p95_g"}


def what_if_charts(found: WhatIf) -> list[Chart]:
    """The charts that there is something to draw for."""
    drawn = [_zones(found)]
    if found["over_year"]:
        drawn.append(_year(found))
    return drawn


def _unit(grams: float) -> tuple[str, float]:
    """The unit that an axis up to so many grams has, and what it is worth (g)."""
    unit = show_mass(grams).rsplit(" ", 1)[1]
    return unit, WORTH[unit]


def _zones(found: WhatIf) -> Chart:
    rows = found["rows"]
    tops = [row["by_start"]["max_g"] if row["by_start"] else row["high_g"] for row in rows]
    unit, worth = _unit(max(tops))
    names = [html.escape(f"{shorten(plain(row['zone']), 24)} {row['intensity']}") for row in rows]
    spread = [(name, row["by_start"]) for name, row in zip(names, rows, strict=True) if row["by_start"]]
    data: list[dict[str, Any]] = []
    if spread:
        data.append(_boxes(spread, worth))
        data.append(_extremes(spread, worth))
    data.append(_means(names, rows, worth))
    own = [(name, row) for name, row in zip(names, rows, strict=True) if row["own"]]
    if own:
        data.append(_owns(own, worth))
    return Chart(
        id="chart-zones",
        title="By zone, over all start hours",
        words=_zones_words(found),
        data=data,
        layout={
            "xaxis": {"title": {"text": ""}, "type": "category", "categoryarray": names},
            "yaxis": {"title": {"text": f"CO₂e in {unit}"}, "rangemode": "tozero"},
            "showlegend": True,
            "height": 420,
        },
    )


def _zones_words(found: WhatIf) -> str:
    boxes = "Boxes hold the middle half of the start hours, whiskers nine tenths, dots the least and the most. "
    bars = "A bar around an average without a time is the range of single hours around it. "
    is_any = any(row["by_start"] is None for row in found["rows"])
    return f"{boxes if timed(found) else ''}{bars if is_any else ''}The table below holds the same figures."


def _boxes(spread: Sequence[tuple[str, Mapping[str, Any]]], worth: float) -> dict[str, Any]:
    return {
        "type": "box",
        "name": "start hours",
        "x": [name for name, _ in spread],
        **{key: [by_start[field] / worth for _, by_start in spread] for key, field in _BOX.items()},
        "hoverinfo": "skip",
        "showlegend": False,
        "marker": {},
        "meta": {"colour": _BOXES},
    }


def _extremes(spread: Sequence[tuple[str, Mapping[str, Any]]], worth: float) -> dict[str, Any]:
    ends = [
        (name, by_start[f"{end}_g"], f"{word} {show_mass(by_start[f'{end}_g'])}, from {show_time(by_start[start])} UTC")
        for name, by_start in spread
        for end, start, word in (("min", "best", "least"), ("max", "worst", "most"))
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "least and most",
        "x": [name for name, *_ in ends],
        "y": [grams / worth for _, grams, _ in ends],
        "customdata": [said for *_, said in ends],
        "hovertemplate": "%{x}: %{customdata}<extra></extra>",
        "marker": {"size": 4},
        "meta": {"colour": _BOXES},
    }


def _means(names: Sequence[str], rows: Sequence[Mapping[str, Any]], worth: float) -> dict[str, Any]:
    above = [0.0 if row["high_g"] is None else (row["high_g"] - row["at_mean_g"]) / worth for row in rows]
    below = [0.0 if row["low_g"] is None else (row["at_mean_g"] - row["low_g"]) / worth for row in rows]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "at the average",
        "x": list(names),
        "y": [row["at_mean_g"] / worth for row in rows],
        "customdata": [html.escape(f"{show_mass(row['at_mean_g'])} at the average, {kind(row)}") for row in rows],
        "hovertemplate": "%{x}: %{customdata}<extra></extra>",
        "marker": {"symbol": "diamond", "size": 9},
        "error_y": {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.5},
        "meta": {"colour": _MEAN},
    }


def _owns(own: Sequence[tuple[str, Mapping[str, Any]]], worth: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "the run itself",
        "x": [name for name, _ in own],
        "y": [row["own"]["carbon_g"] / worth for _, row in own],
        "customdata": [
            f"{show_own(row)[0]} by its own {row['own']['by']}, dearer than {row['own']['percentile']:.0f} %"
            for _, row in own
        ],
        "hovertemplate": "%{x}: %{customdata}<extra></extra>",
        "marker": {"symbol": "x", "size": 9},
        "meta": {"colour": _OWN},
    }


def _year(found: WhatIf) -> Chart:
    year = found["over_year"]
    hours, rolling = year["carbon_g"], year["rolling_g"]
    unit, worth = _unit(max(grams for grams in hours if grams is not None))
    where = f"{plain(year['zone'])} in {year['period']['name']}"
    start_ms, step_ms = year["start_s"] * 1e3, year["step_s"] * 1e3
    end_ms = start_ms + step_ms * len(hours)

    def line(name: str, grams: Sequence[float | None], width: float, colour: int) -> dict[str, Any]:
        return {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x0": start_ms,
            "dx": step_ms,
            "y": [None if g is None else float(f"{g / worth:.5g}") for g in grams],
            "hovertemplate": f"%{{x}}: %{{y:.3g}} {unit}<extra></extra>",
            "line": {"width": width},
            "meta": {"colour": colour},
        }

    average = {
        **line("at the average", [], 2, _MEAN),
        "x": [start_ms, end_ms],
        "y": [year["at_mean_g"] / worth] * 2,
        "line": {"width": 2, "dash": "dash"},
    }
    row = next(row for row in timed(found) if (row["zone"], row["intensity"]) == (year["zone"], year["intensity"]))
    run = found["run"]
    own_ms = run["start_s"] * 1e3
    own = []
    if row["own"] and row["own"]["by"] == "start" and start_ms <= own_ms < end_ms:
        own = [{**_owns([("", row)], worth), "x": [own_ms], "hovertemplate": "%{customdata}<extra></extra>"}]
    spread = row["by_start"]
    return Chart(
        id="chart-year",
        title=f"Over the year: {where}",
        words=(
            f"The same energy from each start hour, from {show_spread(row, 'min_g')} ({show_time(spread['best'])}) to "
            f"{show_spread(row, 'max_g')} ({show_time(spread['worst'])}), at the rolling mean of 30 days, and at the "
            f"average, {show_mass(year['at_mean_g'])}. Times are UTC."
        ),
        data=[
            line("by start hour", hours, 0.8, _HOURS),
            line("at the mean of 30 days", rolling, 2.5, _ROLLING),
            average,
            *own,
        ],
        layout={
            "xaxis": {"title": {"text": "start (UTC)"}, "type": "date"},
            "yaxis": {"title": {"text": f"CO₂e in {unit}"}, "rangemode": "tozero"},
            "hovermode": "closest",
            "showlegend": True,
        },
    )
