"""``joulegram rebound``: which windows are meant."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any

from joulegram.analysis.developing import developed
from joulegram.analysis.entries import Entry
from joulegram.analysis.rebound import NoRebound, rebound
from joulegram.analysis.windows import window
from joulegram.cli.routes import document_of
from joulegram.ledger.ledger import UnknownRun
from joulegram.session.recorded import OpenLedger
from joulegram.units import utc_s

SERVES = "serve"


@dataclass(frozen=True, slots=True)
class Windows:
    """Which stretches of time of which runs.

    Args:
        runs: two that served, before and after; or one, which `at` parts.
        project: all of its runs that served instead, which `at` parts; its development as well.
        at: when it changed, ISO 8601; needed where there are no two runs.
        since: where the window before begins.
        until: where the one after ends.
        route: of the servers; all of them for None.
    """

    runs: Sequence[str]
    project: str | None = None
    at: str | None = None
    since: str | None = None
    until: str | None = None
    route: str | None = None


def answer(
    ledger: OpenLedger,
    asked: Windows,
    per: str,
    exogenous: float | None,
    *,
    now_s: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """The result as plain data.

    Args:
        ledger: where the runs are.
        asked: the windows.
        per: what is counted.
        exogenous: growth that would have come anyway; None for not known.
        now_s: the wall clock.

    Raises:
        NoRebound: the question has no answer.
        UnknownRun: there is no such run.
    """
    since_s, at_s, until_s = (_moment(name, getattr(asked, name)) for name in ("since", "at", "until"))
    if since_s is not None and until_s is not None and since_s >= until_s:
        raise NoRebound("--until lies before --since")
    edges_s = -inf if since_s is None else since_s, inf if until_s is None else until_s
    development = None
    if asked.project is None and len(asked.runs) == 2 and at_s is None:
        if ledger.run(asked.runs[0]).id == ledger.run(asked.runs[1]).id:
            raise NoRebound("both runs are the same one: --at parts one run")
        before, after = (window([_served(ledger, run, asked.route)], per, *edges_s) for run in asked.runs)
    else:
        at_s = _parting(asked, at_s, edges_s)
        documents = _documents(ledger, asked)
        before, after = window(documents, per, edges_s[0], at_s), window(documents, per, at_s, edges_s[1])
        if asked.project is not None:
            development = developed(_entries(ledger, asked.project), at_s, *edges_s, now_s=now_s())
    return rebound(before, after, unit=per, exogenous=exogenous, development=development)


def _moment(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return utc_s(text)
    except ValueError:
        raise NoRebound(f"--{name} {text!r} is no time (2026-06-24T10:00Z is one)") from None


def _parting(asked: Windows, at_s: float | None, edges_s: tuple[float, float]) -> float:
    if asked.runs and asked.project is not None:
        raise NoRebound("name runs, or say --project, not both")
    if not asked.runs and asked.project is None:
        raise NoRebound("name two runs that served, one and --at TIME, or --project P and --at TIME")
    if len(asked.runs) > 2 or (len(asked.runs) == 2 and at_s is not None):
        raise NoRebound("two runs are two windows; --at parts one run, or a project's")
    if at_s is None:
        raise NoRebound("when did it change? --at 2026-06-24T10:00Z parts the windows")
    if not edges_s[0] < at_s < edges_s[1]:
        raise NoRebound("--at lies outside of --since and --until")
    return at_s


def _documents(ledger: OpenLedger, asked: Windows) -> list[Mapping[str, Any]]:
    if asked.project is None:
        return [_served(ledger, run, asked.route) for run in asked.runs]
    found = []
    for run in ledger.runs(project=asked.project, stage=SERVES):
        with suppress(UnknownRun):  # it served other routes
            found.append(document_of(run, asked.route))
    return [document for document in found if "served" in document]


def _served(ledger: OpenLedger, run_id: str, route: str | None) -> Mapping[str, Any]:
    run = ledger.run(run_id)
    document = document_of(run, route)
    if "served" not in document:
        raise NoRebound(f"{run.name} ({run.id}) has told of no request: it is of stage {run.stage}")
    return document


def _entries(ledger: OpenLedger, project: str) -> list[Entry]:
    return [
        Entry.of(summary.run, summary.footprint)
        for summary in ledger.summaries()
        if summary.run.get("project") == project and summary.run["status"] != "unreadable"
    ]
