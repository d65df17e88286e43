"""Figure 1 on the raw runs: parameters, MACs and time against energy, and energy against carbon."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.paper.ecnas import Runs
from joulegram.analysis.ranks import agreement


@dataclass(frozen=True, slots=True)
class Axis:
    """How a measure is drawn: its values times a factor, in a unit."""

    label: str
    factor: float
    unit: str


AXES = {
    "trainable_params": Axis("parameters", 1e-6, "millions"),
    "macs_per_image": Axis("multiply-accumulates", 1e-9, "billions per image, forward"),
    "total_time_s": Axis("time", 1 / 60, "min"),
    "energy_kwh": Axis("energy, with a PUE of 1.59", 1e3, "Wh"),
    "own_energy_kwh": Axis("energy re-attributed, with a PUE of 1.59", 1e3, "Wh"),
    "co2_g": Axis("carbon", 1.0, "gCO2e"),
    "own_co2_g": Axis("carbon re-attributed", 1.0, "gCO2e"),
}
COLOUR = "avg_intensity"
"""Grid intensity while a run went on: it sets what is carbon alone apart from what is energy."""


def draw(runs: Runs, title: str, energy: str, carbon: str, path: Path) -> None:
    """Writes four scatter plots to a PNG: what the paper's panels a to c show, and what its raw runs emitted.

    Args:
        runs: the points.
        title: over all panels.
        energy: column of energy.
        carbon: column of carbon.
        path: of the picture.
    """
    from matplotlib.figure import Figure  # not pyplot: that needs, and keeps, the state of a display

    figure = Figure(figsize=(11, 8.5), layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    pairs = (("trainable_params", energy), ("macs_per_image", energy), ("total_time_s", energy), (energy, carbon))
    names = ("(a) parameters", "(b) compute", "(c) time", "energy and carbon")
    drawn = [_scatter(panel, runs, name, x, y) for panel, name, (x, y) in zip(panels, names, pairs, strict=True)]
    figure.colorbar(drawn[-1], ax=panels.tolist(), label="grid intensity while it ran (gCO2e/kWh)", aspect=50)
    figure.suptitle(title)
    figure.savefig(path, dpi=150)


def _scatter(panel: Any, runs: Runs, name: str, x: str, y: str) -> Any:
    across, up = AXES[x], AXES[y]
    points = panel.scatter(
        across.factor * runs[x], up.factor * runs[y], c=runs[COLOUR], s=7, alpha=0.6, linewidths=0, cmap="viridis"
    )
    tau = agreement(runs[x], runs[y], resamples=0).kendall.value
    panel.set_title(f"{name}: Kendall τ = {tau:.2f}")
    panel.set_xlabel(f"{across.label} ({across.unit})")
    panel.set_ylabel(f"{up.label} ({up.unit})")
    panel.set_xlim(left=0)
    panel.set_ylim(bottom=0)
    panel.spines[["top", "right"]].set_visible(False)
    return points
