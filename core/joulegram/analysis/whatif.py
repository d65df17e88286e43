"""One run's energy under other intensities: elsewhere, at other times, and by other measures of the same grid.

The result is plain data: what ``joulegram whatif --json`` prints and what the views render.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np

from joulegram import config
from joulegram.analysis.measures import ANNUAL, Measure, Unanswerable, measures
from joulegram.analysis.period import Period, day_of, periods
from joulegram.analysis.whatif_sentences import sentences
from joulegram.curves.curve import Values
from joulegram.curves.load import Load
from joulegram.curves.series import HOUR_S, Series
from joulegram.feeds.annual import resolve
from joulegram.feeds.asking import PointsOf, from_feeds
from joulegram.pricing import Footprint
from joulegram.records import Basis, PriceBook, Signal
from joulegram.units import J_PER_KWH

SCHEMA_VERSION = 1
LATEST_S = 4_102_444_800.0
"""The year 2100: no intensity is known of it."""
YEAR_S = 366 * 24 * HOUR_S
ROLLING_H = 30 * 24
"""Hours that the rolling mean of the picture is over."""
_PERCENTILES = {"min_g": 0, "p5_g": 5, "p25_g": 25, "median_g": 50, "p75_g": 75, "p95_g": 95, "max_g": 100}

Json = dict[str, Any]


class Recorded(Protocol):
    """What is asked of a run; `joulegram.open_ledger().run(…)` gives one."""

    id: str
    name: str

    @property
    def zone(self) -> str | None:
        """Its grid zone; None for unknown."""

    @property
    def status(self) -> str:
        """``running`` for one that still goes on."""

    @property
    def started_s(self) -> float:
        """When it started (s since 1970)."""

    @property
    def load(self) -> Load:
        """Its facility energy over the time since its start."""

    @property
    def book(self) -> PriceBook:
        """What it is priced with."""

    def footprint(self) -> Footprint:
        """What it cost."""


def what_if(
    run: Recorded,
    *,
    intensity: Sequence[str] = (ANNUAL,),
    zones: Sequence[str] = (),
    starts_s: Sequence[float] = (),
    points_of: PointsOf | None = None,
    files_count: tuple[Basis, Signal] = ("unknown", "average"),
    now_s: Callable[[], float] = time.time,
) -> Json:
    """Lays a run's energy over other zones, start times and measures of intensity.

    Example::

        run = joulegram.open_ledger().latest()
        found = joulegram.what_if(run, intensity=["series:intensity/"], zones=["DK-DK1", "FR"])

    Args:
        run: a recorded run.
        intensity: ``realtime``, ``series:PATH``, ``monthly`` and ``annual``, any of them.
        zones: whose; by default those that files are there for, else the run's own.
        starts_s: moments to start it at (s since 1970), besides all hours of a year.
        points_of: asks a zone's feed, for ``realtime``; as configured by default.
        files_count: which emissions files of one's own count, and whether on average or marginally.
        now_s: wall clock (s since 1970).

    Raises:
        Unanswerable: the run has no energy, or the intensity, a zone or a start is not known.
        ConfigError: a file is no series.
        MissingExtra: a file is Parquet, and pyarrow is not installed.
    """
    if not all(0 <= start_s <= LATEST_S for start_s in starts_s):
        raise Unanswerable("a start lies between 1970 and 2100")
    footprint, load = run.footprint(), run.load
    if not footprint.facility_energy_j.value or not load.total_j:
        why = footprint.facility_energy_j.how if footprint.facility_energy_j.value is None else "it used none"
        raise Unanswerable(f"{run.name} ({run.id}) has no energy to lay elsewhere: {why}")
    ends_s = [start_s + load.duration_s for start_s in starts_s]
    asked_s = min([now_s() - YEAR_S, run.started_s, *starts_s]), max([now_s(), *ends_s])
    asking = points_of or from_feeds(config.load(), now_s)
    found = measures(intensity, zones, run.zone, asked_s, asking, files_count)
    timed = [measure.series for measure in found if measure.series is not None]
    looked_at = iter(periods(timed, [*starts_s, run.started_s]))
    own = _own(run, footprint, load)
    rows, years = [], []
    for measure in found:
        if measure.series is None:
            rows.append(_constant(measure, load, starts_s))
            continue
        row, by_hour = _over_time(measure, measure.series, next(looked_at), own, load, starts_s)
        rows.append(row)
        years.append((measure, by_hour, row))
    _check_starts(starts_s, rows)
    return {
        "schema_version": SCHEMA_VERSION,
        "run": own,
        "rows": rows,
        "over_year": _over_year(years, own, load),
        "sentences": sentences(own, rows),
    }


def _own(run: Recorded, footprint: Footprint, load: Load) -> Json:
    energy, grams = footprint.facility_energy_j, footprint.carbon_g
    return {
        "id": run.id,
        "name": run.name,
        "status": run.status,
        "zone": resolve(run.zone) or run.zone,
        "start": iso(run.started_s),
        "start_s": run.started_s,
        "duration_s": load.duration_s,
        "facility_energy_j": energy.value,
        "facility_energy_low_j": energy.low,
        "facility_energy_high_j": energy.high,
        "method": energy.method,
        "missing": list(energy.missing),
        "carbon_g": grams.value,
        "carbon_how": grams.how,
        "basis": run.book.basis,
    }


def iso(time_s: float) -> str:
    """A time (s since 1970) as ISO 8601, UTC, to the second."""
    return datetime.fromtimestamp(round(time_s), UTC).isoformat().replace("+00:00", "Z")


# -- rows ---------------------------------------------------------------------------------------------------------


def _row(measure: Measure) -> Json:
    return {
        "zone": measure.zone,
        "intensity": measure.name,
        "signal": measure.signal,
        "basis": measure.basis,
        "source": measure.source,
    }


def _constant(measure: Measure, load: Load, starts_s: Sequence[float]) -> Json:
    """A mean without a time: the same grams from every start, between those of the hours that it may stand for."""
    point = measure.mean
    assert point is not None
    kwh = load.total_j / J_PER_KWH
    grams = kwh * point.g_per_kwh
    return {
        **_row(measure),
        "period": None,
        "known": None,
        "mean_g_per_kwh": point.g_per_kwh,
        "at_mean_g": grams,
        "low_g": kwh * point.low,
        "high_g": kwh * point.high,
        "by_start": None,
        "own": None,
        "starts": [{"start": iso(s), "start_s": s, "carbon_g": grams, "percentile": None} for s in starts_s],
    }


def _over_time(
    measure: Measure, series: Series, period: Period, own: Json, load: Load, starts_s: Sequence[float]
) -> tuple[Json, Values]:
    """A series: the grams of each start hour of a period, and of the starts asked for."""
    if not len(series):
        raise Unanswerable(f"the series of {measure.zone} ({measure.source}) is empty")
    by_hour = load.grams_by_hour(series, period.start_s, period.hours)
    known = np.sort(by_hour[np.isfinite(by_hour)])
    if not len(known):
        raise Unanswerable(
            f"the series of {measure.zone} ({measure.source}) has no stretch without a gap that is as long as the run"
        )
    mean_g_per_kwh = float(np.nanmean(series.hourly(period.start_s, period.hours)))
    at_mean_g = load.total_j / J_PER_KWH * mean_g_per_kwh
    row = {
        **_row(measure),
        "period": {"name": period.name, "start": iso(period.start_s), "end": iso(period.end_s)},
        "known": [day_of(series.starts_s[0]), day_of(series.ends_s[-1] - 1)],
        "mean_g_per_kwh": mean_g_per_kwh,
        "at_mean_g": at_mean_g,
        "low_g": None,
        "high_g": None,
        "by_start": _distribution(by_hour, known, period, at_mean_g),
        "own": _own_place(measure, series, known, own, load),
        "starts": [_from(start_s, series, known, load) for start_s in starts_s],
    }
    return row, by_hour


def _distribution(by_hour: Values, known: Values, period: Period, at_mean_g: float) -> Json:
    best, worst = int(np.nanargmin(by_hour)), int(np.nanargmax(by_hour))
    quantiles = np.percentile(known, list(_PERCENTILES.values()))
    return {
        **dict(zip(_PERCENTILES, map(float, quantiles), strict=True)),
        "mean_g": float(known.mean()),
        "starts": len(known),
        "gaps": len(by_hour) - len(known),
        "best": iso(period.start_s + HOUR_S * best),
        "worst": iso(period.start_s + HOUR_S * worst),
        "min_over_mean": float(known[0]) / at_mean_g if at_mean_g else None,
        "max_over_mean": float(known[-1]) / at_mean_g if at_mean_g else None,
    }


def _own_place(measure: Measure, series: Series, known: Values, own: Json, load: Load) -> Json | None:
    """Where the run itself stands: from its own start if the series knows it, else by its own figure."""
    here = load.grams(series, own["start_s"])
    if np.isfinite(here):
        return {"by": "start", "carbon_g": here, "percentile": percentile(known, here)}
    differs = measure.signal != "average" or {measure.basis, own["basis"]} == {"lifecycle", "direct"}
    if own["carbon_g"] is None or differs:
        return None
    return {"by": "figure", "carbon_g": own["carbon_g"], "percentile": percentile(known, own["carbon_g"])}


def percentile(known: Values, grams: float) -> float:
    """Which percentage of start hours costs less; those that cost the same count by half.

    Args:
        known: grams of the start hours, sorted.
        grams: what is held against them.
    """
    # What differs by rounding alone is the same.
    less = np.searchsorted(known, grams * (1 - 1e-9), side="left")
    not_more = np.searchsorted(known, grams * (1 + 1e-9), side="right")
    return float(50 * (less + not_more) / len(known))


def _from(start_s: float, series: Series, known: Values, load: Load) -> Json:
    grams = load.grams(series, start_s)
    is_known = bool(np.isfinite(grams))
    return {
        "start": iso(start_s),
        "start_s": start_s,
        "carbon_g": grams if is_known else None,
        "percentile": percentile(known, grams) if is_known else None,
    }


def _check_starts(starts_s: Sequence[float], rows: Sequence[Json]) -> None:
    for place, start_s in enumerate(starts_s):
        if all(row["starts"][place]["carbon_g"] is None for row in rows):
            known = dict.fromkeys(f"{row['zone']} from {row['known'][0]} to {row['known'][1]}" for row in rows)
            raise Unanswerable(
                f"a run that starts at {iso(start_s)} needs hours that are not known (known: {', '.join(known)})"
            )


# -- over the year ------------------------------------------------------------------------------------------------


def _over_year(years: Sequence[tuple[Measure, Values, Json]], own: Json, load: Load) -> Json | None:
    """Grams by start hour of one zone, the run's own if it is among them, with what longer means make of them."""
    if not years:
        return None
    measure, by_hour, row = next((year for year in years if year[0].zone == own["zone"]), years[0])
    assert measure.series is not None
    start_s = datetime.fromisoformat(row["period"]["start"]).timestamp()
    around = measure.series.hourly(start_s - ROLLING_H / 2 * HOUR_S, len(by_hour) + ROLLING_H)
    kwh = load.total_j / J_PER_KWH
    return {
        **{name: row[name] for name in ("zone", "intensity", "basis", "period", "at_mean_g")},
        "start_s": start_s,
        "step_s": HOUR_S,
        "carbon_g": _plain(by_hour),
        "rolling_g": _plain(kwh * rolling(around, ROLLING_H)),
    }


def rolling(values: Values, width: int) -> Values:
    """Means of the known among each `width` values in a row, NaN where less than half are: shape (n - width,)."""
    known = np.isfinite(values)
    sums, counts = (np.append(0.0, np.cumsum(v)) for v in (np.where(known, values, 0.0), known.astype(float)))
    sums, counts = sums[width:-1] - sums[: -width - 1], counts[width:-1] - counts[: -width - 1]
    return np.asarray(np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts >= width / 2))


def _plain(values: Values) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]
