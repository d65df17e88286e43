"""``joulegram compare``: which runs, what they are priced at together, and who renders the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from joulegram.analysis.compare import compare
from joulegram.analysis.points import By
from joulegram.analysis.quality import Better, CannotCompare
from joulegram.feeds.annual import WORLD, resolve
from joulegram.records import Basis
from joulegram.session.recorded import OpenLedger, RecordedRun

MOST_REPEATS = 50
"""Further runs of a project that are read to learn its noise."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Args:
        runs: ids, or beginnings of ids.
        project: all finished runs of it instead.
        stage: of the project's runs.
        by: ``run`` or ``epoch``.
        zone: whose mean intensity is the equal one.
        metric: the quality to hold costs against.
        better: which of it is better.
    """

    runs: Sequence[str]
    project: str | None
    stage: str
    by: By
    zone: str | None
    metric: str | None
    better: Better | None


def answer(ledger: OpenLedger, question: Question) -> dict[str, Any]:
    """The comparison as plain data.

    Raises:
        CannotCompare: the question leaves nothing to compare.
        UnknownRun: the ledger holds no such run.
        MissingExtra: SciPy is not installed.
    """
    runs = _of_project(ledger, question) if question.project is not None else _named(ledger, question.runs)
    zone = _common_zone(runs) if question.zone is None else _known_zone(question.zone)
    equal = [run.priced(zone=zone, basis=_common_basis(runs), reason="at equal intensity") for run in runs]
    return compare(
        [run.document() for run in runs],
        [run.document() for run in equal],
        by=question.by,
        metric=question.metric,
        better=question.better,
        repeats=[run.document() for run in _repeats(ledger, runs)],
    )


def _named(ledger: OpenLedger, ids: Sequence[str]) -> list[RecordedRun]:
    if not ids:
        raise CannotCompare("name two runs, or a --project (joulegram runs lists them)")
    return list({run.id: run for run in map(ledger.run, ids)}.values())


def _of_project(ledger: OpenLedger, question: Question) -> list[RecordedRun]:
    if question.runs:
        raise CannotCompare("name runs or a --project, not both")
    finished = list(ledger.runs(project=question.project, status="finished"))
    if not finished:
        raise CannotCompare(f"no run of project {question.project!r} has finished (joulegram runs lists them)")
    runs = [run for run in finished if run.stage == question.stage]
    if not runs:
        has = ", ".join(sorted({run.stage for run in finished}))
        raise CannotCompare(f"project {question.project!r} has no {question.stage} run; --stage takes {has}")
    return runs[::-1]  # the oldest is A, whatever is added later


def _known_zone(zone: str) -> str:
    if resolve(zone) is None:
        raise CannotCompare(f"no zone {zone!r} is known (joulegram zones TEXT finds one)")
    return zone


def _common_zone(runs: Sequence[RecordedRun]) -> str:
    zones = {run.zone for run in runs}
    return zones.pop() or WORLD if len(zones) == 1 else WORLD


def _common_basis(runs: Sequence[RecordedRun]) -> Basis:
    bases = {run.book.basis for run in runs}
    return bases.pop() if len(bases) == 1 else "lifecycle"


def _repeats(ledger: OpenLedger, runs: Sequence[RecordedRun]) -> list[RecordedRun]:
    """Other finished runs of the same project and name: where their set-up is the same too, they tell the noise."""
    known, wanted = {run.id for run in runs}, {(run.project, run.name) for run in runs if run.project}
    ids = [
        str(summary.run["id"])
        for summary in (ledger.summaries() if wanted else ())
        if summary.run["id"] not in known
        and summary.run["status"] == "finished"
        and (summary.run.get("project"), summary.run["name"]) in wanted
    ]
    return [ledger.run(run_id) for run_id in ids[:MOST_REPEATS]]
