"""How far models of CPU power lie from what RAPL counted, machine by machine.

Reads load profiles as CodeCarbon records them: 30 s at each load, on all cores in turns or on some of them. Two traps
are in them. `rapl_power` holds the power of the row before, so the true mean power is taken from `rapl_energy`; and the
folder E5-1240 counts the package and its cores, so it is left out.

    python benchmarks/cpu_model.py --data ../shared/data/cpu_load
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt

from joulegram.host.cpu import Cpus
from joulegram.meters.cpu_model import CALIBRATED_GAIN, LEARNED_GAIN, CpuModel, calibrated, uncalibrated
from joulegram.meters.cpu_tdp import lookup

Floats = npt.NDArray[np.float64]
Model = Callable[["Series"], Floats]
"""Watts that a model gives to each load of a series."""

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "cpu_load"
COUNTED_TWICE = "E5-1240"
J_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class Series:
    """One machine under one kind of load.

    Args:
        name: of its file.
        cpus: the machine's CPUs.
        tdp_w: thermal design power of all sockets (W).
        load: part of all CPUs that was busy, 0 to 1.
        power_w: true mean power (W).
    """

    name: str
    cpus: Cpus
    tdp_w: float
    load: Floats
    power_w: Floats

    @property
    def ends_w(self) -> tuple[float, float]:
        """The machine's own power at its least and at its greatest load (W)."""
        return float(self.power_w[self.load.argmin()]), float(self.power_w[self.load.argmax()])


def read(data: Path) -> Iterator[Series]:
    """Every usable series under a folder."""
    for path in sorted(data.rglob("*.csv")):
        if COUNTED_TWICE in path.parts or path.stem.endswith("-tasks"):
            continue
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        if rows:
            yield _series(path.stem, rows)


def _series(name: str, rows: Sequence[Mapping[str, str]]) -> Series:
    cpu, threads = rows[0]["cpu_name"], int(max(float(row["cores_used"]) for row in rows))
    part = lookup(cpu)
    if part is None:
        raise LookupError(f"{name}: the thermal design power of {cpu} is not known")
    sockets = max(1, round(threads / part.threads)) if part.threads else 1
    return Series(
        name,
        Cpus(cpu, sockets, threads, virtual=False),
        part.tdp_w * sockets,
        np.array([float(row["cpu_load"]) / 100 for row in rows]),
        np.array([float(row["rapl_energy"]) * J_PER_KWH / float(row["duration"]) for row in rows]),
    )


def power_w(model: CpuModel, series: Series) -> Floats:
    """Watts of one of joulegram's own lines at each load."""
    threads = series.cpus.threads
    return np.array([model.energy_j(1.0, load * threads, threads) for load in series.load])


def fit(series: Sequence[Series]) -> tuple[float, float]:
    """Least squares of power over TDP: its share at no load, and what full load adds to it."""
    load = np.concatenate([one.load for one in series])
    share = np.concatenate([one.power_w / one.tdp_w for one in series])
    slope, idle = np.polyfit(load, share, 1)
    return float(idle), float(slope)


def fitted_elsewhere(everything: Sequence[Series]) -> Model:
    """The pooled line as it would be without the machine that it is used on."""

    def model(series: Series) -> Floats:
        others = [other for other in everything if other.cpus.name != series.cpus.name]
        if not others:
            return np.full_like(series.load, np.nan)
        idle, slope = fit(others)
        return series.tdp_w * (idle + slope * series.load)

    return model


def models(everything: Sequence[Series]) -> dict[str, Model]:
    """The models, by the heading of their column."""
    return {
        "default": lambda s: power_w(uncalibrated(s.cpus), s),
        "refitted": fitted_elsewhere(everything),
        "own ends": lambda s: power_w(calibrated(*s.ends_w), s),
        "TDP u": lambda s: s.tdp_w * s.load,
        "cubic": lambda s: s.tdp_w * (0.1 + 0.9 * s.load**3),
        "max(TDP u, 0.1)": lambda s: s.tdp_w * np.maximum(s.load, 0.1),
        "TDP/2": lambda s: np.full_like(s.load, s.tdp_w / 2),
    }


def error_percent(model_w: Floats, true_w: Floats) -> float:
    """Mean absolute error over the true power (%)."""
    return float(100 * np.mean(np.abs(model_w - true_w) / true_w))


