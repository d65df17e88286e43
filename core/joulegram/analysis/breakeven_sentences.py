"""A break-even in plain words: each sentence has its numbers and what they are part of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from joulegram.analysis.sentences import listing
from joulegram.units import show_chance, show_count, show_energy, show_long, show_mass

Row = Mapping[str, Any]

NAMES = {"energy_j": "energy", "carbon_g": "carbon"}
SHOW: Mapping[str, Callable[[float], str]] = {"energy_j": show_energy, "carbon_g": show_mass}


def sentences(found: Row) -> list[str]:
    """What follows.

    Args:
        found: as in the result.
    """
    said = [sentence for row in found["measures"] for sentence in _measure(row, found)]
    return [*said, *_making(found), *found["notes"]]


def between(bounds: Row, show: Callable[[float], str]) -> str:
    """``(1,200 to 1,500)``, ``(1,200 or more)``; nothing where both bounds are the value."""
    low, high = bounds["low"], bounds["high"]
    if low is None:
        return ""
    if high is None:
        return f" ({show(low)} or more)"
    return "" if show(low) == show(high) else f" ({show(low)} to {show(high)})"


def _measure(row: Row, found: Row) -> list[str]:
    name, show = NAMES[row["measure"]], SHOW[row["measure"]]
    if row["verdict"] == "unknown":
        return [f"By {name}: not told, as {row['why']}."]
    took, saved, needed = row["development"], row["saving"], row["requests"]
    least = "at least " if took["missing"] else ""
    lacks = f" (not in it: {listing(took['missing'])})" if took["missing"] else ""
    costs = f"the development took {least}{show(took['value'])}{lacks}"
    sure = _sure(row)
    if row["verdict"] == "pays":
        requests = f"{least}{show_count(needed['value'])} requests{between(needed, show_count)}"
        said = [f"By {name} it pays back after {requests}: {costs}, and a request saves {show(saved['value'])}{sure}."]
        return [*said, *_payback(row, found), *_retraining(row, show)]
    if saved["value"] < 0:
        by = f"it costs {show(-saved['value'])} more{_range(saved, show, -1)}"
    else:
        by = f"a request saves {show(saved['value'])}{_range(saved, show)}"
    return [f"By {name} it never pays back, as far as can be told: {row['why']}; {by}{sure}.", *_retraining(row, show)]


def _sure(row: Row) -> str:
    """How likely a saving is; nothing where there is no doubt to weigh."""
    probability, saved = row["probability"], row["saving"]
    if probability is None or saved["low"] == saved["high"]:
        return ""
    return f" ({show_chance(probability)} likely that it costs less than before)"


def _range(bounds: Row, show: Callable[[float], str], sign: int = 1) -> str:
    """``, between −1.80 J and 2.20 J``; nothing where both bounds are the value."""
    low, high = (bounds[end] for end in ("low", "high")[::sign])
    if low == high:
        return ""
    return f", between {_signed(low, sign, show)} and {_signed(high, sign, show)}"


def _signed(value: float | None, sign: int, show: Callable[[float], str]) -> str:
    if value is None:
        return "an unknown amount"
    return f"{'−' if sign * value < 0 else ''}{show(abs(value))}"


def _payback(row: Row, found: Row) -> list[str]:
    time, rate = row["payback_s"], found["rate"]
    if time is None or time["value"] is None:
        return [f"How long that takes is not told: {rate['how']}."] if row["measure"] == found["measure"] else []
    at = f"at {show_count(rate['per_day'])} requests a day, {rate['how']}"
    return [f"That is {show_long(time['value'])}{between(time, show_long)} {at}."]


def _retraining(row: Row, show: Callable[[float], str]) -> list[str]:
    again = row["retraining"]
    if again is None:
        return []
    year, every = again["per_year"], show_long(again["every_s"])
    served = f"{show_count(again['requests_between'])} requests come in {every}"
    pays = {
        True: f"Trained again every {every} it pays",
        False: f"Trained again every {every} it does not pay",
        None: f"Whether it pays to train again every {every} cannot be told",
    }[again["pays"]]
    totals = (
        f"a year comes to {show(year['total_after'])}, {show(year['development'])} of it development, against "
        f"{show(year['total_before'])} before"
    )
    return [f"{pays}: {served}; {totals}."]


def _making(found: Row) -> list[str]:
    """Where carbon holds the making of the hardware, of those measures that tell carbon."""
    if not any(row["measure"] == "carbon_g" and row["verdict"] != "unknown" for row in found["measures"]):
        return []
    counted = found["embodied"]
    held = {"the development": counted["in_development"], "requests": counted["in_requests"]}
    inside = [name for name, is_in in held.items() if is_in]
    outside = [name for name, is_in in held.items() if not is_in]
    if not inside:
        return ["Carbon is of operation: the making of the hardware (embodied) is not counted."]
    lacks = f"; in that of {outside[0]} it is not counted" if outside else ""
    return [f"Carbon of {' and of '.join(inside)} holds the making of the hardware (embodied){lacks}."]
