"""Which operations of a TensorFlow graph are needed, and which of their results.

A graph holds more than runs: gradients of inputs that nobody asked for, what only these need. TensorFlow leaves out
what neither a result nor an effect depends on, in loops as well: a loop's variable that only carries itself along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Function = Callable[[Any, str], Any]
"""The graph of a function, by an operation and the name of its attribute (``body``, ``cond``, ``f``)."""
LOOPS = frozenset({"While", "StatelessWhile"})


@dataclass(frozen=True, slots=True)
class Need:
    """What is needed of a graph.

    Args:
        operations: each after those whose results it takes.
        results: which results of each are used, by its name; none of one that runs for its effect.
        arguments: which of the graph's own inputs.
    """

    operations: Sequence[Any]
    results: dict[str, set[int]]
    arguments: frozenset[int]


def needed(graph: Any, wanted: Iterable[int] | None, function: Function) -> Need:
    """What of a function's graph its results and effects depend on.

    Args:
        graph: a ``FuncGraph``.
        wanted: which of its results count; None for all.
        function: finds the graphs of loops in it.
    """
    outputs = graph.outputs if wanted is None else [graph.outputs[index] for index in wanted]
    results: dict[str, set[int]] = {}
    for tensor in outputs:
        results.setdefault(tensor.op.name, set()).add(tensor.value_index)
    for operation in graph.control_outputs:
        results.setdefault(operation.name, set())
    order = _in_order([*(tensor.op for tensor in outputs), *graph.control_outputs])
    for operation in reversed(order):
        if operation.name in results:
            for tensor in _taken(operation, results[operation.name], function):
                results.setdefault(tensor.op.name, set()).add(tensor.value_index)
            for before in operation.control_inputs:
                results.setdefault(before.name, set())
    arguments = frozenset(index for index, tensor in enumerate(graph.inputs) if tensor.op.name in results)
    return Need([each for each in order if each.name in results], results, arguments)


def carried(loop: Any, wanted: Iterable[int], function: Function) -> frozenset[int]:
    """Which variables of a loop are needed: by its results, its test, its effects, or by another that is.

    Args:
        loop: an operation ``While``.
        wanted: which of its results are.
        function: finds its graphs.
    """
    body = function(loop, "body")
    found = frozenset(wanted) | needed(function(loop, "cond"), None, function).arguments
    while True:
        more = found | needed(body, sorted(found), function).arguments
        if more == found:
            return found
        found = more


def leading_to(ends: Iterable[Any]) -> set[str]:
    """The names of these operations and of all that their inputs come from."""
    return {operation.name for operation in _in_order(ends)}


def _taken(operation: Any, used: set[int], function: Function) -> list[Any]:
    if operation.type not in LOOPS:
        return list(operation.inputs)
    return [operation.inputs[index] for index in carried(operation, used, function)]


def _in_order(ends: Iterable[Any]) -> list[Any]:
    """All that these depend on, each after what it takes: the order of creation is another one."""
    order: list[Any] = []
    seen: set[str] = set()
    stack = [(operation, False) for operation in ends]
    while stack:
        operation, done = stack.pop()
        if done:
            order.append(operation)
        elif operation.name not in seen:
            seen.add(operation.name)
            stack.append((operation, True))
            stack.extend((tensor.op, False) for tensor in operation.inputs)
            stack.extend((before, False) for before in operation.control_inputs)
    return order
