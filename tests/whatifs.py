"""Runs of known energy and series of known intensity, for what lays one over the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from joulegram.curves.load import Load
from joulegram.curves.series import HOUR_S, Series
from joulegram.pricing import Footprint, nothing
from joulegram.quantities import Quantity
from joulegram.records import IntensityPoint, PriceBook, Pue

Json = dict[str, Any]
YEAR = 2021
"""A year that the series below are of."""


def at(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


FIRST_S = at(f"{YEAR}-01-01")


@dataclass
class KnownRun:
    """A run that used so many joules in each of its hours.

    Args:
        hours_j: joules by hour since its start.
        started_s: when (s since 1970).
        carbon_g: its own figure; None where it is missing.
    """

    hours_j: Sequence[float] = (3.6e6, 7.2e6)
    started_s: float = at("2021-03-01T12:00")
    carbon_g: float | None = 300.0
    basis: Any = "lifecycle"
    zone: str | None = "DK-DK1"
    status: str = "finished"
    missing: tuple[str, ...] = ()
    id: str = "id-of-net"
    name: str = "net"

    @property
    def load(self) -> Load:
        edges_s = HOUR_S * np.arange(len(self.hours_j) + 1)
        return Load(edges_s, np.append(0.0, np.cumsum(self.hours_j)))

    @property
    def book(self) -> PriceBook:
        return PriceBook(Pue(1.0, 1.0, 1.0, "measured", "as given"), (), self.basis)

    def footprint(self) -> Footprint:
        energy_j = float(sum(self.hours_j))
        energy = Quantity(energy_j, energy_j, energy_j, "measured", "", self.missing)
        grams = (
            Quantity.absent("no price")
            if self.carbon_g is None
            else Quantity(self.carbon_g, self.carbon_g, self.carbon_g, "measured")
        )
        if not self.hours_j:
            return nothing("no meter found a channel to count")
        return replace(nothing(""), energy_j=energy, facility_energy_j=energy, carbon_g=grams)


def year_of_hours(seed: int = 0, level: float = 200.0, hours: int = 8760 + 100) -> Series:
    """A year of hours and some more, of changing intensity (gCO2e/kWh)."""
    noise = np.random.default_rng(seed).uniform(0.2, 1.8, hours)
    return Series.of(FIRST_S + HOUR_S * np.arange(hours), HOUR_S, level * noise)


def points(series: Series, source: str = "a test", basis: Any = "lifecycle", **more: Any) -> list[IntensityPoint]:
    """A series as a feed gives it."""
    columns = (column.tolist() for column in (series.starts_s, series.ends_s, series.g_per_kwh))
    return [
        IntensityPoint(
            g, g, g, "ZZ", source, "measured", basis=basis, start_s=start_s, length_s=end_s - start_s, **more
        )
        for start_s, end_s, g in zip(*columns, strict=True)
    ]


def write(path: Path, series: Series) -> Path:
    """The series as a file of a user's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{datetime.fromtimestamp(start_s, UTC).isoformat()},{g!r}"
        for start_s, g in zip(series.starts_s.tolist(), series.g_per_kwh.tolist(), strict=True)
    ]
    path.write_text("\n".join(["time,g_co2e_per_kwh", *rows, ""]))
    return path
