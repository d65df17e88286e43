"""What FootprintMonitor adds to a step of Keras: what stands in it by itself, and fits on JAX with and without it.

Keras chooses its backend when it is imported, so each part runs in a process of its own.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from measure import Figure, in_fresh_python, mean_interval_95, seconds_of

BATCHES, STEPS_PER_BATCH = 60, 200
PAIRS, WARM_STEPS, STEPS = 40, 20, 40
WAIT_S = 0.02


def measure(full: bool) -> Iterator[Figure]:
    del full
    for backend in ("torch", "jax", "tensorflow"):
        if importlib.util.find_spec(backend) is None:
            continue
        step_us, plain_us = _on(backend, "step_us")
        note = f"called directly, {STEPS_PER_BATCH} steps in a row; {plain_us:.2f} µs without it taken off"
        yield Figure(f"what stands in a step of Keras on {backend}", step_us, "µs", 10.0, note)

    pairs = _on("jax", "pairs_ms")
    slower = [100 * (with_ms - without_ms) / without_ms for with_ms, without_ms in pairs]
    low, high = mean_interval_95(slower)
    yield Figure("a step on JAX with 20 ms of host data", [without_ms for _, without_ms in pairs], "ms")
    note = f"{len(pairs)} pairs in random order; 95 % interval of their mean {low:.2f} to {high:.2f} %"
    yield Figure("the same with FootprintMonitor: what a step takes longer", slower, "%", note=note)
    yield Figure("the upper end of that interval", [high], "%", 3.0)


def _on(backend: str, part: str) -> Any:
    """A part's answer in a process with this backend."""
    os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = backend, "3"
    here = str(Path(__file__).parent)
    return in_fresh_python(
        f"import json, sys; sys.path.insert(0, {here!r}); import bench_keras; print(json.dumps(bench_keras.{part}()))"
    )


def step_us() -> tuple[list[float], float]:
    """Microseconds that a step which does nothing takes longer in a fit with a monitor; and those without."""
    import keras
    import numpy as np

    from joulegram_keras import FootprintMonitor

    times_us: dict[str, list[float]] = {"with": [], "without": []}
    x, y = np.zeros((32, 8), "float32"), np.zeros((32, 1), "float32")

    class Emptying(keras.callbacks.Callback):
        """Has the model do nothing in a step, before the monitor comes."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.own = self.model.train_function
            self.model.train_function = _nothing(keras.backend.backend())

    class Timing(keras.callbacks.Callback):
        """Calls what a step calls, again and again, after the monitor has come."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            step, given = self.model.train_function, _given(self.model, (x, y))
            plain = _nothing(keras.backend.backend())
            self.model.train_function = emptying.own
            step(*given)
            time.sleep(1.0)  # meters are open, and whatever is loaded behind the loop's back has been
            for _ in range(BATCHES):
                for name, function in (("with", step), ("without", plain)):
                    spent_s = seconds_of(lambda function=function: _again(function, given))
                    times_us[name].append(spent_s / STEPS_PER_BATCH * 1e6)
                time.sleep(0.06)

    emptying = Emptying()
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0, callbacks=[emptying, FootprintMonitor(summary=False), Timing()])
    plain_us = sorted(times_us["without"])[BATCHES // 2]
    return [spent_us - plain_us for spent_us in times_us["with"]], plain_us


def _nothing(backend: str) -> Callable[..., Any]:
    return (lambda state, iterator: next(iterator)) if backend == "jax" else (lambda data: data)


def _given(model: Any, batch: Any) -> tuple[Any, ...]:
    """What Keras calls a step with."""
    import keras

    if keras.backend.backend() == "jax":
        return model._get_jax_state(True, True, True, True), itertools.repeat((*batch, None))
    if keras.backend.backend() == "torch":
        import torch

        return ([tuple(map(torch.from_numpy, batch))],)
    import tensorflow as tf

    return (iter(tf.data.Dataset.from_tensors(batch).repeat()),)


def _again(function: Callable[..., Any], given: tuple[Any, ...]) -> None:
    for _ in range(STEPS_PER_BATCH):
        function(*given)


def pairs_ms() -> list[tuple[float, float]]:
    """Milliseconds of a step with a monitor and without, in each of the pairs."""
    import keras
    import numpy as np

    from joulegram_keras import FootprintMonitor

    class Slow(keras.utils.PyDataset):
        """Takes its time for each batch, on the host."""

        def __init__(self) -> None:
            super().__init__()
            self.times_s: list[float] = []

        def __len__(self) -> int:
            return WARM_STEPS + STEPS

        def __getitem__(self, index: int) -> Any:
            time.sleep(WAIT_S)
            self.times_s.append(time.perf_counter())
            return x, y

    x, y = np.random.default_rng(0).random((256, 256), "float32"), np.zeros((256, 1), "float32")
    layers = [keras.layers.Dense(512, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((256,)), *layers, keras.layers.Dense(1)])
    model.compile("sgd", "mse")

    def step_ms(callbacks: list[Any]) -> float:
        data = Slow()
        model.fit(data, verbose=0, callbacks=callbacks)
        return (data.times_s[-1] - data.times_s[WARM_STEPS - 1]) / (len(data.times_s) - WARM_STEPS) * 1e3

    step_ms([])
    generator, pairs = random.Random(0), []
    for _ in range(PAIRS):
        found = {}
        for name in generator.sample(["with", "without"], 2):
            found[name] = step_ms([FootprintMonitor(summary=False)] if name == "with" else [])
        pairs.append((found["with"], found["without"]))
    return pairs
