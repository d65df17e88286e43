"""joulegram's FLOP counter against what the graphs say: every network forward, and a sample of them in training.

Nothing is computed: the networks live on PyTorch's `meta` device, where tensors have shapes but no content.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import torch
from torch import nn

from benchmarks.paper.cells import IMAGE, STEM_MACS, Convolution, network
from benchmarks.paper.ecnas import Graph
from joulegram.flops.torch_dispatch import TorchCounter

FLOP_PER_MAC = 2
TRAINED = 50
"""Networks that are counted in training as well, spread evenly over all."""
BATCH = 2
CHUNK = 20
"""Networks that a process takes at a time."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was found of one network, beside what it should be."""

    params: int
    expected_params: int
    flops: int
    expected_flops: int

    @property
    def exact(self) -> bool:
        return (self.params, self.flops) == (self.expected_params, self.expected_flops)


def forward(graph: Graph) -> Check:
    """One image through a network, past its normalisations: they count nothing, and are most of the work on `meta`."""
    model = _on_meta(graph)
    params = _params(model)
    for convolution in (module for module in model.modules() if isinstance(module, Convolution)):
        convolution.norm = nn.Identity()
    with torch.no_grad(), TorchCounter().counting(model) as tally:
        model(torch.empty(1, *IMAGE, device="meta"))
    return Check(params, graph.params, tally.flops, FLOP_PER_MAC * graph.macs)


def training(graph: Graph) -> Check:
    """A batch forward and backward, normalisations and all.

    Backward, each convolution and the dense layer computes two gradients, of its weights and of its input, either as
    much work as forward. The first convolution's input is the image, which needs none.
    """
    model = _on_meta(graph)
    with TorchCounter().counting(model) as tally:
        model(torch.empty(BATCH, *IMAGE, device="meta")).sum().backward()
    return Check(_params(model), graph.params, tally.flops, FLOP_PER_MAC * BATCH * (3 * graph.macs - STEM_MACS))


def sample(graphs: Sequence[Graph], most: int) -> Sequence[Graph]:
    """Up to `most` of the graphs, evenly spread."""
    return [graphs[i * len(graphs) // most] for i in range(min(most, len(graphs)))]


def checked(one: Callable[[Graph], Check], graphs: Sequence[Graph]) -> list[Check]:
    """A check of each graph, on all cores."""
    context = get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), context, torch.set_num_threads, (1,)) as pool:
        return list(pool.map(one, graphs, chunksize=CHUNK))


def _on_meta(graph: Graph) -> nn.Module:
    with torch.device("meta"):
        return network(graph)


def _params(model: nn.Module) -> int:
    return sum(values.numel() for values in model.parameters())
