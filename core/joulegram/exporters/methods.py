"""A methods paragraph for a paper: what was measured how, between which bounds, and what is not in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from joulegram.exporters import Document
from joulegram.exporters.account import (
    Account,
    account,
    intensity_sources,
    lacking,
    pues,
    runs_in_words,
    zones,
)
from joulegram.exporters.hardware import in_words
from joulegram.exporters.texts import listing, one_line
from joulegram.quantities import Quantity
from joulegram.units import show_energy, show_flops, show_mass
from joulegram.version import __version__


def export(documents: Sequence[Document], *, signal: str = "average") -> str:
    """The paragraph, in plain text.

    Args:
        documents: of the runs.
        signal: which kind of intensity carbon is told on.

    Raises:
        CannotExport: there is no run, or their carbon cannot stand in one figure.
    """
    return " ".join(sentences(account(documents, signal))) + "\n"


def sentences(whole: Account) -> list[str]:
    """What the paragraph says, one thing each."""
    found = [
        f"Energy, compute and carbon of {runs_in_words(whole.documents)} were accounted for with joulegram "
        f"{__version__} on {listing(in_words(whole.documents)) or 'hardware that nothing was read of'}.",
        energy(whole),
        carbon(whole),
        f"Compute was {figure(whole.flops, show_flops)}.",
        embodied(whole),
    ]
    missing = lacking(whole)
    return [*found, f"Not in these figures: {listing(missing)}."] if missing else found


def energy(whole: Account) -> str:
    """How much energy, and with what for the building."""
    pue = listing(pues(whole.documents), " or ") or "unknown"
    return (
        f"IT energy, the runs' own share of their machines, was {figure(whole.energy_j, show_energy)}; "
        f"facility energy, at a PUE of {pue}, was {figure(whole.facility_energy_j, show_energy, how=False)}."
    )


def carbon(whole: Account) -> str:
    """How many grams, on which kind of intensity, and where that is from."""
    said = f"Operational emissions ({kind(whole)}) were {figure(whole.carbon_g, _co2e, how=False)}"
    if whole.carbon_g.value is None:
        return f"{said}."
    mean = f", {whole.g_per_kwh:.3g} gCO2e/kWh on average" if whole.g_per_kwh is not None else ""
    sources = listing(intensity_sources(whole)) or "source not recorded"
    return f"{said}{mean}, in {listing(zones(whole.documents), ', ')}; grid intensity: {sources}."


def embodied(whole: Account) -> str:
    """What making the hardware took for the time that it was held, or that it is not counted."""
    grams = whole.embodied_g
    if grams.value is None:
        return f"Embodied emissions of the hardware are not in them ({one_line(grams.how)})."
    conventions = ((d.get("platform") or {}).get("convention") for d in whole.documents)
    how = listing(text for text in conventions if text)
    without = f", without {listing(grams.missing)}" if grams.missing else ""
    said = f"Embodied emissions of the hardware were {figure(grams, _co2e, how=False)}{without}"
    return f"{said}; {how}." if how else f"{said}."


def kind(whole: Account) -> str:
    """What sort of intensity carbon is on."""
    return f"{whole.signal} intensity, {whole.basis} basis, location-based"


def figure(quantity: Quantity, show: Callable[[float], str], how: bool = True) -> str:
    """``23.9 Wh (between 18.3 Wh and 39.4 Wh; modelled: …)``; ``missing (…)``.

    Args:
        quantity: the figure.
        show: a value for people.
        how: whether to say how it was made.
    """
    made = f": {listing(quantity.how.split('; '))}" if how and quantity.how else ""
    if quantity.value is None:
        return f"missing ({one_line(quantity.how) or 'no reason recorded'})"
    return f"{show(quantity.value)} ({bounds(quantity, show)}; {quantity.method}{made})"


def bounds(quantity: Quantity, show: Callable[[float], str]) -> str:
    """``between 18.3 Wh and 39.4 Wh``; ``at least 18.3 Wh`` without an upper bound."""
    low = "" if quantity.low is None else show(quantity.low)
    if quantity.high is None:
        return f"at least {low}" if low else "no bounds known"
    high = show(quantity.high)
    return f"exact to {low}" if low == high else f"between {low or '?'} and {high}"


def _co2e(mass_g: float) -> str:
    return f"{show_mass(mass_g)} CO2e"
