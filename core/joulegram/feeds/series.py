"""A series of your own (``series:PATH``): a CSV or Parquet file with the columns ``time`` and ``g_co2e_per_kwh``.

It is asked for no network. Figures count as measured and settled: they are what you say they are.
"""

from __future__ import annotations

import csv
import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from joulegram.config import ConfigError
from joulegram.curves.series import Series
from joulegram.extras import MissingExtra
from joulegram.feeds import LEAST_G_PER_KWH, MOST_G_PER_KWH, Feed, Reach, Unavailable, newest, number
from joulegram.records import Basis, IntensityPoint, Signal
from joulegram.units import utc_s

TIME, INTENSITY = "time", "g_co2e_per_kwh"
LEAST_S, MOST_S = 1e8, 1e11
"""What a number may be as seconds since 1970: neither a year or a date without dashes, nor milliseconds."""
RECENT_S = 7200.0
"""For how long a file's last row is taken for what it is now."""


class SeriesFeed(Feed):
    """The intensities in a file.

    Options: ``path``, which is what stands after the colon, from the working directory on; ``basis`` (``lifecycle`` or
    ``direct``; ``unknown`` if it is not given), ``signal`` (``average`` or ``marginal``), and ``zone``, where the file
    is of another zone than the one that is asked for.

    Raises:
        ConfigError: the file cannot be read, or not as a series.
    """

    name = "series"
    title = "series, as given"
    argument = "path"
    known = ("path", "basis", "signal", "zone")
    reach = Reach(spacing_s=0.0)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.basis = cast(Basis, self.options.choice("basis", get_args(Basis), "unknown"))
        self.signal = cast(Signal, self.options.choice("signal", get_args(Signal), "average"))
        self._zone = self.options.text("zone")
        self._path = Path(self.options.text("path")).expanduser()
        self._series = self._read() if self.ready else None

    @property
    def ready(self) -> bool:
        """Whether there is a file."""
        return bool(self.options.text("path"))

    def serves(self, zone: str) -> bool:
        """Any zone."""
        return True

    def latest(self, zone: str) -> IntensityPoint:
        """The row that holds now, or the last one before, if that ended within two hours."""
        now_s = self.now_s()
        points = self._between(zone, now_s - RECENT_S, now_s + 1)
        return newest([p for p in points if (p.start_s or 0.0) <= now_s], str(self._path))

    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """The rows of that time."""
        return self._between(zone, start_s, end_s)

    def forecast(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """The rows of that time, too."""
        return self._between(zone, start_s, end_s)

    def _read(self) -> Series:
        try:
            return read_series(self._path)
        except MissingExtra as error:
            raise ConfigError(str(error)) from None

    def _between(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        if self._series is None:
            raise Unavailable("no file is given (series:PATH names one)")
        series = self._series
        first = np.searchsorted(series.ends_s, start_s, "right")
        last = np.searchsorted(series.starts_s, end_s, "left")
        stretches = zip(
            *(column[first:last].tolist() for column in (series.starts_s, series.ends_s, series.g_per_kwh)), strict=True
        )
        points = (self.point(self._zone or zone, start, end - start, g, "measured") for start, end, g in stretches)
        return [replace(p, source=f"{self._path.name}, as given", settled=True) for p in points if p is not None]


def read_series(path: Path) -> Series:
    """A file's intensities; a row holds until the next one, but no longer than rows mostly do.

    Args:
        path: times are ISO 8601, UTC where they name no offset, or seconds since 1970; rows may come in any order, the
            last of those with one time counts, and one without a value, or with ``nan``, is a gap.

    Raises:
        ConfigError: it is no such file; the message names the row.
        MissingExtra: it is Parquet, and pyarrow is not installed.
    """
    rows = _parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _csv(path)
    times: list[float] = []
    values: list[float] = []
    for line, (time, value) in enumerate(rows, 2):
        times.append(_time_s(time, path, line))
        values.append(_intensity(value, path, line))
    if not times:
        raise ConfigError(f"{path} has no rows")
    starts = np.unique(times)
    step_s = float(np.median(np.diff(starts))) if len(starts) > 1 else 3600.0
    series = Series.of(times, step_s, values)
    known = ~np.isnan(series.g_per_kwh)
    if not known.any():
        raise ConfigError(f"{path} has no row with a value")
    return Series(series.starts_s[known], series.ends_s[known], series.g_per_kwh[known])


def _csv(path: Path) -> Iterable[Sequence[Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines)
            _check(path, table.fieldnames or ())
            for row in table:
                yield row[TIME], row[INTENSITY]
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise ConfigError(f"{path} is not CSV in UTF-8") from None


def _parquet(path: Path) -> Iterable[Sequence[Any]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ImportError:
        raise MissingExtra('reading Parquet needs pyarrow: pip install "joulegram[parquet]"') from None
    try:
        table = read_table(path)
    except FileNotFoundError:  # pyarrow's has no `strerror`
        raise ConfigError(f"{path}: {os.strerror(errno.ENOENT)}") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or 'it cannot be read as Parquet'}") from None
    except ArrowException:
        raise ConfigError(f"{path} cannot be read as Parquet") from None
    _check(path, table.column_names)
    return zip(table[TIME].to_pylist(), table[INTENSITY].to_pylist(), strict=True)


def _check(path: Path, columns: Sequence[str]) -> None:
    absent = [name for name in (TIME, INTENSITY) if name not in columns]
    if absent:
        raise ConfigError(f"{path} has no column {' and no column '.join(absent)} (it needs {TIME} and {INTENSITY})")


def _time_s(value: Any, path: Path, line: int) -> float:
    found = number(value)
    if found is not None:
        if LEAST_S <= found <= MOST_S:
            return found
        raise ConfigError(f"{path}, row {line}: {str(value)[:40]!r} is no time in seconds since 1970")
    try:
        return utc_s(str(value))
    except ValueError:
        raise ConfigError(f"{path}, row {line}: {str(value)[:40]!r} is no time (2026-06-24T10:00:00Z is one)") from None


def _intensity(value: Any, path: Path, line: int) -> float:
    """gCO2e/kWh; NaN where there is none."""
    if value is None or str(value).strip().lower() in ("", "nan"):
        return float("nan")
    found = number(value)
    if found is None or not LEAST_G_PER_KWH <= found <= MOST_G_PER_KWH:
        raise ConfigError(
            f"{path}, row {line}: {str(value)[:40]!r} is no intensity of a grid in gCO2e/kWh (0 to {MOST_G_PER_KWH:g})"
        )
    return found
