"""Whether more use has eaten what an efficiency measure saved: rebound, and what a change of carbon is made of.

Between two windows, e being the energy of a unit (a request) and V how many there are a day: s = 1 - e1/e0 is what the
measure saves of a unit, g = V1/V0 - 1 how much more there are. It could have saved s·e0·V0; R = g(1 - s)/s of that is
used up by more use, and from g > s/(1 - s) on more is used than before. What would have grown without the measure is
taken off g; where nobody says how much that is, R is an activity offset, and no rebound.

The result is plain data: what ``joulegram rebound --json`` prints and what the views render.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from joulegram.analysis.estimates import ratio_error
from joulegram.analysis.lmdi import decompose
from joulegram.analysis.rebound_sentences import sentences
from joulegram.analysis.resampling import LEAST_HOURS, drawn_sums
from joulegram.analysis.sentences import listing
from joulegram.analysis.windows import Window
from joulegram.curves.curve import Values

SCHEMA_VERSION = 1
REBOUND, OFFSET = "rebound", "activity offset"
DOUBT = 0.025
"""Part of the draws in which there may be no saving, for there to be one."""

Json = dict[str, Any]


class NoRebound(ValueError):
    """The question has no answer; the message says why, and what to do."""


def rebound(
    before: Window | None,
    after: Window | None,
    *,
    unit: str = "requests",
    exogenous: float | None = None,
    development: Json | None = None,
) -> Json:
    """What changed between two windows of a service.

    Args:
        before: without the measure; None where nothing was served.
        after: with it.
        unit: what is counted.
        exogenous: how much more there would have been without the measure (0.1 for 10 %); None for not known.
        development: what changed in developing (`developed`); None where that is not asked.

    Raises:
        NoRebound: there is no service to look at, or it served nothing.
    """
    if exogenous is not None and not exogenous > -1:
        raise NoRebound(f"growth of {exogenous:.0%} is none: at −100 % nothing is left")
    if development is not None and not development["why"] and (before is None or after is None):
        return _of_development(unit, development)
    first, second = (_checked(side, which, unit, development) for side, which in ((before, "before"), (after, "after")))
    if second.hours[0].start_s < first.hours[0].start_s:
        raise NoRebound("the window after the change begins before the one before it: name them the other way round")
    offset = offset_of(
        first.sum("energy_j") / first.sum("volume"),
        second.sum("energy_j") / second.sum("volume"),
        first.sum("volume") / first.days,
        second.sum("volume") / second.days,
        exogenous,
    )
    result = {
        "schema_version": SCHEMA_VERSION,
        "unit": unit,
        "word": OFFSET if exogenous is None else REBOUND,
        "before": first.to_json(),
        "after": second.to_json(),
        "service": {**offset, **_interval(first, second, offset, exogenous)},
        "change": _change(first, second),
        "development": development,
        "notes": [*first.notes, *second.notes, *_places(first, second)],
    }
    return {**result, "sentences": sentences(result)}


def _of_development(unit: str, development: Json) -> Json:
    """Of a project that served nothing in one of the windows."""
    nothing = dict.fromkeys(("word", "before", "after", "service", "change"))
    notes = ["No server of it has told of hours before and after the change: only its development is looked at."]
    result = {"schema_version": SCHEMA_VERSION, "unit": unit, **nothing, "development": development, "notes": notes}
    return {**result, "sentences": sentences(result)}


def _checked(one: Window | None, which: str, unit: str, development: Json | None) -> Window:
    if one is None:
        neither = f"; and of its development, {development['why']}" if development else ""
        raise NoRebound(f"no server has told of an hour {which} the change (--since, --until){neither}")
    if not one.sum("volume"):
        what = "no request ended" if unit == "requests" else f"no {unit} were told"
        raise NoRebound(f"{what} {which} the change: without any there is no cost of one")
    if not one.sum("energy_j"):
        raise NoRebound(f"no energy was charged {which} the change: no counter was read")
    return one


def offset_of(e0: float, e1: float, v0: float, v1: float, exogenous: float | None = None) -> Json:
    """R and what it is made of.

    Args:
        e0: energy of a unit before (J), above zero.
        e1: the same after.
        v0: units a day before, above zero.
        v1: the same after.
        exogenous: growth that would have come anyway; None for not known.

    Returns:
        Shares `saving` (s), `growth` (g) and `exogenous`; `value` (R) and `backfires_above` (the growth from which on
        more is used than before), None where they are undefined; `verdict` and `why`; and what could have been saved,
        and was (J a day).
    """
    saving, growth = 1 - e1 / e0, v1 / v0 - 1
    extra = growth - (exogenous or 0.0)
    found: Json = {
        "saving": saving,
        "growth": growth,
        "exogenous": exogenous,
        "potential_j_per_day": saving * e0 * v0,
        "actual_j_per_day": e0 * v0 - e1 * v0 * (1 + extra),
    }
    if saving <= 0:
        how = "as much as" if saving == 0 else "more than"
        return {
            **found,
            "value": None,
            "backfires_above": None,
            "verdict": "undefined",
            "why": f"one costs {how} before",
        }
    value = extra * (1 - saving) / saving
    above = saving / (1 - saving) if saving < 1 else None
    return {**found, "value": value, "backfires_above": above, "verdict": _verdict(value), "why": ""}


def _verdict(value: float) -> str:
    if value > 1:
        return "backfire"
    if value == 1:
        return "nullified"
    return "partial" if value >= 0 else "super-conservation"


def _interval(before: Window, after: Window, offset: Json, exogenous: float | None) -> Json:
    """95 % intervals of s, g and R, from hours that are drawn again."""
    few = min(len([hour for hour in side.hours if hour.volume]) for side in (before, after))
    nothing = {"low": None, "high": None, "saving_low": None, "saving_high": None}
    if few < LEAST_HOURS:
        hours = f"{few} hour{'' if few == 1 else 's'}"
        why = f"no interval: {hours} on one side, and {LEAST_HOURS} are needed to tell how much they differ"
        return {**nothing, "interval": why}
    (costs0, rates0), (costs1, rates1) = (_drawn(side, seed) for seed, side in enumerate((before, after)))
    saving, growth = 1 - costs1 / costs0, rates1 / rates0 - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        values = (growth - (exogenous or 0.0)) * (1 - saving) / saving
    bounds = dict(zip(("saving_low", "saving_high"), _middle(saving), strict=True))
    if offset["value"] is None or (saving <= 0).mean() > DOUBT:
        return {**nothing, **bounds, "interval": "no interval: the saving is not above what is noise"}
    low, high = _middle(values[saving > 0])
    return {
        **bounds,
        "low": min(low, offset["value"]),
        "high": max(high, offset["value"]),
        "interval": "95 % of hours drawn again",
    }


def _drawn(side: Window, seed: int) -> tuple[Values, Values]:
    """The energy of one and how many there are a second, of each draw.

    Blocks of a few hours tell too little of how alike hours are, so the former is spread as far as its standard error.
    """
    sums = drawn_sums([(hour.volume, hour.energy_j, hour.lasted_s) for hour in side.hours], seed)
    volumes, energies_j, times_s = sums.T
    costs = np.divide(energies_j, volumes, out=np.full(len(sums), np.nan), where=volumes > 0)
    cost = side.sum("energy_j") / side.sum("volume")
    error = ratio_error([hour.energy_j for hour in side.hours], [hour.volume for hour in side.hours]) or 0.0
    spread = float(np.nanstd(costs))
    widened = cost + (costs - cost) * (max(1.0, error / spread) if spread else 1.0)
    return widened, volumes / times_s


def _middle(values: Values) -> tuple[float, float]:
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


# -- what the change is made of -----------------------------------------------------------------------------------


def _change(before: Window, after: Window) -> Json:
    """What the change of grams a day is made of; of joules a day where grams are not known, or are of two bases."""
    factors = [before.factors, after.factors]
    bases = before.bases | after.bases
    why = ""
    if len(bases) > 1:
        why = f"its carbon is on different bases ({', '.join(sorted(bases))}), never mixed (joulegram reprice --basis)"
    elif any("pue" not in side for side in factors):
        why = "carbon is not known of every hour (joulegram reprice)"
    if why:
        factors = [{name: side[name] for name in ("activity", "energy_intensity")} for side in factors]
    unit = "kWh a day" if why else "g a day"
    parts = decompose(*factors)
    totals = [float(np.prod(list(side.values()))) for side in factors]
    return {
        "unit": unit,
        "why": why,
        "before": totals[0],
        "after": totals[1],
        "change": totals[1] - totals[0],
        "parts": parts,
        "factors": {name: [side[name] for side in factors] for name in parts},
    }


def _places(before: Window, after: Window) -> list[str]:
    """What the two windows differ in besides the measure."""
    notes = []
    if before.zones != after.zones:
        names = [listing(sorted(str(zone or "an unknown zone") for zone in side.zones)) for side in (before, after)]
        notes.append(f"Before it ran in {names[0]}, after in {names[1]}: the grid’s part holds the move.")
    if before.kinds != after.kinds:
        names = [listing(sorted(side.kinds) or ["nothing"]) for side in (before, after)]
        notes.append(
            f"Before, {names[0]} was counted, after, {names[1]}: the energy of one is not of the same devices."
        )
    return notes
