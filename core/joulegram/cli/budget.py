"""``joulegram budget``: which runs of a project are of the month, and what its budget is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from joulegram import config
from joulegram.amounts import energy_in_j, mass_in_g
from joulegram.analysis.budgets import Month, NoBudget, held_against
from joulegram.analysis.entries import Entry
from joulegram.ledger.ledger import UnknownRun
from joulegram.session.recorded import OpenLedger, RecordedRun

OVER, UNKNOWN = 1, 2
"""Exit codes."""


def answer(
    ledger: OpenLedger,
    project: str,
    carbon: str | None,
    energy: str | None,
    month: str | None,
    *,
    now_s: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """How the budget stands, as plain data.

    Args:
        ledger: where the runs are.
        project: whose.
        carbon: most carbon, such as ``50kg``.
        energy: most energy, such as ``100kWh``; where neither is given, both are as configured.
        month: ``2026-11``; this one for None.
        now_s: the wall clock.

    Raises:
        NoBudget: there is none, or an amount or the month is not understood.
        ConfigError: the configuration is not understood.
    """
    present_s = now_s()
    chosen = Month.at(present_s) if month is None else Month.of(month)
    limits = _limits(carbon, energy) or config.load().budgets.get(project, {})
    runs = [
        Entry.of(summary.run, summary.footprint)
        for summary in ledger.summaries()
        if summary.run.get("project") == project and summary.run["status"] != "unreadable"
    ]
    if not runs:
        raise NoBudget(f"project {project!r} has no run in {ledger.path} (joulegram runs lists them)")
    return held_against(list(_within(ledger, runs, chosen)), limits, project=project, month=chosen, now_s=present_s)


def exit_code(found: Mapping[str, Any], strict: bool) -> int:
    """0 within the budget, 1 over it, 2 where that cannot be told; strictly, 1 also near it and at risk."""
    if found["level"] == "unknown":
        return UNKNOWN
    return OVER if found["level"] == "over" or (strict and found["level"] != "within") else 0


def _limits(carbon: str | None, energy: str | None) -> dict[str, float]:
    given = (("carbon_g", carbon, mass_in_g), ("energy_j", energy, energy_in_j))
    try:
        limits = {name: read(text) for name, text, read in given if text is not None}
    except ValueError as error:
        raise NoBudget(str(error)) from None
    if not all(limits.values()):
        raise NoBudget("a budget is above zero")
    return limits


def _within(ledger: OpenLedger, entries: list[Entry], month: Month) -> Iterator[Entry]:
    """The runs of a month, those that began before it or end after it with their part of it."""
    for entry in entries:
        start_s, end_s = entry.start_s, entry.start_s + entry.duration_s
        if not (start_s < month.end_s and end_s >= month.start_s):
            continue
        if entry.basis is not None and month.start_s <= start_s and end_s <= month.end_s:
            yield entry
            continue
        with suppress(UnknownRun):  # removed meanwhile
            run = ledger.run(entry.id)
            yield replace(_part(run, entry, month), basis=run.book.basis)


def _part(run: RecordedRun, entry: Entry, month: Month) -> Entry:
    trace = run.pricer.trace
    start_ns, end_ns = trace.timeline.mono_ns([month.start_s, month.end_s]).tolist()
    footprint = run.pricer.footprint(max(start_ns, trace.start_ns), min(end_ns, trace.end_ns))
    return replace(entry, figures={**entry.figures, "energy_j": footprint.energy_j, "carbon_g": footprint.carbon_g})
