"""FLOPs of TensorFlow programs, from the graph of a step: what it computes, with the shapes of all values.

Nothing runs and nothing is compiled: the step is traced as ``tf.function`` does; a function that is one already is
traced by itself, which its next call would have done. The graph is gone through once more with the shapes that are
given now, functions inside of it opened at each place that they are called from, so that what was traced for a batch of
any size, or passes through a loop, has its sizes too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from types import FunctionType
from typing import Any

from joulegram.flops import Count, FlopCounter, Tally, Uncountable
from joulegram.flops.tensorflow_formulas import FORMULAS, Operation, UnknownSize, computes_in, flops, free
from joulegram.flops.tensorflow_need import LOOPS, Need, carried, leading_to, needed
from joulegram.flops.tensorflow_numbers import trips, value
from joulegram.flops.tracing import Work, generators_kept, greatest

_WHY_NOT = "a TensorFlow graph cannot be watched while it runs: it is counted from the graph"
_CALLS = {"PartitionedCall": "f", "StatefulPartitionedCall": "f", "XlaLaunch": "function"}
_CHOICES = frozenset({"If", "StatelessIf", "Case", "StatelessCase"})


class TensorFlowCounter(FlopCounter):
    """Counts functions of TensorFlow's tensors, under ``tf.function`` or not, their gradients included."""

    def context(self, step: Callable[..., Any]) -> Hashable:
        """How much is trained of the models that a step is bound to, closes over or names as globals."""
        plain = getattr(step, "python_function", step)
        held = [step, getattr(plain, "__self__", None), *_used(getattr(plain, "__func__", plain))]
        return tuple(len(each.trainable_variables) for each in held if hasattr(each, "trainable_variables"))

    def obstacle(self, step: Callable[..., Any]) -> str | None:
        """Always the same: a graph runs as a whole."""
        return _WHY_NOT

    def counting(self, step: Callable[..., Any]) -> AbstractContextManager[Tally]:
        """Not possible.

        Raises:
            Uncountable: always.
        """
        raise Uncountable(_WHY_NOT)

    def count(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Count:
        """Counts a function of nested tensors, arrays or ``tf.TensorSpec``.

        All that is none of these (numbers, variables, models) keeps its value. Variables that the step makes when first
        called are made, with their first values, as the call would have.

        Raises:
            Uncountable: the step cannot be traced.
        """
        started_s = time.perf_counter()
        try:
            with generators_kept():
                graph = _traced(step, args, kwargs)
        except Exception as error:  # the step's own, or that it looks at a value; it was not asked for now
            raise Uncountable(f"tracing it failed: {_in_a_line(error)}") from error
        walk = _Walk()
        work = walk.whole(graph)
        return Count(
            flops=work.total,
            how="from the TensorFlow graph" + ("; of each branch, the one that computes most" if work.chosen else ""),
            unknown=dict(work.unknown),
            dtype=max(work.flops, key=work.flops.__getitem__, default=None),
            device=_product(walk.devices[0]) if walk.devices else None,
            devices=max(len(walk.devices), 1),
            overhead_s=time.perf_counter() - started_s,
        )


def _traced(step: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The graph of a step: a ``FuncGraph``."""
    import tensorflow as tf

    leaves = tf.nest.flatten((args, kwargs), expand_composites=True)
    specs = [_spec(leaf) for leaf in leaves]
    results: Callable[..., Any] = _tensors_in

    def of_tensors(*tensors: Any) -> Any:
        given = iter(tensors)
        values = [leaf if spec is None else next(given) for leaf, spec in zip(leaves, specs, strict=True)]
        args_now, kwargs_now = tf.nest.pack_sequence_as((args, kwargs), values, expand_composites=True)
        with tf.variable_creator_scope(_made_at_once(tf.compat.v1.get_default_graph())):
            return results(step(*args_now, **kwargs_now))

    return tf.function(of_tensors).get_concrete_function(*[spec for spec in specs if spec is not None]).graph


class _Walk:
    """A walk through a graph, which builds what it comes across once more in a graph of its own.

    Attributes:
        devices: that something is computed on, in the order of their appearance.
    """

    def __init__(self) -> None:
        from joulegram.flops.tensorflow_rebuilt import Rebuilt

        self.devices: list[tuple[str, int, str]] = []
        self._built = Rebuilt()
        self._computing: dict[str, bool] = {}  # by the name of the operation

    def whole(self, graph: Any) -> Work:
        """What the graph of a step computes."""
        counts = {inside.name: outside for outside, inside in graph.captures if _is_number(outside)}
        arguments = [
            self._built.number(counts[each.name].numpy(), each) if each.name in counts else self._hole(each)
            for each in graph.inputs
        ]
        work = Work()
        self._go(work, needed(graph, None, _function), _by_name(graph.inputs, arguments), (), "")
        return work

    def through(
        self, graph: Any, arguments: Sequence[Any], wanted: Iterable[int] | None, device: str
    ) -> tuple[Work, list[Any]]:
        """What the graph of a function computes, and its results.

        Args:
            graph: a ``FuncGraph``.
            arguments: what it is given, as tensors of the graph built anew.
            wanted: which of its results are needed; None for all.
            device: what it is called on.
        """
        work, now = Work(), _by_name(graph.inputs, arguments)
        self._go(work, needed(graph, wanted, _function), now, [each.op for each in graph.outputs], device)
        return work, [now[each.name] if each.name in now else self._hole(each) for each in graph.outputs]

    def _go(self, work: Work, need: Need, now: dict[str, Any], ends: Iterable[Any], device: str) -> None:
        """Goes through a graph's operations, and builds those anew that lead to what computes, or to its `ends`."""
        built = leading_to([*filter(self._computes, need.operations), *ends])
        for operation in need.operations:
            if operation.outputs and operation.outputs[0].name in now:  # an argument
                continue
            if operation.name not in built:
                self._look_at(work, operation)
                continue
            inputs = [now[each.name] if each.name in now else self._hole(each) for each in operation.inputs]
            used = need.results[operation.name]
            outputs = self._add(work, operation, inputs, used, operation.device or device)
            now.update(_by_name(operation.outputs, outputs))

    def _computes(self, operation: Operation) -> bool:
        """Whether an operation has a formula or calls functions, which may."""
        name = operation.type
        if name not in self._computing:
            attributes = {attribute.type for attribute in operation.op_def.attr}
            self._computing[name] = name in FORMULAS or bool(attributes & {"func", "list(func)"})
        return self._computing[name]

    def _hole(self, like: Any, shape: Any = None) -> Any:
        return self._built.hole(like, like.shape if shape is None else shape)

    def _add(self, work: Work, operation: Operation, inputs: list[Any], used: set[int], device: str) -> list[Any]:
        name = operation.type
        if name in LOOPS:
            return self._loop(work, operation, inputs, used, device)
        if name in _CHOICES:
            return self._choice(work, operation, inputs, used, device)
        if name in _CALLS:
            part, outputs = self.through(_function(operation, _CALLS[name]), inputs, used, device)
            work.add(part)
            return outputs
        if inner := list(_functions_of(operation)):
            return self._unheard_of(work, operation, inner, device)
        built, outputs = self._built.operation(operation, inputs)
        if name in FORMULAS:
            self._count(work, built, used, device)
        else:
            self._look_at(work, built)
        return outputs

    def _look_at(self, work: Work, operation: Operation) -> None:
        if not free(operation.type):
            work.unknown[operation.type] += 1

    def _count(self, work: Work, operation: Operation, used: set[int], device: str) -> None:
        where = _placed(device)
        try:
            amount = flops(operation, used)
        except UnknownSize:
            work.unknown[f"{operation.type}: size unknown"] += 1
            return
        if amount:
            work.flops[computes_in(operation, where[0])] += amount
            if where not in self.devices:
                self.devices.append(where)

    def _loop(self, work: Work, loop: Operation, inputs: list[Any], used: set[int], device: str) -> list[Any]:
        """A loop: its body once, with what varies from trip to trip left open, then times its trips."""
        test, body = _function(loop, "cond"), _function(loop, "body")
        alive = sorted(carried(loop, used, _function))
        stays = {place for place in alive if _origin(body.outputs[place]).name == body.inputs[place].name}
        shapes = {place: inputs[place].shape for place in alive}
        while True:
            before = [
                each if place in stays else self._hole(each, shapes.get(place)) for place, each in enumerate(inputs)
            ]
            inside, after = self.through(body, before, alive, device)
            met = {place: shape.most_specific_compatible_shape(after[place].shape) for place, shape in shapes.items()}
            if all(met[place].rank is None or met[place].as_list() == shapes[place].as_list() for place in alive):
                break
            shapes = met
        asking, (goes_on, *_) = self.through(test, before, None, device)
        times, numbers = trips(goes_on, before, after, [value(each) for each in inputs])
        work.add_loop(asking, inside, times)
        outputs = []
        for place, tensor in enumerate(inputs):
            if place in stays or times == 0:
                outputs.append(tensor)
            elif numbers[place] is not None:
                outputs.append(self._built.number(numbers[place], tensor))
            else:
                outputs.append(self._hole(after[place] if place in shapes else tensor, shapes.get(place)))
        return outputs

    def _choice(self, work: Work, choice: Operation, inputs: list[Any], used: set[int], device: str) -> list[Any]:
        """The branch that a number chooses, or the greatest of all."""
        branches = list(_functions_of(choice))
        which = value(inputs[0])
        if which is not None:
            place = int(which) if choice.type.endswith("Case") else int(not which)
            branches = [branches[place if 0 <= place < len(branches) else -1]]
        found = [self.through(branch, inputs[1:], used, device) for branch in branches]
        work.add(greatest([part for part, _ in found]))
        if len(found) == 1:
            return found[0][1]
        outputs = []
        for place, first in enumerate(found[0][1]):
            shape = first.shape
            for _, others in found[1:]:
                shape = shape.most_specific_compatible_shape(others[place].shape)
            outputs.append(self._hole(first, shape))
        return outputs

    def _unheard_of(self, work: Work, operation: Operation, inner: list[Any], device: str) -> list[Any]:
        """What runs functions in a way of its own, as a dataset does: each counts once, and it is listed."""
        for graph in inner:
            part, _ = self.through(graph, [self._hole(each) for each in graph.inputs], None, device)
            work.add(part)
            if part.flops or part.unknown:
                work.unknown[f"{operation.type}: trip count unknown"] += 1
        return [self._hole(each) for each in operation.outputs]


def _by_name(tensors: Iterable[Any], values: Iterable[Any]) -> dict[str, Any]:
    # A gradient may have added to the graph of a function after it was called from here.
    return {tensor.name: each for tensor, each in zip(tensors, values, strict=False)}


# -- functions inside of a graph --------------------------------------------------------------------------------------


def _function(operation: Operation, attribute: str) -> Any:
    """The graph of a function that an operation names."""
    return operation.graph._get_function(operation.get_attr(attribute).name).graph


def _functions_of(operation: Operation) -> Iterator[Any]:
    """The graphs of all functions that an operation names."""
    for attribute in operation.op_def.attr:
        if attribute.type == "func":
            yield _function(operation, attribute.name)
        elif attribute.type == "list(func)":
            for each in operation.get_attr(attribute.name):
                yield operation.graph._get_function(each.name).graph


def _origin(tensor: Any) -> Any:
    """What a tensor is the same as."""
    while tensor.op.type == "Identity":
        (tensor,) = tensor.op.inputs
    return tensor


# -- devices ---------------------------------------------------------------------------------------------------------


def _placed(device: str) -> tuple[str, int, str]:
    """Where an operation runs: the kind of device, its number, and which process has it."""
    import tensorflow as tf

    spec = tf.DeviceSpec.from_string(device)
    process = f"{spec.job}:{spec.task}" if spec.job not in (None, "localhost") else ""
    if spec.device_type is not None and tf.config.list_logical_devices(spec.device_type):
        return spec.device_type, spec.device_index or 0, process
    for kind in ("TPU", "GPU"):
        if tf.config.list_logical_devices(kind):
            return kind, 0, process
    return "CPU", 0, process


def _product(device: tuple[str, int, str]) -> str:
    """A device's product name, where it has one."""
    import tensorflow as tf

    kind, index, _ = device
    physical = tf.config.list_physical_devices(kind)
    if kind != "GPU" or not physical:
        return kind.lower()
    details = tf.config.experimental.get_device_details(physical[min(index, len(physical) - 1)])
    return str(details.get("device_name", kind.lower()))


# -- what a step is given --------------------------------------------------------------------------------------------


def _spec(leaf: Any) -> Any:
    """The shape and type of a tensor or an array; None for all else."""
    import numpy as np
    import tensorflow as tf

    if isinstance(leaf, tf.TensorSpec):
        return leaf
    if isinstance(leaf, np.ndarray) and leaf.dtype != object:
        return tf.TensorSpec(leaf.shape, tf.as_dtype(leaf.dtype))
    return tf.TensorSpec.from_tensor(leaf) if isinstance(leaf, tf.Tensor) else None


def _is_number(value: Any) -> bool:
    """A whole number that a step closes over, by which it may count."""
    import tensorflow as tf

    return isinstance(value, tf.Tensor) and hasattr(value, "numpy") and value.dtype.is_integer and value.shape.rank == 0


def _tensors_in(result: Any) -> list[Any]:
    import tensorflow as tf

    return [leaf for leaf in tf.nest.flatten(result, expand_composites=True) if tf.is_tensor(leaf)]


def _made_at_once(graph: Any) -> Callable[..., Any]:
    """Makes variables with their first values outside of a trace: the step may keep them, even if tracing it fails.

    Args:
        graph: of the step, in which first values have no value; a ``tf.function`` inside of it finds its own way.
    """
    import tensorflow as tf

    def creator(make: Callable[..., Any], **named: Any) -> Any:
        first = named.get("initial_value")
        if not tf.is_tensor(first) or hasattr(first, "numpy"):
            with tf.init_scope():
                return make(**named)
        if tf.compat.v1.get_default_graph() is graph:
            raise ValueError("the step makes variables from what it computes: call it once before it is counted")
        return make(**named)

    return creator


def _used(function: Any) -> Iterator[Any]:
    """What a function closes over, and the globals that it names."""
    if not isinstance(function, FunctionType):
        return
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # not yet assigned
            yield cell.cell_contents
    for name in function.__code__.co_names:
        yield function.__globals__.get(name)


def _in_a_line(error: Exception) -> str:
    """What an error says, in a line: of one that tells where in the step it arose, what comes after that."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    places = [place for place, line in enumerate(lines) if line.startswith('File "')]
    said = lines[places[-1] + 2 :] if places and lines[0] == "in user code:" else []  # a place is followed by its code
    if said:
        return said[0]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
