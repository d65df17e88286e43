"""What is asked of a model and of its backend, and where a run is shown."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import keras

import joulegram

log = logging.getLogger("joulegram")


def describe(model: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader of the run would want to know of its set-up.

    Args:
        model: a Keras model.
        params: what Keras tells a callback of the loop.
    """
    found = {
        "model": type(model).__name__,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "optimizer": type(model.optimizer).__name__ if getattr(model, "optimizer", None) is not None else None,
        "precision": getattr(getattr(model, "dtype_policy", None), "name", None),
        "jit_compile": getattr(model, "jit_compile", None),
        "steps_per_execution": getattr(model, "steps_per_execution", None),
        "epochs": params.get("epochs"),
        "steps_per_epoch": params.get("steps"),
    }
    try:
        found["parameters"] = model.count_params()
    except Exception as error:  # a model that is not built yet
        log.debug("joulegram: parameters not counted: %r", error)
    return {name: value for name, value in found.items() if value is not None}


def device_of(model: Any) -> Any:
    """The torch device that a model is on; elsewhere None: only torch's queues can be asked."""
    if keras.backend.backend() != "torch":
        return None
    return next((variable.value.device for variable in getattr(model, "variables", ())), None)


def numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """The metrics among an epoch's logs."""
    return {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}


def show_summary(run: joulegram.Run) -> None:
    """Prints a run that has ended; one that is part of another is shown by that."""
    if run.joined or run.ledger is None:
        return
    from rich.console import Console

    try:
        document = joulegram.open_ledger(run.ledger).run(run.id).document()
    except (LookupError, OSError):  # nothing could be written, which has been said
        return
    Console().print(joulegram.summary_table(document))
