"""Every way in which Lightning's loop may go is phases and spans that add up."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from tiny_training import ByHand, Leaving, Numbers, SecondOrder, Skipping, Tiny, loader
from torch.utils.data import DataLoader, IterableDataset

Make = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*(no `val_dataloader`|is not empty|callbacks used to create|is not resumable|returned `None`)"
)
PHASES = {"data", "forward", "backward", "optimizer", "validation", "checkpoint", "sanity", "other"}


class Stream(IterableDataset[torch.Tensor]):
    def __iter__(self) -> Any:
        return (Numbers(8)[index] for index in range(8))


class Slow(Tiny):
    """Takes a known time for each thing that a phase is made of."""

    step_s = 0.02

    def backward(self, loss: torch.Tensor) -> None:
        time.sleep(0.03)
        loss.backward()

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, closure: Any) -> None:
        super().optimizer_step(epoch, batch_idx, optimizer, closure)
        time.sleep(0.01)

    def validation_step(self, batch: torch.Tensor, batch_idx: int, dataloader_idx: int = 0) -> None:
        time.sleep(0.015)


class SlowCheckpoint(ModelCheckpoint):
    def _save_checkpoint(self, trainer: Any, filepath: str) -> None:
        super()._save_checkpoint(trainer, filepath)
        time.sleep(0.04)


@pytest.mark.parametrize("accumulate", [2, 1])
def test_each_phase_holds_the_time_of_what_happens_in_it(
    trainer: Make, monitor: Make, recorded: Make, adds_up: Make, tmp_path: Path, accumulate: int
) -> None:
    watch = monitor()
    saves = SlowCheckpoint(dirpath=tmp_path, every_n_train_steps=1, save_top_k=-1)
    trainer(watch, saves, enable_checkpointing=True, num_sanity_val_steps=0, accumulate_grad_batches=accumulate).fit(
        Slow(), loader(8, wait_s=0.025), loader(4)
    )
    run = recorded(watch)
    steps = 8 // accumulate
    truth_s = {
        "data": 8 * 0.025,
        "forward": 8 * 0.02,
        "backward": 8 * 0.03,
        "optimizer": steps * 0.01,
        "checkpoint": steps * 0.04,
        "validation": 4 * 0.015,
    }
    found_s = {name: phase.duration_s for name, phase in run.footprint().phases.items()}
    # No less than what is known to have happened in it; as the phases make up the whole, nothing is where it is not.
    for name, seconds in truth_s.items():
        assert seconds * 0.99 <= found_s[name], name
    adds_up(run)


@pytest.mark.parametrize(
    ("module", "options"),
    [
        pytest.param(Tiny, {"accumulate_grad_batches": 3}, id="accumulated"),
        pytest.param(ByHand, {}, id="by hand"),
        pytest.param(SecondOrder, {}, id="lbfgs"),
        pytest.param(Skipping, {}, id="no loss"),
        pytest.param(Leaving, {}, id="epoch left"),
        pytest.param(Tiny, {"val_check_interval": 2}, id="validation within"),
        pytest.param(Tiny, {"check_val_every_n_epoch": 2}, id="validation every other epoch"),
        pytest.param(Tiny, {"limit_val_batches": 0}, id="no validation"),
        pytest.param(Tiny, {"reload_dataloaders_every_n_epochs": 1}, id="reloading"),
    ],
)
def test_two_epochs_of_any_kind_are_two_spans(
    trainer: Make, monitor: Make, recorded: Make, adds_up: Make, module: type[Tiny], options: dict[str, Any]
) -> None:
    watch = monitor()
    trainer(watch, max_epochs=2, **options).fit(module(), loader(), [loader(2), loader(1)])
    run = recorded(watch)
    assert run.status == "finished"
    assert [span.index for span in run.spans("epoch")] == [0, 1]
    assert set(run.footprint().phases) <= PHASES
    assert {"data", "forward", "backward", "optimizer"} <= set(run.spans("epoch")[0].footprint.phases)
    adds_up(run)


def test_spans_are_nested_as_the_loop_is(trainer: Make, monitor: Make, recorded: Make) -> None:
    watch = monitor()
    trainer(watch).fit(Tiny(), loader(), loader(2))
    spans = {span.kind: span for span in recorded(watch).spans()}
    assert set(spans) == {"fit", "sanity", "epoch", "validation"}
    assert spans["fit"].parent is None
    assert spans["sanity"].parent == spans["epoch"].parent == spans["fit"].id
    assert spans["validation"].parent == spans["epoch"].id


def test_the_sanity_check_is_no_part_of_an_epoch(trainer: Make, monitor: Make, recorded: Make, adds_up: Make) -> None:
    watch = monitor()
    trainer(watch, num_sanity_val_steps=2).fit(Tiny(), loader(), loader(2))
    run = recorded(watch)
    (sanity,), (epoch,), (validation,) = run.spans("sanity"), run.spans("epoch"), run.spans("validation")
    assert sanity.start_s + sanity.duration_s <= epoch.start_s
    assert set(sanity.footprint.phases) <= {"sanity", "other"} | {
        name for name, phase in sanity.footprint.phases.items() if phase.duration_s == 0
    }
    assert epoch.footprint.phases.get("sanity") is None or epoch.footprint.phases["sanity"].duration_s == 0
    assert epoch.start_s <= validation.start_s
    adds_up(run)


def test_steps_that_run_out_end_the_epoch(trainer: Make, monitor: Make, recorded: Make, adds_up: Make) -> None:
    watch = monitor()
    trainer(watch, max_steps=6, max_epochs=-1).fit(Tiny(), loader(4), loader(1))
    run = recorded(watch)
    first, second = run.spans("epoch")
    assert second.duration_s < first.duration_s
    adds_up(run)


def test_a_loader_without_a_length_is_followed(trainer: Make, monitor: Make, recorded: Make, adds_up: Make) -> None:
    watch = monitor()
    trainer(watch, max_epochs=2).fit(Tiny(), DataLoader(Stream(), batch_size=2))
    assert len(recorded(watch).spans("epoch")) == 2
    adds_up(recorded(watch))


@pytest.mark.parametrize("task", ["validate", "test", "predict"])
def test_an_evaluation_is_a_run_of_its_own(
    trainer: Make, monitor: Make, recorded: Make, adds_up: Make, task: str
) -> None:
    watch = monitor()
    getattr(trainer(watch), task)(Tiny(), loader(3))
    run = recorded(watch)
    assert (run.status, run.stage, run.name) == ("finished", "evaluate", "Tiny")
    assert [span.kind for span in run.spans()] == [task]
    assert {"data", "forward"} <= set(run.footprint().phases)
    adds_up(run)


def test_a_save_by_hand_returns_to_what_the_loop_was_doing(trainer: Make, monitor: Make, tmp_path: Path) -> None:
    class Saving(Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            trainer.save_checkpoint(tmp_path / "by_hand.ckpt")
            seen.append(watch._loop.phase)

        def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
            seen.append(watch._loop.phase)

    watch, seen = monitor(), list[str]()
    quiet = trainer(watch, Saving())
    quiet.fit(Tiny(), loader(2))
    assert seen == ["checkpoint", "checkpoint", "other"]
    assert quiet.callbacks[:1] == [watch]
    assert all(type(callback).__name__ != "_AfterSave" for callback in quiet.callbacks)


@pytest.mark.parametrize("where", ["within an epoch", "at an epoch's end"])
def test_a_resumed_epoch_has_a_span(
    trainer: Make, monitor: Make, recorded: Make, adds_up: Make, tmp_path: Path, where: str
) -> None:
    steps = 2 if where == "within an epoch" else 4
    first = monitor()
    before = trainer(
        first, ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=steps), max_steps=steps, enable_checkpointing=True
    )
    before.fit(Tiny(), loader(4), loader(1))
    second = monitor()
    trainer(second, max_epochs=3).fit(
        Tiny(), loader(4), loader(1), ckpt_path=before.checkpoint_callback.best_model_path
    )
    run = recorded(second)
    assert run.status == "finished"
    assert [span.index for span in run.spans("epoch")] == ([0, 1, 2] if steps == 2 else [1, 2])
    assert run.parent == recorded(first).id
    adds_up(run)
