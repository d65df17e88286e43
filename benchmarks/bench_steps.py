"""What it takes to add the FLOPs of a step of a kind that is known, on top of everything else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from measure import Figure, seconds_of

import joulegram

ROUNDS, STEPS = 60, 1000


def measure(full: bool) -> Iterator[Figure]:
    del full
    net = torch.nn.Linear(32, 1)
    image = (torch.zeros(64, 32), torch.zeros(64, dtype=torch.long))
    words = {name: torch.zeros(8, 128, dtype=torch.long) for name in ("input_ids", "attention_mask", "labels")}
    with joulegram.track("steps") as run:
        for name, batch in (("two tensors", image), ("a dictionary of three", words)):
            times_us = list(_rounds(run, net, batch))
            yield Figure(f"the FLOPs of a step of a known kind, its batch {name}", times_us, "µs", 5.0)


def _rounds(run: joulegram.Run, net: torch.nn.Module, batch: Any) -> Iterator[float]:
    steps = run.steps("fit", net.forward)
    steps.begin(batch, 0)
    net(torch.zeros(64, 32))
    steps.end()
    time.sleep(0.5)
    for _ in range(ROUNDS):
        yield seconds_of(lambda: _repeat(steps.begin, steps.end, batch)) / STEPS * 1e6
        time.sleep(0.02)


def _repeat(begin: Callable[..., None], end: Callable[[], None], batch: Any) -> None:
    for index in range(STEPS):
        begin(batch, index)
        end()
