"""FLOPs of PyTorch steps, counted operator by operator as torch dispatches them.

What runs is what runs without counting: each operator is called as it came, and only the shapes of what it was given
are read. A tensor that wraps others (DTensor, nested, quantised) is asked for what it calls itself.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from joulegram.flops import Count, FlopCounter, Tally
from joulegram.flops.torch_formulas import Formula, Operator, formula_of, may_hide_work

HOW = "counted by operator as PyTorch ran it"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to do with calls of one operator."""

    formula: Formula | None
    opaque: bool
    composite: bool


class DispatchTally(TorchDispatchMode, Tally):
    """Counts what this thread dispatches while it is entered, and what autograd runs on its behalf."""

    supports_higher_order_operators = True  # they come here like all others

    def __init__(self) -> None:
        super().__init__()
        self._flops = self._backward = 0
        self._overhead_s = 0.0
        self._on: Counter[tuple[torch.dtype, torch.device]] = Counter()
        self._unknown: Counter[str] = Counter()
        self._plans: dict[Operator, _Plan] = {}
        self._lock = threading.Lock()  # backward passes on several GPUs run in a thread each

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Compiled code compiles and runs as ever; without this it would never again."""
        return True

    @property
    def flops(self) -> int:
        """Operations so far."""
        return self._flops

    def count(self) -> Count:
        """All that was counted."""
        (dtype, device), _ = max(self._on.items(), key=lambda part: part[1], default=((None, None), 0))
        return Count(
            self._flops,
            HOW,
            self._backward,
            dict(self._unknown),
            None if dtype is None else str(dtype).removeprefix("torch."),
            None if device is None else product_name(device),
            self._overhead_s,
        )

    def __torch_dispatch__(
        self, func: Operator, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Runs an operator as it came, and counts it."""
        came_s = perf_counter()
        if any(map(_wraps, types)):
            return NotImplemented  # a wrapper: what it calls comes here in turn
        named = kwargs or {}
        plan = self._plans.get(func)
        if plan is None:
            plan = self._plans[func] = _plan(func)
        if plan.composite:  # not taken apart before it got here: inference mode
            with self:
                return func._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args, **named)
        begins_s = perf_counter()
        out = func(*args, **named)
        ended_s = perf_counter()
        if plan.formula is not None or plan.opaque:
            self._add(func, plan.formula, args, named, out)
        self._overhead_s += perf_counter() - ended_s + begins_s - came_s
        return out

    def _add(
        self, func: Operator, formula: Formula | None, args: Sequence[Any], named: Mapping[str, Any], out: Any
    ) -> int:
        flops = None
        if formula is not None:
            try:
                flops = formula(func, args, named, out)
            except Exception:  # shapes of a kind that the formula does not know
                flops = None
        with self._lock:
            if flops is None:
                self._unknown[str(func.name()).removesuffix(".default")] += 1
                return 0
            self._flops += flops
            if torch._C._current_graph_task_id() != -1:
                self._backward += flops
            tensor = next(_tensors((*args, *named.values())), None)
            if tensor is not None:
                self._on[tensor.dtype, tensor.device] += flops
        return flops


class TorchCounter(FlopCounter):
    """Counts by torch's dispatcher."""

    def context(self, step: Callable[..., Any]) -> Hashable:
        """Temporary."""
        return torch.is_grad_enabled()

    def obstacle(self, step: Callable[..., Any]) -> str | None:
        """Temporary."""
        return None

    @contextmanager
    def counting(self) -> Iterator[Tally]:
        """Counts what runs inside of it, the backward pass included."""
        with DispatchTally() as tally:
            yield tally

    def count(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Count:
        """Temporary."""
        raise NotImplementedError


def product_name(device: torch.device) -> str:
    """What a device is sold as, where torch knows it; else its kind."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "xpu":
        return torch.xpu.get_device_name(device)
    return device.type


@cache
def _wraps(kind: type) -> bool:
    """Whether tensors of this kind say by themselves what an operator on them does."""
    plain = kind.__torch_dispatch__ is torch._C._disabled_torch_dispatch_impl  # type: ignore[attr-defined]
    return not (plain or issubclass(kind, FakeTensor))


def _plan(func: Operator) -> _Plan:
    formula = formula_of(func)
    composite = (
        formula is None
        and isinstance(func, torch._ops.OpOverload)
        and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    )
    return _Plan(formula, formula is None and may_hide_work(func), composite)


def _tensors(values: Sequence[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
