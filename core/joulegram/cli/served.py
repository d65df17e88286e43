"""``joulegram serve-report``: which runs that served are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from joulegram.analysis.served import NothingServed, serve_report
from joulegram.session.recorded import OpenLedger, RecordedRun

STAGE = "serve"


def answer(ledger: OpenLedger, run_ids: Sequence[str], project: str | None) -> dict[str, Any]:
    """The result as plain data.

    Args:
        ledger: where the runs are.
        run_ids: ids, or beginnings of ids; the latest run that served for none.
        project: all runs of it that served instead.

    Raises:
        NothingServed: there is none, or one that was named served nothing.
        UnknownRun: there is no such run.
    """
    return serve_report([run.document() for run in _chosen(ledger, run_ids, project)])


def _chosen(ledger: OpenLedger, run_ids: Sequence[str], project: str | None) -> list[RecordedRun]:
    if run_ids:
        return [ledger.run(run_id) for run_id in dict.fromkeys(run_ids)]
    found = list(islice(ledger.runs(project=project, stage=STAGE), None if project else 1))
    if not found:
        of = f" of project {project}" if project else ""
        raise NothingServed(f"no run{of} has served yet in {ledger.path}: joulegram.serve(…) records one")
    return found
