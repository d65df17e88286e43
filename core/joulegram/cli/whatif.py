"""``joulegram whatif``: what is asked, from the words of the command line."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, cast, get_args

from joulegram import config
from joulegram.analysis.measures import ANNUAL, Unanswerable
from joulegram.analysis.whatif import what_if
from joulegram.cli.patience import patient
from joulegram.feeds.asking import PointsOf, from_feeds
from joulegram.feeds.series import SeriesFeed
from joulegram.options import Options
from joulegram.records import Basis, Signal
from joulegram.session.recorded import RecordedRun
from joulegram.units import utc_s

NOW = "now"
_FILES_COUNT = (("basis", Basis, "unknown"), ("signal", Signal, "average"))


def answer(
    run: RecordedRun,
    zones: Sequence[str],
    starts: Sequence[str],
    intensity: Sequence[str],
    *,
    points_of: PointsOf | None = None,
    now_s: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """The result as plain data.

    Args:
        run: the run.
        zones: whose intensity.
        starts: ISO 8601, UTC where they name no offset, or ``now``.
        intensity: words; the yearly mean for none.
        points_of: asks a zone's feed; as configured by default.
        now_s: wall clock (s since 1970).

    Raises:
        Unanswerable: the question has no answer.
        ConfigError: a file is no series, or an option of such files is wrong.
        MissingExtra: a file is Parquet, and pyarrow is not installed.
    """
    settings = config.load()
    given = Options("feed", SeriesFeed.name, settings.feeds, (*SeriesFeed.known, "base_url"))
    basis, signal = (given.choice(name, get_args(kind), default) for name, kind, default in _FILES_COUNT)
    return what_if(
        run,
        intensity=intensity or (ANNUAL,),
        zones=zones,
        starts_s=[_start_s(start, now_s) for start in starts],
        points_of=points_of or from_feeds(settings, now_s, patient()),
        files_count=(cast(Basis, basis), cast(Signal, signal)),
        now_s=now_s,
    )


def _start_s(text: str, now_s: Callable[[], float]) -> float:
    if text == NOW:
        return now_s()
    try:
        return utc_s(text)
    except ValueError:
        raise Unanswerable(f"--start {text!r} is no time (2026-06-24T10:00Z is one, or now)") from None
