"""What FootprintMonitor adds to a training step: its hooks by themselves, and a whole training with and without it."""

from __future__ import annotations

import logging
import random
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from measure import Figure, mean_interval_95, seconds_of
from torch.utils.data import DataLoader

from joulegram_lightning import FootprintMonitor

BATCHES, STEPS_PER_BATCH = 60, 200
PAIRS, WARM_STEPS, STEPS = 24, 100, 500
QUIET: dict[str, Any] = {
    "accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False,
}  # fmt: skip


class Small(pl.LightningModule):
    """A perceptron whose step takes about a millisecond, most of it Lightning's own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))
        self.times_s: list[float] = []

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        self.times_s.append(time.perf_counter())
        return self.layers(batch).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 1e-3)


class HooksInALoop(Small):
    """In its first step it calls all hooks of callbacks as Lightning does in a step, again and again."""

    def __init__(self, callbacks: Sequence[pl.Callback]) -> None:
        super().__init__()
        self.callbacks = callbacks
        self.step_us: list[list[float]] = [[] for _ in callbacks]

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        time.sleep(1.0)  # meters are open, and whatever is loaded behind the loop's back has been
        for _ in range(BATCHES):
            for callback, times_us in zip(self.callbacks, self.step_us, strict=True):
                times_us.append(seconds_of(lambda c=callback: self._steps(c, batch, loss)) / STEPS_PER_BATCH * 1e6)
                time.sleep(0.06)
        return loss

    def _steps(self, callback: pl.Callback, batch: torch.Tensor, loss: torch.Tensor) -> None:
        trainer, optimizer = self.trainer, self.trainer.optimizers[0]
        for index in range(STEPS_PER_BATCH):
            callback.on_train_batch_start(trainer, self, batch, index)
            callback.on_before_zero_grad(trainer, self, optimizer)
            callback.on_before_backward(trainer, self, loss)
            callback.on_after_backward(trainer, self)
            callback.on_before_optimizer_step(trainer, self, optimizer)
            callback.on_train_batch_end(trainer, self, loss, batch, index)


def measure(full: bool) -> Iterator[Figure]:
    del full
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)

    note = f"called directly, {STEPS_PER_BATCH} steps in a row"
    for flops, most_us, name in (("off", 10.0, ", no FLOPs"), ("auto", 15.0, "")):
        monitor, empty = FootprintMonitor(summary=False, flops=flops), pl.Callback()
        module = HooksInALoop([monitor, empty])
        _fit(module, monitor, steps=1)
        hooks_us, empty_us = module.step_us
        yield Figure(f"all hooks of a training step{name}", hooks_us, "µs", most_us, note)
        yield Figure("the same hooks of an empty callback", empty_us, "µs")

    differences_us, steps_us = [], []
    generator = random.Random(0)
    for _ in range(PAIRS):
        pair: list[pl.Callback] = [FootprintMonitor(summary=False), pl.Callback()]
        order = generator.sample(pair, 2)
        step_us = {id(callback): _step_us(callback) for callback in order}
        steps_us.append(step_us[id(pair[1])])
        differences_us.append(step_us[id(pair[0])] - step_us[id(pair[1])])
    low, high = mean_interval_95(differences_us)
    yield Figure("a step of a small training, with an empty callback", steps_us, "µs")
    yield Figure(
        "the same with FootprintMonitor: what a step takes longer",
        differences_us,
        "µs",
        note=f"{PAIRS} pairs in random order; 95 % interval of their mean {low:.0f} to {high:.0f} µs",
    )


def _step_us(callback: pl.Callback) -> float:
    """Microseconds from one training step to the next, sampling in the background included."""
    module = Small()
    _fit(module, callback, WARM_STEPS + STEPS)
    return (module.times_s[-1] - module.times_s[WARM_STEPS]) / (len(module.times_s) - 1 - WARM_STEPS) * 1e6


def _fit(module: Small, callback: pl.Callback, steps: int) -> None:
    data = DataLoader(torch.randn(16 * (WARM_STEPS + STEPS), 32), batch_size=16)
    pl.Trainer(max_steps=steps, max_epochs=1, callbacks=[callback], **QUIET).fit(module, data)
