"""Whether more was tried once trying got cheaper: runs and different set-ups a week, before and after a time."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from joulegram.analysis.entries import Entry, alone
from joulegram.analysis.rebound import offset_of

WEEK_S = 7 * 86_400.0
LEAST_S = 86_400.0
"""Shortest stretch of time that tells how many runs there are a week."""
DEPLOYED = frozenset({"serve", "idle", "retrain"})
"""Stages that are no development."""

Json = dict[str, Any]


def developed(
    entries: Sequence[Entry], at_s: float, since_s: float = -inf, until_s: float = inf, *, now_s: float
) -> Json:
    """What changed in developing at a time.

    A trial of a search is a set-up of its own; other runs are of one set-up where name, stage, model and, to three
    digits, FLOPs are the same.

    Args:
        entries: all runs of a project.
        at_s: when it changed (s since 1970).
        since_s: from when runs count; from the first on by default.
        until_s: until when; until now by default.
        now_s: the wall clock.
    """
    runs = [entry for entry in alone(entries) if entry.run.get("stage") not in DEPLOYED]
    runs = [entry for entry in runs if since_s <= entry.start_s < min(until_s, now_s)]
    if not runs:
        return {"why": "no run of the project in that time is of development"}
    first_s = min(entry.start_s for entry in runs) if since_s == -inf else since_s
    edges_s = first_s, at_s, min(until_s, now_s)
    if min(edges_s[1] - edges_s[0], edges_s[2] - edges_s[1]) < LEAST_S:
        return {"why": "less than a day lies before the change or after it"}
    before, after = (
        _stretch([entry for entry in runs if start_s <= entry.start_s < end_s], (end_s - start_s) / WEEK_S)
        for start_s, end_s in ((edges_s[0], edges_s[1]), (edges_s[1], edges_s[2]))
    )
    for which, side in (("before", before), ("after", after)):
        if not side["j_per_run"]:
            return {"why": f"no run {which} the change has a figure of its energy"}
    offset = offset_of(before["j_per_run"], after["j_per_run"], before["runs_per_week"], after["runs_per_week"])
    return {"why": "", "before": before, "after": after, "offset": offset}


def _stretch(runs: Sequence[Entry], weeks: float) -> Json:
    counted = [entry for entry in runs if entry.figures["energy_j"].value is not None]
    energy_j, setups = sum(entry.energy_j for entry in counted), len({_setup(entry) for entry in runs})
    return {
        "weeks": weeks,
        "runs": len(runs),
        "runs_without_energy": len(runs) - len(counted),
        "setups": setups,
        "energy_j": energy_j,
        "runs_per_week": len(runs) / weeks,
        "setups_per_week": setups / weeks,
        "energy_j_per_week": energy_j / weeks,
        "j_per_run": energy_j / len(counted) if counted else None,
    }


def _setup(entry: Entry) -> tuple[object, ...]:
    run, flops = entry.run, entry.figures["flops"].value
    if run.get("sweep") and run.get("trial"):
        return run["sweep"], run["trial"]
    return run.get("name"), run.get("stage"), run.get("model"), f"{flops:.3g}" if flops else None
