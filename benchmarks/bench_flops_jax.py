"""JAX training steps counted from their jaxpr and by XLA's cost analysis, against a count by hand; and the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from measure import Figure, seconds_of

from joulegram.flops.jaxpr import JaxprCounter

REPEATS = 15
BATCH, TOKENS, HEADS, WIDTH = 8, 64, 4, 128
Step = Callable[..., Any]


def measure(full: bool) -> Iterator[Figure]:
    del full
    for name, (step, shapes, by_hand) in _models().items():
        yield from _compared(name, step, [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes], by_hand)


def _compared(name: str, step: Step, values: list[jax.ShapeDtypeStruct], by_hand: int) -> Iterator[Figure]:
    def ours() -> float:
        return JaxprCounter().count(step, *values).flops

    def theirs() -> float:
        return jax.jit(step).lower(*values).cost_analysis()["flops"]

    def uncached_s(count: Callable[[], float]) -> float:
        jax.clear_caches()
        return seconds_of(count)

    apart = abs(ours() / by_hand - 1)
    yield Figure(f"{name}: the jaxpr's count against that by hand, relative difference", [apart], "", 0.0)
    yield Figure(f"{name}: XLA's cost analysis ÷ by hand", [theirs() / by_hand], "")
    pairs_s = [(uncached_s(ours), uncached_s(theirs)) for _ in range(REPEATS)]
    yield Figure(f"{name}: time for the jaxpr's count", [1e3 * mine_s for mine_s, _ in pairs_s], "ms")
    ratios = [mine_s / theirs_s for mine_s, theirs_s in pairs_s]
    yield Figure(f"{name}: that ÷ time for XLA's, lowering included", ratios, "")


def _models() -> dict[str, tuple[Step, list[tuple[int, ...]], int]]:
    """Steps with gradients for all weights and inputs, shapes of these, and FLOPs: three times those forward."""
    rows = BATCH * TOKENS
    return {
        "perceptron": (
            _trained(lambda a, b, x: jax.nn.relu(x @ a) @ b, 3),
            [(WIDTH, 512), (512, WIDTH), (rows, WIDTH)],
            3 * 2 * 2 * rows * WIDTH * 512,
        ),
        "convolution, stride 2": (
            _trained(lambda kernel, x: lax.conv(x, kernel, (2, 2), "SAME"), 2),
            [(64, 32, 3, 3), (BATCH, 32, 32, 32)],
            3 * 2 * BATCH * 64 * 16**2 * 32 * 3**2,
        ),
        "attention": (
            _trained(_attention, 2),
            [(4, WIDTH, WIDTH), (BATCH, TOKENS, WIDTH)],
            3 * (4 * 2 * rows * WIDTH**2 + 2 * 2 * rows * TOKENS * WIDTH),
        ),
        "LSTM of 64 steps": (
            _trained(_lstm, 2),
            [(2 * WIDTH, 4 * WIDTH), (TOKENS, BATCH, WIDTH)],
            3 * 2 * rows * 2 * WIDTH * 4 * WIDTH,
        ),
    }


def _trained(function: Step, inputs: int) -> Step:
    return jax.value_and_grad(lambda *values: jnp.sum(function(*values)), argnums=tuple(range(inputs)))


def _attention(weights: jax.Array, x: jax.Array) -> jax.Array:
    q, k, v = ((x @ weight).reshape(BATCH, TOKENS, HEADS, -1) for weight in weights[:3])
    return jax.nn.dot_product_attention(q, k, v).reshape(x.shape) @ weights[3]


def _lstm(weights: jax.Array, xs: jax.Array) -> jax.Array:
    def cell(carry: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        h, c = carry
        i, f, g, o = jnp.split(jnp.concatenate([x, h], axis=-1) @ weights, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    start = jnp.zeros((BATCH, WIDTH))
    return lax.scan(cell, (start, start), xs)[0][0]
