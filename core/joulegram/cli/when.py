"""``joulegram when`` and ``joulegram wait``: where intensities come from, and the waiting."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from joulegram import config
from joulegram.analysis.advice import advice
from joulegram.analysis.outlook import DAY_S, CannotPlan
from joulegram.analysis.pausing import Pauses
from joulegram.analysis.when import plan
from joulegram.feeds import FORECAST_HIGH, FORECAST_LOW
from joulegram.feeds.series import read_series
from joulegram.records import Basis, IntensityPoint
from joulegram.report.words import show_moment
from joulegram.units import show_duration

PointsOf = Callable[[str, float, float], Sequence[IntensityPoint]]
"""What is known and expected of a zone between two times (s since 1970)."""

SERIES = "series:"
LOOK_S = 1.0
"""How often waiting looks at the clock: a machine that slept, or a clock that was set, is noticed by then."""
SAY_S = 1800.0
"""How often waiting says so where its line cannot be rewritten."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run.

    Args:
        duration_s: how long it takes (s).
        within_s: the time (s) from now in which it has to be finished.
        pauses: what pausing it costs; None if it cannot be paused.
    """

    duration_s: float
    within_s: float
    pauses: Pauses | None = None


def answer(
    job: Job,
    zones: Sequence[str] | None,
    intensity: str | None,
    *,
    now_s: Callable[[], float] = time.time,
    points_of: PointsOf | None = None,
) -> dict[str, Any]:
    """When to run a job, as plain data.

    Args:
        job: what is to be run.
        zones: where it may run; as configured if None.
        intensity: where intensities come from; as configured if None.
        now_s: the wall clock.
        points_of: the same, as a function.

    Raises:
        CannotPlan: the job does not fit, or too little is known of a zone.
        ConfigError: the configuration, or a file of intensities, is not understood.
    """
    settings, present_s = config.load(), now_s()
    points_of = points_of or source(intensity or settings.intensity, settings.basis, present_s)
    end_s = present_s + max(job.within_s, DAY_S)
    plans = [
        plan(
            points_of(zone, present_s - DAY_S, end_s),
            present_s,
            job.duration_s,
            job.within_s,
            zone=zone,
            pauses=job.pauses,
        )
        for zone in dict.fromkeys(zones or [settings.zone or ""])
    ]
    return advice(plans, show_moment)


def source(intensity: str, basis: Basis, now_s: float) -> PointsOf:
    """Where intensities come from.

    Args:
        intensity: ``series:PATH``. Hours of the file that are yet to come are a forecast, with a forecast's bounds.
        basis: which emissions the user wants counted, and so is taken to have put into the file.
        now_s: the present (s since 1970).

    Raises:
        CannotPlan: it knows no single hours.
        ConfigError: the file is not understood.
    """
    if not intensity.startswith(SERIES):
        raise CannotPlan(
            f"intensity {intensity!r} has no hours to choose from: --intensity series:PATH takes a CSV or Parquet file "
            "with the columns time and g_co2e_per_kwh"
        )
    path = Path(intensity.removeprefix(SERIES)).expanduser()
    series = read_series(path)

    def point(zone: str, start_s: float, end_s: float, g_per_kwh: float) -> IntensityPoint:
        low, high = (1.0, 1.0) if start_s <= now_s else (FORECAST_LOW, FORECAST_HIGH)
        return IntensityPoint(
            g_per_kwh=g_per_kwh,
            low=low * g_per_kwh,
            high=high * g_per_kwh,
            zone=zone or path.stem,
            source=path.name,
            kind="measured" if start_s <= now_s else "forecast",
            basis=basis,
            start_s=start_s,
            length_s=end_s - start_s,
        )

    def points_of(zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        inside = (series.ends_s > start_s) & (series.starts_s < end_s)
        rows = zip(series.starts_s[inside], series.ends_s[inside], series.g_per_kwh[inside], strict=True)
        return [point(zone, *map(float, row)) for row in rows]

    return points_of


def wait_until(
    start_s: float,
    *,
    now_s: Callable[[], float] = time.time,
    sleep: Callable[[float], object] = time.sleep,
    stream: TextIO | None = None,
) -> int:
    """Sleeps until a time and says how long it will be, on a terminal in a line that is rewritten.

    Args:
        start_s: the time (s since 1970).
        now_s: the wall clock.
        sleep: passes seconds.
        stream: where to say it; standard error unless given.

    Returns:
        0, or 130 after Ctrl-C.
    """
    stream = stream or sys.stderr
    rewrites = stream.isatty()
    begun_s = say_s = now_s()
    left_s = start_s - begun_s
    try:
        while left_s > 0:
            if rewrites or start_s - left_s >= say_s:
                line = f"waiting for {show_moment(start_s)}: {show_duration(left_s)} to go"
                stream.write(f"\r{line:<60}" if rewrites else f"{line}\n")
                stream.flush()
                say_s = start_s - left_s + SAY_S
            sleep(min(left_s, LOOK_S))
            left_s = start_s - now_s()
    except KeyboardInterrupt:
        stream.write(f"{_break(rewrites)}joulegram: no longer waiting, {show_duration(left_s)} before the start\n")
        return 130
    if start_s > begun_s:
        stream.write(f"{_break(rewrites)}it is time\n")
    return 0


def _break(rewrites: bool) -> str:
    return "\n" if rewrites else ""
