from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import AbstractMesh, PartitionSpec

from joulegram.flops import Uncountable
from joulegram.flops.jax_formulas import computes_in
from joulegram.flops.jaxpr import JaxprCounter

count = JaxprCounter().count


def shaped(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def trained(function: Callable[..., jax.Array], inputs: int = 1) -> Callable[..., Any]:
    """Forward and backward through all of a function's arguments."""
    return jax.value_and_grad(lambda *values: jnp.sum(function(*values)), argnums=tuple(range(inputs)))


SQUARE = shaped(8, 8)
PRODUCT = 2 * 8**3  # of two squares


def test_a_perceptron_counts_two_operations_for_each_weight_and_row_and_its_backward_pass_twice_that() -> None:
    weights = [shaped(20, 30), shaped(30, 40), shaped(40, 5)]

    def loss(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        for weight in weights:
            x = jax.nn.relu(x @ weight)
        return jnp.mean(x**2)

    forward = [2 * 64 * 20 * 30, 2 * 64 * 30 * 40, 2 * 64 * 40 * 5]
    assert count(loss, weights, shaped(64, 20)).flops == sum(forward)
    # The gradient with respect to the input is not asked for.
    assert count(jax.value_and_grad(loss), weights, shaped(64, 20)).flops == 3 * sum(forward) - forward[0]


def test_attention_counts_its_projections_and_its_two_products_of_tokens() -> None:
    batch, tokens, heads, features = 2, 16, 4, 8
    width = heads * features

    def block(weights: jax.Array, x: jax.Array) -> jax.Array:
        q, k, v, _ = jnp.einsum("btd,pdhf->pbthf", x, weights.reshape(4, width, heads, features))
        mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        return mixed.reshape(batch, tokens, width) @ weights[3]

    forward = 5 * 2 * batch * tokens * width**2 + 2 * 2 * batch * tokens**2 * width
    arguments = shaped(4, width, width), shaped(batch, tokens, width)
    assert count(block, *arguments).flops == forward
    assert count(trained(block, 2), *arguments).flops == 3 * forward


@pytest.mark.parametrize("layout", ["BTNH", "BNTH"])
def test_attention_fused_by_cudnn_counts_two_products_forward_and_five_backward(
    layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fused = "jax._src.cudnn.fused_attention_stablehlo"
    monkeypatch.setattr(f"{fused}.check_cudnn_version", lambda: 91000)
    monkeypatch.setattr(f"{fused}.check_compute_capability", lambda *_: True)
    from jax._src.cudnn.fused_attention_stablehlo import dot_product_attention

    def attend(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        return dot_product_attention(q, k, v, qkv_layout=layout)

    query, key = (2, 64, 4, 8), (2, 128, 4, 8)
    if layout == "BNTH":
        query, key = (2, 4, 64, 8), (2, 4, 128, 8)
    shapes = [shaped(*shape, dtype=jnp.bfloat16) for shape in (query, key, key)]
    product = 2 * 2 * 4 * 64 * 128 * 8
    forward, both = count(attend, *shapes), count(trained(attend, 3), *shapes)
    assert (forward.flops, both.flops) == (2 * product, 7 * product)
    assert both.dtype == "bfloat16"
    assert not both.unknown


def lstm(weights: jax.Array, xs: jax.Array) -> jax.Array:
    def cell(carry: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        h, c = carry
        i, f, g, o = jnp.split(jnp.concatenate([x, h], axis=-1) @ weights, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    start = jnp.zeros((xs.shape[1], weights.shape[1] // 4))
    return lax.scan(cell, (start, start), xs)[1]


LSTM = shaped(12 + 16, 4 * 16), shaped(32, 3, 12)
LSTM_FORWARD = 32 * 2 * 3 * (12 + 16) * 4 * 16


def test_a_recurrent_layer_counts_every_step_of_its_scan_both_ways() -> None:
    assert count(lstm, *LSTM).flops == LSTM_FORWARD
    assert count(trained(lstm, 2), *LSTM).flops == 3 * LSTM_FORWARD


def test_the_compilers_own_count_takes_a_scan_for_one_step() -> None:
    theirs = jax.jit(lstm).lower(*LSTM).cost_analysis()["flops"]
    assert LSTM_FORWARD / 40 < theirs < LSTM_FORWARD / 20


CONVOLUTIONS = {
    "same": ({"window_strides": (1, 1), "padding": "SAME"}, 16, 1),
    "stride 2": ({"window_strides": (2, 2), "padding": "SAME"}, 8, 1),
    "odd stride": ({"window_strides": (3, 3), "padding": "VALID"}, 5, 1),
    "valid": ({"window_strides": (1, 1), "padding": "VALID"}, 14, 1),
    "dilated": ({"window_strides": (1, 1), "padding": "VALID", "rhs_dilation": (2, 2)}, 12, 1),
    "groups": ({"window_strides": (1, 1), "padding": "SAME", "feature_group_count": 3}, 16, 3),
    "depthwise": ({"window_strides": (2, 2), "padding": "SAME", "feature_group_count": 6}, 8, 6),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_counts_output_positions_times_taps_and_its_backward_pass_twice_that(name: str) -> None:
    options, size, groups = CONVOLUTIONS[name]

    def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(x, kernel, **options)

    arguments = shaped(4, 6, 16, 16), shaped(12, 6 // groups, 3, 3)
    forward = 2 * (4 * 12 * size**2) * (6 // groups * 3**2)
    assert count(conv, *arguments).flops == forward
    assert count(trained(conv, 2), *arguments).flops == 3 * forward


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_a_transposed_convolution_counts_input_positions_times_taps(padding: str) -> None:
    def upsample(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_transpose(x, kernel, (2, 2), padding)

    arguments = shaped(4, 16, 16, 6), shaped(3, 3, 6, 12)
    forward = 2 * (4 * 16**2 * 6) * (12 * 3**2)
    assert count(upsample, *arguments).flops == forward
    assert count(trained(upsample, 2), *arguments).flops == 3 * forward


SIZES = st.integers(1, 5)


@given(SIZES, st.lists(SIZES, max_size=2), st.lists(SIZES, max_size=2), st.lists(SIZES, max_size=2), st.randoms())
def test_a_product_of_any_dimensions_counts_each_pair_that_meets(
    one: int, batch: list[int], contracted: list[int], free: list[int], order: random.Random
) -> None:
    def axes(*kinds: list[int]) -> tuple[list[int], list[list[int]]]:
        """Sizes in any order, and where those of each kind went."""
        sizes = list(chain.from_iterable(kinds))
        order.shuffle(places := list(range(len(sizes))))
        shape = [sizes[at] for at in places]
        return shape, [[places.index(sum(map(len, kinds[:k])) + i) for i in range(len(kinds[k]))] for k in range(2)]

    left, (left_batch, left_contracted) = axes(batch, contracted, [one])
    right, (right_batch, right_contracted) = axes(batch, contracted, free)

    def product(a: jax.Array, b: jax.Array) -> jax.Array:
        return lax.dot_general(a, b, ((left_contracted, right_contracted), (left_batch, right_batch)))

    pairs = len(list(np.ndindex(*batch, *contracted, one, *free)))
    assert count(product, shaped(*left), shaped(*right)).flops == 2 * pairs


@settings(max_examples=15)  # each compiles
@given(
    image=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 3),
    batch_groups=st.integers(1, 3),
)
def test_without_padding_a_convolution_of_ones_sums_to_its_multiply_adds(
    image: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: int,
    groups: int,
    batch_groups: int,
) -> None:
    assume(groups == 1 or batch_groups == 1)  # JAX takes one of the two
    assume(all(dilation * (taps - 1) < size for taps, size in zip(kernel, image, strict=True)))

    def conv(x: jax.Array, taps: jax.Array) -> jax.Array:
        rest = (None, (dilation, dilation), None, groups, batch_groups)
        return lax.conv_general_dilated(x, taps, stride, "VALID", *rest)

    x, taps = jnp.ones((2 * batch_groups, 2 * groups, *image)), jnp.ones((3 * groups * batch_groups, 2, *kernel))
    assert count(conv, x, taps).flops == 2 * float(conv(x, taps).sum())


@given(
    image=st.integers(5, 12),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    groups=st.integers(1, 2),
    transposed=st.booleans(),
)
def test_the_gradients_of_any_convolution_count_what_its_forward_pass_does(
    image: int,
    kernel: int,
    stride: int,
    dilation: int,
    padding: tuple[int, int],
    groups: int,
    transposed: bool,
) -> None:
    span = dilation * (kernel - 1)
    assume(span < image)
    assume(sum(padding) <= span)  # more would only add positions that see little
    assume(stride > 1 or not transposed)  # with a stride of 1 it is a plain one, with as much padding
    up, down = (stride, 1) if transposed else (1, stride)

    def conv(x: jax.Array, taps: jax.Array) -> jax.Array:
        edges = [tuple(span - side for side in padding) if transposed else padding]
        return lax.conv_general_dilated(x, taps, (down,), edges, (up,), (dilation,), None, groups)

    arguments = shaped(2, 2 * groups, image), shaped(3 * groups, 2, kernel)
    assert count(trained(conv, 2), *arguments).flops == 3 * count(conv, *arguments).flops


def test_a_mapped_function_counts_as_often_as_it_is_mapped() -> None:
    def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv(x, kernel, (1, 1), "SAME")

    one = count(conv, shaped(2, 4, 8, 8), shaped(6, 4, 3, 3)).flops
    assert count(jax.vmap(conv), shaped(5, 2, 4, 8, 8), shaped(5, 6, 4, 3, 3)).flops == 5 * one
    assert count(jax.vmap(jnp.dot), shaped(5, 8, 8), shaped(5, 8, 8)).flops == 5 * PRODUCT


def test_what_a_checkpoint_computes_again_counts_again() -> None:
    def block(x: jax.Array, weight: jax.Array) -> jax.Array:
        return jnp.sin(jnp.sin(x @ weight) @ weight)

    plain = count(trained(block, 2), SQUARE, SQUARE).flops
    assert plain == 3 * 2 * PRODUCT
    assert count(trained(jax.checkpoint(block), 2), SQUARE, SQUARE).flops == plain + 2 * PRODUCT


def test_of_a_cond_the_branch_that_computes_most_counts_and_the_count_says_so() -> None:
    def either(x: jax.Array) -> jax.Array:
        return lax.switch(x[0, 0].astype(int), [lambda x: x, lambda x: x @ x @ x, lambda x: x @ x], x)

    found = count(either, SQUARE)
    assert found.flops == 2 * PRODUCT
    assert "cond" in found.how
    assert "cond" not in count(lambda x: lax.cond(x[0, 0] > 0, jnp.dot, jnp.dot, x, x), SQUARE).how


def counted_by_hand(x: jax.Array, limit: int, step: int = 1) -> jax.Array:
    return lax.while_loop(lambda s: s[0] < limit, lambda s: (s[0] + step, s[1] @ x), (0, x))[1]


@pytest.mark.parametrize(
    ("loop", "times"),
    [
        (lambda x, n: lax.fori_loop(0, n, lambda _, y: y @ x, x), 7),
        (jax.jit(lambda x, n: lax.fori_loop(2, n, lambda _, y: y @ x, x)), 5),
        (jax.jit(jax.jit(lambda x, n: lax.fori_loop(2, n, lambda _, y: y @ x, x))), 5),
        (counted_by_hand, 7),
        (jax.jit(counted_by_hand), 7),
        (lambda x, n: counted_by_hand(x, n, step=3), 3),
        (lambda x, n: counted_by_hand(x, -n), 0),
    ],
)
def test_a_loop_counts_its_body_as_often_as_its_numbers_say(loop: Callable[..., jax.Array], times: int) -> None:
    found = count(loop, SQUARE, 7)
    assert found.flops == times * PRODUCT
    assert not found.unknown


@pytest.mark.parametrize(
    "loop",
    [
        lambda x: lax.while_loop(lambda y: y.sum() < 1, lambda y: y @ x, x),
        lambda x: lax.fori_loop(0, x[0, 0].astype(int), lambda _, y: y @ x, x),
        lambda x: counted_by_hand(x, 7, x[0, 0].astype(int)),
        lambda x: lax.while_loop(lambda s: s[0] < 7, lambda s: (2 * s[0], s[1] @ x), (1, x))[1],
        lambda x: lax.while_loop(lambda s: (s[0] < 7) & (s[1].sum() < 1), lambda s: (s[0] + 1, s[1] @ x), (0, x))[1],
    ],
)
def test_a_loop_of_unknown_length_counts_once_and_is_listed(loop: Callable[..., jax.Array]) -> None:
    found = count(loop, SQUARE)
    assert found.flops == PRODUCT
    assert found.unknown == {"while: trip count unknown": 1}


def test_a_loop_without_products_is_no_gap() -> None:
    found = count(lambda x: lax.while_loop(lambda y: y.sum() < 1, lambda y: 2 * y, x), SQUARE)
    assert (found.flops, found.unknown, found.dtype, found.device) == (0, {}, None, None)


def test_calls_within_calls_count_and_static_arguments_keep_their_value() -> None:
    inner = jax.jit(lambda x, times, mode: x @ x if mode == "one" else inner_many(x, times), static_argnums=(1, 2))

    def inner_many(x: jax.Array, times: int) -> jax.Array:
        for _ in range(times):
            x = jax.jit(jnp.dot)(x, x)
        return x

    assert count(inner, SQUARE, 4, "many").flops == 4 * PRODUCT
    assert count(inner, SQUARE, 4, mode="one").flops == PRODUCT


def test_functions_with_gradients_of_their_own_count_the_gradients_that_they_define() -> None:
    @jax.custom_vjp
    def cheap(x: jax.Array) -> jax.Array:
        return x @ x

    cheap.defvjp(lambda x: (x @ x, x), lambda x, g: (g @ x @ x @ x,))
    assert count(cheap, SQUARE).flops == PRODUCT
    assert count(trained(cheap), SQUARE).flops == PRODUCT + 3 * PRODUCT


def test_ragged_products_count_each_row_once_in_both_directions() -> None:
    def experts(x: jax.Array, weights: jax.Array) -> jax.Array:
        return lax.ragged_dot(x, weights, jnp.full(4, 8))

    arguments = shaped(32, 6), shaped(4, 6, 10)
    assert count(experts, *arguments).flops == 2 * 32 * 6 * 10
    assert count(trained(experts, 2), *arguments).flops == 3 * 2 * 32 * 6 * 10


def test_a_complex_product_counts_four_real_ones() -> None:
    found = count(jnp.dot, shaped(8, 8, dtype=jnp.complex64), shaped(8, 8, dtype=jnp.complex64))
    assert (found.flops, found.dtype) == (4 * PRODUCT, "float32")


def test_operations_without_a_formula_are_listed_as_often_as_they_are_called() -> None:
    def step(x: jax.Array) -> jax.Array:
        x = lax.fori_loop(0, 3, lambda _, y: jnp.linalg.cholesky(y @ y), x)
        seen = jax.pure_callback(np.asarray, shaped(8, 8), x)
        return jax.ffi.ffi_call("their_kernel", shaped(8, 8))(seen)

    found = count(step, SQUARE)
    assert found.flops == 3 * PRODUCT
    assert found.unknown == {"cholesky": 3, "pure_callback": 1, "ffi_call": 1}


def test_a_kernel_written_by_hand_is_listed_not_counted_as_one_block() -> None:
    from jax.experimental import pallas

    def kernel(x: Any, out: Any) -> None:
        out[...] = x[...] @ x[...]

    found = count(pallas.pallas_call(kernel, out_shape=shaped(8, 8), grid=(4,)), SQUARE)
    assert (found.flops, found.unknown) == (0, {"pallas_call": 1})


def test_solving_counts_no_product_that_only_its_gradient_needs() -> None:
    found = count(jnp.linalg.solve, SQUARE, SQUARE)
    assert (found.flops, found.unknown) == (0, {"lu": 1, "triangular_solve": 2})


def test_what_usual_models_do_besides_products_is_no_gap() -> None:
    def step(key: jax.Array, x: jax.Array, labels: jax.Array) -> jax.Array:
        x = x * jax.random.bernoulli(key, 0.9, x.shape) + jax.random.normal(key, x.shape)
        x = jax.nn.gelu(x / jnp.linalg.norm(x, axis=-1, keepdims=True))
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2), (1, 2), "VALID")
        jax.debug.print("{}", x)
        table = jnp.zeros((8, 4)).at[labels].add(x)
        order = jnp.argsort(jax.random.permutation(key, 8))
        best = lax.top_k(jax.nn.log_softmax(table[order]), 2)[0]
        return jnp.cumsum(lax.optimization_barrier(best)).mean() + jax.random.gamma(key, 2.0)

    found = count(jax.value_and_grad(step, argnums=1), jax.random.key(0), SQUARE, shaped(8, dtype=int))
    assert (found.flops, found.unknown) == (0, {})


def test_what_runs_on_every_device_counts_on_all_of_them() -> None:
    mesh = AbstractMesh((4, 2), ("data", "model"))
    spec = PartitionSpec("data")
    step = jax.shard_map(lambda x: x @ x.T, mesh=mesh, in_specs=spec, out_specs=spec)
    found = count(step, shaped(32, 8))
    assert found.flops == 4 * 2 * (2 * 8 * 8 * 8)
    assert (found.device, found.devices) == ("cpu", 8)
    assert count(jax.pmap(jnp.dot), shaped(1, 8, 8), shaped(1, 8, 8)).flops == PRODUCT


def test_the_type_that_most_is_computed_in_is_told() -> None:
    def mixed(x: jax.Array) -> jax.Array:
        low = x.astype(jnp.bfloat16)
        return low @ low @ low + (x @ x).astype(jnp.bfloat16)

    found = count(mixed, SQUARE)
    assert (found.flops, found.dtype, found.device) == (3 * PRODUCT, "bfloat16", "cpu")


@pytest.mark.parametrize(
    ("precision", "cpu", "gpu", "tpu"),
    [
        (None, "float32", "tf32", "bfloat16"),
        ("high", "float32", "tf32", "float32"),
        ("highest", "float32", "float32", "float32"),
        (lax.DotAlgorithmPreset.BF16_BF16_F32, "bfloat16", "bfloat16", "bfloat16"),
        (lax.DotAlgorithmPreset.BF16_BF16_F32_X3, "float32", "float32", "float32"),
    ],
)
def test_float32_is_multiplied_in_what_precision_and_device_choose(
    precision: Any, cpu: str, gpu: str, tpu: str
) -> None:
    (operation,) = jax.make_jaxpr(lambda x: lax.dot(x, x, precision=precision))(SQUARE).eqns
    assert [computes_in(operation, platform) for platform in ("cpu", "gpu", "tpu")] == [cpu, gpu, tpu]


def test_counting_runs_nothing_and_leaves_arguments_and_random_numbers_as_they_were() -> None:
    ran: list[float] = []

    def step(x: jax.Array, key: jax.Array) -> jax.Array:
        jax.debug.callback(ran.append, x.sum())
        noise = np.random.random() + random.random()
        return x @ x + noise * jax.random.normal(key, x.shape)

    x, key = jnp.eye(8), jax.random.key(3)
    random_states = random.getstate(), np.random.get_state()[1].tolist()
    assert count(jax.jit(step, donate_argnums=0), x, key).flops == PRODUCT
    jax.effects_barrier()
    assert not ran
    assert not x.is_deleted()
    assert jax.random.key_data(key).tolist() == jax.random.key_data(jax.random.key(3)).tolist()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == random_states


def test_a_step_that_looks_at_its_values_is_uncountable_and_told_why_in_a_line() -> None:
    with pytest.raises(Uncountable, match=r"^tracing it failed: \w+: .+$") as refused:
        count(lambda x: x @ x if float(x.sum()) > 0 else x, SQUARE)
    assert "\n" not in str(refused.value)


def test_a_jax_program_is_not_counted_while_it_runs() -> None:
    counter = JaxprCounter()
    reason = counter.obstacle(lambda: None)
    assert reason is not None
    assert "jaxpr" in reason
    with pytest.raises(Uncountable, match="jaxpr"):
        counter.counting(print)


def test_processes_that_share_a_program_each_count_the_part_of_their_own_devices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    devices = [SimpleNamespace(platform="cpu", device_kind="cpu", process_index=index // 2) for index in range(8)]
    monkeypatch.setattr("joulegram.flops.jaxpr._devices", lambda _: devices)
    found = count(jnp.dot, SQUARE, SQUARE)
    assert (found.flops, found.device, found.devices) == (PRODUCT * 2 // 8, "cpu", 2)


def test_the_counter_loads_no_jax_before_it_counts() -> None:
    code = "import sys, joulegram.flops.jaxpr as it; it.JaxprCounter().obstacle(print); sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
