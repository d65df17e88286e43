"""After how many requests an efficiency measure has paid back what developing it took.

n* = what the development took over what each request saves, in energy, and in carbon with the making of the hardware
where that is counted. The result is plain data: what ``joulegram breakeven --json`` prints and what the views render.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from joulegram.amounts import amount
from joulegram.analysis.breakeven_sentences import sentences
from joulegram.analysis.developments import Took, added_up
from joulegram.analysis.estimates import Saving, saving
from joulegram.analysis.sentences import listing
from joulegram.analysis.unit_costs import DAY_S, MEASURES, Document, UnitCost, recorded, said
from joulegram.quantities import Quantity

SCHEMA_VERSION = 1
YEAR_D = 365.25
NEVER, PAYS, UNKNOWN = "never", "pays", "unknown"
UNITS = {"energy_j": "J", "carbon_g": "g"}

Json = dict[str, Any]
Bounds = tuple[float | None, float | None, float | None]


class NoBreakEven(ValueError):
    """The question has no answer; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class _Rate:
    """How many requests there are a second, and who says so."""

    per_s: float | None
    how: str


def break_even(
    before: Document | str,
    after: Document | str,
    development: Sequence[Document | str],
    *,
    per_day: float | None = None,
    retrain_every_s: float | None = None,
    g_per_kwh: float | None = None,
) -> Json:
    """After how many requests the development has paid back.

    Example::

        ledger = joulegram.open_ledger()
        served, distilled = ledger.run("a1").document(), ledger.run("b2").document()
        found = joulegram.break_even(served, distilled, [ledger.run("c3").document(), "1.2kWh ± 0.1"])
        print(found["requests"])

    Args:
        before: what a request cost: the document of a run that served, or that says in its attribute ``items`` how many
            it worked on; or an amount, such as ``1.0e-4kWh``.
        after: the same, with the measure in place.
        development: what the measure took: documents of runs, and amounts.
        per_day: requests a day; as measured for None.
        retrain_every_s: how often (s) the development is done again; once for None.
        g_per_kwh: prices amounts of energy (g/kWh).

    Raises:
        NoBreakEven: there is no development, a run has no cost per request, or a number makes no sense.
    """
    _check(development, per_day, retrain_every_s, g_per_kwh)
    try:
        sides = [_side(given, g_per_kwh) for given in (before, after)]
        took = added_up(development, g_per_kwh)
    except ValueError as error:
        raise NoBreakEven(str(error)) from None
    rate = _rate(sides, per_day)
    if retrain_every_s is not None and rate.per_s is None:
        raise NoBreakEven("how often it pays to train again depends on how many requests there are: --rate says it")
    bases = {side.basis for side in sides} | took.bases
    measures = []
    for name in MEASURES:
        why = _mixed(bases) if name == "carbon_g" else ""
        measures.append(_measure(name, sides, took, rate, retrain_every_s, why))
    chosen = next((m for m in measures if m["verdict"] != UNKNOWN), measures[0])
    result = {
        "schema_version": SCHEMA_VERSION,
        "measure": chosen["measure"],
        "requests": chosen["requests"],
        "before": sides[0].to_json(),
        "after": sides[1].to_json(),
        "development": [*took.labels],
        "rate": {"per_day": None if rate.per_s is None else rate.per_s * DAY_S, "how": rate.how},
        "retrain_every_s": retrain_every_s,
        "measures": measures,
        "embodied": _embodied(sides, took),
        "notes": [*sides[0].notes, *sides[1].notes, *took.notes, *_places(sides, took)],
    }
    return {**result, "sentences": sentences(result)}


def _check(development: Sequence[object], *numbers: float | None) -> None:
    if not development:
        raise NoBreakEven("what did the development take? --development takes runs and amounts, such as 12kWh")
    words = ("--rate is a number of requests a day", "--retrain-every is a time", "--g-per-kwh is an intensity")
    for value, what in zip(numbers, words, strict=True):
        if value is not None and not 0 < value < inf:
            raise NoBreakEven(f"{what}, above zero, not {value:g}")


# -- what there is ------------------------------------------------------------------------------------------------


def _side(given: Document | str, g_per_kwh: float | None) -> UnitCost:
    return said(amount(given), given, g_per_kwh) if isinstance(given, str) else recorded(given)


def _rate(sides: Sequence[UnitCost], per_day: float | None) -> _Rate:
    if per_day is not None:
        return _Rate(per_day / DAY_S, "as given")
    for side, which in ((sides[1], "after"), (sides[0], "before")):
        if side.per_s is not None:
            return _Rate(side.per_s, f"as measured {which} the change")
    return _Rate(None, "no rate was measured (--rate says it)")


# -- what follows -------------------------------------------------------------------------------------------------


def _measure(
    name: str, sides: Sequence[UnitCost], development: Took, rate: _Rate, every_s: float | None, why: str
) -> Json:
    why, took = why or _lacks(name, sides, development), development.figures[name]
    row: Json = {"measure": name, "unit": UNITS[name], "development": took.to_json(), "why": why}
    if why:
        nothing = dict.fromkeys(("saving", "probability", "payback_s", "retraining"))
        return {**row, **nothing, "verdict": UNKNOWN, "requests": _bounds((None, None, None))}
    found = _saving(name, sides)
    verdict, why = _verdict(name, found, sides)
    needed = requests_needed(took, found)
    return {
        **row,
        "saving": found.to_json(),
        "probability": found.probability,
        "verdict": verdict,
        "why": why,
        "requests": _bounds(needed),
        "payback_s": None if rate.per_s is None else _bounds(_each(needed, 1 / rate.per_s)),
        "retraining": None
        if every_s is None or rate.per_s is None
        else _retraining(name, sides, took, needed, rate.per_s, every_s),
    }


