"""A series of a user's own: a CSV or Parquet file with the columns ``time`` and ``g_co2e_per_kwh``."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from joulegram.config import ConfigError
from joulegram.curves.series import Series
from joulegram.extras import MissingExtra
from joulegram.feeds import LEAST_G_PER_KWH, MOST_G_PER_KWH, number

TIME, INTENSITY = "time", "g_co2e_per_kwh"


def read_series(path: Path) -> Series:
    """A file's intensities; a row holds until the next one, but no longer than rows mostly do.

    Args:
        path: times are ISO 8601, UTC where they name no offset, or seconds since 1970; rows may come in any order, the
            last of those with one time counts, and one without a value is a gap.

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
        return found
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise ConfigError(f"{path}, row {line}: {str(value)[:40]!r} is no time (2026-06-24T10:00:00Z is one)") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _intensity(value: Any, path: Path, line: int) -> float:
    """gCO2e/kWh; NaN where there is none."""
    if value is None or value == "":
        return float("nan")
    found = number(value)
    if found is None or not LEAST_G_PER_KWH <= found <= MOST_G_PER_KWH:
        raise ConfigError(
            f"{path}, row {line}: {str(value)[:40]!r} is no intensity of a grid in gCO2e/kWh (0 to {MOST_G_PER_KWH:g})"
        )
    return found
