"""``joulegram lifecycle``: a project's runs from the ledger, opened only where a listing does not tell enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from joulegram.analysis.entries import NOT_COUNTED, Entry, Served
from joulegram.analysis.lifecycle import common_basis, lifecycle
from joulegram.ledger.ledger import UnknownRun
from joulegram.quantities import Quantity
from joulegram.session.recorded import OpenLedger, RecordedRun

MOST_OPENED = 200
"""Runs that are read whole for what their listing does not hold: those that used most."""


def answer(ledger: OpenLedger, project: str, model: str | None, final: str | None) -> dict[str, Any]:
    """The life cycle as plain data.

    Args:
        ledger: where the runs are.
        project: whose.
        model: of the project; all of it where None.
        final: id, or its beginning, of the run that is the final training; found by rule where None.

    Raises:
        NoLife: there is nothing to add up.
        UnknownRun: there is no such final run.
    """
    final_id = None if final is None else ledger.run(final).id
    return lifecycle(entries(ledger, project), project=project, model=model, final=final_id)


def entries(ledger: OpenLedger, project: str) -> list[Entry]:
    """A project's runs, the oldest first, their carbon on one basis as far as they are priced on it."""
    listed = [
        Entry.of(summary.run, summary.footprint)
        for summary in reversed(ledger.summaries())
        if summary.run.get("project") == project and summary.run["status"] != "unreadable"
    ]
    served = _opened(ledger, listed, lambda entry: entry.run.get("stage") == "serve", _with_served)
    told = _opened(ledger, served, lambda entry: entry.basis is None, _with_basis)
    basis = common_basis(told)
    alike = _opened(ledger, told, lambda entry: entry.basis != basis, lambda entry, run: _priced(entry, run, basis))
    most = {entry.id for entry in sorted(alike, key=lambda entry: -entry.energy_j)[:MOST_OPENED]}
    return _opened(ledger, alike, lambda entry: entry.id in most, _with_embodied)


def _opened(
    ledger: OpenLedger,
    listed: Iterable[Entry],
    needs: Callable[[Entry], bool],
    add: Callable[[Entry, RecordedRun], Entry],
) -> list[Entry]:
    """The same entries, those that need it with what is only in the whole run."""

    def whole(entry: Entry) -> Entry:
        try:
            return add(entry, ledger.run(entry.id))
        except UnknownRun:  # removed meanwhile; its listing is what is left of it
            return entry

    return [whole(entry) if needs(entry) else entry for entry in listed]


def _with_basis(entry: Entry, run: RecordedRun) -> Entry:
    return replace(entry, basis=run.book.basis)


def _priced(entry: Entry, run: RecordedRun, basis: str | None) -> Entry:
    """Its carbon on the basis of the others, where its prices hold one of that; unchanged where not."""
    for figure in run.footprint().carbon:
        kind = figure.signal, figure.accounting, figure.basis
        if kind == ("average", "location", basis) and figure.carbon_g.value is not None and not figure.carbon_g.missing:
            served = entry.served and replace(entry.served, requests_g=None)  # which is on the other basis
            figures = {**entry.figures, "carbon_g": figure.carbon_g}
            return replace(entry, basis=basis, figures=figures, served=served)
    return entry


def _with_embodied(entry: Entry, run: RecordedRun) -> Entry:
    figure = run.footprint().to_json().get("embodied_g")
    embodied_g = Quantity.from_json(figure) if figure else NOT_COUNTED
    return replace(entry, figures={**entry.figures, "embodied_g": embodied_g})


def _with_served(entry: Entry, run: RecordedRun) -> Entry:
    served = run.document().get("served")
    if served is None:
        return entry
    total = served["total"]
    charged_j, charged_g = total["energy_j"]["value"], total["carbon_g"]["value"]
    return replace(entry, served=Served(total["requests"], charged_j or 0.0, charged_g))
