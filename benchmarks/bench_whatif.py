"""Laying one run over a year of start hours in twenty zones: from series at hand, and from files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from measure import Figure, seconds_of

from joulegram.analysis.whatif import what_if
from joulegram.curves.load import Load
from joulegram.curves.series import HOUR_S, Series
from joulegram.pricing import Footprint, nothing
from joulegram.quantities import Quantity
from joulegram.records import IntensityPoint, PriceBook, Pue

ZONES = [f"US-{name}" for name in "ABCDEFGHIJKLMNOPQRST"]
YEAR, DAYS = 2023, 400
FIRST_S = datetime(YEAR, 1, 1, tzinfo=UTC).timestamp()
REPEATS = 7


class Run:
    """A run of so many days, whose power changes every second."""

    id, name, zone, status, started_s = "run", "run", ZONES[0], "finished", FIRST_S + 100.5 * HOUR_S
    book = PriceBook(Pue(1.0, 1.0, 1.0, "measured", "as given"), (), "lifecycle")

    def __init__(self, days: float) -> None:
        power_w = np.random.default_rng(0).uniform(200, 700, round(days * 86400))
        self.load = Load(np.arange(len(power_w) + 1.0), np.append(0.0, np.cumsum(power_w)))

    def footprint(self) -> Footprint:
        energy = Quantity(self.load.total_j, self.load.total_j, self.load.total_j, "measured")
        nowhere = nothing("")
        return Footprint(**{name: getattr(nowhere, name) for name in nowhere.__slots__} | {"facility_energy_j": energy})


def series_of(zone: str, step_s: float) -> Series:
    steps = round(DAYS * 86400 / step_s)
    values = np.random.default_rng(ord(zone[-1])).uniform(20, 900, steps)
    return Series.of(FIRST_S + step_s * np.arange(steps), step_s, values)


def points_of(series: Series) -> list[IntensityPoint]:
    """As a feed gives them."""
    columns = (column.tolist() for column in (series.starts_s, series.ends_s, series.g_per_kwh))
    return [
        IntensityPoint(g, g, g, "US", "random", "measured", start_s=start_s, length_s=end_s - start_s)
        for start_s, end_s, g in zip(*columns, strict=True)
    ]


def seconds_for(run: Run, step_s: float) -> list[float]:
    known = {zone: points_of(series_of(zone, step_s)) for zone in ZONES}

    def work() -> None:
        what_if(run, intensity=["realtime"], zones=ZONES, points_of=lambda zone, *_: known[zone])

    return [seconds_of(work) for _ in range(REPEATS)]


def measure(full: bool) -> Iterator[Figure]:
    del full
    what = f"what if: a year of start hours × {len(ZONES)} zones"
    day, month = Run(1), Run(30)
    yield Figure(f"{what}, a run of a day", seconds_for(day, HOUR_S), "s", 2, "hourly series; all of the result")
    yield Figure(f"{what}, a run of a month", seconds_for(month, HOUR_S), "s", 2, "hourly series")
    yield Figure(
        f"{what}, a run of a month, five-minute series", seconds_for(month, 300.0), "s", None, "12 × the steps"
    )
    files = Path("series")
    files.mkdir(exist_ok=True)
    for zone in ZONES:
        series = series_of(zone, HOUR_S)
        rows = zip(series.starts_s.tolist(), series.g_per_kwh.tolist(), strict=True)
        lines = [f"{datetime.fromtimestamp(start_s, UTC).isoformat()},{g:.3f}" for start_s, g in rows]
        (files / f"{zone}.csv").write_text("\n".join(["time,g_co2e_per_kwh", *lines, ""]), encoding="utf-8")
    times_s = [seconds_of(lambda: what_if(day, intensity=[f"series:{files}"])) for _ in range(3)]
    yield Figure(
        f"{what}, with reading {len(ZONES)} CSV files of {DAYS} days", times_s, "s", note="reading is most of it"
    )
