"""What each way of counting a PyTorch step finds, over what its shapes say; and what counting one costs.

fvcore and ptflops take part where they are installed. They count multiply-adds of the forward pass: twice that is set
against the forward pass alone.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from math import prod
from typing import Any

import torch
from measure import Figure, seconds_of
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from joulegram.flops.torch_dispatch import TorchCounter
from joulegram.flops.torch_profiler import ProfilerCounter

REPEATS = 15


class Block(nn.Module):
    """Of ResNet-18: two convolutions around which the input goes, through a third where the shape changes."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(True))
        self.second = nn.Sequential(nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out))
        same = into == out and stride == 1
        self.around = (
            nn.Identity() if same else nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(x)) + self.around(x))


def resnet_18() -> nn.Module:
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)]
    widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
    blocks = [Block(into, out, 1 + (into != out)) for into, out in pairwise(widths)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def grouped() -> nn.Module:
    """Depthwise and pointwise convolutions, as in mobile networks."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3, groups=32), nn.Conv2d(32, 64, 1), nn.ReLU(),
        nn.Conv2d(64, 64, 3, groups=4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


class Decoder(nn.Module):
    """A causal language model with tied embeddings."""

    def __init__(self, layers: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.table = nn.Embedding(1000, width)
        self.layers = nn.ModuleList(
            nn.ModuleList([nn.Linear(width, 3 * width), nn.Linear(width, width), nn.Linear(width, 4 * width),
                           nn.Linear(4 * width, width)])
            for _ in range(layers)
        )  # fmt: skip

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.table(tokens)
        for mix, out, up, down in self.layers:
            parts = mix(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            attended = functional.scaled_dot_product_attention(*parts, is_causal=True)
            x = x + out(attended.transpose(1, 2).flatten(2))
            x = x + down(functional.gelu(up(x)))
        return x @ self.table.weight.T


class Last(nn.Module):
    """A recurrent layer's outputs, without its state."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


@dataclass(frozen=True)
class Case:
    """A model, what it is given, and its FLOPs by its shapes."""

    name: str
    net: nn.Module
    inputs: Tensor
    forward: int
    backward: int

    def step(self, inputs: Tensor) -> Tensor:
        if self.backward:
            return self.net(inputs).square().mean()
        with torch.no_grad():
            return self.net(inputs)

    def run(self) -> None:
        result = self.step(self.inputs)
        if self.backward:
            result.backward()


def layered(name: str, net: nn.Module, inputs: Tensor) -> Case:
    """A network of convolutions and linear layers; the first one's input needs no gradient."""
    flops: list[int] = []

    def add(layer: nn.Module, args: Any, out: Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            flops.append(2 * out.numel() * layer.in_channels // layer.groups * prod(layer.kernel_size))
        elif isinstance(layer, nn.Linear):
            flops.append(2 * out.numel() * layer.in_features)

    hooks = [layer.register_forward_hook(add) for layer in net.modules()]
    net(inputs)
    for hook in hooks:
        hook.remove()
    return Case(name, net, inputs, sum(flops), 2 * sum(flops) - flops[0])


def decoder(name: str, layers: int, width: int, heads: int, batch: int, length: int) -> Case:
    tokens = batch * length
    products = layers * 4 * batch * length**2 * width
    linear = 2 * tokens * (layers * 12 * width**2 + 1000 * width)
    inputs = torch.randint(1000, (batch, length))
    return Case(name, Decoder(layers, width, heads), inputs, linear + products, 2 * linear + products * 5 // 2)


def encoder(name: str, training: bool) -> Case:
    layers, batch, length, width, inner = 2, 8, 64, 128, 256
    layer = nn.TransformerEncoderLayer(width, 4, inner, dropout=0.0, batch_first=True)
    net = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False).train(training)
    linear = layers * 2 * batch * length * (4 * width**2 + 2 * width * inner)
    products = layers * 4 * batch * length**2 * width
    unneeded = 2 * batch * length * 3 * width**2
    backward = 2 * linear + products * 5 // 2 - unneeded if training else 0
    return Case(name, net, torch.randn(batch, length, width), linear + products, backward)


def recurrent(name: str) -> Case:
    steps, width, inner = 8 * 32, 64, 128
    net = nn.LSTM(width, inner, 2, batch_first=True, bidirectional=True)
    forward = 2 * steps * sum(weight.numel() for weight in net.parameters() if weight.dim() > 1)
    first = 2 * steps * 2 * 4 * inner * width
    return Case(name, Last(net), torch.randn(8, 32, width), forward, 2 * forward - first)


def cases() -> list[Case]:
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    table = nn.Sequential(nn.EmbeddingBag(1000, 64), nn.Linear(64, 10))
    head = 2 * 32 * 64 * 10
    return [
        layered("MLP", mlp, torch.randn(32, 64)),
        layered("depthwise and grouped convolutions", grouped(), torch.randn(4, 3, 32, 32)),
        layered("ResNet-18", resnet_18(), torch.randn(2, 3, 64, 64)),
        decoder("decoder, causal attention", 2, 64, 4, 4, 64),
        encoder("TransformerEncoder", training=True),
        encoder("TransformerEncoder, inference", training=False),
        recurrent("LSTM, bidirectional"),
        Case("EmbeddingBag and linear", table, torch.randint(1000, (32, 5)), head, 2 * head),
    ]


def in_place(case: Case) -> float:
    with TorchCounter().counting(case.step) as tally:
        case.run()
    return tally.flops / (case.forward + case.backward)


def on_fakes(case: Case) -> float:
    return TorchCounter().count(case.step, case.inputs).flops / (case.forward + case.backward)


def of_torch(case: Case) -> float:
    with FlopCounterMode(display=False) as counter:
        case.run()
    return counter.get_total_flops() / (case.forward + case.backward)


def of_profiler(case: Case) -> float:
    with ProfilerCounter().counting(case.step) as tally:
        case.run()
    return tally.flops / (case.forward + case.backward)


def of_fvcore(case: Case) -> float:
    from fvcore.nn import FlopCountAnalysis  # type: ignore[import-not-found]

    counter = FlopCountAnalysis(case.net, case.inputs)
    counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return 2 * float(counter.total()) / case.forward


def of_ptflops(case: Case) -> float:
    from ptflops import get_model_complexity_info  # type: ignore[import-not-found]

    name = case.net.forward.__code__.co_varnames[1]
    with redirect_stdout(StringIO()):
        macs, _ = get_model_complexity_info(
            case.net,
            tuple(case.inputs.shape),
            print_per_layer_stat=False,
            as_strings=False,
            input_constructor=lambda _: {name: case.inputs},
        )
    return 2 * float(macs or 0) / case.forward


WAYS: dict[str, Callable[[Case], float]] = {
    "torch": in_place,
    "torch, on stand-ins": on_fakes,
    "FlopCounterMode": of_torch,
    "torch_profiler": of_profiler,
    "fvcore × 2, forward": of_fvcore,
    "ptflops × 2, forward": of_ptflops,
}


def measure(full: bool) -> Iterator[Figure]:
    del full
    warnings.simplefilter("ignore")
    missing = {name for name in ("fvcore", "ptflops") if importlib.util.find_spec(name) is None}
    for case in cases():
        for way, ratio in WAYS.items():
            if way.split()[0] not in missing:
                yield Figure(f"{case.name}: FLOPs by {way} over those by its shapes", [ratio(case)], "")
    torch.manual_seed(0)
    yield from costs(layered("ResNet-18, 8 × 3 × 64 × 64", resnet_18(), torch.randn(8, 3, 64, 64)))
    yield from costs(decoder("decoder of 6 layers, 2 × 32 tokens", 6, 64, 4, 2, 32))


def costs(case: Case) -> Iterator[Figure]:
    """Plain and counted steps in turns, so that all see the same machine."""
    ways = {"a step": lambda case: case.run(), "counted in place": in_place, "counted on stand-ins": on_fakes,
            "counted by FlopCounterMode": of_torch, "counted by torch_profiler": of_profiler}  # fmt: skip
    for way in ways.values():
        way(case)
    times_s: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, way in ways.items():
            times_s[name].append(seconds_of(lambda way=way: way(case)))
    plain_s = times_s.pop("a step")
    said_s = []
    for _ in range(REPEATS):
        with TorchCounter().counting(case.step) as tally:
            case.run()
        said_s.append(1e3 * tally.count().overhead_s)
    yield Figure(f"{case.name}: a step", plain_s, "s")
    yield Figure(f"{case.name}: counted on stand-ins, instead of it", times_s.pop("counted on stand-ins"), "s")
    for name, counted_s in times_s.items():
        longer_ms = [1e3 * (counted - plain) for counted, plain in zip(counted_s, plain_s, strict=True)]
        yield Figure(f"{case.name}: {name}, longer than a step by", longer_ms, "ms")
    yield Figure(f"{case.name}: what the count in place says that it took", said_s, "ms")
