"""Which intensities a run is laid over: of which zone, from which source, counting which emissions.

An intensity is asked for by a word: ``realtime`` (the zone's feed), ``series:PATH`` (files of one's own), ``monthly``
(monthly means of either) or ``annual`` (the yearly mean of the table that joulegram carries).
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np

from joulegram.curves.series import HOUR_S, Series
from joulegram.feeds import Unavailable, annual
from joulegram.feeds.annual import resolve
from joulegram.feeds.asking import PointsOf
from joulegram.feeds.series import read_series
from joulegram.notices import warn
from joulegram.records import Basis, IntensityPoint, Signal

REALTIME: Final = "realtime"
MONTHLY: Final = "monthly"
ANNUAL: Final = "annual"
SERIES = "series:"
ZONE = "{zone}"
_CODE = "[A-Za-z0-9-]+"
_KINDS = (".csv", ".parquet", ".pq")

Name = Literal["realtime", "series", "monthly", "annual"]


class Unanswerable(Exception):
    """A question that has no answer; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Measure:
    """An intensity that a run is laid over: one over time, or a mean without a time.

    Args:
        zone: whose it is.
        name: what it was asked for by.
        source: whose figures they are, in words.
        basis: which emissions it counts.
        signal: ``average`` or ``marginal``.
        series: over time; None for a mean.
        mean: a mean without a time; None for a series.
    """

    zone: str
    name: Name
    source: str
    basis: Basis
    signal: Signal
    series: Series | None = None
    mean: IntensityPoint | None = None


def no_feed(zone: str, start_s: float, end_s: float) -> Sequence[IntensityPoint]:
    """Knows nothing, and asks nobody."""
    raise Unavailable(f"no feed of {zone} is configured")


def measures(
    asked: Sequence[str],
    zones: Sequence[str],
    own_zone: str | None,
    period_s: tuple[float, float],
    points_of: PointsOf = no_feed,
    files_count: tuple[Basis, Signal] = ("unknown", "average"),
) -> list[Measure]:
    """The measures asked for, zone by zone.

    Args:
        asked: words for intensities.
        zones: whose; empty for those that files are there for, else the run's own.
        own_zone: the run's own.
        period_s: the time that a feed is asked about (s since 1970).
        points_of: asks a zone's feed.
        files_count: which emissions files of one's own count, and whether on average or marginally.

    Raises:
        Unanswerable: an intensity or a zone is not known.
        ConfigError: a file is no series.
        MissingExtra: a file is Parquet, and pyarrow is not installed.
    """
    paths = [word.removeprefix(SERIES) for word in asked if word.startswith(SERIES) and word != SERIES]
    words = [word for word in asked if not word.startswith(SERIES) or word == SERIES]
    for word in words:
        if word not in (REALTIME, MONTHLY, ANNUAL):
            raise Unanswerable(f"no intensity {word!r} is known: realtime, monthly, annual or series:PATH")
    zones = list(dict.fromkeys(resolve(zone) or zone for zone in zones))
    timed = _from_files(paths, zones, files_count) if paths else []
    zones = zones or list(dict.fromkeys(measure.zone for measure in timed)) or [_known(own_zone)]
    if REALTIME in words or (MONTHLY in words and not paths):
        timed += _from_feeds(zones, period_s, points_of)
    shown = [measure for measure in timed if measure.name != REALTIME or REALTIME in words]
    if MONTHLY in words:
        shown += [replace(measure, name=MONTHLY, series=monthly(_series(measure))) for measure in timed]
    if ANNUAL in words:
        shown += [mean for zone in zones for mean in _yearly(zone)]
    return sorted(shown, key=lambda measure: zones.index(measure.zone))


def monthly(series: Series) -> Series:
    """Means of a series' calendar months (UTC) over the hours that are known; months without any are left out."""
    if not len(series):
        return series
    first, last = (np.datetime64(int(s), "s").astype("datetime64[M]") for s in (series.starts_s[0], series.ends_s[-1]))
    edges_s = np.arange(first, last + 2).astype("datetime64[s]").astype(float)
    hours = round((edges_s[-1] - edges_s[0]) / HOUR_S)
    known = series.hourly(edges_s[0], hours)
    month = np.searchsorted(edges_s, edges_s[0] + HOUR_S * np.arange(hours), side="right") - 1
    is_known = np.isfinite(known)
    counts = np.bincount(month[is_known], minlength=len(edges_s) - 1)
    sums = np.bincount(month[is_known], known[is_known], minlength=len(edges_s) - 1)
    held = counts > 0
    return Series(edges_s[:-1][held], edges_s[1:][held], sums[held] / counts[held])


def _series(measure: Measure) -> Series:
    assert measure.series is not None
    return measure.series


