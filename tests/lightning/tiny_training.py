"""The smallest training that Lightning takes seriously; also imported by the scripts that tests start."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, Dataset

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Numbers(Dataset[torch.Tensor]):
    def __init__(self, length: int, wait_s: float = 0.0) -> None:
        self.length, self.wait_s = length, wait_s

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> torch.Tensor:
        time.sleep(self.wait_s)
        return torch.full((4,), float(index))


def loader(batches: int = 4, wait_s: float = 0.0) -> DataLoader[torch.Tensor]:
    """Batches of two."""
    return DataLoader(Numbers(2 * batches, wait_s / 2), batch_size=2)


def work(seconds: float) -> None:
    """Keeps a core busy: a model of CPU power has something to see."""
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        pass


class Steps:
    """What a module does, whichever package it is a module of."""

    step_s = 0.005

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor | None:
        work(self.step_s)
        return self.layer(batch).sum()

    def validation_step(self, batch: torch.Tensor, batch_idx: int, dataloader_idx: int = 0) -> None:
        work(self.step_s)

    test_step = validation_step

    def predict_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        work(self.step_s)
        return self.layer(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 1e-6)


class Tiny(Steps, pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)


class ByHand(Tiny):
    """Two optimizers, stepped by hand, as in an adversarial training."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        for optimizer in self.optimizers():
            loss = super().training_step(batch, batch_idx)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [torch.optim.SGD(self.parameters(), 1e-6) for _ in range(2)]


class SecondOrder(Tiny):
    """Steps with LBFGS, which calls its closure again and again."""

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        work(self.step_s)
        return (self.layer(batch) ** 2).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(self.parameters(), lr=1e-3, max_iter=3)


class Skipping(Tiny):
    """Has no loss for every other batch."""

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor | None:
        loss = super().training_step(batch, batch_idx)
        return loss if batch_idx % 2 else None


class Leaving(Tiny):
    """Leaves each epoch at its third batch."""

    def on_train_batch_start(self, batch: torch.Tensor, batch_idx: int) -> int | None:
        return -1 if batch_idx == 2 else None
