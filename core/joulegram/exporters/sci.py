"""An SCI score (ISO/IEC 21031:2024): grams of CO2e for a functional unit, with its boundary."""

from __future__ import annotations

from collections.abc import Sequence

from joulegram.exporters import CannotExport, Document
from joulegram.exporters.account import Account
from joulegram.exporters.scoring import boundary, caveats, coefficients, counted, number, score, score_in_words
from joulegram.exporters.served import together
from joulegram.exporters.texts import markdown, one_line


def export(documents: Sequence[Document], *, unit: str = "", units: str = "", signal: str = "average") -> str:
    """The score and its tables, in Markdown.

    Args:
        documents: of the runs.
        unit: the functional unit R (``trained model``, ``image``); ``request`` for a server by default.
        units: how many of them there were; the requests of a server by default.
        signal: which kind of intensity I is.

    Raises:
        CannotExport: no functional unit was told, or carbon cannot stand in one figure.
    """
    whole = counted(documents, signal)
    name, amount = _functional_unit(whole, one_line(unit), units)
    said = score_in_words(score(whole, amount), name)
    return "\n".join(
        [
            "# Software Carbon Intensity (ISO/IEC 21031:2024)",
            "",
            f"**SCI = (E · I + M) / R = {markdown(said)}**",
            "",
            *caveats(whole),
            "",
            *coefficients(whole, [("R, functional units", f"{amount:g} × {name}")]),
            "",
            *boundary(whole),
            "",
        ]
    )


def _functional_unit(whole: Account, unit: str, units: str) -> tuple[str, float]:
    if unit and units:
        return unit, number("units", units)
    requests = together(whole.documents).get("requests")
    if not unit and not units and requests:
        return "request", requests
    raise CannotExport(
        "SCI is a rate, so it needs what these runs did, and how often: --set unit='trained model' --set units=1"
    )
