"""Every step of a loop, seen from between Keras and the model's own function for it.

Hooks do not do: one for a batch's end would make Keras wait for JAX in every step, and none is told the batch. What all
backends do alike is to call ``model.train_function`` once for each execution of steps (``test_function`` and
``predict_function`` in the other loops). While a loop runs, a function that looks at what it is called with is in the
place of that one; what it calls, with what, and what comes back, are as without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import joulegram
from joulegram_keras.loop import Loop

_BENEATH = "_joulegram_beneath"
"""Where a function that looks keeps the model's own."""


class Watch:
    """Counts the steps, samples and FLOPs of one of a model's loops while it is attached.

    Args:
        loop: whose phases it changes.
        run: what the FLOPs are added to.
        model: whose function it stands before.
        name: of the function.
        stage: what its steps are called.
        phases: of a step, and of the time between steps; None where the two cannot be told apart.
        failed: called with the exception that a step ended with; it is passed on afterwards.
        gives_up: called with an exception of joulegram's own.
        executed: called after each execution of steps.
    """

    def __init__(
        self,
        loop: Loop,
        run: joulegram.Run,
        model: Any,
        name: str,
        stage: str,
        *,
        phases: tuple[str, str] | None,
        failed: Callable[[BaseException], None],
        gives_up: Callable[[BaseException], None],
        executed: Callable[[], None] | None,
    ) -> None:
        self._loop, self._run, self._model, self._name, self._stage = loop, run, model, name, stage
        self._phases, self._failed, self._gives_up, self._executed = phases, failed, gives_up, executed
        self._most_steps: int | None = None
        self._function: Any = None
        self._before: Any = None
        self._counter: Any = None
        self._is_in_step = False
        self._steps = self._samples = 0

    def attach(self, most_steps: int | None) -> None:
        """A loop begins, again or for the first time.

        Args:
            most_steps: how many it has if it is not ended early; None where that is not known.
        """
        self._most_steps = most_steps
        function = getattr(self._model, self._name, None)
        function = getattr(function, _BENEATH, function)
        if function is None:  # a loop of the user's own
            return
        if function is not self._function:
            self._function = function
            self._counter = self._run.steps(self._stage, self._step(function))
        self._counter.restart()
        self._before = self._around(function)
        setattr(self._before, _BENEATH, function)
        setattr(self._model, self._name, self._before)

    def detach(self) -> None:
        """It is over; again is harmless."""
        if self._before is not None and getattr(self._model, self._name, None) is self._before:
            setattr(self._model, self._name, self._function)
        self._before = None

    def settle(self) -> None:
        """All steps so far are over, and Keras's metrics are still theirs."""

    def take(self) -> Mapping[str, int]:
        """Steps and samples since the last time; nothing where none were seen."""
        taken = {"steps": self._steps, "samples": self._samples} if self._steps else {}
        self._steps = self._samples = 0
        return taken

    def _step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What a step calls, for its FLOPs to be counted by."""
        return function

    def _look(self, *given: Any) -> tuple[Any, ...]:
        """An execution begins: looks at what the function is given, and says what to hand on."""
        raise NotImplementedError

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The model's function, with a look before and after."""

        def watched(*given: Any) -> Any:
            try:
                given = self._look(*given)
            except Exception as error:
                self._gives_up(error)
            try:
                result = function(*given)
            except BaseException as error:
                try:
                    self._broke(error)
                except Exception as problem:
                    self._gives_up(problem)
                raise
            try:
                self._end_execution()
            except Exception as error:
                self._gives_up(error)
            return result

        return watched

    def _end_execution(self) -> None:
        if self._is_in_step:
            self._end_step()
        if self._phases is not None:
            self._loop.enter(self._phases[1])
        if self._executed is not None:
            self._executed()

    def _begin_step(self, data: Any) -> None:
        if self._is_in_step:  # an execution of several steps
            self._end_step()
        self._is_in_step = True
        self._samples += size_of(data)
        self._counter.begin(data)

    def _end_step(self) -> None:
        self._is_in_step = False
        self._counter.end()
        self._steps += 1

    def _broke(self, error: BaseException) -> None:
        """An execution ended with an exception: the user's or, where data have come to their end, Keras's own."""
        if self._is_in_step:
            self._is_in_step = False
            self._counter.cancel()
        if not isinstance(error, StopIteration) and type(error).__name__ != "OutOfRangeError":
            self._failed(error)


class TorchWatch(Watch):
    """On torch: a step is given its batch, and runs until it is done, or asked for on a GPU."""

    def _look(self, *given: Any) -> tuple[Any, ...]:
        if self._phases is not None:
            self._loop.enter(self._phases[0])
        self._begin_step(given[0])
        return given


