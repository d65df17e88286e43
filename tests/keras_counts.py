"""FLOPs of models of Keras, forward and trained, on the backend that is named: a program, as Keras has one backend."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np

SHAPES = {
    "perceptron": (64, 20),
    "convolutions": (4, 16, 16, 6),
    "attention": (2, 16, 32),
    "lstm": (3, 32, 12),
    "gru": (3, 32, 12),
    "both ways": (3, 32, 12),
    "embedding": (3, 16),
}


def model(name: str) -> Any:
    """One of the models that `SHAPES` names the inputs of."""
    import keras
    from keras import layers

    x = keras.Input(SHAPES[name][1:])
    if name == "perceptron":
        y = layers.Dense(5)(layers.Dense(30, activation="relu")(x))
    elif name == "convolutions":
        y = layers.Conv2D(12, 3, padding="same", groups=3)(x)
        y = layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2, padding="same")(y))
        y = layers.Conv2DTranspose(4, 3, strides=2)(layers.SeparableConv2D(6, 3)(y))
        y = layers.Dropout(0.5)(layers.DepthwiseConv2D(3)(y))
    elif name == "attention":
        y = layers.LayerNormalization()(layers.MultiHeadAttention(4, 8)(x, x))
    elif name == "lstm":
        y = layers.LSTM(16)(x)
    elif name == "gru":
        y = layers.GRU(16)(x)
    elif name == "both ways":
        y = layers.LSTM(8)(layers.Bidirectional(layers.LSTM(16, return_sequences=True))(x))
    else:
        y = layers.Dense(4)(layers.Embedding(50, 8)(x))
    return keras.Model(x, y)


def by_tensorflow(made: Any, x: Any) -> list[Any]:
    """Counts of a forward pass and of a forward and a backward one."""
    import tensorflow as tf

    from joulegram.flops.tensorflow_graph import TensorFlowCounter

    def trained(x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(made(x, training=True) ** 2)
        return loss, tape.gradient(loss, made.trainable_variables)

    counter = TensorFlowCounter()
    return [counter.count(made, x), counter.count(trained, x)]


def by_jax(made: Any, x: Any) -> list[Any]:
    """The same of JAX."""
    import jax

    from joulegram.flops.jaxpr import JaxprCounter

    fixed = [variable.value for variable in made.non_trainable_variables]

    def loss(weights: Any, x: Any) -> Any:
        return (made.stateless_call(weights, fixed, x, training=True)[0] ** 2).sum()

    weights, counter = [variable.value for variable in made.trainable_variables], JaxprCounter()
    forward = counter.count(lambda weights, x: made.stateless_call(weights, fixed, x)[0], weights, x)
    return [forward, counter.count(jax.value_and_grad(loss), weights, x)]


if __name__ == "__main__":
    backend = os.environ["KERAS_BACKEND"]
    found = {}
    for name, shape in SHAPES.items():
        counts = {"tensorflow": by_tensorflow, "jax": by_jax}[backend](model(name), np.zeros(shape, "float32"))
        found[name] = [[count.flops, dict(count.unknown)] for count in counts]
    json.dump(found, sys.stdout)
