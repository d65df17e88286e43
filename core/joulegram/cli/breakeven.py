"""``joulegram breakeven``: which runs and amounts are meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from joulegram.amounts import amount
from joulegram.analysis.breakeven import NoBreakEven, break_even
from joulegram.cli.routes import document_of
from joulegram.ledger.ledger import UnknownRun
from joulegram.session.recorded import OpenLedger


def answer(
    ledger: OpenLedger,
    before: str,
    after: str,
    development: Sequence[str],
    *,
    route: str | None = None,
    per_day: float | None = None,
    retrain_every_s: float | None = None,
    g_per_kwh: float | None = None,
) -> dict[str, Any]:
    """The result as plain data.

    Args:
        ledger: where the runs are.
        before: a run's id, the beginning of one, each with a route of it (``ID/route``), or an amount.
        after: the same.
        development: the same, one or more.
        route: of the runs that served, where they name none themselves; all of them for None.
        per_day: requests a day.
        retrain_every_s: how often the development is done again (s).
        g_per_kwh: prices amounts of energy (g/kWh).

    Raises:
        NoBreakEven: the question has no answer.
    """
    return break_even(
        _given(ledger, before, route),
        _given(ledger, after, route),
        [_given(ledger, text) for text in development],
        per_day=per_day,
        retrain_every_s=retrain_every_s,
        g_per_kwh=g_per_kwh,
    )


def _given(ledger: OpenLedger, text: str, route: str | None = None) -> dict[str, Any] | str:
    """A run's document; or the text, where it is an amount."""
    try:
        amount(text)
    except ValueError as no_amount:
        run_id, slash, named = text.partition("/")
        try:
            run = ledger.run(run_id)
        except UnknownRun as no_run:
            looks_like_one = text[:1].isdecimal() and text[-1:].isalpha() and " " not in text.strip()
            raise NoBreakEven(f"{no_run}; {no_amount}" if looks_like_one or " " in text else str(no_run)) from None
        return document_of(run, slash + named or route)
    return text
