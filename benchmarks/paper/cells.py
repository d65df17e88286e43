"""NAS-Bench-101 cells as PyTorch models, for 32 × 32 images in 10 classes.

Ying et al., *NAS-Bench-101* (arXiv 1902.09635), section 2: a 3 × 3 convolution to 128 channels, then three stacks of
three equal cells, between stacks half the height and width and twice the channels, then the mean over the image and one
dense layer. How channels are divided within a cell is in its appendix and in `google-research/nasbench`
(`lib/model_builder.py`, Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from benchmarks.paper.ecnas import Graph

IMAGE = (3, 32, 32)
CLASSES = 10
STEM_CHANNELS = 128
STACKS = 3
CELLS_IN_A_STACK = 3
STEM_MACS = IMAGE[0] * 3 * 3 * STEM_CHANNELS * IMAGE[1] * IMAGE[2]


def network(graph: Graph) -> nn.Module:
    """A whole network of equal cells."""
    layers: list[nn.Module] = [Convolution(IMAGE[0], STEM_CHANNELS, 3)]
    widths = [STEM_CHANNELS, *(STEM_CHANNELS * 2**stack for stack in range(STACKS))]
    for stack, (before, width) in enumerate(pairwise(widths)):
        if stack:
            layers.append(nn.MaxPool2d(2, 2))
        layers.append(Cell(graph, before, width))
        layers.extend(Cell(graph, width, width) for _ in range(CELLS_IN_A_STACK - 1))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], CLASSES))


class Convolution(nn.Module):
    """Convolution that keeps height and width, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.norm(self.conv(x)))
        return out


class Cell(nn.Module):
    """One cell.

    A vertex adds up what feeds it: the cell's input by way of a 1 × 1 convolution, the others cut to its channels. The
    output puts those that feed it side by side, and adds the cell's input, again by way of a convolution.
    """

    def __init__(self, graph: Graph, inputs: int, outputs: int) -> None:
        super().__init__()
        self.last = len(graph.operations) - 1
        self.sources = [[v for v in range(self.last) if graph.matrix[v][to]] for to in range(self.last + 1)]
        self.channels = vertex_channels(graph.matrix, inputs, outputs)
        self.projections = nn.ModuleDict(
            {
                str(to): Convolution(inputs, self.channels[to], 1)
                for to in range(1, self.last + 1)
                if graph.matrix[0][to]
            }
        )
        self.operations = nn.ModuleList(
            _operation(name, width) for name, width in zip(graph.operations[1:-1], self.channels[1:-1], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for vertex, operation in enumerate(self.operations, start=1):
            parts = [values[source][:, : self.channels[vertex]] for source in self.sources[vertex] if source]
            values.append(operation(_sum([*parts, *self._projected(x, vertex)])))
        ends = [values[source] for source in self.sources[self.last] if source]
        return _sum([*([torch.cat(ends, dim=1)] if ends else []), *self._projected(x, self.last)])

    def _projected(self, x: Tensor, vertex: int) -> list[Tensor]:
        return [self.projections[str(vertex)](x)] if 0 in self.sources[vertex] else []


def vertex_channels(matrix: Sequence[Sequence[int]], inputs: int, outputs: int) -> list[int]:
    """Channels of every vertex of a cell.

    Those that feed the output share its channels evenly, the first ones taking what is left over. Any other has as many
    as the widest that it feeds.
    """
    last = len(matrix) - 1
    ends = [vertex for vertex in range(1, last) if matrix[vertex][last]]
    channels = [inputs, *[0] * (last - 1), outputs]
    for place, vertex in enumerate(ends):
        channels[vertex] = outputs // len(ends) + (place < outputs % len(ends))
    for vertex in range(last - 2, 0, -1):
        if vertex not in ends:
            channels[vertex] = max(channels[to] for to in range(vertex + 1, last) if matrix[vertex][to])
    return channels


def _operation(name: str, channels: int) -> nn.Module:
    if name == "maxpool3x3":
        return nn.MaxPool2d(3, stride=1, padding=1)
    return Convolution(channels, channels, {"conv1x1-bn-relu": 1, "conv3x3-bn-relu": 3}[name])


def _sum(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
