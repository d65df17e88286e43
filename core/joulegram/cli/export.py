"""``joulegram export``: which runs, in which format, where to."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from joulegram.exporters import CannotExport, Document, export
from joulegram.session.recorded import OpenLedger, RecordedRun


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked.

    Args:
        runs: ids, or beginnings of ids; the latest run for none.
        project: all runs of it instead.
        stage: only those of it.
        format: the exporter's name.
        given: what the format wants to know beyond the runs.
    """

    runs: Sequence[str]
    project: str | None
    stage: str | None
    format: str
    given: Mapping[str, str]


def answer(ledger: OpenLedger, wish: Wish) -> str:
    """The text.

    Raises:
        CannotExport: there are no such runs, or the format cannot tell them.
        UnknownRun: the ledger holds no such run.
    """
    documents = [document(run) for run in _chosen(ledger, wish)]
    for open_run in (d["run"] for d in documents if d["run"]["status"] == "running"):
        print(f"joulegram: run {open_run['id']} is still running: its figures are so far", file=sys.stderr)
    return export(wish.format, documents, wish.given)


def document(run: RecordedRun) -> Document:
    """A run's document, with what a server did for its joules."""
    return run.document()


def write(text: str, where: str | None) -> None:
    """To a file, or to standard output.

    Raises:
        OSError: the file cannot be written.
    """
    if where is None:
        sys.stdout.write(text)
    else:
        Path(where).write_text(text, encoding="utf-8", newline="")
        print(where)


def given(texts: Sequence[str]) -> dict[str, str]:
    """``name=value``, each.

    Raises:
        CannotExport: one has no name or no equals sign, or comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise CannotExport(f"--set takes NAME=VALUE, not {text!r}")
        if name in found:
            raise CannotExport(f"--set {name} was given twice")
        found[name] = value
    return found


def _chosen(ledger: OpenLedger, wish: Wish) -> list[RecordedRun]:
    if wish.project is None:
        if wish.stage is not None:
            raise CannotExport("--stage chooses among the runs of a --project")
        named = {run.id: run for run in map(ledger.run, wish.runs)}
        return sorted(named.values(), key=lambda run: run.started_s) or [ledger.latest()]
    if wish.runs:
        raise CannotExport("name runs or a --project, not both")
    runs = list(ledger.runs(project=wish.project, stage=wish.stage))
    if not runs:
        of_stage = f" of stage {wish.stage!r}" if wish.stage else ""
        raise CannotExport(f"project {wish.project!r} has no run{of_stage} (joulegram runs lists them)")
    return runs[::-1]
