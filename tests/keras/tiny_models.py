"""The smallest model that Keras takes seriously, on any backend; also imported by the scripts that tests start."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np

FORWARD = 2 * (4 * 8 + 8)
"""Operations of one sample through `net`: a multiply-add is two."""
TRAIN = FORWARD + 2 * (4 * 8 + 8 + 8)
"""With the backward pass, which computes no gradient of what the net is given."""


def net(**options: Any) -> keras.Model:
    """Two dense layers with dropout, built and compiled, alike each time."""
    keras.utils.set_random_seed(11)
    layers = [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dropout(0.1), keras.layers.Dense(1)]
    model = keras.Sequential(layers, name="net")
    model.compile(**{"optimizer": "sgd", "loss": "mse", **options})
    return model


def samples(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets."""
    generator = np.random.default_rng(7)
    return generator.random((count, 4), "float32"), generator.random((count, 1), "float32")


class Calling(keras.callbacks.Callback):
    """Calls functions from hooks: ``Calling(on_epoch_end=print)``; each is given the hook's own arguments."""

    def __init__(self, **functions: Any) -> None:
        super().__init__()
        for name, function in functions.items():
            setattr(self, name, function)


def working(seconds: float) -> Calling:
    """Keeps a core busy at the end of each epoch, so that every epoch costs something."""

    def work(*_: Any, **__: Any) -> None:
        until_s = time.perf_counter() + seconds
        while time.perf_counter() < until_s:
            pass

    return Calling(on_epoch_begin=work)
