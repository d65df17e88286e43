"""Steps with compiled parts: counted without running them, and compiled and running as ever afterwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from joulegram.flops.torch_dispatch import EagerTorchCounter, TorchCounter

FLOPS = 3 * 2 * 4 * (8 * 16 + 16 * 4) - 2 * 4 * 8 * 16
"""Forward and backward of `Net` on four rows that need no gradient."""


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).relu())


class Backend:
    """Compiles nothing, and tells how often it was asked to and how often what it made ran."""

    def __init__(self) -> None:
        torch._dynamo.reset()
        self.compiled = self.ran = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:
        self.compiled += 1

        def run(*args: Any) -> Any:
            self.ran += 1
            return graph.forward(*args)

        return run


def wrapped(backend: Any) -> Callable[[Tensor], Tensor]:
    compiled = torch.compile(Net(), backend=backend)
    return lambda x: compiled(x).sum()


def in_place(backend: Any) -> Callable[[Tensor], Tensor]:
    module = Net()
    module.compile(backend=backend)
    return lambda x: module(x).sum()


def within(backend: Any) -> Callable[[Tensor], Tensor]:
    module = Net()
    module.encoder = torch.compile(module.encoder, backend=backend)
    return lambda x: module(x).sum()


def function(backend: Any) -> Callable[[Tensor], Tensor]:
    module = Net()
    compiled = torch.compile(lambda x: module(x) * 2, backend=backend)
    return lambda x: compiled(x).sum()


def whole(backend: Any) -> Callable[[Tensor], Tensor]:
    module = Net()
    return torch.compile(lambda x: module(x).sum(), backend=backend)


class Holder:
    def __init__(self, backend: Any) -> None:
        self.parts = {"net": torch.compile(Net(), backend=backend)}

    def step(self, x: Tensor) -> Tensor:
        return self.parts["net"](x).sum()


def held(backend: Any) -> Callable[[Tensor], Tensor]:
    return partial(Holder(backend).step)


WAYS = [wrapped, in_place, within, function, whole, held]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("when", ["first", "later"])
def test_a_compiled_step_is_counted_and_its_graph_compiles_once_and_runs(
    way: Callable[[Any], Callable[[Tensor], Tensor]], when: str
) -> None:
    backend, counter, x = Backend(), TorchCounter(), torch.randn(4, 8)
    step = way(backend)
    if when == "later":
        step(x).backward()
    assert (counter.obstacle(step) or "").startswith("compiled: ")
    before = backend.compiled, backend.ran
    count = counter.count(step, x)
    assert (count.flops, count.unknown) == (FLOPS, {})
    assert (backend.compiled, backend.ran) == before, "to count it is not to run it"
    for _ in range(2):
        step(x).backward()
    assert backend.compiled == 1
    assert backend.ran == before[1] + 2


def test_the_obstacle_names_what_is_compiled() -> None:
    module = Net()
    assert TorchCounter().obstacle(module) is None
    module.encoder = torch.compile(module.encoder)
    assert TorchCounter().obstacle(module) == "compiled: Net.encoder"


class Tool:
    """What no search finds: it is held by an object that a module holds."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function


@pytest.mark.parametrize("when", ["first", "later"])
def test_compiled_code_that_nobody_found_compiles_and_runs_all_the_same(when: str) -> None:
    backend, module, x = Backend(), Net(), torch.randn(4, 8)
    tool = Tool(torch.compile(lambda x: module(x).sum(), backend=backend))
    if when == "later":
        tool.function(x).backward()
    with TorchCounter().counting(print) as tally:
        tool.function(x).backward()
    tool.function(x).backward()
    assert (backend.compiled, backend.ran) == (1, 2 if when == "first" else 3)
    assert tally.flops == FLOPS


@pytest.mark.parametrize("way", WAYS)
def test_counted_eagerly_a_compiled_step_runs_uncompiled_once(way: Callable[[Any], Callable[[Tensor], Tensor]]) -> None:
    backend, counter, x = Backend(), EagerTorchCounter(), torch.randn(4, 8)
    step = way(backend)
    assert counter.obstacle(step) is None
    with counter.counting(print) as tally:
        step(x).backward()
    assert (tally.flops, backend.compiled) == (FLOPS, 0)
    step(x).backward()
    step(x).backward()
    assert (backend.compiled, backend.ran) == (1, 2)


def test_compiled_training_is_the_same_to_the_bit_with_counting_and_without() -> None:
    def trained(counter: TorchCounter | None) -> list[Tensor]:
        torch._dynamo.reset()
        torch.manual_seed(3)
        module = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 4))
        compiled = torch.compile(module, backend="aot_eager")
        optimizer = torch.optim.SGD(module.parameters(), 0.1)

        def step(x: Tensor) -> Tensor:
            return compiled(x).square().mean()

        for _ in range(3):
            x = torch.randn(4, 8)
            if counter is not None:
                assert counter.count(step, x).flops == FLOPS
            optimizer.zero_grad()
            step(x).backward()
            optimizer.step()
        return [*module.state_dict().values(), torch.get_rng_state()]

    plain, watched = trained(None), trained(TorchCounter())
    assert all(torch.equal(one, other) for one, other in zip(plain, watched, strict=True))


def test_code_of_the_default_compiler_is_counted_as_it_was_written() -> None:
    torch._dynamo.reset()
    module, x = Net(), torch.randn(4, 8)
    compiled = torch.compile(module)
    compiled(x).sum().backward()
    assert TorchCounter().count(lambda x: compiled(x).sum(), x).flops == FLOPS
