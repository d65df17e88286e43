"""``joulegram levers``: a project's runs, opened as far as needed, and the hours of the grid that are known of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from joulegram import config
from joulegram.analysis.entries import Entry
from joulegram.analysis.levers import Opened, levers
from joulegram.analysis.lifecycle import sort_out
from joulegram.analysis.measures import measures
from joulegram.analysis.moving import Grid, Movable, gain, known_hours
from joulegram.analysis.whatif import YEAR_S
from joulegram.cli.lifecycle import MOST_OPENED, entries
from joulegram.cli.patience import patient
from joulegram.curves.series import Series
from joulegram.feeds.annual import WORLD
from joulegram.feeds.asking import PointsOf, from_feeds
from joulegram.ledger.ledger import UnknownRun
from joulegram.session.recorded import OpenLedger, RecordedRun

PHASE = "data"
"""The phase in which a loop waits for its next batch."""


def answer(
    ledger: OpenLedger,
    project: str,
    model: str | None,
    final: str | None,
    intensity: Sequence[str] = (),
    *,
    points_of: PointsOf | None = None,
    now_s: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """The table as plain data.

    Args:
        ledger: where the runs are.
        project: whose.
        model: of the project; all of it where None.
        final: the final training; found by rule where None.
        intensity: words for the hours to choose starts from; those that the runs were priced with for none.
        points_of: asks a zone's feed; as configured by default.
        now_s: wall clock (s since 1970).

    Raises:
        NoLife: there is nothing to look at.
        Unanswerable: the intensity is not known.
        UnknownRun: there is no such final run.
        ConfigError: a file is no series.
        MissingExtra: a file is Parquet, and pyarrow is not installed.
    """
    final_id = None if final is None else ledger.run(final).id
    life = sort_out(entries(ledger, project), project=project, model=model, final=final_id)
    runs = _whole(ledger, life.entries)
    opened = {run_id: _opened(run) for run_id, run in runs.items()}
    grids = {one.movable.grid for one in opened.values()}
    if intensity:
        hours = _asked(intensity, grids, points_of or from_feeds(config.load(), now_s, patient()), now_s())
    else:
        hours = known_hours((opened[i].movable.grid, point) for i, run in runs.items() for point in run.book.intensity)
    return levers(life, opened, lambda moved: gain(moved, hours), project=project, model=model)


def _whole(ledger: OpenLedger, listed: Sequence[Entry]) -> dict[str, RecordedRun]:
    """The runs that used most, by id; what serves has no loop that waits, and cannot be moved."""
    worked = [entry for entry in listed if entry.run.get("stage") not in ("serve", "idle") and entry.energy_j]
    found = {}
    for entry in sorted(worked, key=lambda entry: -entry.energy_j)[:MOST_OPENED]:
        try:
            found[entry.id] = ledger.run(entry.id)
        except UnknownRun:  # removed meanwhile
            continue
    return found


def _opened(run: RecordedRun) -> Opened:
    footprint = run.footprint()
    phase = footprint.phases.get(PHASE)
    movable = Movable(run.load, run.started_s, (run.zone or WORLD, run.book.basis))
    if phase is None:
        return Opened(None, 0.0, None, movable)
    return Opened(phase.duration_s, phase.energy_j.value or 0.0, phase.carbon_g.value, movable)


def _asked(words: Sequence[str], grids: set[Grid], points_of: PointsOf, now_s: float) -> Mapping[Grid, Series]:
    """Hours of each grid, by the first of the words that has any for it."""
    found: dict[Grid, Series] = {}
    for zone, basis in sorted(grids):
        for measure in measures(words, (zone,), zone, (now_s - YEAR_S, now_s), points_of, ("unknown", "average")):
            if measure.series is not None and measure.signal == "average" and measure.basis in (basis, "unknown"):
                found.setdefault((zone, basis), measure.series)
    return found
