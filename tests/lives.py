"""A project whose every joule is known: the runs of a model from its data to its serving."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import worlds

from joulegram.analysis.entries import Entry, Served
from joulegram.records import Basis, IntensityPoint, Lineage, ServedHour, Status
from joulegram.session.document import iso_utc

DAY_S = 86_400.0


def entry(name: str, energy_j: float | None = 100.0, served: Served | None = None, **run: Any) -> Entry:
    """A run as a listing tells of it; at 360 g/kWh, so that 10 kJ are a gram."""
    number = run.pop("day", 0.0)
    figure: Mapping[str, Any] | None = None
    carbon: Mapping[str, Any] | None = None
    if energy_j is not None:
        figure = {"value": energy_j, "low": 0.9 * energy_j, "high": 1.2 * energy_j, "method": "measured"}
        carbon = {key: v / 1e4 if key != "method" else v for key, v in figure.items()}  # type: ignore[operator]
    footprint = {
        "energy_j": figure, "facility_energy_j": figure, "carbon_g": carbon,
        "embodied_g": run.pop("embodied_g", None), "flops": run.pop("flops", None),
    }  # fmt: skip
    listed = {
        "id": name, "name": name, "project": "p", "stage": "train", "model": None, "status": "finished", "zone": "DK",
        "started": iso_utc(1.8e9 + DAY_S * number), "duration_s": 3600.0, "parent": None, "enclosing_run": None,
        "sweep": None, "trial": None, "process": f"alpha/{name}/1", "basis": "lifecycle", **run,
    }  # fmt: skip
    return Entry.of(listed, footprint, served)


def story() -> list[Entry]:
    """1,000 J of development, of which 400 J are the final training, and 1,000 J of deployment."""
    return [
        entry("data", 100, stage="data", day=0),
        entry("trial-0", 60, stage="search", sweep="optuna:s", trial="0", day=1),
        entry("trial-1", 140, stage="search", sweep="optuna:s", trial="1", day=1.5),
        entry("crash", 150, status="failed", day=2),
        entry("first", 150, day=3),
        entry("final", 400, day=4),
        entry("serving", 800, stage="serve", status="interrupted", served=Served(40, 600.0), day=5),
        entry("again", 200, stage="retrain", day=9),
    ]


def by_hour(hours: Sequence[float], basis: Basis = "lifecycle") -> list[IntensityPoint]:
    """Intensity in each hour from day 0 on (g/kWh)."""
    return [
        IntensityPoint(g, g, g, "ZZ", "a test", "measured", basis=basis, start_s=1.8e9 + 3600 * hour, length_s=3600.0)
        for hour, g in enumerate(hours)
    ]


def record(
    run: str,
    power_w: float = 100.0,
    seconds: float = 10.0,
    *,
    status: Status | None = "finished",
    day: float = 0.0,
    g_per_kwh: float = 360.0,
    basis: Basis = "lifecycle",
    served: Iterable[ServedHour] = (),
    parent: str | None = None,
    phases: Mapping[str, float] | None = None,
    hours: Sequence[float] = (),
    ledger: Path | None = None,
    **header: Any,
) -> None:
    """A run in the ledger, of constant power.

    Args:
        status: how it ended; None for one that goes on.
        day: when it started.
        phases: seconds of each phase, one after the other, in place of `seconds`.
        hours: the grid's intensity (g/kWh) in each hour from day 0 on, where that is known.
    """
    import joulegram

    clock = worlds.OwnedClock(wall_s=1.8e9 + DAY_S * day)
    journal = worlds.journal(ledger or joulegram.open_ledger().path, clock, run)
    counter = worlds.Counter(clock, power_w)
    recorder = worlds.recorder(clock, journal, counter, run=run, **{"name": run, "project": "p", **header})
    recorder.say(worlds.price(g_per_kwh, basis).plus(by_hour(hours, basis)))
    if parent is not None:
        recorder.say(Lineage(parent, 1.0, 1.0, 1.0))
    for name, phase_s in (phases or {"other": seconds}).items():
        recorder.phase(clock.monotonic_ns(), name)
        recorder.run_for(phase_s)
    for hour in served:
        recorder.say(hour)
    if status is None:
        recorder.flush()
    else:
        recorder.stop(status)
