"""Which run is the final training of a project or a model: the one that all of the development is held against.

In this order: the run that the user names; the finished run that the latest serving names as its model, by that run's
id, its own model or its name; the latest finished run of stage ``train`` or ``finetune`` that is no trial of a search.
The runs that it continues belong to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from joulegram.analysis.entries import Entry
from joulegram.analysis.stages import TRAINS

SHORTEST_ID = 8
"""Characters of a run's id from which on its beginning names it."""


@dataclass(frozen=True, slots=True)
class Final:
    """The final training.

    Args:
        ids: the run's, and then those of the runs that it continues.
        how: in words, which rule found it; why there is none where `ids` is empty.
    """

    ids: tuple[str, ...]
    how: str


def final_training(entries: Sequence[Entry], named: str | None = None) -> Final:
    """The final training among runs.

    Args:
        entries: the runs looked at.
        named: id of the run that the user says it is, which is one of them.
    """
    if named is not None:
        return Final(_line(entries, named), "named by you")
    served = [entry for entry in entries if entry.run.get("stage") == "serve" and entry.run.get("model")]
    for entry in sorted(served, key=lambda entry: entry.start_s, reverse=True):
        made = _makes(entries, str(entry.run["model"]))
        if made is not None:
            return Final(_line(entries, made.id), f"what serving run {entry.id} names as its model")
    latest = _latest([entry for entry in entries if _may_be(entry)])
    if latest is not None:
        return Final(_line(entries, latest.id), "the latest finished run of stage train or finetune")
    return Final((), "no run of stage train or finetune has finished (--final RUN names one)")


def _may_be(entry: Entry) -> bool:
    run = entry.run
    return run["status"] == "finished" and run.get("stage") in TRAINS and not run.get("sweep")


def _makes(entries: Sequence[Entry], model: str) -> Entry | None:
    by_id = [e for e in entries if e.id == model or (len(model) >= SHORTEST_ID and e.id.startswith(model))]
    if len(by_id) == 1:
        return by_id[0]
    candidates = [entry for entry in entries if _may_be(entry)]
    for field in ("model", "name"):
        found = _latest([entry for entry in candidates if entry.run.get(field) == model])
        if found is not None:
            return found
    return None


def _latest(entries: Sequence[Entry]) -> Entry | None:
    return max(entries, key=lambda entry: (entry.run.get("started") or "", entry.id), default=None)


def _line(entries: Sequence[Entry], last: str) -> tuple[str, ...]:
    """A run and those that it continues, as far as they are among the runs."""
    by_id = {entry.id: entry for entry in entries}
    line = [last]
    while (parent := by_id[line[-1]].run.get("parent")) in by_id and parent not in line:
        line.append(str(parent))
    return tuple(line)
