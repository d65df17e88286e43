"""Which layers of a PyTorch model burn its FLOPs, and its time: a table of a step of each kind, on request."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch._C import _current_autograd_node, _current_graph_task_id
from torch._C._autograd import _get_sequence_nr
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from joulegram.flops import Count, Layer, Tally
from joulegram.flops.torch_dispatch import Call, DispatchTally, TorchCounter
from joulegram.flops.torch_formulas import Formula, Operator
from joulegram.flops.torch_parts import Parts


class LayersTorchCounter(TorchCounter):
    """Counts by torch's dispatcher as the step runs, and tells what each of its modules has of it.

    A GPU is waited for after every operator, so times are those of work that nothing overlaps, in the first step of its
    kind.
    """

    caution = "a step that is counted waits for the GPU after every operator"

    @contextmanager
    def counting(self, step: Callable[..., Any]) -> Iterator[Tally]:
        """Counts what this thread runs inside of it, the backward pass included."""
        tally = _ByModule(Parts(step).modules)
        with tally.following(), tally:
            yield tally


class _ByModule(DispatchTally):
    """Credits each operator to the innermost module that it runs in.

    In the backward pass that is the one in whose forward pass the node was made that autograd is at: the node's
    sequence number tells.
    """

    def __init__(self, paths: Mapping[nn.Module, str]) -> None:
        super().__init__()
        self._paths = paths
        self._within: list[nn.Module] = []
        self._made_from: list[int] = []
        self._made_in: list[nn.Module | None] = []
        self._flops_in: Counter[str] = Counter()
        self._seconds_in: defaultdict[str, float] = defaultdict(float)

    def count(self) -> Count:
        """All that was counted, by module too."""
        return replace(super().count(), layers=tuple(self._layers()))

    def _layers(self) -> Iterator[Layer]:
        seconds = sum(self._seconds_in.values())
        for module, path in self._paths.items():
            inside = [each for each in self._seconds_in if each == path or each.startswith(f"{path}.")]
            if inside:
                flops = sum(self._flops_in[each] for each in inside)
                time_share = sum(self._seconds_in[each] for each in inside) / seconds
                yield Layer(path, type(module).__name__, flops, flops / max(self.flops, 1), min(1.0, time_share))

    @contextmanager
    def following(self) -> Iterator[None]:
        """Notes which modules run."""
        hooks = [
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, always_call=True),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        if module in self._paths:
            self._within.append(module)
            self._mark()

    def _leave(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        if module in self._within:
            del self._within[self._within.index(module) :]  # with those that an exception ended
            self._mark()

    def _mark(self) -> None:
        if _current_graph_task_id() == -1:  # what is recomputed in a backward pass belongs to nodes made before it
            self._made_from.append(_get_sequence_nr())
            self._made_in.append(self._within[-1] if self._within else None)

    def _here(self) -> str:
        """Path of the module that runs; empty outside of all."""
        module = self._within[-1] if self._within else None
        node: Any = _current_autograd_node()
        if module is None and node is not None and self._made_from:
            module = self._made_in[max(0, bisect_right(self._made_from, node._sequence_nr()) - 1)]
        return "" if module is None else self._paths[module]

    def _called(self, func: Operator, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
        started_s = perf_counter()
        out = super()._called(func, args, named)
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.synchronize()
        self._seconds_in[self._here()] += perf_counter() - started_s
        return out

    def _add(self, func: Operator, formula: Formula | None, call: Call) -> int:
        flops = super()._add(func, formula, call)
        self._flops_in[self._here()] += flops
        return flops
