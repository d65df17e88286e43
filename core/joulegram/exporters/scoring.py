"""Software Carbon Intensity: emissions, operational and embodied, for a unit of what the software is for.

ISO/IEC 21031:2024 (the Green Software Foundation's SCI 1.1): SCI = (E · I + M) / R. E is all energy of what was
reserved (of a server's devices all that they drew), with that of the building; I is the grid's, average or marginal,
and never market-based; M is the hardware's share for the time that it was held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isfinite

from joulegram.exporters import CannotExport, Document
from joulegram.exporters.account import Account, account, intensity_sources, lacking, pues, runs_in_words
from joulegram.exporters.hardware import devices
from joulegram.exporters.methods import bounds, kind
from joulegram.exporters.served import provisioned, tells_whole
from joulegram.exporters.texts import listing, markdown, one_line
from joulegram.quantities import Quantity, total
from joulegram.units import J_PER_KWH

# What no meter of a run sees, and a score's reader has to know is not in it.
_UNSEEN = ("Network", "Storage and servers of others", "Devices of users")


def number(option: str, text: str) -> float:
    """An option that has to be a number above nothing.

    Raises:
        CannotExport: it is not.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (value > 0 and isfinite(value)):
        raise CannotExport(f"{option} has to be a number above 0, not {text!r}")
    return value


def counted(documents: Sequence[Document], signal: str) -> Account:
    """The runs together, with all energy of what is kept for a server.

    What a server's devices drew in all is priced at average intensities only; at others its own share counts.
    """
    return account([provisioned(d) for d in documents] if signal == "average" else documents, signal)


def score(whole: Account, units: float) -> Quantity:
    """Grams for one unit; without an upper bound where embodied emissions are not counted."""
    if whole.carbon_g.value is None:
        return Quantity.absent(whole.carbon_g.how or "no carbon is on record", whole.carbon_g.missing)
    grams = total([("operational emissions", whole.carbon_g), ("embodied emissions (M)", whole.embodied_g)])
    value, low, high = (None if g is None else g / units for g in (grams.value, grams.low, grams.high))
    return Quantity(value, low, high, grams.method, grams.how, grams.missing)


def score_in_words(result: Quantity, unit: str) -> str:
    """``0.151 gCO2e per image (at least 0.0755 g; estimated; without embodied emissions (M))``."""
    if result.value is None:
        return f"missing ({one_line(result.how)})"
    without = f"; without {listing(result.missing)}" if result.missing else ""
    return f"{grams(result.value)}CO2e per {unit} ({bounds(result, grams)}; {result.method}{without})"


def grams(value: float) -> str:
    """A mass with as many digits however small: scores span twenty orders of magnitude."""
    return f"{value:.4g} g"


def coefficients(whole: Account, rate: Sequence[tuple[str, str]]) -> list[str]:
    """A table of what the score is made of.

    Args:
        whole: the runs.
        rate: further rows: what R is.
    """
    mean = "missing" if whole.g_per_kwh is None else f"{whole.g_per_kwh:.4g} gCO2e/kWh"
    sources = listing(intensity_sources(whole)) or "source not recorded"
    energy = whole.facility_energy_j
    rows = [
        ("E, energy", _figure(energy, lambda joules: f"{joules / J_PER_KWH:.4g} kWh"), f"{energy.method}; PUE in it"),
        ("I, intensity", mean, f"{kind(whole)}; {sources}"),
        ("E · I, operational", _figure(whole.carbon_g, grams), whole.carbon_g.method),
        ("M, embodied", _figure(whole.embodied_g, grams), whole.embodied_g.how),
        *((name, value, "") for name, value in rate),
    ]
    return _table(("Coefficient", "Value", "Source"), rows)


def boundary(whole: Account) -> list[str]:
    """A table of what is inside of the score, and what is not."""
    seen: dict[tuple[str, str], dict[str, None]] = {}
    for document in whole.documents:
        of_all = whole.signal == "average" and tells_whole(document)
        part = "energy of all of it, idle included" if of_all else "energy, the runs' share of it"
        for group in devices(document):
            for channel in group.channels:
                energy = Quantity.from_json(channel.get("energy_j"))
                how = f"{energy.method}: {energy.how}" if energy.how else energy.method
                seen.setdefault((group.called, part), {})[how] = None
    rows = [(name, part, listing(how)) for (name, part), how in seen.items()]
    rows.append(("Cooling and supply losses", "by PUE", listing(pues(whole.documents), " or ") or "not recorded"))
    rows += _making(whole)
    rows += [(name, "not counted", "no meter of a run sees it") for name in _UNSEEN]
    return _table(("Component", "In the score", "Quantified"), rows)


def _making(whole: Account) -> Iterator[tuple[str, str, str]]:
    """What is counted of making the hardware, part by part where the runs tell parts."""
    parts: dict[str, dict[str, None]] = {}
    known: set[str] = set()
    for document in whole.documents:
        for part in document["footprint"].get("embodied") or ():
            embodied, what = Quantity.from_json(part), f"Making of the {part['part']}: {part['what']}"
            how = embodied.how if embodied.value is None else f"{embodied.method}: {embodied.how}"
            parts.setdefault(what, {})[how] = None
            if embodied.value is not None:
                known.add(what)
    for what, hows in parts.items():
        yield what, "M, share of time and resources" if what in known else "not counted", listing(hows)
    if not parts:
        yield "Making of the hardware", "not counted", whole.embodied_g.how


def caveats(whole: Account) -> list[str]:
    """What a reader of the score has to know, as a list of Markdown."""
    found = [f"Counted: {runs_in_words(whole.documents)}."]
    if lacking(whole):
        found.append(f"Not in it: {listing(lacking(whole))}.")
    if whole.embodied_g.value is None or whole.embodied_g.missing:
        found.append("The standard requires all of M: without it this is a lower bound, and no complete score.")
    return [f"- {markdown(text)}" for text in found]


def _figure(quantity: Quantity, show: Callable[[float], str]) -> str:
    if quantity.value is None:
        return "not counted" if "not counted" in quantity.how else "missing"
    return f"{show(quantity.value)} ({bounds(quantity, show)})"


def _table(head: tuple[str, str, str], rows: Sequence[tuple[str, str, str]]) -> list[str]:
    lines = [f"| {' | '.join(markdown(text) for text in row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", "|---|---|---|", *lines]
