"""A table for a paper in LaTeX (booktabs): a row for each run, their total, and how it was found out."""

from __future__ import annotations

from collections.abc import Sequence

from joulegram.exporters import Document
from joulegram.exporters.account import Account, account, label
from joulegram.exporters.methods import kind, sentences
from joulegram.exporters.texts import latex, one_line
from joulegram.quantities import Quantity
from joulegram.units import J_PER_KWH

_CO2E = r"CO\textsubscript{2}e"


def export(documents: Sequence[Document], *, signal: str = "average") -> str:
    r"""The table; it needs ``\usepackage{booktabs}``.

    Args:
        documents: of the runs.
        signal: which kind of intensity carbon is told on.

    Raises:
        CannotExport: there is no run, or their carbon cannot stand in one figure.
    """
    whole = account(documents, signal)
    rows = [_row(label(d), d["run"].get("stage") or "", account([d], signal)) for d in whole.documents]
    if len(rows) > 1:
        rows += [r"\midrule", _row("Total", "", whole)]
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}",
            r"  \centering",
            r"  \begin{tabular}{llrrrr}",
            r"    \toprule",
            rf"    Run & Stage & Time (h) & Energy (kWh) & {_CO2E} (g) & FLOP \\",
            r"    \midrule",
            *(f"    {row}" for row in rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            rf"  \caption{{{_caption(whole)}}}",
            r"\end{table}",
            "",
        ]
    )


def _row(name: str, stage: str, whole: Account) -> str:
    cells = [
        latex(name),
        latex(stage),
        _value(whole.duration_s / 3600),
        _bounded(whole.energy_j, J_PER_KWH),
        _bounded(whole.carbon_g, 1.0),
        _bounded(whole.flops, 1.0),
    ]
    return " & ".join(cells) + r" \\"


def _bounded(quantity: Quantity, per: float) -> str:
    """The value with its bounds; a dash where it is missing."""
    if quantity.value is None:
        return "--"
    value = _value(quantity.value / per)
    low, high = (None if bound is None else _value(bound / per) for bound in (quantity.low, quantity.high))
    if low is None:
        return value if high is None else f"{value} ($\\leq${high})"
    if high is None:
        return f"{value} ($\\geq${low})"
    return value if low == high else f"{value} ({low}--{high})"


def _value(number: float) -> str:
    mantissa, _, exponent = f"{number:.3g}".partition("e")
    return f"${mantissa}\\times10^{{{int(exponent)}}}$" if exponent else mantissa


def _caption(whole: Account) -> str:
    head = (
        f"Bounds in brackets; energy is IT energy, carbon is operational ({kind(whole)}). A dash is missing, not zero."
    )
    return latex(one_line(" ".join([head, *sentences(whole)])))
