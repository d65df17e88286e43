"""A training over the change of an hour, each with an intensity of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from feed_faults import source
from grids import BOUNDARY_S, HALF_HOUR_S, integral_g, set_wall, teach
from hosts import Host
from tiny_training import Tiny, loader

from joulegram import config
from joulegram.session.repricing import reprice
from joulegram.units import J_PER_KWH

Make = Callable[..., Any]
VALUES = {BOUNDARY_S - HALF_HOUR_S: 100.0, BOUNDARY_S: 400.0, BOUNDARY_S + HALF_HOUR_S: 7.0}


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch, trainer: Make, monitor: Make, recorded: Make) -> Make:
    """Trains for some time that the change of the half-hour lies in; the run."""

    def fit(**options: Any) -> Any:
        set_wall(monkeypatch, BOUNDARY_S - 0.5)
        watch = monitor(pue=1.2, **options)
        trainer(watch, max_epochs=3).fit(Tiny(), loader(80))
        return recorded(watch)

    return fit


def test_its_carbon_is_the_exact_integral_of_intensity_over_energy(
    fitted: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("\n".join(["time,g_co2e_per_kwh", *(f"{start},{value}" for start, value in VALUES.items())]))
    monkeypatch.setenv("JOULEGRAM_FEEDS_SERIES_BASIS", "direct")
    run = fitted(zone="GB", intensity=f"series:{path}")
    footprint, epochs = run.footprint(), run.spans("epoch")
    assert footprint.carbon_g.value == pytest.approx(integral_g(run, VALUES), rel=1e-9)
    low_g, high_g = (footprint.facility_energy_j.value * value / J_PER_KWH for value in (100, 400))
    assert low_g < footprint.carbon_g.value < high_g
    assert len(epochs) == 3
    for epoch in epochs:
        assert epoch.footprint.carbon_g.value == pytest.approx(by_hand(run, epoch), rel=1e-6)
    phases = footprint.phases.values()
    assert sum(phase.carbon_g.value for phase in phases) == pytest.approx(footprint.carbon_g.value, rel=1e-9)


def by_hand(run: Any, epoch: Any) -> float:
    """Grams of an epoch from the joules on either side of the change."""
    trace = run.pricer.trace
    change_ns = int(trace.timeline.mono_ns([BOUNDARY_S])[0])
    start_ns, end_ns = epoch._start_ns, epoch._end_ns
    change_ns = min(max(change_ns, start_ns), end_ns)
    before_j, after_j = run.pricer.energy.over([start_ns, change_ns], [change_ns, end_ns])
    return (before_j * 100 + after_j * 400) / J_PER_KWH * run.book.pue.value


@pytest.fixture
def neso() -> Iterator[Host]:
    with source() as made:
        yield made


def test_started_offline_it_is_estimated_and_exact_once_the_feed_is_back(
    fitted: Make, neso: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOULEGRAM_FEEDS_NESO_BASE_URL", neso.url)
    neso.silent.set()
    run = fitted(zone="GB", intensity="auto")
    assert (run.status, run.footprint().carbon_g.method) == ("finished", "estimated")
    neso.silent.clear()
    teach(neso, VALUES)
    done = reprice(run, config.load({"intensity": "auto"}), lambda _: True, now_s=lambda: BOUNDARY_S + 2 * 86400)
    assert done.after.footprint().carbon_g.value == pytest.approx(integral_g(run, VALUES), rel=1e-9)
    assert done.after.hours().settled_s == pytest.approx(run.duration_s)
