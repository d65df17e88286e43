"""A step of PyTorch on stand-ins: tensors with shape, type and device but no content. Nothing is computed.

Everything that the step is bound to or closes over is copied, with stand-ins in the place of tensors and what is
compiled taken as it was before. So the step may change whatever it likes: it changes the copies.
"""

from __future__ import annotations

import random
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeCopyMode,
    FakeTensorMode,
    UnsupportedOperatorException,
)
from torch.utils.data import DataLoader, Dataset

from joulegram.flops import Uncountable
from joulegram.flops.torch_parts import closed_over, named_globals, plain_module, uncompiled

_SHARED: tuple[type, ...] = (DataLoader, Dataset)
"""Large, and nothing that a step changes: not copied."""
_TENSORS = frozenset({"_parameters", "_buffers", "_modules"})


def run_on_fakes(
    step: Callable[..., Any],
    args: Sequence[Any],
    named: Mapping[str, Any],
    counting: AbstractContextManager[Any],
) -> None:
    """Runs a step on stand-ins, and the backward pass from its loss.

    The loss is what the step returns, or has in it under ``loss``, where that is one number that requires a gradient.

    Args:
        step: what is run.
        args: what it is given; stand-ins take their place.
        named: the same, by name.
        counting: entered for the run.

    Raises:
        Uncountable: it cannot run in this way.
    """
    mode = FakeTensorMode()
    # What is compiled and was not found runs as it was written.
    with _generators_kept(), warnings.catch_warnings(), torch.compiler.set_stance("force_eager"):
        warnings.simplefilter("ignore")  # said of a copy, they would be said twice
        try:
            stand_ins = _StandIns(mode)
            with FakeCopyMode(mode):
                copied, args, named = stand_ins.of(step), stand_ins.of(tuple(args)), stand_ins.of(dict(named))
            with mode, counting:
                loss = _loss(copied(*args, **named))
                if loss is not None:
                    loss.backward()  # type: ignore[no-untyped-call]
        except Exception as error:
            raise Uncountable(_in_words(error)) from error


class _StandIns:
    """Copies of values, each made once."""

    def __init__(self, mode: FakeTensorMode) -> None:
        self._mode = mode
        self._made: dict[int, Any] = {}
        self._kept: list[Any] = []  # as long as their ids are in use

    def of(self, value: Any) -> Any:
        if id(value) in self._made:
            return self._made[id(value)]
        if isinstance(value, nn.Module):
            return self._keep(value, self._module(value))
        if isinstance(value, _SHARED):
            return self._keep(value, value)
        if type(value) in (list, tuple):
            return self._keep(value, type(value)(map(self.of, value)))
        if type(value) in (dict, OrderedDict):
            return self._keep(value, type(value)((key, self.of(entry)) for key, entry in value.items()))
        if isinstance(value, partial):
            return partial(self.of(value.func), *map(self.of, value.args), **self.of(value.keywords))
        if isinstance(value, MethodType):
            return MethodType(value.__func__, self._holder(value.__self__))
        if (plain := uncompiled(value)) is not value:
            return self.of(plain)
        if isinstance(value, FunctionType):
            return self._keep(value, self._function(value))
        return self._keep(value, deepcopy(value, self._made))

    def _keep(self, value: Any, made: Any) -> Any:
        self._kept.append(value)
        return self._made.setdefault(id(value), made)

    def _holder(self, holder: Any) -> Any:
        """The object of a method: a module, or one that has modules."""
        if isinstance(holder, type) or not hasattr(holder, "__dict__"):
            return holder
        return self.of(holder) if isinstance(holder, nn.Module) else self._by_attribute(holder)

    def _module(self, module: nn.Module) -> Any:
        if (plain := plain_module(module)) is not module:
            return self.of(plain)
        if hasattr(type(module), "__deepcopy__"):
            return deepcopy(module, self._made)
        copied = self._by_attribute(module)
        copied.__dict__["_compiled_call_impl"] = None
        return copied

    def _by_attribute(self, holder: Any) -> Any:
        """A copy that lacks what cannot be copied: locks, files. A step that needs one of these cannot be counted."""
        if id(holder) in self._made:
            return self._made[id(holder)]
        copied = self._keep(holder, object.__new__(type(holder)))
        state = {}
        for name, value in _state(holder).items():
            try:
                state[name] = self.of(value)
            except Exception:
                if name in _TENSORS:
                    raise
        if hasattr(copied, "__setstate__"):
            copied.__setstate__(state)
        else:
            copied.__dict__.update(state)
        return copied

    def _function(self, function: FunctionType) -> FunctionType:
        """The same code, with copies of what it closes over and of the modules that it names."""
        inside, outside = closed_over(function), named_globals(function)
        if not inside and not outside:
            return function
        cells = {name: CellType() for name in function.__code__.co_freevars}
        copied = FunctionType(
            function.__code__,
            {**function.__globals__},
            function.__name__,
            function.__defaults__,
            tuple(cells.values()),
        )
        copied.__kwdefaults__ = function.__kwdefaults__
        self._keep(function, copied)  # it may close over itself
        for name, value in inside.items():
            cells[name].cell_contents = self.of(value)
        copied.__globals__.update({name: self.of(value) for name, value in outside.items()})
        return copied


def _state(holder: Any) -> Mapping[str, Any]:
    """What it would be copied with: a LightningModule leaves its trainer out of it."""
    state = holder.__getstate__()
    return state if isinstance(state, Mapping) else vars(holder)


def _loss(result: Any) -> torch.Tensor | None:
    loss = result.get("loss") if isinstance(result, Mapping) else getattr(result, "loss", result)
    if isinstance(loss, torch.Tensor) and loss.requires_grad and loss.numel() == 1:
        return loss
    return None


@contextmanager
def _generators_kept() -> Iterator[None]:
    """Whatever draws random numbers inside, those after it are as if it had not."""
    numpy = sys.modules.get("numpy")
    python_state = random.getstate()
    numpy_state = None if numpy is None else numpy.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(python_state)
            if numpy is not None:
                numpy.random.set_state(numpy_state)


def _in_words(error: Exception) -> str:
    if isinstance(error, DataDependentOutputException | DynamicOutputShapeException):
        return f"what it computes depends on the values that it is given ({error.func})"
    if isinstance(error, UnsupportedOperatorException):
        return f"{error.func} does not tell the shape of its result (torch.library.register_fake lets it)"
    first, *_ = str(error).strip().splitlines() or [""]
    return f"it does not run without the values of its tensors: {type(error).__name__}: {first}"
