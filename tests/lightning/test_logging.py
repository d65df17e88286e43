"""What is logged reaches whoever looks, and adds up to the run."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from tiny_training import Tiny, loader

Make = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings("ignore:.*no `val_dataloader`")
FIGURES = ("energy_j", "carbon_g", "flops", "node_energy_j", "facility_energy_j")


def rows(logger: CSVLogger, name: str = "energy_j") -> list[tuple[int, float]]:
    """(step, value) as the file holds them."""
    with Path(logger.log_dir, "metrics.csv").open() as file:
        return [(int(row["step"]), float(row[name])) for row in csv.DictReader(file) if row.get(name)]


@pytest.mark.parametrize(
    ("own", "options", "places"),
    [
        pytest.param({}, {}, 3, id="epochs"),
        pytest.param({}, {"val_check_interval": 0.5}, 5, id="validations"),
        pytest.param({}, {"check_val_every_n_epoch": 2}, 3, id="a validation for two epochs"),
        pytest.param({"every": 3}, {}, 5, id="batches"),
        pytest.param({"every": 4}, {}, 3, id="batches of an epoch"),
        pytest.param({"every": timedelta(milliseconds=1)}, {}, 9, id="time"),
        pytest.param({"every": timedelta(hours=1)}, {}, 3, id="a time that never comes"),
    ],
)
def test_what_a_logger_holds_adds_up_to_the_run(
    trainer: Make,
    monitor: Make,
    recorded: Make,
    adds_up: Make,
    tmp_path: Path,
    own: dict[str, Any],
    options: dict[str, Any],
    places: int,
) -> None:
    watch, logger = monitor(**own), CSVLogger(tmp_path)
    trainer(watch, logger=logger, max_epochs=2, log_every_n_steps=1, **options).fit(Tiny(), loader(4), loader(2))
    run = recorded(watch)
    for name in FIGURES:
        logged = rows(logger, name)
        total = getattr(run.footprint(), name).value
        assert sum(value for _, value in logged) == pytest.approx(total, rel=1e-5)  # loggers get single precision
    assert len(rows(logger)) == places
    assert [step for step, _ in rows(logger)] == sorted(step for step, _ in rows(logger))
    adds_up(run)


def test_an_epoch_is_on_the_progress_bar_and_among_the_callback_metrics(trainer: Make, monitor: Make) -> None:
    class Looking(Callback):
        def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
            seen.append(set(trainer.callback_metrics))

    seen: list[set[str]] = []
    watch = monitor()
    quiet = trainer(watch, Looking(), max_epochs=1)
    quiet.fit(Tiny(), loader(4))
    assert {"energy_j", "carbon_g"} <= set(quiet.progress_bar_metrics)
    assert set(FIGURES) <= set(quiet.callback_metrics)
    assert set(FIGURES) <= seen[0]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="at the epoch's end"),
        pytest.param({"val_check_interval": 0.5}, id="at validations"),
        pytest.param({"val_check_interval": 2}, id="at validations by steps"),
        pytest.param({"check_val_every_n_epoch": 2}, id="at a validation for two epochs"),
    ],
)
def test_training_can_stop_early_by_energy(trainer: Make, monitor: Make, options: dict[str, Any]) -> None:
    stopping = EarlyStopping("energy_j", patience=1, mode="min", min_delta=1e9)  # nothing is good enough
    quiet = trainer(stopping, monitor(), max_epochs=9, **options)
    quiet.fit(Tiny(), loader(4), loader(2))
    assert quiet.current_epoch < 9


def test_a_checkpoint_can_be_chosen_by_energy(trainer: Make, monitor: Make, tmp_path: Path) -> None:
    best = ModelCheckpoint(tmp_path, monitor="energy_j", mode="min")
    trainer(best, monitor(), max_epochs=2, enable_checkpointing=True).fit(Tiny(), loader(4), loader(2))
    assert best.best_model_score is not None


@pytest.mark.parametrize(
    "options", [{"logger": False}, {"fast_dev_run": True}, {"barebones": True, "logger": None}], ids=str
)
def test_a_trainer_that_logs_nothing_is_measured_all_the_same(
    trainer: Make, monitor: Make, recorded: Make, recwarn: pytest.WarningsRecorder, options: dict[str, Any]
) -> None:
    watch = monitor()
    if "barebones" in options:
        options = {**options, "enable_checkpointing": None, "enable_progress_bar": None, "enable_model_summary": None}
    trainer(watch, **options).fit(Tiny(), loader(4), loader(2))
    assert recorded(watch).footprint().energy_j.value > 0
    assert not [warning for warning in recwarn if "self.log" in str(warning.message)]


@pytest.mark.parametrize("task", ["validate", "test"])
def test_an_evaluation_returns_its_energy_with_its_metrics(
    trainer: Make, monitor: Make, recorded: Make, tmp_path: Path, task: str
) -> None:
    watch, logger = monitor(), CSVLogger(tmp_path)
    (metrics,) = getattr(trainer(watch, logger=logger), task)(Tiny(), loader(4), verbose=False)
    assert metrics["energy_j"] > 0
    total_j = recorded(watch).footprint().energy_j.value
    assert sum(value for _, value in rows(logger)) == pytest.approx(total_j, rel=1e-5)


def test_a_prediction_is_recorded_and_not_logged(trainer: Make, monitor: Make, recorded: Make, tmp_path: Path) -> None:
    watch, logger = monitor(), CSVLogger(tmp_path)
    trainer(watch, logger=logger).predict(Tiny(), loader(4))
    assert recorded(watch).footprint().energy_j.value > 0
    assert not Path(logger.log_dir, "metrics.csv").exists()


def test_a_logger_that_fails_stops_no_training(trainer: Make, monitor: Make, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(CSVLogger):
        def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
            if step is not None and "energy_j" in metrics and len(metrics) == len(FIGURES):
                raise OSError("the disk is full")

    module = Tiny()
    before = module.layer.weight.detach().clone()
    quiet = trainer(monitor(every=1), logger=Broken("."), max_epochs=2)
    quiet.fit(module, loader(4))
    assert quiet.global_step == 8
    assert not torch.equal(module.layer.weight, before)
    assert len([record for record in caplog.records if "the disk is full" in record.message]) == 1


def test_what_the_module_logged_last_is_kept_with_the_run_without_our_own_figures(
    trainer: Make, monitor: Make, recorded: Make
) -> None:
    class Judged(Tiny):
        def validation_step(self, batch: torch.Tensor, batch_idx: int, dataloader_idx: int = 0) -> None:
            self.log("val/acc", 0.25 * (1 + self.current_epoch))

    watch = monitor()
    trainer(watch, max_epochs=2).fit(Judged(), loader(2), loader(2))
    assert recorded(watch).attributes["metrics"] == {"val/acc": 0.5}
