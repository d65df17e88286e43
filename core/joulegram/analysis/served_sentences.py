"""What serving cost, in plain words: each sentence has its numbers and what they are part of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from joulegram.analysis.sentences import listing
from joulegram.units import show_duration, show_energy, show_mass, show_percent

Row = Mapping[str, Any]
TOLD = 0.001
"""Part of what counters hold from which on it is told that no hour tells of it."""
TELLS = "a server tells of its hours at least once a minute, and when it ends"


def sentences(report: Row) -> list[str]:
    """What a run served and what that cost.

    Args:
        report: as in the result.
    """
    run, served = report["run"], report["served"]
    running = run["status"] == "running"
    if served is None:
        why = f"; {TELLS}" if running else ", as it ended before the first was written"
        return [f"No hour of this run has been told yet: what its requests cost is not known{why}."]
    everything = served["total"]
    said = [_served(everything, run)]
    if running:
        said.append(f"It is still running: these are the figures so far ({TELLS}).")
    if everything["requests"]:
        said += [_charged(everything), *_tokens(everything, served["routes"])]
        said += _within(served.get("within", ()))
        said += _idle(report["idle"])
        said += _utilisation(report["utilisation"])
        said += _traffic(report["traffic"])
        said += _sci(report["sci"])
    return [*said, *_apart(everything), *_untold(report["untold"], running)]


def sum_sentences(together: Row) -> list[str]:
    """What several runs served and what that cost."""
    if together["why"]:
        return [f"No sum: {together['why']}."]
    everything = together["total"]
    count = together["runs"]
    said = [f"{count} run{'' if count == 1 else 's'} together: {_total(everything)}."]
    if together["without"]:
        said.append(f"Not in the sum: {listing(together['without'])}, of which no hour has been told yet.")
    if together["running"]:
        said.append(f"Still running, and counted so far: {listing(together['running'])}.")
    if everything["requests"]:
        said += [_charged(everything), *_tokens(everything, together["routes"])]
    return [*said, *_idle(together["idle"]), *_sci(together["sci"]), *_apart(everything)]


def _within(rows: Sequence[Row]) -> list[str]:
    """Work inside of requests: ``107 predictions of 1,000 items, 9.3 each``."""
    told = []
    for row in rows:
        what = row["route"].removeprefix("within ")
        each = f" of {row['items']:,.0f} items, {row['items'] / row['requests']:.3g} each" if row["items"] else ""
        failed = f", {row['failed']:,} failed" if row["failed"] else ""
        told.append(f"{row['requests']:,} {what}{each}{failed}")
    return [f"Within these: {'; '.join(told)}."] if told else []


def _served(everything: Row, run: Row) -> str:
    lasted = show_duration(run["duration_s"])
    if not everything["requests"]:
        used = _energy(everything["whole_j"])
        return f"No request has ended in {lasted}; {used} was counted meanwhile, all of it nobody’s."
    return f"{_total(everything)}, in {lasted}."


def _total(everything: Row) -> str:
    """``12,345 requests (3 failed), 1.20 kWh and 180 g CO₂e``."""
    failed = f" ({everything['failed']:,} failed)" if everything["failed"] else ""
    grams = everything["whole_g"]
    carbon = "no carbon, as no price is known" if grams["value"] is None else f"{_least(grams, show_mass)} CO₂e"
    requests = "1 request" if everything["requests"] == 1 else f"{everything['requests']:,} requests"
    return f"{requests}{failed}, {_energy(everything['whole_j'])} and {carbon}"


def _charged(everything: Row) -> str:
    own, whole = (_pair(everything[f"{of}j_per_request"], everything[f"{of}g_per_request"]) for of in ("", "whole_"))
    if own is None or whole is None:
        return "What a request cost is not known: no counter was read."
    return f"A request was charged {own}; with its part of what was nobody’s it cost {whole}."


def _tokens(everything: Row, routes: Sequence[Row]) -> list[str]:
    own = _pair(everything["j_per_1000_tokens"], everything["g_per_1000_tokens"])
    if own is None:
        return []
    whole = _pair(everything["whole_j_per_1000_tokens"], everything["whole_g_per_1000_tokens"])
    silent = any(route["requests"] and not route["tokens"] for route in routes)
    others = ", routes that told of none included" if silent else ""
    return [f"1,000 of {everything['tokens']:,.0f} tokens were charged {own}{others}; with what was nobody’s, {whole}."]


def _pair(energy: Row, carbon: Row) -> str | None:
    """``350 J (38.1 mg)``."""
    if energy["value"] is None:
        return None
    grams = "" if carbon["value"] is None else f" ({_least(carbon, show_mass)})"
    return f"{_least(energy, show_energy)}{grams}"


def _least(figure: Row, show: Callable[[float], str]) -> str:
    """A figure with a value; a lower bound where parts of it are missing."""
    return f"{'at least ' if figure['missing'] else ''}{show(figure['value'])}"


def _idle(idle: Row) -> list[str]:
    if idle["share"] is None:
        return []
    least = "At least " if idle["idle_unknown"] else ""
    words = {
        "idle_shared_share": "was idle power while requests were in flight",
        "unattributed_share": "was nobody’s (nobody in flight, excluded routes, other users of the devices)",
    }
    parts = [f"{show_percent(idle[name])} {what}" for name, what in words.items() if idle[name] is not None]
    whole = f"{show_percent(idle['share'])} of {show_energy(idle['whole_j'])} was idle power or nobody’s"
    unknown = f" The idle power of {listing(idle['idle_unknown'])} is not known." if idle["idle_unknown"] else ""
    return [f"{least}{whole}: {', '.join(parts)}.{unknown}"]


def _utilisation(found: Row) -> list[str]:
    if found["why"]:
        return [f"What low utilisation costs cannot be told: {found['why']}."]
    every, busy = found["all"], found["busiest"]
    said = (
        f"In the busiest {busy['hours']} of {every['hours']} hours, at {busy['requests_per_hour']:,.0f} requests an "
        f"hour, a request cost {show_energy(busy['j_per_request'])}; in all of them, at "
        f"{every['requests_per_hour']:,.0f}, {show_energy(every['j_per_request'])}"
    )
    if found["price_j"] <= 0:
        return [f"{said}: low utilisation cost nothing that can be seen."]
    share = show_percent(found["price_share"])
    return [
        f"{said}: at the former cost all requests would have taken {show_energy(found['price_j'])} less of "
        f"{show_energy(every['whole_j'])} ({share})."
    ]


def _traffic(found: Row) -> list[str]:
    if found["why"] or found["power_factor"] is None:
        return []
    quiet, busy = found["quietest"], found["busiest"]
    return [
        f"From the quietest hour with requests to the busiest these rose {found['requests_factor']:.3g} times "
        f"({quiet['requests']:,} to {busy['requests']:,}), energy {found['power_factor']:.3g} times "
        f"({show_energy(quiet['whole_j'])} to {show_energy(busy['whole_j'])})."
    ]


def _sci(sci: Row) -> list[str]:
    score = sci["g_per_request"]
    if score["value"] is None:
        return [f"There is no SCI score: {score['how']}."]
    making = sci["embodied_g"]["value"]
    embodied = "M not counted" if making is None else f"M = {show_mass(making)}"
    operation = sci["operation_g"]
    least = "at least " if operation["missing"] else ""
    return [
        f"SCI: {least}{show_mass(score['value'])} CO₂e per request ((E · I + M) / R with E · I = "
        f"{_least(operation, show_mass)}, {embodied}, R = {sci['requests']:,})."
    ]


def _apart(everything: Row) -> list[str]:
    words = {
        "lost": "found no room to be counted",
        "dropped": "ended with their process",
    }
    said = [f"{everything[name]:,} requests {what}" for name, what in words.items() if everything[name]]
    found = [f"{' and '.join(said)}: their energy is nobody’s."] if said else []
    if everything["late"]:
        found.append(f"{everything['late']:,} events came late and were counted a moment later than they were.")
    return found


def _untold(found: Row, running: bool) -> list[str]:
    if found["share"] is None or abs(found["share"]) < TOLD:
        return []
    metered, share = show_energy(found["metered_j"]), show_percent(abs(found["share"]))
    joules = show_energy(abs(found["untold_j"]))
    if found["untold_j"] < 0:
        return [
            f"Hours tell of {joules} more than the {metered} recorded: of moments beyond the run’s ends, and between "
            "processes that counted one after the other."
        ]
    why = (
        "of requests in flight, and of the minutes since hours were told"
        if running
        else ("of the first moments, and of requests in flight when counting ended")
    )
    return [f"{joules} of the {metered} counted ({share}) is in no hour: {why}."]


def _energy(figure: Row) -> str:
    return "an unknown energy" if figure["value"] is None else _least(figure, show_energy)
