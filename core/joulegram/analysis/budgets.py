"""What a project has spent of a month's budget, and what it comes to at the rate so far.

A budget is on the total: what each run costs may fall while all of them together cost more. What a live run may spend
is another matter (`joulegram.Budget`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from joulegram.analysis.budget_sentences import sentences
from joulegram.analysis.entries import Entry, alone, summed
from joulegram.analysis.lifecycle import common_basis, on_basis
from joulegram.quantities import Quantity

SCHEMA_VERSION = 1
NEAR = 0.8
"""Part of a budget from which on it is told that little is left."""
LEAST_S = 86_400.0
"""Time from which on a rate is told."""
LEVELS = ("within", "near", "at risk", "over", "unknown")
"""From the best to the worst: little is left from `NEAR` on; at risk where the rate so far leads above it."""

Level = Literal["within", "near", "at risk", "over", "unknown"]
Json = dict[str, Any]


class NoBudget(ValueError):
    """There is no budget to hold against; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Month:
    """A month, by UTC.

    Args:
        name: ``2026-11``.
        start_s: when it begins (s since 1970).
        end_s: when the next one does.
    """

    name: str
    start_s: float
    end_s: float

    @classmethod
    def of(cls, text: str) -> Month:
        """A month from ``2026-11``.

        Raises:
            NoBudget: it is none.
        """
        try:
            start = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
            end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
        except ValueError:
            raise NoBudget(f"--month {text!r} is no month (2026-11 is one)") from None
        return cls(start.strftime("%Y-%m"), start.timestamp(), end.timestamp())

    @classmethod
    def at(cls, time_s: float) -> Month:
        """The month of a time (s since 1970)."""
        return cls.of(datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m"))


def held_against(
    entries: Sequence[Entry], limits: Mapping[str, float], *, project: str, month: Month, now_s: float
) -> Json:
    """What was spent of each limit.

    Args:
        entries: the project's runs in the month, each with what it cost in it.
        limits: ``energy_j`` and ``carbon_g``, either or both.
        project: its name.
        month: which.
        now_s: the wall clock.

    Raises:
        NoBudget: there is no limit, or the month has not begun.
    """
    if not limits:
        raise NoBudget(
            f"what is the budget of {project}? --carbon 50kg, --energy 100kWh, or in the configuration "
            f'[tool.joulegram.budgets."{project}"] carbon = "50kg"'
        )
    if now_s < month.start_s:
        raise NoBudget(f"{month.name} has not begun")
    basis = common_basis(entries)
    counted = alone([on_basis(entry, basis) for entry in entries])
    first_s = max(month.start_s, min((entry.start_s for entry in entries), default=month.start_s))
    rows = [_row(name, limit, counted, first_s, month, now_s) for name, limit in limits.items()]
    worst = max((row["level"] for row in rows), key=LEVELS.index)
    result = {
        "schema_version": SCHEMA_VERSION,
        "project": project,
        "month": month.name,
        "start_s": month.start_s,
        "end_s": month.end_s,
        "over_s": min(now_s, month.end_s) - month.start_s,
        "is_over": now_s >= month.end_s,
        "runs": len(entries),
        "basis": basis,
        "other_basis": sum(
            1 for entry in entries if entry.basis != basis and entry.figures["carbon_g"].value is not None
        ),
        "open": [f"{e.run['name']} ({e.id})" for e in entries if e.run["status"] == "running"],
        "budgets": rows,
        "level": worst,
    }
    return {**result, "sentences": sentences(result)}


def _row(name: str, limit: float, entries: Sequence[Entry], first_s: float, month: Month, now_s: float) -> Json:
    spent = summed(entries, name) if entries else Quantity(0.0, 0.0, 0.0, "measured", "no run in this month")
    forecast = None if spent.value is None else at_this_rate(spent.value, first_s, month, now_s)
    return {
        "measure": name,
        "unit": "J" if name == "energy_j" else "g",
        "limit": limit,
        "spent": spent.to_json(),
        "share": None if spent.value is None else spent.value / limit,
        "forecast": forecast,
        "level": level(spent.value, forecast, limit),
        "may_be_over": spent.value is not None and spent.value <= limit and (spent.high is None or spent.high > limit),
    }


def at_this_rate(spent: float, first_s: float, month: Month, now_s: float) -> float | None:
    """What a month comes to if it goes on as since `first_s`; None where that is less than a day ago."""
    if now_s >= month.end_s or not spent:
        return spent
    took_s = now_s - first_s
    return spent + spent / took_s * (month.end_s - now_s) if took_s >= LEAST_S else None


def level(spent: float | None, forecast: float | None, limit: float) -> Level:
    """How a budget stands."""
    if spent is None:
        return "unknown"
    if spent > limit:
        return "over"
    if forecast is not None and forecast > limit:
        return "at risk"
    return "near" if spent >= NEAR * limit else "within"
