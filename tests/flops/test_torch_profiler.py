"""torch.profiler as a second opinion: it agrees where it has formulas, and what it has none for is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from joulegram.flops import Count, Uncountable
from joulegram.flops.torch_dispatch import TorchCounter
from joulegram.flops.torch_profiler import ProfilerCounter


def counted(step: Callable[[], Any]) -> Count:
    with ProfilerCounter().counting(print) as tally:
        step()
    return tally.count()


def test_both_ways_agree_on_matrix_products() -> None:
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))

    def step() -> None:
        (net(torch.randn(32, 8)) * 2 + 1).sum().backward()

    with TorchCounter().counting(print) as tally:
        step()
    count = counted(step)
    assert (count.flops, count.unknown) == (tally.flops, {})
    assert count.overhead_s > 0


def test_what_the_profiler_has_no_formula_for_is_unknown() -> None:
    net, lstm = nn.Conv2d(3, 8, 3), nn.LSTM(8, 16)
    forward = 2 * 2 * 8 * 6 * 6 * 3 * 3 * 3
    count = counted(lambda: net(torch.randn(2, 3, 8, 8)).sum().backward())
    assert (count.flops, count.unknown) == (forward, {"aten::convolution_backward": 1})
    assert counted(lambda: lstm(torch.randn(5, 2, 8))).unknown == {"aten::mkldnn_rnn_layer": 1}


def test_a_profiler_counts_only_what_runs() -> None:
    with pytest.raises(Uncountable, match="only what runs"):
        ProfilerCounter().count(nn.Linear(8, 4), torch.randn(2, 8))
