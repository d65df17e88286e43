"""Steps counted without running them: as much as when they run, and nothing is left changed."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from joulegram.flops import Count, Uncountable
from joulegram.flops.torch_dispatch import TorchCounter


class Conv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(8, 2)
        self.head.weight.register_hook(lambda gradient: gradient * 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 50, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layer(self.table(tokens)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 16, 2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(32, 16, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(self.lstm(x)[0])[0]


MODELS: list[tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = [
    (Conv, lambda: torch.randn(3, 4, 9, 9)),
    (Tied, lambda: torch.randint(50, (3, 7))),
    (Recurrent, lambda: torch.randn(3, 7, 8)),
]


def in_place(step: Callable[[], Any]) -> Count:
    with TorchCounter().counting(print) as tally:
        result = step()
        if isinstance(result, Tensor) and result.requires_grad:
            result.backward()
    return tally.count()


@pytest.mark.parametrize(("make", "inputs"), MODELS)
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_a_step_counts_as_much_as_when_it_runs(
    make: Callable[[], nn.Module], inputs: Callable[[], Tensor], mode: Callable[[], Any]
) -> None:
    net, x = make().train(mode is torch.enable_grad), inputs()

    def step(x: Tensor) -> Tensor:
        return net(x).square().mean()

    with mode():
        count, ran = TorchCounter().count(step, x), in_place(lambda: step(x))
    assert (count.flops, count.backward, count.unknown) == (ran.flops, ran.backward, {})
    assert (count.dtype, count.device) == (ran.dtype, ran.device)


class Model(pl.LightningModule):
    """Keeps state of many kinds, and changes it in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 2))
        self.register_buffer("seen", torch.zeros(()))
        self.steps = 0
        self.losses: list[Tensor] = []
        self.lock = threading.Lock()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int = 0) -> dict[str, Tensor]:
        x, y = batch
        x += torch.randn_like(x) + random.random() + float(np.random.rand())
        self.steps += 1
        self.seen += 1
        loss = functional.cross_entropy(self.net(x), y)
        self.log("loss", loss)
        self.losses.append(loss)
        return {"loss": loss, "steps": torch.tensor(self.steps)}


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(4, 8), torch.randint(2, (4,))


def test_a_method_of_a_module_counts_with_its_backward_pass_and_leaves_no_trace() -> None:
    model, given = Model(), batch()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model.trainer = pl.Trainer(logger=False, enable_checkpointing=False, barebones=True)
    before = deepcopy((model.state_dict(), given))
    attributes = {name: id(value) for name, value in vars(model).items()}
    generators = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()

    count = TorchCounter().count(model.training_step, given, batch_idx=0)

    forward = 2 * 4 * (8 * 16 + 16 * 2)
    assert (count.flops, count.backward) == (3 * forward - 2 * 4 * 8 * 16, 2 * forward - 2 * 4 * 8 * 16)
    state, inputs = before
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(one, other) for one, other in zip(given, inputs, strict=True))
    assert {name: id(value) for name, value in vars(model).items()} == attributes
    assert (model.steps, model.losses) == (0, [])
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not optimizer.state
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    assert generators[:2] == after[:2]
    assert torch.equal(generators[2], after[2])


def test_a_function_may_change_all_that_it_closes_over() -> None:
    net, seen, hooked = nn.Linear(8, 4), {"rows": 0}, []
    net.register_forward_hook(lambda module, args, out: hooked.append(out))
    optimizer = torch.optim.Adam(net.parameters())

    def step(x: Tensor) -> None:
        nonlocal seen
        seen["rows"] += len(x)
        seen = dict(seen)
        optimizer.zero_grad()
        net(x).sum().backward()
        optimizer.step()

    before = net.weight.detach().clone()
    count = TorchCounter().count(step, torch.randn(5, 8))
    assert (count.flops, count.backward) == (2 * 2 * 5 * 8 * 4, 2 * 5 * 8 * 4)
    assert (seen, hooked) == ({"rows": 0}, [])
    assert torch.equal(net.weight, before)
    assert net.weight.grad is None
    assert not optimizer.state


NET = nn.Linear(8, 4)
MASK = torch.ones(4)


def test_modules_and_tensors_may_be_globals() -> None:
    def helper(x: Tensor) -> Tensor:
        return NET(x) * MASK

    assert TorchCounter().count(lambda x: helper(x).sum(), torch.randn(5, 8)).flops == 2 * 2 * 5 * 8 * 4
    assert NET.weight.grad is None


def test_a_module_by_itself_has_no_loss_and_so_no_backward_pass() -> None:
    count = TorchCounter().count(nn.Linear(8, 4), torch.randn(5, 8))
    assert (count.flops, count.backward) == (2 * 5 * 8 * 4, 0)


def test_a_step_that_looks_at_values_is_uncountable_and_the_reason_says_so() -> None:
    net = nn.Linear(8, 4)
    with pytest.raises(Uncountable, match=r"depends on the values .*_local_scalar_dense"):
        TorchCounter().count(lambda x: net(x) if x.sum() > 0 else x, torch.randn(5, 8))
    with pytest.raises(Uncountable, match=r"depends on the values .*nonzero"):
        TorchCounter().count(lambda x: net(x[x[:, 0] > 0]), torch.randn(5, 8))


def test_an_operator_without_shapes_is_uncountable_and_the_reason_names_the_remedy() -> None:
    library = torch.library.Library("joulegram_shapeless", "DEF")
    library.define("product(Tensor a) -> Tensor")
    library.impl("product", lambda a: a @ a, "CPU")
    try:
        with pytest.raises(Uncountable, match=r"joulegram_shapeless.product.*register_fake"):
            TorchCounter().count(torch.ops.joulegram_shapeless.product, torch.randn(5, 5))
    finally:
        library._destroy()


def test_what_cannot_be_counted_leaves_no_trace_either() -> None:
    model, given = Model(), batch()

    def step(batch: tuple[Tensor, Tensor]) -> float:
        return float(model.training_step(batch)["loss"])

    state, generator = deepcopy(model.state_dict()), torch.get_rng_state()
    with pytest.raises(Uncountable):
        TorchCounter().count(step, given)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert (model.steps, model.losses) == (0, [])
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.is_grad_enabled()
    assert model.training_step(given)["loss"].item() > 0, "and it runs as ever"


def test_what_a_step_needs_and_cannot_be_copied_makes_it_uncountable() -> None:
    model = Model()

    def step(x: Tensor) -> Tensor:
        with model.lock:
            return model.net(x)

    with pytest.raises(Uncountable, match="lock"):
        TorchCounter().count(step, torch.randn(4, 8))
