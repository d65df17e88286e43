"""Which layers burn the FLOPs: a table whose rows add up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from joulegram.flops import Layer
from joulegram.flops.torch_modules import LayersTorchCounter


class Net(nn.Module):
    def __init__(self, again: bool = False) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 32)
        self.body = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.norm, self.head, self.unused = nn.LayerNorm(32), nn.Linear(32, 4), nn.Linear(4, 4)
        self.again = again

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = checkpoint(self.body, x, use_reentrant=False) if self.again else self.body(x)
        return self.head(self.norm(x))


def layers(step: Callable[[Tensor], object], net: nn.Module) -> tuple[Layer, ...]:
    with LayersTorchCounter().counting(net) as tally:
        step(torch.randn(16, 8))
    return tally.count().layers


@pytest.mark.parametrize("again", [False, True])
def test_each_module_has_the_flops_of_its_forward_and_backward_pass(again: bool) -> None:
    net = Net(again)
    rows = {row.path: row for row in layers(lambda x: net(x).sum().backward(), net)}
    inner = 2 * 16 * 32 * 32 * (4 if again else 3)
    assert {path: row.flops for path, row in rows.items() if row.flops} == {
        "Net": 2 * 2 * 16 * 8 * 32 + 2 * inner + 3 * 2 * 16 * 32 * 4,
        "Net.stem": 2 * 2 * 16 * 8 * 32,
        "Net.body": 2 * inner,
        "Net.body.0": inner,
        "Net.body.2": inner,
        "Net.head": 3 * 2 * 16 * 32 * 4,
    }
    assert rows["Net"].share == 1
    assert rows["Net.body"].share == pytest.approx(2 * inner / rows["Net"].flops)
    assert (rows["Net.norm"].kind, rows["Net.norm"].flops) == ("LayerNorm", 0)
    assert rows["Net.norm"].time_share > 0
    assert "Net.unused" not in rows


def test_shares_of_time_add_up_to_no_more_than_the_step() -> None:
    net = Net()
    rows = {row.path: row for row in layers(lambda x: net(x).sum().backward(), net)}
    parts = sum(rows[path].time_share for path in ("Net.stem", "Net.body", "Net.norm", "Net.head"))
    assert 0 < parts <= rows["Net"].time_share * (1 + 1e-9) <= 1 + 1e-8


def test_no_hook_stays_behind_not_even_when_the_step_fails() -> None:
    net = Net()
    with pytest.raises(RuntimeError, match="shapes"):
        layers(lambda _: net(torch.randn(16, 9)), net)
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.nn.modules.module._global_forward_pre_hooks


def test_what_is_compiled_is_counted_whole() -> None:
    counter, net = LayersTorchCounter(), torch.compile(Net(), backend="eager")
    assert counter.obstacle(net) == "compiled: Net"
    assert counter.count(net, torch.randn(16, 8)).layers == ()