def ratios(model: CpuModel, series: Series) -> tuple[float, float, bool]:
    """Least and greatest of true over modelled power, and whether the model's bounds hold every point."""
    modelled_w = power_w(model, series)
    low, high = model.gain
    held = (series.power_w >= low * modelled_w) & (series.power_w <= np.minimum(high * modelled_w, model.max_w))
    ratio = series.power_w / modelled_w
    return float(ratio.min()), float(ratio.max()), bool(held.all())


def learned(series: Series, most_idle: float, least_full: float) -> Iterator[CpuModel]:
    """The lines that a run may have learned: from each load that is idle to each that is as good as full."""
    points = sorted(zip(series.load.tolist(), series.power_w.tolist(), strict=True))
    for (low, low_w), (high, high_w) in combinations(points, 2):
        if low <= most_idle and high >= least_full:
            slope_w = (high_w - low_w) / (high - low)
            yield calibrated(max(0.0, low_w - slope_w * low), high_w + slope_w * (1 - high), "", LEARNED_GAIN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of load profiles (cpu_load, rapl_energy, …)")
    data = parser.parse_args().data
    everything = list(read(data))
    if not everything:
        parser.error(f"{data} holds no load profile")
    print_errors(everything)
    print_bounds(everything)
    print_learned(everything)
    print_fits(everything)


def print_errors(everything: Sequence[Series]) -> None:
    """Mean absolute error of every model on every series."""
    offered = models(everything)
    print("mean absolute error over loads from 0 to 100 % (%)")
    print(f"{'series':26}" + "".join(f"{heading:>{max(9, len(heading) + 2)}}" for heading in offered))
    errors = {s.name: [error_percent(model(s), s.power_w) for model in offered.values()] for s in everything}
    rows = {**errors, "mean": [fmean(column) for column in zip(*errors.values(), strict=True)]}
    for name, row in rows.items():
        widths = (max(9, len(heading) + 2) for heading in offered)
        print(f"{name:26}" + "".join(f"{value:{width}.0f}" for value, width in zip(row, widths, strict=True)))


def print_bounds(everything: Sequence[Series]) -> None:
    """Whether bounds hold the truth at every load."""
    print("\ntrue over modelled power, and whether the model's bounds hold every point")
    print(f"{'series':26}  {'default':>22}  {'own ends':>22}  within ±40 %")
    for series in everything:
        own_ends = calibrated(*series.ends_w)
        ratio = series.power_w / power_w(own_ends, series)
        within = int(((ratio >= 0.6) & (ratio <= 1.4)).sum())
        cells = "  ".join(_range(model, series) for model in (uncalibrated(series.cpus), own_ends))
        print(f"{series.name:26}  {cells}  {within} of {len(ratio)}")
    print(f"own ends: bounds {CALIBRATED_GAIN[0]:g} to {CALIBRATED_GAIN[1]:g}")


def _range(model: CpuModel, series: Series) -> str:
    low, high, held = ratios(model, series)
    return f"{low:5.2f} to {high:5.2f}   {'held' if held else 'NOT HELD':>8}"


def print_learned(everything: Sequence[Series]) -> None:
    """Lines through loads that are not quite idle and full: which of them deserve bounds at all."""
    low, high = LEARNED_GAIN
    print(f"\ntrue power over a line between two loads, at all loads; bounds {low:g} to {high:g}")
    print("first at most  last at least  lines  true over line")
    for most_idle, least_full in ((0.1, 0.9), (0.1, 0.5), (0.1, 0.4), (0.15, 0.5), (0.3, 0.7)):
        found = [ratios(model, s) for s in everything for model in learned(s, most_idle, least_full)]
        least, most = min(ratio[0] for ratio in found), max(ratio[1] for ratio in found)
        held = "held" if all(ratio[2] for ratio in found) else "NOT HELD"
        print(f"{most_idle:13.0%}  {least_full:13.0%}  {len(found):5}  {least:.2f} to {most:.2f}   {held}")


def print_fits(everything: Sequence[Series]) -> None:
    """The pooled line without each machine."""
    print("\nP / TDP = a + b u, fitted without a machine: a, b, and true over modelled power on that machine")
    for name in sorted({series.cpus.name for series in everything}):
        others = [series for series in everything if series.cpus.name != name]
        if others:
            a, b = fit(others)
            left = [s for s in everything if s.cpus.name == name]
            ratio = np.concatenate([s.power_w / (s.tdp_w * (a + b * s.load)) for s in left])
            print(f"{name:48} {a:.3f}  {b:.3f}   {ratio.min():.2f} to {ratio.max():.2f}")
    print(f"{'all together':48} {'  '.join(f'{value:.3f}' for value in fit(everything))}")


if __name__ == "__main__":
    main()
