"""A life cycle in pictures: how its parts flow into it, and how they added up over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from joulegram.report.charts import COLOURS, WORTH, Chart
from joulegram.report.lifecycle import HEADS, SHOW, LifeCycle, show_share_of

_COLOUR_OF = {
    "data": 0, "search": 5, "failed": 4, "train": 3, "final": 1, "evaluate": 6, "compress": 7, "other": 6,
    "requests": 2, "idle": 6, "serve": 2, "retrain": 3,
}  # fmt: skip
_PHASE_COLOUR = {"development": 0, "deployment": 2}
_LIFE_COLOUR = 6
_ROOM = 0.5
"""Part of the height that is left between bars, so that each has room for its words."""


def life_cycle_charts(found: LifeCycle) -> list[Chart]:
    """The charts that there is something to draw for."""
    field = _drawn(found)
    if not found["total"][field]["value"]:
        return []
    drawn = [_flow(found, field)]
    if len(found["over_time"]["time_s"]) > 1:
        drawn.append(_over_time(found, field))
    return drawn


def _drawn(found: LifeCycle) -> str:
    """Carbon, or energy where any of that is missing."""
    carbon = found["total"]["carbon_g"]
    return "carbon_g" if carbon["value"] and not carbon["missing"] else "energy_j"


def _unit(field: str, value: float) -> tuple[str, float]:
    """The unit that a picture of so much has, and what it is worth inside."""
    unit = SHOW[field](value).rsplit(" ", 1)[1]
    return unit, WORTH[unit]


@dataclass(frozen=True, slots=True)
class _Node:
    """A bar of the flow: what is written at it, its value and colour, and where it stands (0 to 1, from the top)."""

    label: str
    value: float
    colour: int
    x: float
    y: float


def _flow(found: LifeCycle, field: str) -> Chart:
    whole = found["total"][field]["value"]
    phases = [phase for phase in found["phases"] if phase[field]["value"]]
    parts = [(place, part) for place, phase in enumerate(phases) for part in phase["parts"] if part[field]["value"]]
    inner = [_node(part["label"], part, found, field, _COLOUR_OF[part["part"]], 0.001) for _, part in parts]
    outer = [_node(p["phase"].capitalize(), p, found, field, _PHASE_COLOUR[p["phase"]], 0.5) for p in phases]
    nodes = [
        *_stacked(inner, whole),
        *_stacked(outer, whole),
        _Node(f"Whole life<br>{SHOW[field](whole)}", whole, _LIFE_COLOUR, 0.999, 0.5),
    ]
    targets = [*(len(inner) + place for place, _ in parts), *(len(nodes) - 1 for _ in outer)]
    return Chart(
        id="chart-flow",
        title=f"Where the {HEADS[field]} went",
        words="Each stage’s part of development and deployment. The table below holds the same figures.",
        data=[
            {
                "type": "sankey",
                "arrangement": "snap",
                "node": {
                    "label": [node.label for node in nodes],
                    "x": [node.x for node in nodes],
                    "y": [node.y for node in nodes],
                    "pad": 22,
                    "thickness": 16,
                    "line": {"width": 0},
                },
                "link": {
                    "source": list(range(len(targets))),
                    "target": targets,
                    "value": [node.value for node in nodes[:-1]],
                    "hovertemplate": "%{source.label}<extra></extra>",
                },
                "hoverinfo": "none",
                "meta": {
                    "nodes": [node.colour for node in nodes],
                    "links": [node.colour for node in nodes[:-1]],
                },
            }
        ],
        layout={"height": 460, "margin": {"l": 8, "r": 8, "t": 24, "b": 24}},
    )


def _node(name: str, part: Mapping[str, Any], found: LifeCycle, field: str, colour: int, x: float) -> _Node:
    value = part[field]["value"]
    label = f"{name}<br>{SHOW[field](value)}, {show_share_of(part, found['total'], field)}"
    return _Node(label, value, colour % COLOURS, x, 0.0)


def _stacked(nodes: Sequence[_Node], whole: float) -> list[_Node]:
    """In the order of life, from the top down, with room between them."""
    gap = _ROOM / max(1, len(nodes) - 1)
    found, above = [], 0.0
    for node in nodes:
        share = (1 - _ROOM) * node.value / whole
        found.append(replace(node, y=min(0.999, max(0.001, above + share / 2))))
        above += share + gap
    return found


def _over_time(found: LifeCycle, field: str) -> Chart:
    unit, worth = _unit(field, found["total"][field]["value"])
    labels = {part["part"]: part["label"] for phase in found["phases"] for part in phase["parts"]}
    sums = found["over_time"][field]
    times_ms = [time_s * 1e3 for time_s in found["over_time"]["time_s"]]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": label,
            "x": times_ms,
            "y": [float(f"{value / worth:.5g}") for value in sums[part]],
            "stackgroup": "life",
            "line": {"width": 0.6},
            "hovertemplate": f"%{{x}}: %{{y:.3g}} {unit} {label.lower()}<extra></extra>",
            "meta": {"colour": _COLOUR_OF[part] % COLOURS},
        }
        for part, label in labels.items()
        if any(sums[part])
    ]
    return Chart(
        id="chart-over-time",
        title=f"{HEADS[field][:1].upper()}{HEADS[field][1:]} so far, over time",
        words="What each stage had cost by then; each run’s is spread evenly over its own time. Times are UTC.",
        data=data,
        layout={
            "xaxis": {"title": {"text": ""}, "type": "date"},
            "yaxis": {"title": {"text": f"{HEADS[field]} in {unit}"}, "rangemode": "tozero"},
            "showlegend": True,
            "height": 400,
        },
    )
