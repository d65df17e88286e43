"""FLOPs of a training: those of each step, counted once, in the epoch and the phase that they belong to."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from torch.utils._python_dispatch import _get_current_dispatch_mode
from torch.utils.data import DataLoader, TensorDataset

Make = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings("ignore:.*no `val_dataloader`")

WIDTH, HIDDEN = 16, 32
FORWARD = 2 * (WIDTH * HIDDEN + HIDDEN * 1)
"""Of one sample: a multiply-add is two operations."""
BACKWARD = 2 * FORWARD - 2 * WIDTH * HIDDEN
"""Twice the forward pass, without the gradient of what the net is given."""


class Net(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(WIDTH, HIDDEN), torch.nn.BatchNorm1d(HIDDEN), torch.nn.Dropout(0.1), torch.nn.ReLU()
        )
        self.head = torch.nn.Linear(HIDDEN, 1)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return self.head(self.net(batch[0])).square().mean()

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.log("val_loss", self.head(self.net(batch[0])).square().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 1e-2)


def samples(count: int, batch: int = 8) -> DataLoader[tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(7)
    return DataLoader(TensorDataset(torch.randn(count, WIDTH, generator=generator)), batch_size=batch)


def test_an_epoch_has_the_flops_of_its_batches_the_odd_last_one_too(
    trainer: Make, monitor: Make, recorded: Make, tmp_path: Path
) -> None:
    watch, logger = monitor(), CSVLogger(tmp_path)
    trainer(watch, logger=logger, max_epochs=3, num_sanity_val_steps=0).fit(Net(), samples(28), samples(20))
    run = recorded(watch)
    train, validation = 28 * (FORWARD + BACKWARD), 20 * FORWARD
    assert [epoch.footprint.flops.value for epoch in run.spans("epoch")] == [train + validation] * 3
    assert [span.footprint.flops.value for span in run.spans("validation")] == [validation] * 3
    phases = run.footprint().phases
    assert phases["forward"].flops.value == 3 * 28 * FORWARD
    assert phases["backward"].flops.value == 3 * 28 * BACKWARD
    assert phases["validation"].flops.value == 3 * validation
    whole = run.footprint().flops
    assert (whole.value, whole.low, whole.high) == (3 * (train + validation),) * 3
    with Path(logger.log_dir, "metrics.csv").open() as file:
        logged = [float(row["flops"]) for row in csv.DictReader(file) if row.get("flops")]
    assert sum(logged) == pytest.approx(whole.value, rel=1e-6)


def test_every_kind_of_step_is_counted_once(trainer: Make, monitor: Make, recorded: Make) -> None:
    watch = monitor()
    trainer(watch, max_epochs=2, num_sanity_val_steps=0).fit(Net(), samples(28), samples(16))
    (counts,) = recorded(watch).pricer.trace.counts
    assert [(count.stage, count.inputs) for count in counts] == [
        ("fit", "8×16 float32"),
        ("fit", "4×16 float32"),
        ("validate", "8×16 float32"),
    ]
    assert all(count.overhead_s > 0 for count in counts)


def test_a_sanity_check_is_no_part_of_validation(trainer: Make, monitor: Make, recorded: Make) -> None:
    watch = monitor()
    trainer(watch, num_sanity_val_steps=1).fit(Net(), samples(8), samples(16))
    run = recorded(watch)
    assert run.footprint().phases["sanity"].flops.value == 8 * FORWARD
    assert run.footprint().phases["validation"].flops.value == 16 * FORWARD


@pytest.mark.parametrize("kind", ["validate", "test", "predict"])
def test_evaluations_are_counted_too(trainer: Make, monitor: Make, recorded: Make, kind: str) -> None:
    class Evaluated(Net):
        test_step = Net.validation_step

        def predict_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
            return self.head(self.net(batch[0]))

    watch = monitor()
    getattr(trainer(watch), kind)(Evaluated(), samples(20))
    assert recorded(watch).footprint().flops.value == 20 * FORWARD


def test_layers_that_were_frozen_meanwhile_are_counted_anew(trainer: Make, monitor: Make, recorded: Make) -> None:
    class Freezing(Net):
        def on_train_epoch_start(self) -> None:
            self.net.requires_grad_(self.current_epoch == 0)

    watch = monitor()
    trainer(watch, max_epochs=2).fit(Freezing(), samples(8))
    first, second = [epoch.footprint.flops.value for epoch in recorded(watch).spans("epoch")]
    assert first == 8 * (FORWARD + BACKWARD)
    assert second == 8 * (FORWARD + 2 * HIDDEN)  # the head's weights alone have gradients


def weights_after_training(*callbacks: Any, trainer: Make, model: Callable[[], Any] = Net) -> dict[str, torch.Tensor]:
    torch.manual_seed(11)
    net = model()
    trainer(*callbacks, max_epochs=2).fit(net, samples(28), samples(12))
    return {name: value.clone() for name, value in getattr(net, "_orig_mod", net).state_dict().items()}


def compiled() -> Any:
    return torch.compile(Net(), backend="aot_eager")


@pytest.mark.parametrize("model", [Net, compiled])
def test_training_is_the_same_to_the_bit_with_and_without_counting(
    trainer: Make, monitor: Make, model: Callable[[], Any]
) -> None:
    torch._dynamo.reset()
    without = weights_after_training(monitor(flops="off"), trainer=trainer, model=model)
    torch._dynamo.reset()
    watch = monitor()
    counted = weights_after_training(watch, trainer=trainer, model=model)
    assert all(torch.equal(without[name], counted[name]) for name in without)
    assert watch.run.footprint().flops.value == 2 * (28 * (FORWARD + BACKWARD) + 12 * FORWARD) + 12 * FORWARD


def test_a_step_that_cannot_be_counted_is_missing_with_the_reason(
    trainer: Make, monitor: Make, recorded: Make, caplog: pytest.LogCaptureFixture
) -> None:
    class Deciding(Net):
        def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
            loss = super().training_step(batch, batch_idx)
            return loss * 2 if loss.item() > 1e9 else loss

    watch = monitor()
    trainer(watch, num_sanity_val_steps=0).fit(torch.compile(Deciding(), backend="eager"), samples(8), samples(8))
    flops = recorded(watch).footprint().flops
    assert flops.value == 8 * FORWARD  # the validation, which decides nothing
    assert flops.high is None
    assert "not counted" in flops.missing[0]
    assert sum("FLOPs of fit steps are missing" in record.message for record in caplog.records) == 1


def test_who_wants_no_flops_gets_none(trainer: Make, monitor: Make, recorded: Make) -> None:
    watch = monitor(flops="off")
    trainer(watch).fit(Net(), samples(8))
    assert recorded(watch).footprint().flops.method == "missing"


def test_flops_can_be_monitored(trainer: Make, monitor: Make) -> None:
    quiet = trainer(EarlyStopping("flops", patience=1), monitor(), max_epochs=9)
    quiet.fit(Net(), samples(16))
    assert quiet.current_epoch == 2  # as many in every epoch: no improvement


@pytest.mark.parametrize("model", [Net, compiled])
def test_the_type_that_is_computed_in_is_that_of_mixed_precision(
    trainer: Make, monitor: Make, recorded: Make, model: Callable[[], Any]
) -> None:
    torch._dynamo.reset()
    watch = monitor()
    trainer(watch, precision="bf16-mixed").fit(model(), samples(8))
    (counts,) = recorded(watch).pricer.trace.counts
    assert [count.dtype for count in counts] == ["bfloat16"]


def test_layers_are_told_on_request(trainer: Make, monitor: Make, recorded: Make) -> None:
    watch = monitor(flops="torch_layers")
    trainer(watch).fit(Net(), samples(16))
    (step,) = recorded(watch).document()["steps"]
    flops = {layer["path"]: layer["flops"] for layer in step["layers"]}
    assert flops["Net"] == 8 * (FORWARD + BACKWARD)
    assert flops["Net.head"] == 8 * 3 * 2 * HIDDEN
    assert flops["Net.net.0"] + flops["Net.head"] == flops["Net"]


def test_a_monitor_that_gives_up_in_a_step_no_longer_watches_what_runs(trainer: Make, monitor: Make) -> None:
    watch = monitor()

    class Fault(pl.Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            watch.give_up(RuntimeError("a fault"))

    trainer(watch, Fault(), num_sanity_val_steps=0).fit(Net(), samples(16))
    assert _get_current_dispatch_mode() is None


def test_a_batch_that_the_module_skips_is_not_watched_beyond_its_epoch(
    trainer: Make, monitor: Make, recorded: Make
) -> None:
    watched = []

    class Skips(Net):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int:
            return -1

    class After(pl.Callback):
        def on_train_epoch_end(self, *_: Any) -> None:
            watched.append(_get_current_dispatch_mode())

    watch = monitor()
    trainer(watch, After(), num_sanity_val_steps=0).fit(Skips(), samples(16))
    assert watched == [None]
    assert recorded(watch).footprint().flops.value is None


def test_a_compiled_step_is_given_what_lightning_gives_it(trainer: Make, monitor: Make, recorded: Make) -> None:
    class Shorter(Net):
        def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
            return super().training_step(batch, 0)

        def validation_step(self, batch: list[torch.Tensor], batch_idx: int, dataloader_idx: int) -> None:
            super().validation_step(batch, batch_idx)

    torch._dynamo.reset()
    watch = monitor()
    loaders = [samples(8), samples(8)]
    trainer(watch, num_sanity_val_steps=0).fit(torch.compile(Shorter(), backend="eager"), samples(8), loaders)
    flops = recorded(watch).footprint().flops
    assert (flops.value, flops.missing) == (8 * (FORWARD + BACKWARD) + 16 * FORWARD, ())
