"""What serving cost in pictures, hour by hour: requests, energy by what it was used for, and joules per request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from joulegram.report.charts import WORTH, Chart
from joulegram.report.served import PARTS, Row, hour_name
from joulegram.units import show_energy

_REQUESTS, _CHARGED, _WHOLE = 1, 0, 3
"""Colours."""
MOST_HOURS = 2_000
"""Hours that a page shows one by one: the newest of them."""


def served_charts(report: Row) -> list[Chart]:
    """The charts that there is something to draw for: none for a single hour."""
    hours = report["served"]["hours"][-MOST_HOURS:] if report["served"] else []
    if len(hours) < 2:
        return []
    drawn = [_requests(hours)]
    if any(hour["whole_j"]["value"] for hour in hours):
        drawn.append(_energy(hours))
    if any(hour["whole_j_per_request"]["value"] for hour in hours):
        drawn.append(_by_request(hours))
    return drawn


def _requests(hours: Sequence[Row]) -> Chart:
    counts = [hour["requests"] for hour in hours]
    return Chart(
        id="chart-requests",
        title="Requests by hour",
        words=f"Bars for {len(hours)} hours: from {min(counts):,} to {max(counts):,} requests.",
        data=[_bars("requests", hours, counts, [f"{count:,} requests" for count in counts], _REQUESTS)],
        layout=_layout("requests"),
    )


def _energy(hours: Sequence[Row]) -> Chart:
    whole = [hour["whole_j"]["value"] or 0.0 for hour in hours]
    unit, worth = _unit(max(whole))
    data = []
    for number, (field, name) in enumerate(PARTS.items()):
        joules = [hour[field]["value"] or 0.0 for hour in hours]
        values = [value / worth for value in joules]
        data.append(_bars(name, hours, values, [f"{name}: {show_energy(value)}" for value in joules], number + 1))
    return Chart(
        id="chart-served-energy",
        title="Energy by hour, by what it was used for",
        words=(
            f"Bars for {len(hours)} hours, stacked of what requests used, idle power while any was in flight, and "
            f"what was nobody’s: from {show_energy(min(whole))} to {show_energy(max(whole))}."
        ),
        data=data,
        layout={**_layout(f"energy in {unit}"), "barmode": "stack", "showlegend": True},
    )


def _by_request(hours: Sequence[Row]) -> Chart:
    whole = [hour["whole_j_per_request"]["value"] for hour in hours]
    known = [value for value in whole if value is not None]
    unit, worth = _unit(max(known))

    def line(name: str, field: str, colour: int) -> dict[str, Any]:
        joules = [hour[field]["value"] for hour in hours]
        return {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": _times(hours),
            "y": [None if value is None else value / worth for value in joules],
            "customdata": [
                ""
                if value is None
                else f"{hour_name(hour['start_s'])}: {show_energy(value)} of {hour['requests']:,} each"
                for value, hour in zip(joules, hours, strict=True)
            ],
            "hovertemplate": "%{customdata}<extra></extra>",
            "line": {"width": 2},
            "meta": {"colour": colour},
        }

    return Chart(
        id="chart-by-request",
        title="Energy of a request, by hour",
        words=(
            f"With its part of what was nobody’s in the hour, a request took from {show_energy(min(known))} to "
            f"{show_energy(max(known))}; the other line is what requests were charged. Hours without any leave a gap."
        ),
        data=[
            line("with what was nobody’s", "whole_j_per_request", _WHOLE),
            line("charged", "j_per_request", _CHARGED),
        ],
        layout={**_layout(f"energy of a request in {unit}"), "hovermode": "closest", "showlegend": True},
    )


def _bars(name: str, hours: Sequence[Row], values: Sequence[float], said: Sequence[str], colour: int) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": name,
        "x": _times(hours),
        "y": list(values),
        "customdata": [f"{hour_name(hour['start_s'])}: {each}" for hour, each in zip(hours, said, strict=True)],
        "hovertemplate": "%{customdata}<extra></extra>",
        "marker": {"line": {"width": 1 if len(hours) <= 60 else 0}},
        "width": 0.8 * 3600e3,
        "meta": {"colour": colour},
    }


def _times(hours: Sequence[Row]) -> list[float]:
    """The middle of each hour (ms since 1970)."""
    return [1e3 * (hour["start_s"] + 1800.0) for hour in hours]


def _layout(what: str) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": "hour (UTC)"}, "type": "date"},
        "yaxis": {"title": {"text": what}, "rangemode": "tozero"},
        "showlegend": False,
    }


def _unit(joules: float) -> tuple[str, float]:
    unit = show_energy(joules).rsplit(" ", 1)[1]
    return unit, WORTH[unit]
