"""A life cycle in words that the table and the page share; both read it as `joulegram lifecycle --json` prints it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from joulegram.report.words import quantity
from joulegram.units import show_duration, show_energy, show_flops, show_mass, show_percent

LifeCycle = Mapping[str, Any]
Part = Mapping[str, Any]

SHOW = {"energy_j": show_energy, "carbon_g": show_mass, "embodied_g": show_mass, "flops": show_flops}
HEADS = {"energy_j": "energy", "carbon_g": "CO₂e", "embodied_g": "embodied", "flops": "FLOPs"}
MOST_SWEEPS = 10
GROUND = (
    "Carbon is of operation: facility energy × grid intensity, on one basis. Embodied carbon stands beside it.",
    "A run that was recorded inside another one is taken off that one, so nothing is counted twice.",
    "Runs that failed or were stopped are counted as such whatever their stage, unless another run continues them. "
    "Serving is always ended by being stopped.",
    "Idle is what a serving run used and no request was charged.",
)


def title(found: LifeCycle) -> str:
    """Whose life cycle it is."""
    of = f"{found['model']} of {found['project']}" if found["model"] else found["project"]
    return f"Life cycle of {of}"


def shown_fields(found: LifeCycle) -> list[str]:
    """Figures that any run has."""
    return [field for field in SHOW if found["total"][field]["value"] is not None or field in ("energy_j", "carbon_g")]


def show_figure(part: Part, field: str) -> str:
    """A part's figure; ``≥`` where it lacks something, a dash where it has none."""
    figure = quantity(part[field])
    if figure.value is None:
        return "–"
    return f"{'≥ ' if figure.missing else ''}{SHOW[field](figure.value)}"


def show_share_of(part: Part, whole: Part, field: str = "energy_j") -> str:
    """Its share of the whole; empty where either is missing."""
    own, all_of_it = part[field]["value"], whole[field]["value"]
    return show_percent(own / all_of_it) if own is not None and all_of_it else ""


def show_time(part: Part) -> str:
    """How long its runs took together."""
    return show_duration(part["duration_s"])


def rows(found: LifeCycle) -> Iterator[tuple[bool, str, Part]]:
    """Phases, each before its parts: whether it is a phase, what it is called, and its figures."""
    for phase in found["phases"]:
        if phase["runs"]:
            yield True, phase["phase"].capitalize(), phase
            for part in phase["parts"]:
                yield False, part["label"], part
