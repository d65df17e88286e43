"""The compute and energy fields that providers of general-purpose AI models document under the EU AI Act.

Annex XI, section 1, point 2 (d) and (e) of Regulation (EU) 2024/1689, in the order of the Model Documentation Form of
the Code of Practice (10 July 2025): training time as wall clock and hardware-days, FLOPs and MWh of training with at
least two significant figures, each with its methodology (100 words), and FLOPs of inference. What is not known is N/A
with the reason. Embodied emissions and water are not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from joulegram.exporters import CannotExport, Document
from joulegram.exporters.account import Account, account, lacking, pues, running, runs_in_words
from joulegram.exporters.hardware import device_days, in_words
from joulegram.exporters.served import together
from joulegram.exporters.texts import listing, markdown, one_line
from joulegram.quantities import Quantity
from joulegram.units import J_PER_KWH
from joulegram.version import __version__

J_PER_MWH = J_PER_KWH * 1e3
MOST_WORDS = 100
"""What the form recommends for a methodology."""


def export(documents: Sequence[Document]) -> str:
    """The fields, in Markdown.

    Raises:
        CannotExport: there is no run that made the model.
    """
    made = [document for document in documents if document["run"].get("stage") != "serve"]
    served = [document for document in documents if document["run"].get("stage") == "serve"]
    if not made:
        raise CannotExport("the form asks what training took, and these runs are all of stage serve")
    whole = account(made)
    fields = {
        "Runs counted": f"{runs_in_words(whole.documents)}{_still(whole)}",
        "Training time": _time(whole),
        "Amount of computation used for training": _scientific(whole.flops, 1.0, "FLOPs"),
        "Methodology, computation": within(_compute(whole)),
        "Amount of energy used for training": _scientific(whole.facility_energy_j, J_PER_MWH, "MWh"),
        "Methodology, energy": within(_energy(whole)),
        "Amount of computation used for inference": _inference(served),
    }
    head = "# EU AI Act, Annex XI: computational resources and energy consumption"
    return "\n\n".join([head, *(f"**{name}:** {markdown(value)}" for name, value in fields.items())]) + "\n"


def _still(whole: Account) -> str:
    names = running(whole.documents)
    return f"; still running: {listing(names, ', ')}, with figures so far" if names else ""


def _time(whole: Account) -> str:
    """From the first run's start to the last one's end, and how long devices were held in it."""
    starts = [datetime.fromisoformat(d["run"]["started"]).astimezone(UTC).timestamp() for d in whole.documents]
    ends = [start + float(d["run"]["duration_s"]) for start, d in zip(starts, whole.documents, strict=True)]
    first, last = (
        datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M") for time_s in (min(starts), max(ends))
    )
    days = (max(ends) - min(starts)) / 86_400
    held = listing(f"{significant(amount)} {what} days" for what, amount in device_days(whole.documents).items())
    held = held or "hardware-days N/A: no device was read"
    return f"{significant(days)} days of wall clock, {first} to {last} UTC; {held}"


def _compute(whole: Account) -> list[str]:
    flops = whole.flops
    if flops.value is None:
        return [f"Not counted: {one_line(flops.how) or 'no reason recorded'}."]
    return [
        f"Counted from the shapes of each kind of step's operations with joulegram {__version__} ({flops.method}); "
        "a multiply-add is two.",
        *_limits(flops, 1.0, "FLOPs"),
        f"How: {one_line(flops.how)}." if flops.how else "",
    ]


def _energy(whole: Account) -> list[str]:
    energy = whole.facility_energy_j
    if energy.value is None:
        return [f"Unknown: {one_line(energy.how) or 'no reason recorded'}."]
    missing, pue = lacking(whole), listing(pues(whole.documents), " or ") or "unknown source"
    return [
        f"{energy.method.capitalize()} with joulegram {__version__}: the runs' own share of the energy of "
        f"{listing(in_words(whole.documents))}, times a PUE of {pue}.",
        *_limits(energy, J_PER_MWH, "MWh"),
        f"Not in it: {listing(missing)}." if missing else "",
        f"How: {listing(whole.energy_j.how.split('; '))}." if whole.energy_j.how else "",
    ]


def _limits(quantity: Quantity, per: float, unit: str) -> list[str]:
    if quantity.low is None:
        return []
    low = f"at least {significant(quantity.low / per)} {unit}"
    high = "without an upper bound" if quantity.high is None else f"at most {significant(quantity.high / per)} {unit}"
    return [f"Bounds: {low}, {high}."]


def within(sentences: Sequence[str], most: int = MOST_WORDS) -> str:
    """Sentences in at most so many words, cut where they pass it."""
    words = " ".join(filter(None, sentences)).split()
    return " ".join(words if len(words) <= most else [*words[: most - 1], "…"])


def _scientific(quantity: Quantity, per: float, unit: str) -> str:
    if quantity.value is None:
        return f"N/A ({one_line(quantity.how) or 'no reason recorded'})"
    partly = "" if not quantity.missing else ", a lower bound: parts are missing"
    return f"{significant(quantity.value / per)} {unit} ({quantity.method}{partly})"


def significant(value: float) -> str:
    """Three significant figures, which are more than the two that are asked for: ``1.23 × 10^-5``."""
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return mantissa if int(exponent) == 0 else f"{mantissa} × 10^{int(exponent)}"


def _inference(served: Sequence[Document]) -> str:
    """What serving computed, for how much, on what: the form wants a stated task and hardware."""
    found = together(served)
    task = next((name for name in ("tokens", "items", "requests") if name in found), None)
    if "flops" not in found or task is None:
        return "N/A (no serve run among these tells its FLOPs)" if served else "N/A (no serve run is among these)"
    amount = Quantity(found["flops"], found["flops"], found["flops"], "modelled")
    hardware = listing(in_words(served))
    return f"{_scientific(amount, 1.0, 'FLOPs')} as told by the server, for {found[task]:g} {task} on {hardware}"
