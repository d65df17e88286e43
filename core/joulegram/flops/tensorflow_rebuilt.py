"""A TensorFlow graph built once more, so that the shapes of its values follow from those that it is given now.

TensorFlow infers them itself, operation by operation, but for what is kept in lists (steps of a sequence, what a loop
keeps for its gradient): their elements have the shape that the list was declared with, often of any batch. Here they
have that of what was put in; and where it is the same number every time, as the shape of something is, that number.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.ops.handle_data_util import copy_handle_data, get_handle_data, set_handle_data

_MADE = frozenset({"EmptyTensorList", "TensorListReserve"})
_FILLED = frozenset({"TensorListPushBack", "TensorListSetItem"})  # the last operand is the element
_READ = frozenset({"TensorListPopBack", "TensorListGetItem"})  # the last result is


class Rebuilt:
    """Operations and tensors in a graph of their own; nothing in it ever runs."""

    def __init__(self) -> None:
        self._graph = tf.Graph()
        self._empty: set[str] = set()
        self._alike: dict[str, Any] = {}  # the number that all elements of a list are
        self._lists: dict[str, Any] = {}  # one of those in a list of lists

    def hole(self, like: Any, shape: Any) -> Any:
        """A tensor of a type and a shape but without a value; of a list or a variable, with what is known of it."""
        with self._graph.as_default():
            hole = tf.compat.v1.placeholder(like.dtype, shape)
        copy_handle_data(like, hole)
        if like.graph is self._graph:
            self._same_list(like, hole)
        return hole

    def number(self, value: Any, like: Any) -> Any:
        """A tensor whose value is known."""
        with self._graph.as_default():
            return tf.constant(value, like.dtype)

    def operation(self, traced: Any, inputs: list[Any]) -> tuple[Any, list[Any]]:
        """An operation once more, on other inputs, and its results.

        It is the traced one where these have shapes that it does not take.
        """
        attributes = {name: each for name, each in traced.node_def.attr.items() if not name.startswith("_")}
        types = [each.dtype for each in traced.outputs]
        try:
            built = self._graph._create_op_internal(traced.type, inputs, types, attrs=attributes)
        except (TypeError, ValueError):
            return traced, [self.hole(each, each.shape) for each in traced.outputs]
        results = list(built.outputs)
        if traced.type in _MADE:
            self._empty.add(results[0].name)
        elif traced.type in _FILLED:
            self._fill(results[0], inputs[0], inputs[-1])
        elif traced.type in _READ:
            self._same_list(inputs[0], results[0])
            if inputs[0].name in self._alike:
                results[-1] = self.number(self._alike[inputs[0].name], results[-1])
            if inputs[0].name in self._lists:
                results[-1] = self.hole(self._lists[inputs[0].name], results[-1].shape)
        elif traced.type == "TensorListFromTensor" and inputs[0].shape.rank:
            _hold(results[0], inputs[0].shape[1:])
        for result, before in zip(results, traced.outputs, strict=True):
            _refine(result, before)
        return built, results

    def _same_list(self, one: Any, other: Any) -> None:
        if one.name in self._empty:
            self._empty.add(other.name)
        for known in (self._alike, self._lists):
            if one.name in known:
                known[other.name] = known[one.name]

    def _fill(self, after: Any, before: Any, element: Any) -> None:
        """Says what a list holds: elements of one shape, or of what shapes have in common."""
        growing = after.op.type == "TensorListPushBack"  # of others, some places may never be filled
        number = tf.get_static_value(element) if growing and element.dtype.is_integer else None
        shape, held = element.shape, get_handle_data(before)
        if before.name not in self._empty:
            others = self._alike.get(before.name)
            number = number if number is not None and others is not None and np.array_equal(others, number) else None
            if held.is_set:
                shape = shape.most_specific_compatible_shape(tf.TensorShape(held.shape_and_type[0].shape))
        if number is not None:
            self._alike[after.name] = number
        if element.dtype == tf.variant and before.name in self._empty:
            self._lists[after.name] = element
        _hold(after, shape)


def _refine(result: Any, traced: Any) -> None:
    """Adds what was known of a value when it was traced, which holds for all that it is traced for."""
    if result.dtype in (tf.variant, tf.resource):
        if not get_handle_data(result).is_set:
            copy_handle_data(traced, result)
    elif not result.shape.is_fully_defined() and traced.shape.rank is not None:
        with suppress(ValueError):
            result.set_shape(traced.shape)


def _hold(values: Any, shape: Any) -> None:
    held = get_handle_data(values)
    if held.is_set:
        held.shape_and_type[0].shape.CopyFrom(shape.as_proto())
        set_handle_data(values, held)
