"""FLOPs of PyTorch steps, counted operator by operator as torch dispatches them.

What runs is what runs without counting: each operator is called as it came, and only the shapes of what it was given
are read. A tensor that wraps others (DTensor, nested, quantised) is asked for what it calls itself.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from time import perf_counter
from typing import Any

import torch
from torch._C import (
    DispatchKey,
    _current_graph_task_id,
    _disabled_torch_dispatch_impl,
    _dispatch_has_kernel_for_dispatch_key,
)
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from joulegram.flops import Count, FlopCounter, Tally
from joulegram.flops.torch_fakes import run_on_fakes
from joulegram.flops.torch_formulas import Formula, Operator, formula_of, may_hide_work, name_of
from joulegram.flops.torch_parts import Parts

Call = tuple[Sequence[Any], Mapping[str, Any], Any]
"""An operator's arguments, those by name, and what it returned."""
_QUESTIONS = frozenset(
    f"aten::{name}"
    for name in (
        "dim",
        "is_contiguous",
        "is_non_overlapping_and_dense",
        "is_strides_like_format",
        "numel",
        "size",
        "storage_offset",
        "stride",
        "sym_is_contiguous",
        "sym_numel",
        "sym_size",
        "sym_storage_offset",
        "sym_stride",
    )
) | {"prim::device", "prim::layout"}
"""What a tensor without content is asked about itself; it has to answer by itself."""
HOW = "PyTorch's operators, counted as they ran"
HOW_ON_FAKES = "PyTorch's operators, counted without running them"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to do with calls of one operator."""

    formula: Formula | None = None
    opaque: bool = False
    composite: bool = False
    asks: bool = False


class DispatchTally(TorchDispatchMode, Tally):  # type: ignore[no-untyped-call]
    """Counts what this thread dispatches while it is entered, and what autograd runs on its behalf."""

    supports_higher_order_operators = True  # they come here like all others

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
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
        """All that was counted; its time is that of this handler, without the way into Python and back."""
        (dtype, device), _ = max(self._on.items(), key=lambda part: part[1], default=((None, None), 0))
        return Count(
            flops=self._flops,
            how=HOW,
            backward=self._backward,
            unknown=dict(self._unknown),
            dtype=None if dtype is None else str(dtype).removeprefix("torch."),
            device=None if device is None else product_name(device),
            devices=max(1, len({other for _, other in self._on if device is not None and other.type == device.type})),
            overhead_s=self._overhead_s,
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
        if plan.asks:
            return NotImplemented
        if plan.composite:  # not taken apart before it got here: inference mode
            with self:
                return func._op_dk(DispatchKey.CompositeImplicitAutograd, *args, **named)
        begins_s = perf_counter()
        out = self._called(func, args, named)
        ended_s = perf_counter()
        if plan.formula is not None or plan.opaque:
            self._add(func, plan.formula, (args, named, out))
        self._overhead_s += perf_counter() - ended_s + begins_s - came_s
        return out

    def _called(self, func: Operator, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
        return func(*args, **named)

    def _add(self, func: Operator, formula: Formula | None, call: Call) -> int:
        args, named, _ = call
        flops = None if formula is None else _applied(formula, func, call)
        with self._lock:
            if flops is None:
                self._unknown[name_of(func)] += 1
                return 0
            self._flops += flops
            if _current_graph_task_id() != -1:
                self._backward += flops
            tensor = next(_tensors((*args, *named.values())), None)
            if tensor is not None:
                self._on[tensor.dtype, tensor.device] += flops
        return flops


class TorchCounter(FlopCounter):
    """Counts by torch's dispatcher; steps that are compiled, on stand-ins of their tensors."""

    def context(self, step: Callable[..., Any]) -> Hashable:
        """Which modules train, shape, type and need of gradient of each parameter, and torch's modes."""
        modules = Parts(step).modules
        parameters = (parameter for module in modules for parameter in module._parameters.values())
        return hash(
            (
                torch.is_grad_enabled(),
                torch._C._is_any_autocast_enabled(),
                tuple(module.training for module in modules),
                tuple((one.shape, one.dtype, one.requires_grad) for one in parameters if one is not None),
            )
        )

    def obstacle(self, step: Callable[..., Any]) -> str | None:
        """Names what is compiled: counted in place, what its kernels hide would be missed."""
        compiled = Parts(step).compiled
        if not compiled:
            return None
        first, *others = compiled
        return f"compiled: {first}" + (f" and {len(others)} more" if others else "")

    @contextmanager
    def counting(self, step: Callable[..., Any]) -> Iterator[Tally]:
        """Counts what this thread runs inside of it, the backward pass included."""
        with DispatchTally() as tally:
            yield tally

    def count(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Count:
        """Counts a step, and the backward pass from its loss, on stand-ins; nothing is computed.

        The loss is what the step returns, or has in it under ``loss``, where that is one number that requires a
        gradient.

        Raises:
            Uncountable: the step depends on values, or holds what has no stand-in.
        """
        tally = DispatchTally()
        run_on_fakes(step, args, kwargs, tally)
        return replace(tally.count(), how=HOW_ON_FAKES)


class EagerTorchCounter(TorchCounter):
    """Counts every step as it runs; what is compiled runs uncompiled where a step is counted, and compiled elsewhere.

    Results then differ in their last digits from those of compiled code.
    """

    caution = (
        "compiled code runs uncompiled in each step that is counted, the first of its kind: "
        "results may differ in their last digits"
    )

    def obstacle(self, step: Callable[..., Any]) -> str | None:
        """There is none."""
        return None

    @contextmanager
    def counting(self, step: Callable[..., Any]) -> Iterator[Tally]:
        """Counts what this thread runs inside of it, the backward pass included."""
        with torch.compiler.set_stance("force_eager"), DispatchTally() as tally:
            yield tally


def product_name(device: torch.device) -> str:
    """What a device is sold as, where torch knows it; else its kind."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "xpu":
        return torch.xpu.get_device_name(device)
    return device.type


def _applied(formula: Formula, func: Operator, call: Call) -> int | None:
    """None for tensors of a kind that the formula does not know; torch would end the process for what it raises."""
    try:
        return formula(func, *call)
    except Exception:
        return None


@cache
def _wraps(kind: type) -> bool:
    """Whether tensors of this kind say by themselves what an operator on them does."""
    plain = getattr(kind, "__torch_dispatch__", None) is _disabled_torch_dispatch_impl
    return not (plain or issubclass(kind, FakeTensor))


def _plan(func: Operator) -> _Plan:
    if name_of(func) in _QUESTIONS:
        return _Plan(asks=True)
    formula = formula_of(func)
    if formula is not None:
        return _Plan(formula)
    name = func.name()
    if isinstance(func, OpOverload) and _dispatch_has_kernel_for_dispatch_key(name, "CompositeImplicitAutograd"):
        return _Plan(composite=True)
    return _Plan(opaque=may_hide_work(func))


def _tensors(values: Sequence[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
