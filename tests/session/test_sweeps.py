"""Trials of a search, told by what the searching library leaves on the stack, in its context or in the environment."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

import joulegram
from joulegram.session.sweeps import Trial, trial_around

optuna = pytest.importorskip("optuna")


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Optuna tells of each trial."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def kept() -> list[Any]:
    """The ledger's runs, the oldest first."""
    return sorted(joulegram.open_ledger().runs(), key=lambda run: run.id)


def told(run: Any) -> tuple[str, Any, Any]:
    """What tells of the search."""
    return run.stage, run.attributes.get("sweep"), run.attributes.get("trial")


def test_trials_of_optuna_are_of_its_study_and_what_comes_after_is_of_none() -> None:
    def objective(trial: Any) -> float:
        x = trial.suggest_float("x", 0, 1)
        with joulegram.track("try", project="p"):
            return float(x)

    study = optuna.create_study(study_name="widths")
    study.optimize(objective, n_trials=3)
    with joulegram.track("final", project="p"):
        pass
    found = {told(run) for run in kept()}
    assert found == {*(("search", "optuna:widths", str(n)) for n in range(3)), ("train", None, None)}
    summary = next(s.run for s in joulegram.open_ledger().summaries() if s.run["name"] == "try")
    assert (summary["sweep"], summary["process"]) == ("optuna:widths", kept()[0].document()["run"]["process"])


def test_a_trial_that_was_asked_for_is_one_until_its_result_is_told() -> None:
    study = optuna.create_study(study_name="asked")
    trial = study.ask()
    assert trial_around() == Trial("optuna:asked", "0")
    study.tell(trial, 1.0)
    assert trial_around() is None
    assert study.best_trial.number == 0


def test_a_stage_that_the_user_gave_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def objective(trial: Any) -> float:
        with joulegram.track("given", stage="finetune"):
            pass
        monkeypatch.setenv("JOULEGRAM_STAGE", "compress")
        with joulegram.track("configured"):
            return 0.0

    optuna.create_study(study_name="s").optimize(objective, n_trials=1)
    assert {(run.name, run.stage, run.attributes["trial"]) for run in kept()} == {
        ("given", "finetune", "0"),
        ("configured", "compress", "0"),
    }


def test_a_pruned_trial_has_not_failed_and_a_failed_one_has() -> None:
    def objective(trial: Any) -> float:
        with joulegram.track("pruned" if trial.number == 0 else "failed"):
            raise optuna.TrialPruned if trial.number == 0 else ValueError("diverged")

    optuna.create_study().optimize(objective, n_trials=2, catch=(ValueError,))
    assert {run.name: run.status for run in kept()} == {"pruned": "finished", "failed": "failed"}


class Tuner:
    """Calls the training as a tuner of Keras Tuner does."""

    project_name, oracle = "widths", object()

    def run_trial(self, trial: Any, train: Any) -> Any:
        return train()


def test_the_tuner_of_keras_on_the_stack_tells_its_project_and_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = SimpleNamespace(trial_id="007")
    assert Tuner().run_trial(trial, trial_around) is None  # some class of that shape, without the library
    monkeypatch.setitem(sys.modules, "keras_tuner", SimpleNamespace())
    assert Tuner().run_trial(trial, trial_around) == Trial("keras-tuner:widths", "007")
    assert trial_around() is None


@pytest.mark.parametrize(("trial_id", "found"), [("ab_01", Trial("ray:tune_lr", "ab_01")), (None, None)])
def test_a_worker_of_ray_tune_is_asked_for_its_context(
    monkeypatch: pytest.MonkeyPatch, trial_id: str | None, found: Trial | None
) -> None:
    context = SimpleNamespace(get_trial_id=lambda: trial_id, get_experiment_name=lambda: "tune_lr")
    monkeypatch.setitem(sys.modules, "ray.tune", SimpleNamespace(get_context=lambda: context))
    assert trial_around() == found


def test_what_a_library_does_not_tell_as_expected_is_no_trial_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.tune", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "optuna", SimpleNamespace())
    assert trial_around() is None


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"WANDB_SWEEP_ID": "s1", "WANDB_RUN_ID": "r1"}, Trial("wandb:s1", "r1")),
        ({"NNI_EXP_ID": "e", "NNI_TRIAL_JOB_ID": "j"}, Trial("nni:e", "j")),
        ({"WANDB_RUN_ID": "r1"}, None),
    ],
)
def test_the_environment_tells_of_trials_that_are_processes(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], found: Trial | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert trial_around() == found
