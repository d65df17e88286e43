"""How far an hour lies from its grid's annual mean and from earlier hours, and a part of a country from the whole.

An annual table prices every hour alike and every part of a country alike. The bounds of such a price come from here:
`HOURLY_*` are the pooled 2.5th and 97.5th percentiles of hourly intensity over its zone's mean of the same year, each
zone-year weighing the same. `PART_*` are those of an hour in a part of a country over the country's mean: the hourly
ratios times those of US states to the US mean (the one country whose parts and whole the table holds on one basis),
the two taken as independent.

A forecast is at least as good as the same hour of the day before, and a value carried on for want of a newer one is as
good as it was some hours ago. `FORECAST_*` and `CARRIED_*` are the percentiles of an hour over the one 24 and 3 hours
before it, each zone-year weighing the same. Danish grids move most and are more than a third of these; with each grid
weighing the same, printed as well, the factors would be narrower.

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

from joulegram.curves.series import HOUR_S, Series
from joulegram.feeds.annual import search
from joulegram.feeds.series import read_series

Floats = npt.NDArray[np.float64]

BOUNDS = (0.025, 0.975)
FULL_YEAR_H = 8700
"""Hours that make a year whole enough for a mean: a lost day is allowed, a lost season is not."""

LAGS_H = (1, 3, 24)
FACTORS_OF_LAGS = {24: "FORECAST", 3: "CARRIED"}

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


def over_earlier(series: Series, lag_h: int) -> list[Floats]:
    """Hourly intensity over that of so many hours before, of each whole year; hours beside a gap are left out."""
    with np.errstate(divide="ignore", invalid="ignore"):  # nothing follows from an hour of zero
        ratios = series.g_per_kwh / series.at(series.starts_s - HOUR_S * lag_h)
    years = series.starts_s.astype("datetime64[s]").astype("datetime64[Y]")
    by_year = [years == year for year in np.unique(years)]
    return [ratios[hours & np.isfinite(ratios)] for hours in by_year if hours.sum() >= FULL_YEAR_H]


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
    """The four factors on annual means, as the annual feed uses them."""
    hourly = [ratios for _, _, ratios in zone_years(data)]
    bounds = (*outward(*quantiles(hourly, BOUNDS)), *outward(*quantiles([states_by_hour(hourly)], BOUNDS)))
    return dict(zip(("HOURLY_LOW", "HOURLY_HIGH", "PART_LOW", "PART_HIGH"), bounds, strict=True))


def read(data: Path) -> list[Series]:
    """The series of every grid under `data`."""
    return [read_series(path) for path in sorted(data.glob("*.csv"))]


def by_grid(grids: Sequence[Series], lag_h: int) -> list[Floats]:
    """Hours over earlier ones, all whole years of a grid together."""
    return [np.concatenate(years) for series in grids if (years := over_earlier(series, lag_h))]


def lag_constants(grids: Sequence[Series]) -> dict[str, float]:
    """The factors on forecasts and on values carried on, as the feeds use them."""
    factors = {}
    for lag_h, name in FACTORS_OF_LAGS.items():
        years = [ratios for grid in grids for ratios in over_earlier(grid, lag_h)]
        low, high = outward(*quantiles(years, BOUNDS))
        factors |= {f"{name}_LOW": low, f"{name}_HIGH": high}
    return factors


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
    print(f"{'series':47} {'n':>5}    2.5 %   97.5 %   of the mean")
    for name, years in series.items():
        _row(name, len(years), years)
    _row("all zone-years", len(everything), everything)
    _row("US states", len(states_over_mean()), [states_over_mean()])
    _row("all zone-years times US states", len(everything) * len(states_over_mean()), [states_by_hour(everything)])
    grids = read(data)
    print(f"\n{'an hour over an earlier one':47} {'n':>5}    2.5 %   97.5 %")
    for lag_h in LAGS_H:
        alike, years = by_grid(grids, lag_h), [ratios for grid in grids for ratios in over_earlier(grid, lag_h)]
        _row(f"{lag_h} h before, each grid weighing the same", len(alike), alike)
        _row(f"{lag_h} h before, each zone-year weighing the same", len(years), years)
    print()
    for name, factor in (constants(data) | lag_constants(grids)).items():
        print(f"{name} = {factor:.2f}")


def _row(name: str, count: int, parts: Sequence[Floats]) -> None:
    low, high = quantiles(parts, BOUNDS)
    print(f"{name:47} {count:5d}   {low:6.3f}   {high:6.3f}")


if __name__ == "__main__":
    main()