def _known(zone: str | None) -> str:
    if zone is None:
        raise Unanswerable("the run's own zone is not known: which --zone? (joulegram zones TEXT finds one)")
    code = resolve(zone)
    if code is None:
        raise Unanswerable(f"no zone {zone!r} is known (joulegram zones TEXT finds one)")
    return code


def _yearly(zone: str) -> list[Measure]:
    points = annual.points(_known(zone))
    return [Measure(zone, ANNUAL, f"{p.source}; {p.note}", p.basis, p.signal, mean=p) for p in points]


def _from_feeds(zones: Sequence[str], period_s: tuple[float, float], points_of: PointsOf) -> list[Measure]:
    """What the zones' feeds know; a zone whose feed does not answer is left out, and told, if another's does."""
    found: list[Measure] = []
    silent: list[str] = []
    for zone in zones:
        try:
            found += _from_feed(zone, period_s, points_of)
        except Unanswerable as error:
            silent.append(str(error))
    if not found:
        raise Unanswerable("; ".join(silent))
    for why in silent:
        warn(f"joulegram: a zone is left out: {why}")
    return found


def _from_feed(zone: str, period_s: tuple[float, float], points_of: PointsOf) -> list[Measure]:
    """What a zone's feed knows, points of different kinds apart."""
    try:
        points = points_of(_known(zone), *period_s)
    except Unavailable as error:
        raise Unanswerable(f"{error}; annual and series:PATH ask nobody") from None
    kinds: dict[tuple[Basis, Signal], list[IntensityPoint]] = {}
    for point in points:
        if point.start_s is not None and point.accounting == "location":
            kinds.setdefault((point.basis, point.signal), []).append(point)
    if not kinds:
        raise Unanswerable(f"the feed of {zone} knows no hours of that time")
    return [
        Measure(zone, REALTIME, _sources(points), *kind, Series.of_points(points)) for kind, points in kinds.items()
    ]


def _sources(points: Sequence[IntensityPoint]) -> str:
    return " and ".join(dict.fromkeys(point.source for point in points))


# -- files of one's own -------------------------------------------------------------------------------------------


def _from_files(paths: Sequence[str], zones: Sequence[str], count: tuple[Basis, Signal]) -> list[Measure]:
    """A series of each zone asked for, or of each zone that there is a file of; several files of a zone are joined."""
    files: dict[str, list[Path]] = {}
    for path in paths:
        for zone, found in _files(path, zones):
            files.setdefault(zone, []).append(found)
    for zone in zones:
        if zone not in files:
            holds = f"; there are {', '.join(sorted(files))}" if files else ""
            raise Unanswerable(f"no file of {zone} is at {' or '.join(paths)}{holds}")
    return [
        Measure(zone, "series", ", ".join(path.name for path in files[zone]), *count, _joined(files[zone]))
        for zone in zones or sorted(files)
    ]


def _files(path: str, zones: Sequence[str]) -> list[tuple[str, Path]]:
    """The files at a path, each with the zone that it is of."""
    where = Path(path).expanduser()
    if where.is_dir():
        names, pattern = [str(name) for name in where.iterdir()], re.escape(str(where)) + f"/({_CODE})[^/]*"
    elif ZONE in path:
        names, pattern = glob.glob(str(where).replace(ZONE, "*")), _pattern(str(where))
    else:
        return [(_zone_of(where, zones), where)]
    matches = [re.fullmatch(pattern, name) for name in sorted(names) if name.lower().endswith(_KINDS)]
    found = [(_called(match[1], zones), Path(match[0])) for match in matches if match]
    if not found:
        raise Unanswerable(f"no file of a zone is at {path} (ZONE.csv or ZONE_….csv, columns time and g_co2e_per_kwh)")
    return found


def _pattern(path: str) -> str:
    """A path with the zone and stars in it, as an expression that finds the zone; the same one wherever it stands."""
    first, *others = re.escape(path).split(re.escape(ZONE))
    return r"\1".join([f"{first}({_CODE}){others[0]}", *others[1:]]).replace(re.escape("*"), "[^/]*")


def _called(code: str, zones: Sequence[str]) -> str:
    """A zone as it was asked for, whatever its case in a file's name."""
    return next((zone for zone in zones if zone.upper() == code.upper()), resolve(code) or code)


def _zone_of(path: Path, zones: Sequence[str]) -> str:
    """The zone of a single file: the one asked for, else what its name begins with."""
    if len(zones) > 1:
        raise Unanswerable(f"{path} is one zone's: a folder, or a name with {ZONE} in it, has several")
    return zones[0] if zones else _called(path.stem.partition("_")[0], ())


def _joined(paths: Sequence[Path]) -> Series:
    found = [read_series(path) for path in paths]
    if len(found) == 1:
        return found[0]
    starts, ends, values = (
        np.concatenate([getattr(series, name) for series in found]) for name in ("starts_s", "ends_s", "g_per_kwh")
    )
    return Series.of(starts, ends - starts, values)
