"""The parts of a model's life, and which of them a run belongs to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

DEVELOPMENT = {
    "data": "Data",
    "search": "Search",
    "failed": "Failed or aborted",
    "train": "Other training",
    "final": "Final training",
    "evaluate": "Evaluation",
    "compress": "Compression",
    "other": "Other stages",
}
DEPLOYMENT = {
    "requests": "Requests",
    "idle": "Idle",
    "serve": "Serving, not split",
    "retrain": "Retraining",
}
PHASES = {"development": DEVELOPMENT, "deployment": DEPLOYMENT}

SERVES = frozenset({"serve", "idle"})
"""Stages whose runs end by being stopped, which is no failure."""
TRAINS = frozenset({"train", "finetune"})
"""Stages that the final training may be of."""
FAILED = frozenset({"failed", "interrupted", "lost"})
_OWN = frozenset({"data", "search", "evaluate", "compress", "serve", "idle", "retrain"})


def part_of(run: Mapping[str, Any], final: Collection[str], continued: Collection[str]) -> str:
    """The part that a run belongs to: a key of `DEVELOPMENT` or `DEPLOYMENT`.

    Args:
        run: what identifies it, as listed.
        final: ids of the final training.
        continued: ids of runs that another one goes on from: their work is not lost, however they ended.
    """
    stage = run.get("stage")
    if run["id"] in final:
        return "final"
    if run["status"] in FAILED and stage not in SERVES and run["id"] not in continued:
        return "failed"
    if stage == "evaluate" and run.get("sweep"):
        return "search"
    if stage in TRAINS:
        return "train"
    return str(stage) if stage in _OWN else "other"
