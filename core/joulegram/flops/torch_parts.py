"""What takes part in a step of PyTorch: its modules, and what of them `torch.compile` compiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from torch import Tensor, nn


class Parts:
    """What a step is bound to, closes over and names as a global, with what these hold in turn.

    Args:
        step: a function, a method or a module.
    """

    def __init__(self, step: Callable[..., Any]) -> None:
        self.modules: dict[nn.Module, str] = {}
        """With their names: that of the outermost one's class, then the path inside of it."""
        self.compiled: list[str] = []
        """What is compiled, in words."""
        self._seen: set[int] = set()
        self._kept: list[Any] = []  # as long as their ids are in use
        self._visit(step)

    def _visit(self, value: Any) -> None:
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        self._kept.append(value)
        if isinstance(value, nn.Module):
            self._visit_module(value)
        elif isinstance(value, partial):
            self._visit_all([value.func, *value.args, *value.keywords.values()])
        elif isinstance(value, MethodType):
            self._visit(value.__func__)
            self._visit_holder(value.__self__)
        elif (plain := uncompiled(value)) is not value:
            self.compiled.append(getattr(value, "__qualname__", repr(value)))
            self._visit(plain)
        elif isinstance(value, FunctionType):
            self._visit_all([*closed_over(value).values(), *named_globals(value).values()])
        elif isinstance(value, list | tuple):
            self._visit_all(value)
        elif isinstance(value, dict):
            self._visit_all(value.values())

    def _visit_all(self, values: Any) -> None:
        for value in values:
            self._visit(value)

    def _visit_holder(self, holder: Any) -> None:
        """The object of a method: a module, or one that has modules."""
        self._visit(holder)
        if not isinstance(holder, nn.Module):
            self._visit_all(getattr(holder, "__dict__", {}).values())

    def _visit_module(self, module: nn.Module, path: str = "") -> None:
        plain = plain_module(module)
        path = path or type(plain).__name__
        self._seen |= {id(module), id(plain)}
        if plain is not module or module._compiled_call_impl is not None:
            self.compiled.append(path)
        if plain in self.modules:
            return
        self.modules[plain] = path
        self._visit_all(value for value in vars(plain).values() if isinstance(value, FunctionType | MethodType))
        forward = type(plain).forward
        if isinstance(forward, FunctionType) and not type(plain).__module__.startswith("torch."):
            self._visit(forward)
        for name, child in plain.named_children():
            self._visit_module(child, f"{path}.{name}")


def plain_module(module: nn.Module) -> nn.Module:
    """The module that `torch.compile` was given; itself if it was not."""
    inner = module._modules.get("_orig_mod")
    return module if inner is None else inner


def uncompiled(function: Any) -> Any:
    """The function that `torch.compile` was given; itself if it was not."""
    if getattr(function, "_torchdynamo_disable", False):
        return function
    return getattr(function, "_torchdynamo_orig_callable", function)


def closed_over(function: FunctionType) -> dict[str, Any]:
    """What a function closes over, by its names for it."""
    return dict(_filled(function))


def _filled(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not yet assigned
            continue


def named_globals(function: FunctionType) -> dict[str, Any]:
    """Modules, tensors, compiled functions and functions of the same file that a function may use by global names."""
    names = function.__globals__
    return {
        name: names[name] for name in function.__code__.co_names if name in names and _takes_part(names[name], function)
    }


def _takes_part(value: Any, user: FunctionType) -> bool:
    if isinstance(value, nn.Module | Tensor):
        return True
    return isinstance(value, FunctionType) and (value.__globals__ is user.__globals__ or uncompiled(value) is not value)
