"""How far an hour, and a part of a country, lie from the annual mean of the grid they belong to.

An annual table prices every hour alike and every part of a country alike. The bounds of such a price come from here:
`HOURLY_*` are the pooled 2.5th and 97.5th percentiles of hourly intensity over its zone's mean of the same year, each
zone-year weighing the same. `PART_*` are those of an hour in a part of a country over the country's mean: the hourly
ratios times those of US states to the US mean (the one country whose parts and whole the table holds on one basis),
the two taken as independent.

    python benchmarks/intensity_spread.py --data ../shared/data/intensity
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from joulegram.feeds.annual import search

Floats = npt.NDArray[np.float64]

BOUNDS = (0.025, 0.975)
FULL_YEAR_H = 8700
"""Hours that make a year whole enough for a mean: a lost day is allowed, a lost season is not."""

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "intensity"


def zone_years(data: Path) -> Iterator[tuple[str, str, Floats]]:
    """(series, year, hourly intensity over the year's mean) of every whole year under `data`."""
    for path in sorted(data.glob("*.csv")):
        by_year: dict[str, list[float]] = {}
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                by_year.setdefault(row["time"][:4], []).append(float(row["g_co2e_per_kwh"]))
        for year, hours in sorted(by_year.items()):
            if len(hours) >= FULL_YEAR_H:
                values = np.array(hours)
                yield path.stem, year, values / values.mean()


def quantiles(parts: Sequence[Floats], at: Sequence[float] | Floats) -> Floats:
    """Quantiles (0 .. 1) of all values together, each part weighing the same whatever its length."""
    values = np.concatenate(parts)
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in parts])
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    return np.asarray(values[order][np.searchsorted(reached, at)])


def states_over_mean() -> Floats:
    """Direct intensity of each US state over the US mean, from the annual table (eGRID)."""
    zones = {zone.code: zone.g_per_kwh for zone in search("US-")}
    mean = zones["US-EGRID-US"]
    return np.array([g_per_kwh / mean for code, g_per_kwh in zones.items() if len(code) == len("US-XX")])


def states_by_hour(hourly: Sequence[Floats]) -> Floats:
    """An hour of a state over the US mean: every state's ratio times a thousand quantiles of the hourly ratios."""
    hours = quantiles(hourly, (np.arange(1000) + 0.5) / 1000)
    return np.outer(hours, states_over_mean()).ravel()


def outward(low: float, high: float) -> tuple[float, float]:
    """Two decimals, rounded so that no bound gets narrower."""
    return math.floor(low * 100) / 100, math.ceil(high * 100) / 100


def constants(data: Path) -> dict[str, float]:
    """The four factors as the annual feed uses them."""
    hourly = [ratios for _, _, ratios in zone_years(data)]
    bounds = (*outward(*quantiles(hourly, BOUNDS)), *outward(*quantiles([states_by_hour(hourly)], BOUNDS)))
    return dict(zip(("HOURLY_LOW", "HOURLY_HIGH", "PART_LOW", "PART_HIGH"), bounds, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of hourly series (time, g_co2e_per_kwh)")
    data = parser.parse_args().data
    series: dict[str, list[Floats]] = {}
    for name, _, ratios in zone_years(data):
        series.setdefault(name, []).append(ratios)
    if not series:
        parser.error(f"{data} holds no hourly series with a whole year")
    everything = [ratios for years in series.values() for ratios in years]
    print(f"{'series':43} {'n':>5}    2.5 %   97.5 %   of the mean")
    for name, years in series.items():
        _row(name, len(years), years)
    _row("all zone-years", len(everything), everything)
    _row("US states", len(states_over_mean()), [states_over_mean()])
    _row("all zone-years times US states", len(everything) * len(states_over_mean()), [states_by_hour(everything)])
    for name, factor in constants(data).items():
        print(f"{name} = {factor:.2f}")


def _row(name: str, count: int, parts: Sequence[Floats]) -> None:
    low, high = quantiles(parts, BOUNDS)
    print(f"{name:43} {count:5d}   {low:6.3f}   {high:6.3f}")


if __name__ == "__main__":
    main()
