"""A search with Optuna over trainings: its trials are told apart from the training that follows, by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tiny_training import Tiny, loader

import joulegram
from joulegram_lightning import FootprintMonitor

optuna = pytest.importorskip("optuna")
Make = Callable[..., Any]


@pytest.mark.filterwarnings("ignore:.*(no `val_dataloader`|callbacks used to create)")
def test_naming_the_project_is_enough_for_a_search_to_be_grouped(trainer: Make) -> None:
    def fit() -> None:
        trainer(FootprintMonitor(project="p", model="tiny", summary=False)).fit(Tiny(), loader())

    def objective(trial: Any) -> float:
        fit()
        if trial.number == 1:
            raise optuna.TrialPruned
        return 0.0

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study(study_name="tiny-search").optimize(objective, n_trials=2)
    fit()
    found = [summary.run for summary in joulegram.open_ledger().summaries()]
    assert sorted((run["stage"], run["sweep"] or "", run["trial"] or "") for run in found) == [
        ("search", "optuna:tiny-search", "0"),
        ("search", "optuna:tiny-search", "1"),
        ("train", "", ""),
    ]
    assert {(run["project"], run["model"], run["status"]) for run in found} == {("p", "tiny", "finished")}
