"""``joulegram when`` and ``joulegram wait``: what is asked, and the waiting."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from joulegram import config
from joulegram.analysis.advice import advice
from joulegram.analysis.expected import in_zone
from joulegram.analysis.pausing import Pauses
from joulegram.cli.patience import patient
from joulegram.feeds.asking import PointsOf, from_feeds
from joulegram.report.words import show_moment
from joulegram.units import show_duration

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
    settings, present_s = config.load({"intensity": intensity}), now_s()
    points_of = points_of or from_feeds(settings, now_s, patient())
    plans = [
        in_zone(points_of, zone, present_s, job.duration_s, job.within_s, job.pauses)
        for zone in dict.fromkeys(zones or [settings.zone or ""])
    ]
    return advice(plans, show_moment)


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
