"""What follows from plans, as plain data: what ``joulegram when --json`` prints and the table renders.

A saving is never told without what it is measured against and how far off it may be. Zones are ranked only where their
intensities are of one kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from joulegram.analysis.saving import Saving
from joulegram.analysis.when import Plan

SCHEMA_VERSION = 1

Json = dict[str, Any]
ShowTime = Callable[[float], str]


def advice(plans: Sequence[Plan], show_time: ShowTime) -> Json:
    """Plans of one job in several zones, what follows from them, and where it would emit least.

    Args:
        plans: at least one.
        show_time: how a sentence names a time (s since 1970).
    """
    lowest = _lowest(plans)
    return {
        "schema_version": SCHEMA_VERSION,
        "zones": [found.to_json() for found in plans],
        "lowest": lowest.zone if lowest else None,
        "sentences": [*(_sentence(found, show_time) for found in plans), *_between(plans, lowest)],
        "notes": list(dict.fromkeys(_note(found.zone, note, plans) for found in plans for note in found.notes)),
    }


def _lowest(plans: Sequence[Plan]) -> Plan | None:
    if len(plans) < 2 or len({found.kind for found in plans}) > 1:
        return None
    return min(plans, key=lambda found: found.best.g_per_kwh)


def _sentence(found: Plan, show_time: ShowTime) -> str:
    saving, best = found.saving, show_time(found.best.start_s)
    if saving.promised <= 0:
        return (
            f"{found.zone}: start now. No later start that ends by {show_time(found.until_s)} is expected to be lower."
        )
    said = f"{show_percent(saving.value)} less than now{show_interval(saving)}"
    if found.advice == "now":
        return f"{found.zone}: start now. {best} is expected to emit {said}: too little to wait for."
    return f"{found.zone}: wait until {best}: expected {said}{'' if saving.is_sure else '. It may emit more'}."


def _between(plans: Sequence[Plan], lowest: Plan | None) -> list[str]:
    if lowest is not None:
        return [f"Lowest is {lowest.zone}, {lowest.best.g_per_kwh:.0f} gCO2e/kWh at its best start."]
    if len(plans) > 1:
        kinds = ", ".join(f"{found.zone} {' '.join(found.kind)}" for found in plans)
        return [f"Zones are not ranked, as their intensities are of different kinds: {kinds}."]
    return []


def _note(zone: str, note: str, plans: Sequence[Plan]) -> str:
    return note if len(plans) == 1 else f"{zone}: {note}"


def show_percent(share: float) -> str:
    """A share in whole percent: ``'41 %'``, ``'−3 %'``; what rounds to nothing without a sign."""
    percent = round(100 * share)
    return f"{'−' if percent < 0 else ''}{abs(percent)} %"


def show_interval(saving: Saving) -> str:
    """Between what a saving is expected: ``', between 3 % more and 75 % less'``; nothing where it is exact."""
    if saving.is_exact:
        return ""
    ends = [(show_percent(abs(share)), "more" if share < 0 else "less") for share in (saving.low, saving.high)]
    (low, how), (high, also) = ends
    return f", between {low} and {high}" if how == also else f", between {low} {how} and {high} {also}"
