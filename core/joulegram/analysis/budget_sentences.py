"""How a budget stands, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from joulegram.analysis.sentences import listing
from joulegram.units import show_duration, show_energy, show_mass, show_percent

Row = Mapping[str, Any]

SHOW: Mapping[str, Callable[[float], str]] = {"energy_j": show_energy, "carbon_g": show_mass}
DID = {"energy_j": "used", "carbon_g": "emitted"}
MOST_NAMED = 3


def sentences(found: Row) -> list[str]:
    """What follows.

    Args:
        found: as in the result.
    """
    said = [_stands(row, found) for row in found["budgets"]]
    if found["open"]:
        named, more = found["open"][:MOST_NAMED], len(found["open"]) - MOST_NAMED
        others = [f"{more} more"] if more > 0 else []
        said.append(f"Still running, and counted so far: {listing([*named, *others])}.")
    if found["other_basis"]:
        said.append(
            f"{found['other_basis']} of {found['runs']} runs are priced on another basis than {found['basis']}; their "
            "grams are not in it (joulegram reprice --basis)."
        )
    if any(row["measure"] == "carbon_g" for row in found["budgets"]):
        said.append("Carbon is of operation; the making of the hardware (embodied) is not in it.")
    return said


def _stands(row: Row, found: Row) -> str:
    show, spent, limit = SHOW[row["measure"]], row["spent"], row["limit"]
    if spent["value"] is None:
        return f"What {found['project']} {DID[row['measure']]} in {found['month']} is not known: {spent['how']}."
    least = "at least " if spent["missing"] else ""
    lacks = f" ({listing(spent['missing'])})" if spent["missing"] else ""
    total = f"{least}{show(spent['value'])} of {show(limit)} in {found['month']} ({show_percent(row['share'])}){lacks}"
    said = f"{found['project']} {DID[row['measure']]} {total}"
    if row["level"] == "over":
        return f"{said}: over the budget by {show(spent['value'] - limit)}."
    return f"{said}: {_outlook(row, found, show)}{_doubt(row, show)}."


def _outlook(row: Row, found: Row, show: Callable[[float], str]) -> str:
    if found["is_over"]:
        return "within the budget"
    if row["forecast"] is None:
        return "it began less than a day ago, too short to tell a rate"
    after = show_duration(found["end_s"] - found["start_s"] - found["over_s"])
    leads = f"at the rate so far it comes to {show(row['forecast'])} when the month ends in {after}"
    return f"{leads}, over the budget" if row["level"] == "at risk" else leads


def _doubt(row: Row, show: Callable[[float], str]) -> str:
    high = row["spent"]["high"]
    if not row["may_be_over"]:
        return ""
    return "; it may be over, as it has no upper bound" if high is None else f"; its upper bound, {show(high)}, is over"