def _lacks(name: str, sides: Sequence[UnitCost], took: Took) -> str:
    """Why a measure is not told: what lacks it, by reason."""
    lacking = [(side.label, side.absent[name]) for side in sides if name in side.absent]
    if took.figures[name].value is None:
        lacking += [(label, why) for label, why in took.absent[name] if (label, why) not in lacking]
    reasons: dict[str, list[str]] = {}
    for label, why in lacking:
        reasons.setdefault(why, []).append(label)
    return "; ".join(
        f"{listing(labels)} {'is' if len(labels) == 1 else 'are'} {why}" for why, labels in reasons.items()
    )


def _saving(name: str, sides: Sequence[UnitCost]) -> Saving:
    before, after = sides
    found = saving(before.figures[name], after.figures[name])
    if name == "carbon_g" and all("embodied_g" in side.figures for side in sides):
        found = found.plus(saving(before.figures["embodied_g"], after.figures["embodied_g"]))
    return found


def _verdict(name: str, found: Saving, sides: Sequence[UnitCost]) -> tuple[str, str]:
    if found.value < 0:
        return NEVER, "a request costs more than before"
    if found.value == 0:
        return NEVER, "a request costs as much as before"
    if found.is_certain:
        return PAYS, ""
    exact = [replace(side.figures[name], gains={}) for side in sides]
    if saving(*exact).is_certain:
        return NEVER, "what meters and prices may be off by is more than the saving"
    return NEVER, "the saving is not above what is noise"


def requests_needed(took: Quantity, found: Saving) -> Bounds:
    """How many requests save what the development took: (value, low, high), None for never.

    Args:
        took: what the development took.
        found: what a request saves, in the same unit.
    """
    if took.value is None or found.value <= 0:
        low = took.low / found.high if took.value is not None and took.low is not None and found.high > 0 else None
        return None, low, None
    value = took.value / found.value
    low = 0.0 if took.low is None or found.high == inf else took.low / found.high
    high = took.high / found.low if took.high is not None and found.low > 0 else None
    return value, min(low, value), None if high is None else max(high, value)


def _retraining(
    name: str, sides: Sequence[UnitCost], took: Quantity, needed: Bounds, per_s: float, every_s: float
) -> Json:
    """Whether what is saved until the next training is more than that takes, and what a year comes to."""
    between = per_s * every_s
    value, low, high = needed
    pays: bool | None = None  # cannot be told
    if high is not None and between > high:
        pays = True
    elif value is None or (low is not None and between < low):
        pays = False
    year_s = YEAR_D * DAY_S
    assert took.value is not None
    trainings = took.value * year_s / every_s
    costs = {
        which: per_s * year_s * sum(side.figures[part].value for part in _parts(name, sides))
        for which, side in zip(("before", "after"), sides, strict=True)
    }
    return {
        "every_s": every_s,
        "requests_between": between,
        "pays": pays,
        "per_year": {
            "trainings": year_s / every_s,
            "requests": per_s * year_s,
            "development": trainings,
            "serving_before": costs["before"],
            "serving_after": costs["after"],
            "total_before": costs["before"],
            "total_after": costs["after"] + trainings,
        },
    }


def _parts(name: str, sides: Sequence[UnitCost]) -> list[str]:
    both = name == "carbon_g" and all("embodied_g" in side.figures for side in sides)
    return [name, "embodied_g"] if both else [name]


def _each(bounds: Bounds, factor: float) -> Bounds:
    value, low, high = (None if bound is None else bound * factor for bound in bounds)
    return value, low, high


def _bounds(bounds: Bounds) -> Json:
    return dict(zip(("value", "low", "high"), bounds, strict=True))


# -- what a reader should know ------------------------------------------------------------------------------------


def _mixed(bases: set[str | None]) -> str:
    told = sorted(str(basis) for basis in bases if basis is not None)
    if len(told) < 2:
        return ""
    return (
        f"the runs’ carbon is on different bases ({', '.join(told)}), which are never mixed (joulegram reprice --basis)"
    )


def _places(sides: Sequence[UnitCost], took: Took) -> list[str]:
    """What the runs differ in besides the measure."""
    before, after = (side.run for side in sides)
    notes = []
    if before is not None and after is not None and before.get("zone") != after.get("zone"):
        zones = [run.get("zone") or "an unknown zone" for run in (before, after)]
        notes.append(
            f"Before ran in {zones[0]}, after in {zones[1]}: of the carbon that a request saves a part is the grid’s; "
            "energy tells what the measure saved."
        )
    elif after is not None and took.zones - {after.get("zone")}:
        notes.append("The development ran on another grid than the serving: its carbon is of its own.")
    if before is not None and after is not None and sides[0].kinds != sides[1].kinds:
        kinds = [listing(sorted(side.kinds) or ["nothing"]) for side in sides]
        notes.append(
            f"Before, {kinds[0]} was counted, after, {kinds[1]}: a request’s energy is not of the same devices."
        )
    return notes


def _embodied(sides: Sequence[UnitCost], took: Took) -> Json:
    """Where carbon holds the making of the hardware."""
    return {
        "in_development": took.embodied_g.value is not None,
        "in_requests": all("embodied_g" in side.figures for side in sides),
        "development_g": took.embodied_g.to_json(),
    }
