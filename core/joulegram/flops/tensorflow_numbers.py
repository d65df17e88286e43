"""How often a loop of a TensorFlow graph runs, where its own numbers tell.

A loop over the steps of a sequence, a `tf.range` or a list counts with whole numbers from constants to constants. They
are few and small, so the loop is gone through with these alone, in NumPy, and with nothing of what it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

MOST_TRIPS = 100_000
"""Trips that are gone through: about a second."""
MOST_NUMBERS = 64
"""Elements of a value that is worked out."""

_MEANING: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        **dict.fromkeys(["Add", "AddV2"], np.add),
        "Sub": np.subtract,
        "Mul": np.multiply,
        "FloorDiv": np.floor_divide,
        "FloorMod": np.mod,
        "Neg": np.negative,
        "Minimum": np.minimum,
        "Maximum": np.maximum,
        "Less": np.less,
        "LessEqual": np.less_equal,
        "Greater": np.greater,
        "GreaterEqual": np.greater_equal,
        "Equal": np.equal,
        "NotEqual": np.not_equal,
        "LogicalAnd": np.logical_and,
        "LogicalOr": np.logical_or,
        "LogicalNot": np.logical_not,
        **dict.fromkeys(["Select", "SelectV2"], np.where),
        "Identity": lambda value: value,
        "Max": lambda values, axes: np.max(values, axis=tuple(np.ravel(axes))),
        "Min": lambda values, axes: np.min(values, axis=tuple(np.ravel(axes))),
    }
)


def value(tensor: Any) -> Any:
    """What a tensor's value is, as NumPy's; None where that is not known before the graph runs."""
    plan = _Plan(())
    return plan.run({})[tensor.name] if plan.includes(tensor) else None


def trips(test: Any, before: Sequence[Any], after: Sequence[Any], start: Sequence[Any]) -> tuple[int | None, list[Any]]:
    """How often a loop's body runs, and what its numbers are in the end; None for what is not known.

    Args:
        test: whether it goes on, of its variables.
        before: these variables at the beginning of a trip.
        after: the same at its end.
        start: their values at first, None for what is not known.
    """
    numbers = [place for place, first in enumerate(start) if first is not None]
    while True:
        plan = _Plan({before[place].name for place in numbers})
        stay = [place for place in numbers if plan.includes(after[place])]
        if stay == numbers:
            break
        numbers = stay
    nobody_knows = [None] * len(start)
    if not plan.includes(test):
        return None, nobody_knows
    now = {place: start[place] for place in numbers}
    with np.errstate(all="ignore"):
        for times in range(MOST_TRIPS):
            values = plan.run({before[place].name: number for place, number in now.items()})
            if not values[test.name]:
                return times, [now.get(place) for place in range(len(start))]
            now = {place: values[after[place].name] for place in numbers}
    return None, nobody_knows


class _Plan:
    """Arithmetic that leads from a graph's constants, and from variables, to some of its tensors.

    Args:
        variables: tensors whose values are given for each run, by name.
    """

    def __init__(self, variables: Collection[str]) -> None:
        self._constants: dict[str, Any] = {}
        self._steps: list[tuple[str, Callable[..., Any], list[str]]] = []
        self._included = dict.fromkeys(variables, True)

    def includes(self, tensor: Any) -> bool:
        """Takes a tensor in; False if there is no way to it."""
        if tensor.name not in self._included:
            self._included[tensor.name] = self._include(tensor)
        return self._included[tensor.name]

    def run(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The values of all that was taken in."""
        values = {**self._constants, **variables}
        for name, meaning, operands in self._steps:
            values[name] = meaning(*(values[operand] for operand in operands))
        return values

    def _include(self, tensor: Any) -> bool:
        import tensorflow as tf

        if tensor.dtype in (tf.resource, tf.variant, tf.string):
            return False
        if not tensor.shape.is_fully_defined() or tensor.shape.num_elements() > MOST_NUMBERS:
            return False
        operation = tensor.op
        meaning = _meaning(operation)
        if meaning is None:
            self._constants[tensor.name] = tf.get_static_value(tensor)
            return self._constants[tensor.name] is not None
        if not all(self.includes(operand) for operand in operation.inputs):
            return False
        self._steps.append((tensor.name, meaning, [operand.name for operand in operation.inputs]))
        return True


def _meaning(operation: Any) -> Callable[..., Any] | None:
    if operation.type == "Cast":
        to = operation.outputs[0].dtype.as_numpy_dtype
        return lambda value: np.asarray(value).astype(to)
    if operation.type == "StridedSlice":
        return _element if operation.get_attr("shrink_axis_mask") == 1 else None
    return _MEANING.get(operation.type)


def _element(values: Any, place: Any, *_: Any) -> Any:
    return values[int(place[0])]