class JaxWatch(Watch):
    """On JAX: a step is given the model's state, and fetches its batches by itself.

    FLOPs are those of the model's own function, traced for one batch. JAX keeps what it has traced: the step that
    follows is not traced again.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._shapes: Any = None

    def _step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        import jax

        def step(data: Any) -> Any:
            # Inside of a trace these are shapes and types, nothing more.
            state = jax.tree.map(lambda array: jax.lax.full(array.shape, 0, array.dtype), self._shapes)
            return function(state, iter([data]))

        self._shapes = None
        return jax.tree_util.Partial(step)  # type: ignore[no-untyped-call]

    def _look(self, *given: Any) -> tuple[Any, ...]:
        state, iterator = given
        if self._shapes is None:
            import jax

            self._shapes = jax.eval_shape(lambda state: state, state)
        return state, _Seen(iterator, self._show)

    def _show(self, data: Any) -> None:
        try:
            self._begin_step(data)
        except Exception as error:
            self._gives_up(error)


class _Seen:
    """An iterator, each item of which is shown before it is handed on."""

    __slots__ = ("_items", "_show")

    def __init__(self, items: Iterator[Any], show: Callable[[Any], None]) -> None:
        self._items, self._show = items, show

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        item = next(self._items)
        self._show(item)
        return item


class TensorFlowWatch(Watch):
    """On TensorFlow: batches are fetched inside of the graph, where nobody sees them; those of `predict` are not.

    How many samples there were is what Keras's own mean of the loss has summed over, known when the loop is over. FLOPs
    are then those of batches as even as so many samples in so many steps can be: exact wherever they are a constant and
    so many for each sample, as all that counts is, but what one sample computes with another.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._executions = self._samples_before = 0
        self._spec: Any = None

    def _step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        step: Callable[..., Any] = getattr(self._model, self._name.replace("_function", "_step"))
        return step

    def _look(self, *given: Any) -> tuple[Any, ...]:
        if self._name == "predict_function":
            for batch in given[0]:
                self._begin_step(batch)
            return given
        if not self._executions:
            self._samples_before = self._samples_summed()
            self._spec = getattr(given[0], "element_spec", None)
        self._executions += 1
        return given

    def _samples_summed(self) -> int:
        """Samples that the mean of the loss is of; 0 where there is none."""
        means = (each.count for each in self._model.metrics if each.name == "loss" and hasattr(each, "count"))
        return int(next(means, 0))

    def _broke(self, error: BaseException) -> None:
        self._executions -= min(1, self._executions)
        super()._broke(error)

    def settle(self) -> None:
        if not self._executions:
            return
        steps, self._executions = self._executions * self._model.steps_per_execution, 0
        steps = min(steps, (self._most_steps or steps) - self._steps) or steps
        samples = max(0, self._samples_summed() - self._samples_before)
        for size in even_sizes(samples, steps) if samples else [None] * steps:
            self._counter.begin(_with_size(self._spec, size))
            self._counter.end()
        self._steps += steps
        self._samples += samples


def even_sizes(samples: int, steps: int) -> list[int]:
    """Sizes of batches: all but the last of one size if that can be, else as even as can be.

    >>> even_sizes(70, 3)
    [24, 24, 22]
    """
    size = math.ceil(samples / steps)
    last = samples - size * (steps - 1)
    if last > 0:
        return [size] * (steps - 1) + [last]
    smaller = size * steps - samples
    return [size] * (steps - smaller) + [size - 1] * smaller


def size_of(batch: Any) -> int:
    """Samples in a batch: the first size of the first array in it; 0 where there is none."""
    while isinstance(batch, (list, tuple, dict)):  # a union takes four times as long
        batch = next(iter(batch.values() if isinstance(batch, dict) else batch), None)
    shape = getattr(batch, "shape", None)
    return int(shape[0] or 0) if shape else 0


def _with_size(spec: Any, size: int | None) -> Any:
    """The types of a batch, with this many samples where they leave it open."""
    import tensorflow as tf

    def sized(one: Any) -> Any:
        if not isinstance(one, tf.TensorSpec) or one.shape.rank in (None, 0) or one.shape[0] is not None:
            return one
        return tf.TensorSpec([size, *one.shape[1:]], one.dtype)

    return tf.nest.map_structure(sized, spec)


WATCHES: Mapping[str, type[Watch]] = {"torch": TorchWatch, "jax": JaxWatch, "tensorflow": TensorFlowWatch}
"""How steps are seen, by Keras's name of the backend."""
