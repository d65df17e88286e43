"""SCI for AI scores: what a model costs those who use it and those who make it.

Green Software Foundation, SCI for AI (public review from November 2025), over ISO/IEC 21031:2024. The consumer's score
is of operation: runs of stage serve, per token, inference or another unit that is sold. The provider's is of everything
before: all other runs, every epoch of them, those that failed too, per FLOP, training token or parameter. The two are
never added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from joulegram.exporters import CannotExport, Document
from joulegram.exporters.account import Account
from joulegram.exporters.scoring import boundary, caveats, coefficients, counted, number, score, score_in_words
from joulegram.exporters.served import together
from joulegram.exporters.texts import markdown, one_line

# FLOPs and tokens are told by the many, as scores of one are beyond reading.
_EXA, _MILLION, _BILLION = 1e18, 1e6, 1e9


def export(
    documents: Sequence[Document],
    *,
    unit: str = "",
    units: str = "",
    training_tokens: str = "",
    parameters: str = "",
    signal: str = "average",
) -> str:
    """Both scores, as far as there are runs for them, in Markdown.

    Args:
        documents: of the runs.
        unit: what the consumer is sold (``image``, ``page``), where it is neither token nor inference.
        units: how many of these the serve runs did.
        training_tokens: that the model was trained on, all epochs and runs together.
        parameters: of the model; those of the last run that tells them by default.
        signal: which kind of intensity I is.

    Raises:
        CannotExport: there is nothing to score per, or carbon cannot stand in one figure.
    """
    if bool(unit) != bool(units):
        raise CannotExport("unit and units go together: --set unit=image --set units=60000")
    served = [document for document in documents if document["run"].get("stage") == "serve"]
    made = [document for document in documents if document["run"].get("stage") != "serve"]
    parts = ["# SCI for AI"]
    if served or not made:
        whole = counted(served, signal)
        parts += _scored("Consumer", "operation", whole, list(_consumed(whole, one_line(unit), units)))
    if made:
        whole = counted(made, signal)
        parts += _scored(
            "Provider",
            "data, search, training and evaluation",
            whole,
            list(_provided(whole, training_tokens, parameters)),
        )
    for name, absent, stages in (("Consumer", not served, "serves"), ("Provider", not made, "makes")):
        if absent:
            parts += ["", f"## {name} score", "", f"Not scored: no run that {stages} a model is among these."]
    return "\n".join([*parts, ""])


def _scored(persona: str, stages: str, whole: Account, rates: Sequence[tuple[str, float, str]]) -> list[str]:
    """A persona's section: scores, coefficients and boundary.

    Args:
        persona: whose.
        stages: of the life cycle, that are in it.
        whole: the runs.
        rates: what to score per, how many of it there were, and what is to be known of that number.
    """
    scores = [
        f"- **{markdown(score_in_words(score(whole, amount), unit))}**{f' {markdown(note)}' if note else ''}"
        for unit, amount, note in rates
    ]
    rows = [(f"R, {unit}", f"{amount:.6g}") for unit, amount, _ in rates]
    return [
        "",
        f"## {persona} score: {stages}",
        "",
        *scores,
        "",
        *caveats(whole),
        "",
        *coefficients(whole, rows),
        "",
        *boundary(whole),
    ]


def _consumed(whole: Account, unit: str, units: str) -> Iterator[tuple[str, float, str]]:
    if unit:
        yield unit, number("units", units), ""
        return
    found = together(whole.documents)
    if "tokens" in found:
        yield "million tokens", found["tokens"] / _MILLION, ""
    if "requests" in found:
        yield "inference", found["requests"], "A request counts as one, with all that it started."
    if not found:
        raise CannotExport("the serve runs tell neither requests nor tokens: --set unit=image --set units=60000")


def _provided(whole: Account, training_tokens: str, parameters: str) -> Iterator[tuple[str, float, str]]:
    told = parameters or next((str(p) for d in reversed(whole.documents) if (p := _parameters(d))), "")
    flops = whole.flops
    if flops.value:
        partly = " and are at least these: parts are missing" if flops.missing or flops.high is None else ""
        yield "exaFLOP", flops.value / _EXA, f"FLOPs are gross, those of failed runs among them{partly}."
    if training_tokens:
        yield "million training tokens", number("training_tokens", training_tokens) / _MILLION, ""
    if told:
        yield "billion parameters", number("parameters", told) / _BILLION, ""
    if not (flops.value or training_tokens or told):
        raise CannotExport(
            "the provider's score needs FLOPs, which these runs did not count, "
            "or --set training_tokens=N or --set parameters=N"
        )


def _parameters(document: Document) -> float | None:
    found = (document["run"].get("attributes") or {}).get("parameters")
    return float(found) if isinstance(found, int | float) and found > 0 else None
