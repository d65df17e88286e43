"""Charts of a run as plain plotly figures (data and layout): stacked bars per epoch, and power over time.

A trace names its colour by number (``meta.colour``); the page's style sheet says what that colour is, so that light,
dark and print need no second set of charts. Names reach plotly escaped: it reads a few HTML tags in text.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from joulegram.quantities import Quantity
from joulegram.report.words import (
    Document,
    Show,
    channel_name,
    elide,
    parts,
    plain,
    quantity,
    shorten,
    show_bounds,
    show_value,
    span_name,
)
from joulegram.units import J_PER_KWH, show_duration, show_energy, show_mass, show_power

MOST_BARS = 1000
BARS_AT_AN_END = 400
MOST_STEPS = 1500
"""Steps of a power line: more than a screen has columns is only weight."""

MOST_TICKS = 12

COLOURS = 8
"""How many chart colours the page's style sheet has; after the last one they begin again."""

_REST = "in no phase’s figure"
_TICK_STEPS = (1, 2, 5, 10, 20, 50, 100, 200)
WORTH = {
    "MWh": J_PER_KWH * 1e3, "kWh": J_PER_KWH, "Wh": 3600.0, "J": 1.0, "mJ": 1e-3, "µJ": 1e-6,
    "t": 1e6, "kg": 1e3, "g": 1.0, "mg": 1e-3, "µg": 1e-6,
    "kW": 1e3, "W": 1.0, "mW": 1e-3,
}  # fmt: skip
"""What the units on an axis are worth inside; `show_*` picks among the same ones."""
_TIMES = ((172_800.0, 86_400.0, "days"), (7200.0, 3600.0, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart.

    Args:
        id: the element on the page that it is drawn in.
        title: what it shows.
        words: the same in a sentence, for who cannot see it.
        data: plotly traces.
        layout: plotly layout, without colours.
    """

    id: str
    title: str
    words: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Bar:
    name: str
    cost: Mapping[str, Any]
    """Holds the field shown, as a footprint or a phase does."""
    phases: Sequence[Mapping[str, Any]]


def charts(document: Document) -> list[Chart]:
    """The charts that the document has data for: energy, carbon and power."""
    word, bars, left_out = _bars(document)
    found = [
        _stacked("chart-energy", "Energy", "energy_j", show_energy, word, bars, left_out),
        _stacked("chart-carbon", "Carbon", "carbon_g", show_mass, word, bars, left_out),
        _power(document),
    ]
    return [chart for chart in found if chart]


def _bars(document: Document) -> tuple[str, list[_Bar], int]:
    """What a bar stands for, the bars, and how many are left out between the first and the last."""
    word, spans = parts(document)
    if not spans:
        phases = document["footprint"].get("phases", ())
        return "phase", [_Bar(plain(phase["name"]), phase, ()) for phase in phases], 0
    head, left_out, tail = elide(spans, MOST_BARS, BARS_AT_AN_END)
    bars = [_Bar(span_name(s), s["footprint"], s["footprint"].get("phases", ())) for s in (*head, *tail)]
    return word, bars, left_out


def _stacked(
    element: str, label: str, field: str, show: Show, word: str, bars: Sequence[_Bar], left_out: int
) -> Chart | None:
    totals = [quantity(bar.cost.get(field)) for bar in bars]
    known = [(total.value, bar.name) for total, bar in zip(totals, bars, strict=True) if total.value is not None]
    if not known:
        return None
    most, least = max(known), min(known)
    unit = show(most[0]).rsplit(" ", 1)[1]
    names = list(dict.fromkeys(phase["name"] for bar in bars for phase in bar.phases))
    rows = [{phase["name"]: quantity(phase.get(field)) for phase in bar.phases} for bar in bars]
    data = [_trace(name, i, [row.get(name) for row in rows], show, unit) for i, name in enumerate(names)]
    rest = [_rest(total, row) for total, row in zip(totals, rows, strict=True)]
    if any(rest):
        data.append(_trace(_REST if names else label, len(names), rest, show, unit))
    bars_are = "Bars stacked by phase" if names else "Bars"
    gap = f"; {left_out} in the middle are left out" if left_out else ""

    def named(bar: tuple[float, str]) -> str:
        return f"{show(bar[0])} ({word} {shorten(bar[1], 24)})"

    return Chart(
        id=element,
        title=f"{label} per {word}{', by phase' if names else ''}",
        words=(
            f"{bars_are} for {_counted(len(bars), word)}{gap}: from {named(least)} to {named(most)}. "
            "The figures and their bounds are in the tables below."
        ),
        data=[{**trace, "width": min(0.72, 0.16 * len(bars)), "marker": _edge(len(bars))} for trace in data],
        layout={
            "barmode": "stack",
            "xaxis": {"title": {"text": word}, **_ticks(bars)},
            "yaxis": {"title": {"text": f"{label.lower()} in {unit}"}, "rangemode": "tozero"},
            "showlegend": bool(names),
        },
    )


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count > 1 else ''}"


def _trace(name: str, colour: int, figures: Sequence[Quantity | None], show: Show, unit: str) -> dict[str, Any]:
    worth = WORTH[unit]
    return {
        "type": "bar",
        "name": _text(shorten(plain(name), 28)),
        "x": list(range(len(figures))),
        "y": [None if f is None or f.value is None else f.value / worth for f in figures],
        "customdata": ["" if f is None else _text(_in_words(f, show)) for f in figures],
        "hovertemplate": "%{customdata}",
        "meta": {"colour": colour % COLOURS},
    }


def _in_words(figure: Quantity, show: Show) -> str:
    return f"{show_value(figure, show)} ({show_bounds(figure, show)}, {figure.method})"


def _rest(total: Quantity, phases: Mapping[str, Quantity]) -> Quantity | None:
    """What of a bar's total its phases do not hold, so that the bar is as high as the total."""
    if total.value is None:
        return None
    if not phases:
        return total
    rest = total.value - sum(figure.value or 0.0 for figure in phases.values())
    if rest <= 1e-6 * total.value:
        return None
    return Quantity(rest, None, None, total.method)


def _edge(bars: int) -> dict[str, Any]:
    """A line between the phases, where the bars are wide enough to spare it."""
    return {"line": {"width": 1 if bars <= 60 else 0}}


def _ticks(bars: Sequence[_Bar]) -> dict[str, Any]:
    step = next(step for step in _TICK_STEPS if step * MOST_TICKS >= len(bars))
    shown = range(0, len(bars), step)
    return {
        "tickvals": list(shown),
        "ticktext": [_text(shorten(bars[i].name, 18)) for i in shown],
        "range": [-0.6, len(bars) - 0.4],
    }


def _power(document: Document) -> Chart | None:
    lines = [line for line in document.get("power", ()) if line["power_w"]]
    if not lines:
        return None
    last_s = max(line["time_s"][-1] for line in lines)
    scale_s, time_unit = next((scale, name) for least, scale, name in _TIMES if last_s >= least)
    data, peaks = [], []
    for i, line in enumerate(lines):
        name = shorten(channel_name(document, line["channel"]), 28)
        own, node = _numbers(line["power_w"]), _numbers(line.get("node_power_w", ()))
        shared = len(node) == len(own) and not np.array_equal(own, node, equal_nan=True)
        data.append(_step_line(f"{name}, this run" if shared else name, i, line["time_s"], own, scale_s))
        if shared:
            trace = _step_line(f"{name}, node", i, line["time_s"], node, scale_s)
            data.append(trace | {"line": {"shape": "hv", "width": 1.25, "dash": "dot"}})
        peaks.append(f"{name} up to {show_power(float(np.nanmax(own, initial=0.0)))}")
    return Chart(
        id="chart-power",
        title="Power over time",
        words=f"Step lines of this run’s share of power over {show_duration(last_s)}: {'; '.join(peaks)}.",
        data=data,
        layout={
            "xaxis": {"title": {"text": f"{time_unit} since the start"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "power in W"}, "rangemode": "tozero"},
            "hovermode": "x",
            "showlegend": True,
        },
    )


def _step_line(
    name: str, colour: int, time_s: Sequence[float], power_w: np.ndarray[Any, np.dtype[np.float64]], scale_s: float
) -> dict[str, Any]:
    edges, steps = thinned(np.asarray(time_s, float), power_w, MOST_STEPS)
    values = [None if math.isnan(step) else step for step in steps.tolist()]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": _text(name),
        "x": (edges / scale_s).tolist(),
        "y": [*values, values[-1]],  # the last step holds until the last edge
        "customdata": ["missing" if value is None else show_power(value) for value in [*values, values[-1]]],
        "hovertemplate": "%{fullData.name}: %{customdata}<extra></extra>",
        "line": {"shape": "hv", "width": 2},
        "meta": {"colour": colour % COLOURS},
    }


def thinned(
    time_s: np.ndarray[Any, np.dtype[np.float64]], power_w: np.ndarray[Any, np.dtype[np.float64]], most: int
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
    """Piecewise-constant power in at most `most` steps, each the mean over what is known of it: energy is kept.

    Args:
        time_s: n + 1 edges (s), rising.
        power_w: n powers (W), NaN where unknown.
        most: greatest number of steps.

    Returns:
        The edges (s) and the powers (W) between them.
    """
    if len(power_w) <= most:
        return time_s, power_w
    length_s = np.diff(time_s)
    known = ~np.isnan(power_w)
    energy_j = np.concatenate(([0.0], np.cumsum(np.where(known, power_w, 0.0) * length_s)))
    known_s = np.concatenate(([0.0], np.cumsum(known * length_s)))
    edges = np.linspace(time_s[0], time_s[-1], most + 1)
    spent_j, over_s = (np.diff(np.interp(edges, time_s, curve)) for curve in (energy_j, known_s))
    return edges, np.divide(spent_j, over_s, out=np.full(most, np.nan), where=over_s > 0)


def _numbers(values: Sequence[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([math.nan if value is None else value for value in values], float)


def _text(text: str) -> str:
    return html.escape(text, quote=False)
