"""``joulegram export``: which runs, in which format, where to."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from joulegram.exporters import CannotExport, export, formats
from joulegram.session.recorded import OpenLedger, RecordedRun


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked.

    Args:
        runs: ids, or beginnings of ids; the latest run for none.
        project: all runs of it instead.
        stage: only those of it.
        format: the exporter's name; None for none.
        given: what the format wants to know beyond the runs.
    """

    runs: Sequence[str]
    project: str | None
    stage: str | None
    format: str | None
    given: Mapping[str, str]


def answer(ledger: OpenLedger, wish: Wish) -> str:
    """The text.

    Raises:
        CannotExport: there are no such runs, or the format cannot tell them.
        UnknownRun: the ledger holds no such run.
    """
    if wish.format is None:
        raise CannotExport(f"which --format? There are {', '.join(formats()) or 'none'}")
    documents = [run.document() for run in _chosen(ledger, wish)]
    for run in (document["run"] for document in documents):
        if run["status"] == "running":
            _say(f"run {run['id']} is still running: its figures are so far")
    return export(wish.format, documents, wish.given)


def _say(what: str) -> None:
    """Beside the text, which may go to a file or another program."""
    print(f"joulegram: {what}", file=sys.stderr)


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
    listed = [summary.run for summary in ledger.summaries()]
    unreadable = sum(run["status"] == "unreadable" for run in listed)
    if unreadable:
        _say(f"{unreadable} of the ledger's runs cannot be read and may be of this project (joulegram runs lists them)")
    wanted = {"project": wish.project} | ({"stage": wish.stage} if wish.stage else {})
    chosen = [str(run["id"]) for run in listed if all(run.get(name) == value for name, value in wanted.items())]
    if not chosen:
        of_stage = f" of stage {wish.stage!r}" if wish.stage else ""
        raise CannotExport(f"project {wish.project!r} has no run{of_stage} (joulegram runs lists them)")
    return [ledger.run(run_id) for run_id in reversed(chosen)]
