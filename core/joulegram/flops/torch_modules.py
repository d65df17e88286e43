"""Which layers of a PyTorch model burn its FLOPs, and its time: a table of one step, on request."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch._C import _current_autograd_node, _current_graph_task_id
from torch._C._autograd import _get_sequence_nr
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from joulegram.flops import Uncountable
from joulegram.flops.torch_dispatch import Call, DispatchTally
from joulegram.flops.torch_formulas import Formula, Operator
from joulegram.flops.torch_parts import Parts


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """One module, with all that is inside of it.

    Args:
        path: the class of the outermost module, and the attributes from there on.
        kind: its class.
        flops: floating-point operations, forward and backward.
        share: of those of the step, 0 to 1.
        time_share: its share of the time in operators, 0 to 1.
    """

    path: str
    kind: str
    flops: int
    share: float
    time_share: float


def by_module(step: Callable[..., Any], *args: Any, **kwargs: Any) -> list[ModuleRow]:
    """Runs a step once, really, and tells what each module of it computes and how long that takes.

    The backward pass is the step's own: it counts if the step runs it. A GPU is waited for after every operator, so
    times are those of work that nothing overlaps.

    Args:
        step: a function, a method or a module.
        *args: what it is called with.
        **kwargs: the same, by name.

    Returns:
        A row for each module that ran, in the order in which modules contain each other.

    Raises:
        Uncountable: a part of it is compiled; its operators cannot be told apart.
    """
    parts = Parts(step)
    if parts.compiled:
        raise Uncountable(f"compiled: {', '.join(parts.compiled)}; the table needs the model as it was written")
    tally = _ByModule(parts.modules)
    with tally.following(), tally:
        step(*args, **kwargs)
    return tally.rows()


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

    def rows(self) -> list[ModuleRow]:
        seconds = sum(self._seconds_in.values())
        rows = []
        for module, path in self._paths.items():
            inside = [each for each in self._seconds_in if each == path or each.startswith(f"{path}.")]
            if inside:
                flops = sum(self._flops_in[each] for each in inside)
                time_share = sum(self._seconds_in[each] for each in inside) / seconds
                rows.append(ModuleRow(path, type(module).__name__, flops, flops / max(self.flops, 1), time_share))
        return rows

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
