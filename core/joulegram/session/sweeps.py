"""Whether a run is a trial of a search, as the traces of the searching library tell: nobody has to say so.

Nothing is imported here: a library that this process has not loaded runs no trial in it. Optuna and Keras Tuner call
the training, so their trial is on the stack; Ray Tune keeps it in a context of its worker process; others start
processes and name the trial in their environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

_IN_ENVIRONMENT = (
    ("wandb", "WANDB_SWEEP_ID", "WANDB_RUN_ID"),
    ("nni", "NNI_EXP_ID", "NNI_TRIAL_JOB_ID"),
)
"""Who sets which variables: the search's id, the trial's."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One try of a search.

    Args:
        sweep: whose search, and what that calls it: ``optuna:STUDY``.
        trial: its number or id there.
    """

    sweep: str
    trial: str


def trial_around() -> Trial | None:
    """The trial that the caller is in; None outside of any, and where that cannot be told. Never raises."""
    for look in (_of_optuna, _of_keras_tuner, _of_ray, _of_environment):
        try:
            found = look()
        except Exception:  # a version that is made otherwise tells nothing
            continue
        if found is not None:
            return found
    return None


def _of_optuna() -> Trial | None:
    """Of `Study.optimize`; or of `Study.ask` in a loop of the user's own, until it is told the result."""
    optuna = sys.modules.get("optuna")
    if optuna is None:
        return None
    frames = list(_stack())
    running = [frame.f_locals.get("trial") for frame in frames if frame.f_code.co_name == "_run_trial"]
    named = (value for frame in frames for value in list(frame.f_locals.values()))
    asked = (value for value in named if issubclass(type(value), optuna.trial.Trial) and not _is_over(value))
    trial: Any = next((one for one in running if one is not None), None) or next(asked, None)
    return None if trial is None else Trial(f"optuna:{trial.study.study_name}", str(trial.number))


def _is_over(trial: Any) -> bool:
    """Whether its result is known already: a variable outlives what it names."""
    known = trial.study.get_trials(deepcopy=False)
    return any(trial.number == one.number and one.state.is_finished() for one in known)


def _of_keras_tuner() -> Trial | None:
    """Of a tuner's `search`, which calls its own `run_trial` with the trial."""
    if "keras_tuner" not in sys.modules and "kerastuner" not in sys.modules:
        return None
    for frame in _stack():
        if frame.f_code.co_name not in ("run_trial", "_build_and_fit_model", "_try_run_and_update_trial"):
            continue
        tuner: Any = frame.f_locals.get("self")
        trial: Any = frame.f_locals.get("trial")
        if hasattr(tuner, "oracle") and hasattr(trial, "trial_id"):
            return Trial(f"keras-tuner:{getattr(tuner, 'project_name', type(tuner).__name__)}", str(trial.trial_id))
    return None


def _of_ray() -> Trial | None:
    """Of the worker that Ray Tune runs a trial in."""
    tune = sys.modules.get("ray.tune")
    if tune is None:
        return None
    context = tune.get_context()
    trial = context.get_trial_id()
    return Trial(f"ray:{context.get_experiment_name()}", str(trial)) if trial else None


def _of_environment() -> Trial | None:
    for library, sweep, trial in _IN_ENVIRONMENT:
        if os.environ.get(sweep) and os.environ.get(trial):
            return Trial(f"{library}:{os.environ[sweep]}", os.environ[trial])
    return None


def _stack() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
