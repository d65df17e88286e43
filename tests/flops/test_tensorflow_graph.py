from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import joulegram
from joulegram.flops import Uncountable
from joulegram.flops.steps import bucket, in_words, signature
from joulegram.flops.tensorflow_formulas import computes_in
from joulegram.flops.tensorflow_graph import TensorFlowCounter

tf = pytest.importorskip("tensorflow")

count = TensorFlowCounter().count
Step = Callable[..., Any]


def shaped(*shape: int | None, dtype: Any = "float32") -> Any:
    return tf.TensorSpec(shape, dtype)


def trained(function: Step, *inputs: int) -> Step:
    """Forward and backward through some of a function's arguments; all, if none are named."""

    def step(*values: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(values)
            result = tf.reduce_sum(function(*values))
        return result, tape.gradient(result, [values[place] for place in inputs or range(len(values))])

    return step


SQUARE = shaped(8, 8)
PRODUCT = 2 * 8**3  # of two squares


def test_a_perceptron_counts_two_operations_for_each_weight_and_row_and_its_backward_pass_twice_that() -> None:
    weights = [tf.Variable(tf.zeros(shape)) for shape in [(20, 30), (30, 40), (40, 5)]]

    def loss(x: Any) -> Any:
        for weight in weights:
            x = tf.nn.relu(x @ weight)
        return tf.reduce_mean(x**2)

    @tf.function
    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(x)
        for weight, gradient in zip(weights, tape.gradient(value, weights), strict=True):
            weight.assign_sub(0.1 * gradient)
        return value

    forward = [2 * 64 * 20 * 30, 2 * 64 * 30 * 40, 2 * 64 * 40 * 5]
    found = count(loss, shaped(64, 20))
    assert (found.flops, found.unknown, found.dtype, found.device) == (sum(forward), {}, "float32", "cpu")
    # The gradient with respect to the input is not asked for.
    assert count(step, shaped(64, 20)).flops == 3 * sum(forward) - forward[0]


def test_attention_counts_its_projections_and_its_two_products_of_tokens() -> None:
    batch, tokens, heads, features = 2, 16, 4, 8
    width = heads * features

    def block(weights: Any, x: Any) -> Any:
        q, k, v, _ = tf.unstack(tf.einsum("btd,pdhf->pbhtf", x, tf.reshape(weights, (4, width, heads, features))))
        scores = tf.nn.softmax(tf.linalg.band_part(tf.matmul(q, k, transpose_b=True), -1, 0))
        mixed = tf.reshape(tf.einsum("bhqk,bhkf->bqhf", scores, v), (batch, tokens, width))
        return mixed @ weights[3]

    forward = 5 * 2 * batch * tokens * width**2 + 2 * 2 * batch * tokens**2 * width
    arguments = shaped(4, width, width), shaped(batch, tokens, width)
    assert count(block, *arguments).flops == forward
    assert count(trained(block), *arguments).flops == 3 * forward


def lstm(weights: Any, xs: Any) -> Any:
    def cell(carry: Any, x: Any) -> Any:
        h, c = carry
        i, f, g, o = tf.split(tf.concat([x, h], -1) @ weights, 4, axis=-1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return tf.sigmoid(o) * tf.tanh(c), c

    start = tf.zeros((tf.shape(xs)[1], weights.shape[1] // 4))
    return tf.scan(cell, xs, (start, start))[0]


LSTM = shaped(12 + 16, 4 * 16), shaped(32, 3, 12)
LSTM_FORWARD = 32 * 2 * 3 * (12 + 16) * 4 * 16


def test_a_recurrent_layer_counts_every_step_of_its_loop_both_ways() -> None:
    forward, both = count(lstm, *LSTM), count(trained(lstm), *LSTM)
    assert (forward.flops, both.flops) == (LSTM_FORWARD, 3 * LSTM_FORWARD)
    assert not forward.unknown
    assert not both.unknown


def test_what_was_traced_for_a_batch_of_any_size_counts_with_the_size_that_it_is_given() -> None:
    weights = tf.Variable(tf.zeros((28, 64)))

    @tf.function(input_signature=[shaped(32, None, 12)])
    def step(xs: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(lstm(weights, xs))
        return tape.gradient(loss, weights)

    for batch in (3, 6):
        found = count(step, tf.zeros((32, batch, 12)))
        assert (found.flops, found.unknown) == (3 * LSTM_FORWARD * batch // 3, {})
    assert step.experimental_get_tracing_count() == 1


CONVOLUTIONS = {
    "same": ({"strides": 1, "padding": "SAME"}, 16, 1),
    "stride 2": ({"strides": 2, "padding": "SAME"}, 8, 1),
    "odd stride": ({"strides": 3, "padding": "VALID"}, 5, 1),
    "valid": ({"strides": 1, "padding": "VALID"}, 14, 1),
    "dilated": ({"strides": 1, "padding": "VALID", "dilations": 2}, 12, 1),
    "groups": ({"strides": 1, "padding": "SAME"}, 16, 3),
}


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_counts_output_positions_times_taps_and_its_backward_pass_twice_that(
    name: str, layout: str
) -> None:
    options, size, groups = CONVOLUTIONS[name]

    def conv(x: Any, taps: Any) -> Any:
        return tf.nn.conv2d(x, taps, data_format=layout, **options)

    image = (4, 6, 16, 16) if layout == "NCHW" else (4, 16, 16, 6)
    arguments = shaped(*image), shaped(3, 3, 6 // groups, 12)
    forward = 2 * (4 * 12 * size**2) * (6 // groups * 3**2)
    assert count(conv, *arguments).flops == forward
    assert count(trained(conv), *arguments).flops == 3 * forward


def test_convolutions_of_volumes_sequences_and_single_channels_count_alike() -> None:
    volume = count(
        trained(lambda x, w: tf.nn.conv3d(x, w, (1, 2, 2, 2, 1), "SAME")), shaped(2, 8, 8, 8, 3), shaped(3, 3, 3, 3, 5)
    )
    assert volume.flops == 3 * 2 * (2 * 4**3 * 5) * 3**3 * 3
    sequence = count(trained(lambda x, w: tf.nn.conv1d(x, w, 2, "SAME")), shaped(2, 16, 3), shaped(5, 3, 4))
    assert sequence.flops == 3 * 2 * (2 * 8 * 4) * 5 * 3
    alone = count(
        trained(lambda x, w: tf.nn.depthwise_conv2d(x, w, (1, 2, 2, 1), "SAME")),
        shaped(2, 16, 16, 6),
        shaped(3, 3, 6, 2),
    )
    assert alone.flops == 3 * 2 * (2 * 8 * 8 * 12) * 9
    for found in (volume, sequence, alone):
        assert not found.unknown


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_a_transposed_convolution_counts_input_positions_times_taps(padding: str) -> None:
    size = 32 if padding == "SAME" else 33

    def upsample(x: Any, taps: Any) -> Any:
        return tf.nn.conv2d_transpose(x, taps, (4, size, size, 12), 2, padding)

    arguments = shaped(4, 16, 16, 6), shaped(3, 3, 12, 6)
    forward = 2 * (4 * 16**2 * 6) * (12 * 3**2)
    assert count(upsample, *arguments).flops == forward
    assert count(trained(upsample), *arguments).flops == 3 * forward


SIZES = st.integers(1, 5)


@settings(max_examples=30)  # each is traced
@given(SIZES, st.lists(SIZES, max_size=2), st.lists(SIZES, max_size=2), st.lists(SIZES, max_size=2), st.randoms())
def test_an_einsum_of_any_dimensions_counts_each_pair_that_meets(
    one: int, batch: list[int], contracted: list[int], free: list[int], order: random.Random
) -> None:
    letters = iter("abcdefghijkl")
    sizes: dict[str, int] = {}

    def named(some: list[int]) -> list[str]:
        names = [next(letters) for _ in some]
        sizes.update(zip(names, some, strict=True))
        return names

    both, inner, left, right = named(batch), named(contracted), named([one]), named(free)
    terms = [[*both, *inner, *left], [*both, *inner, *right], [*both, *left, *right]]
    for term in terms:
        order.shuffle(term)
    first, second, result = ("".join(term) for term in terms)
    shapes = [shaped(*(sizes[letter] for letter in term)) for term in (first, second)]
    pairs = len(list(np.ndindex(*batch, *contracted, one, *free)))
    assert count(lambda a, b: tf.einsum(f"{first},{second}->{result}", a, b), *shapes).flops == 2 * pairs


def test_an_ellipsis_counts_the_dimensions_that_it_stands_for() -> None:
    found = count(lambda a, b: tf.einsum("...ij,jk...->ik...", a, b), shaped(5, 1, 2, 3), shaped(3, 4, 5, 6))
    assert found.flops == 2 * (5 * 6) * 2 * 3 * 4
    # What one of them sums over alone is added up before they meet.
    assert count(lambda a, b: tf.einsum("ijz,jk->ik", a, b), shaped(2, 3, 7), shaped(3, 4)).flops == 2 * 2 * 3 * 4


@settings(max_examples=15)  # each runs
@given(
    image=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 3),
)
def test_without_padding_a_convolution_of_ones_sums_to_its_multiply_adds(
    image: tuple[int, int], kernel: tuple[int, int], stride: int, dilation: int, groups: int
) -> None:
    assume(stride == 1 or dilation == 1)  # TensorFlow takes one of the two
    assume(all(dilation * (taps - 1) < size for taps, size in zip(kernel, image, strict=True)))

    def conv(x: Any, taps: Any) -> Any:
        return tf.nn.conv2d(x, taps, stride, "VALID", dilations=dilation)

    x, taps = tf.ones((2, *image, 2 * groups)), tf.ones((*kernel, 2, 3 * groups))
    assert count(conv, x, taps).flops == 2 * float(tf.reduce_sum(conv(x, taps)))


def test_a_mapped_function_counts_as_often_as_it_is_mapped() -> None:
    assert count(lambda x: tf.map_fn(lambda each: each @ each, x), shaped(5, 8, 8)).flops == 5 * PRODUCT
    assert count(lambda x: tf.vectorized_map(lambda each: each @ each, x), shaped(5, 8, 8)).flops == 5 * PRODUCT


def test_what_a_checkpoint_computes_again_counts_again() -> None:
    def block(x: Any, weight: Any) -> Any:
        return tf.sin(tf.sin(x @ weight) @ weight)

    plain = count(trained(block), SQUARE, SQUARE)
    again = count(trained(tf.recompute_grad(block)), SQUARE, SQUARE)
    assert (plain.flops, again.flops) == (3 * 2 * PRODUCT, 4 * 2 * PRODUCT)
    assert not again.unknown


def test_of_branches_the_one_that_computes_most_counts_and_the_count_says_so() -> None:
    def either(x: Any) -> Any:
        return tf.switch_case(tf.cast(x[0, 0], tf.int32), [lambda: x, lambda: x @ x @ x, lambda: x @ x])

    found = count(either, SQUARE)
    assert found.flops == 2 * PRODUCT
    assert "branch" in found.how
    assert "branch" not in count(lambda x: tf.cond(x[0, 0] > 0, lambda: x @ x, lambda: x @ x), SQUARE).how


def test_a_branch_that_the_shapes_choose_counts_alone() -> None:
    @tf.function(input_signature=[shaped(None, 8)])
    def step(x: Any) -> Any:
        return x @ tf.transpose(x) if tf.shape(x)[0] > 4 else x

    large, small = count(step, tf.zeros((8, 8))), count(step, tf.zeros((3, 8)))
    assert (large.flops, small.flops) == (PRODUCT, 0)
    assert "branch" not in large.how


def counted_by_hand(x: Any, limit: Any, step: Any = 1) -> Any:
    return tf.while_loop(lambda i, _: i < limit, lambda i, y: (i + step, y @ x), (0, x))[1]


def in_a_list(x: Any, times: int) -> Any:
    values = tf.TensorArray(tf.float32, size=times)
    for place in tf.range(times):
        values = values.write(place, x @ x)
    return values.stack()


SEVEN = tf.constant(7)


@pytest.mark.parametrize(
    ("loop", "times"),
    [
        (counted_by_hand, 7),
        (tf.function(tf.function(counted_by_hand)), 7),
        (lambda x, n: counted_by_hand(x, n, step=3), 3),
        (lambda x, n: counted_by_hand(x, -n), 0),
        (lambda x, n: counted_by_hand(x, SEVEN), 7),
        (lambda x, n: counted_by_hand(x, tf.shape(x)[0] - 1), 7),
        (lambda x, n: counted_by_hand(counted_by_hand(x, n), n), 14),
        (lambda x, n: tf.while_loop(lambda i, y: i != 1, lambda i, y: (i // 2, y @ x), (2**n, x))[1], 7),
        (lambda x, n: tf.while_loop(lambda *_: True, lambda y: [y @ x], [x], maximum_iterations=n), 7),
        (in_a_list, 7),
    ],
)
def test_a_loop_counts_its_body_as_often_as_its_numbers_say(loop: Step, times: int) -> None:
    found = count(loop, SQUARE, 7)
    assert (found.flops, found.unknown) == (times * PRODUCT, {})


def test_a_loop_that_autograph_makes_counts_with_its_gradient() -> None:
    def step(x: Any, n: int) -> Any:
        y = x
        for _ in tf.range(n):
            y = y @ x
        return y

    found = count(trained(lambda x: step(x, 5)), SQUARE)
    assert (found.flops, found.unknown) == (3 * 5 * PRODUCT, {})


@pytest.mark.parametrize("polymorphic", [False, True])
def test_loops_in_loops_count_with_their_gradients(polymorphic: bool) -> None:
    def rows(x: Any) -> Any:
        return tf.map_fn(lambda one: tf.scan(lambda y, each: y @ each, tf.stack([one] * 4), one), tf.stack([x] * 5))

    step = trained(rows)
    if polymorphic:
        step = tf.function(step, input_signature=[shaped(None, None)])
    found = count(step, tf.eye(8))
    assert (found.flops, found.unknown) == (3 * 5 * 4 * PRODUCT, {})


def test_a_gradient_of_a_gradient_counts_both() -> None:
    def power(x: Any) -> Any:
        return tf.while_loop(lambda i, _: i < 4, lambda i, y: (i + 1, y @ x), (0, x))[1] ** 2

    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            _, (slope,) = trained(power)(x)
            steepness = tf.reduce_sum(slope**2)
        return tape.gradient(steepness, x)

    found = count(step, SQUARE)
    assert (found.flops, found.unknown) == (3 * 3 * 4 * PRODUCT, {})


@pytest.mark.parametrize(
    "loop",
    [
        lambda x: tf.while_loop(lambda y: tf.reduce_sum(y) < 1, lambda y: [y @ x], [x]),
        lambda x: counted_by_hand(x, tf.cast(x[0, 0], tf.int32)),
        lambda x: counted_by_hand(x, 7, tf.cast(x[0, 0], tf.int32)),
        lambda x: tf.while_loop(lambda i, y: i < 7, lambda i, y: (i + tf.size(tf.where(y)), y @ x), (1, x))[1],
        lambda x: tf.while_loop(lambda y: tf.reduce_sum(y) < 1, lambda y: [y @ x], [x], maximum_iterations=9),
    ],
)
def test_a_loop_of_unknown_length_counts_once_and_is_listed(loop: Step) -> None:
    found = count(loop, SQUARE)
    assert found.flops == PRODUCT
    assert found.unknown == {"while: trip count unknown": 1}


def test_a_loop_without_products_is_no_gap() -> None:
    found = count(lambda x: tf.while_loop(lambda y: tf.reduce_sum(y) < 1, lambda y: [2 * y], [x]), SQUARE)
    assert (found.flops, found.unknown, found.dtype, found.device) == (0, {}, None, None)


def test_a_size_that_only_running_would_tell_is_listed() -> None:
    found = count(lambda x: tf.boolean_mask(x, x[:, 0] > 0) @ x, SQUARE)
    assert (found.flops, found.unknown) == (0, {"MatMul: size unknown": 1})


def test_a_loop_over_a_value_that_grows_says_that_its_sizes_are_unknown() -> None:
    def grow(x: Any) -> Any:
        shapes = (tf.TensorShape([]), tf.TensorShape([None, 8]))
        return tf.while_loop(
            lambda i, _: i < 3, lambda i, y: (i + 1, tf.concat([y, y @ tf.transpose(y) @ y], 0)), (0, x), shapes
        )[1]

    assert count(grow, SQUARE).unknown == {"MatMul: size unknown": 6}


def test_what_no_result_depends_on_is_not_counted() -> None:
    def step(x: Any, weight: Any) -> Any:
        _ = x @ x
        with tf.GradientTape() as tape:
            tape.watch([x, weight])
            y = tf.reduce_sum(x @ weight)
        return tape.gradient(y, [x, weight])[1]

    assert count(step, SQUARE, SQUARE).flops == PRODUCT


def test_what_a_step_stores_counts_though_nothing_is_returned() -> None:
    state = tf.Variable(tf.zeros((8, 8)))

    def step(x: Any) -> None:
        for _ in tf.range(3):
            state.assign(x @ state)

    assert count(step, SQUARE).flops == 3 * PRODUCT


def test_sparse_products_count_their_entries() -> None:
    matrix = tf.sparse.SparseTensor([[0, 1], [2, 3], [4, 4]], [1.0, 2.0, 3.0], (8, 8))
    assert count(tf.sparse.sparse_dense_matmul, matrix, SQUARE).flops == 2 * 3 * 8


def test_a_complex_product_counts_four_real_ones() -> None:
    found = count(tf.matmul, shaped(8, 8, dtype="complex64"), shaped(8, 8, dtype="complex64"))
    assert (found.flops, found.dtype) == (4 * PRODUCT, "float32")


def cudnn(mode: str, backward: Any = None) -> Step:
    """Two layers in both directions of 16 units, on 32 steps of 3 rows of 12 features."""

    def layer(x: Any, state: Any, params: Any) -> Any:
        options = {"rnn_mode": mode, "direction": "bidirectional"}
        given = {"input": x, "input_h": state, "input_c": state, "params": params}
        results = tf.raw_ops.CudnnRNNV2(**given, **options)
        if backward is None:
            return results[:3]
        made = dict(zip(("output", "output_h", "output_c", "reserve_space", "host_reserved"), results, strict=True))
        gradients = {f"{name}_backprop": made[name] for name in ("output", "output_h", "output_c")}
        found = tf.raw_ops.CudnnRNNBackpropV2(**given, **made, **gradients, **options)
        return [found[place] for place in backward]

    return layer


@pytest.mark.parametrize(("mode", "gates"), [("lstm", 4), ("gru", 3), ("rnn_tanh", 1)])
def test_layers_fused_by_cudnn_count_what_they_would_count_apart(mode: str, gates: int) -> None:
    shapes = shaped(32, 3, 12), shaped(4, 3, 16), shaped(1000)
    first, second = 2 * gates * 16 * (12 + 16), 2 * gates * 16 * (2 * 16 + 16)
    forward = 2 * 32 * 3 * (first + second)
    found = count(cudnn(mode), *shapes)
    assert (found.flops, found.unknown) == (forward, {})
    assert count(cudnn(mode, (0, 3)), *shapes).flops == 3 * forward
    # Nobody asks for the gradient of the input.
    assert count(cudnn(mode, (3,)), *shapes).flops == 3 * forward - 2 * 32 * 3 * (2 * gates * 16 * 12)


def test_fused_cells_count_the_products_of_their_gates() -> None:
    def block(x: Any, state: Any, weights: Any) -> Any:
        zeros = tf.zeros(16)
        given = {"seq_len_max": tf.constant(32, tf.int64), "x": x, "cs_prev": state, "h_prev": state, "w": weights}
        peepholes = {"wci": zeros, "wcf": zeros, "wco": zeros, "b": tf.zeros(64)}
        return tf.raw_ops.BlockLSTMV2(**given, **peepholes)[-1]

    assert count(block, LSTM[1], shaped(3, 16), LSTM[0]).flops == LSTM_FORWARD

    def gru(x: Any, state: Any, gates: Any, candidate: Any) -> Any:
        return tf.raw_ops.GRUBlockCell(
            x=x, h_prev=state, w_ru=gates, w_c=candidate, b_ru=tf.zeros(32), b_c=tf.zeros(16)
        )[-1]

    assert count(gru, shaped(3, 12), shaped(3, 16), shaped(28, 32), shaped(28, 16)).flops == 2 * 3 * 28 * 48


def test_operations_without_a_formula_are_listed_as_often_as_they_are_called() -> None:
    def step(x: Any) -> Any:
        x = counted_by_hand(x, 3)
        for _ in range(2):
            x = tf.linalg.cholesky(x)
        spectrum = tf.signal.fft(tf.cast(x, tf.complex64))
        return tf.py_function(lambda y: y, [tf.math.real(spectrum)], tf.float32)

    found = count(step, SQUARE)
    assert found.flops == 3 * PRODUCT
    assert found.unknown == {"Cholesky": 2, "FFT": 1, "EagerPyFunc": 1}


def test_a_dataset_that_a_step_goes_through_counts_one_element_and_is_listed() -> None:
    data = tf.data.Dataset.from_tensor_slices(tf.zeros((5, 8, 8)))

    def step(x: Any) -> Any:
        for each in data:
            x = x @ each
        return x

    found = count(step, SQUARE)
    assert found.flops == PRODUCT
    assert any(name.endswith("Dataset: trip count unknown") for name in found.unknown)


def test_what_usual_models_do_besides_products_is_no_gap() -> None:
    table = tf.Variable(tf.zeros((10, 8)))

    def step(x: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.nn.dropout(x, 0.1) + tf.random.normal(x.shape) + tf.nn.embedding_lookup(table, labels)
            y = tf.nn.gelu(y / tf.norm(y, axis=-1, keepdims=True))
            y = tf.nn.max_pool1d(y[None], 2, 2, "VALID")[0]
            best = tf.math.top_k(tf.nn.log_softmax(y), 2).values
            tf.print(best)
            tf.debugging.assert_greater(tf.reduce_sum(best), -1e9)
            loss = tf.reduce_mean(tf.cumsum(best)) + tf.reduce_sum(tf.image.resize(x[None, :, :, None], (4, 4)))
        gradient, to_table = tape.gradient(loss, [x, table])
        table.scatter_sub(to_table)
        return tf.gather(gradient, tf.argsort(labels))

    found = count(step, SQUARE, shaped(8, dtype="int32"))
    assert (found.flops, found.unknown) == (0, {})


def test_a_step_compiled_by_xla_counts_as_one_that_is_not() -> None:
    compiled = tf.function(trained(lambda x: x @ x), jit_compile=True)
    found = count(compiled, SQUARE)
    assert (found.flops, found.unknown) == (3 * PRODUCT, {})


def test_what_xla_launches_counts() -> None:
    product = tf.function(tf.matmul).get_concrete_function(SQUARE, SQUARE)
    attribute = tf.compat.v1.AttrValue

    def step(*values: Any) -> Any:
        graph = tf.compat.v1.get_default_graph()
        product.add_to_graph(graph)
        types = [value.dtype.as_datatype_enum for value in values]
        lists = {"Tconstants": [], "Targs": types, "Tresults": types[:1]}
        attributes = {name: attribute(list={"type": kinds}) for name, kinds in lists.items()}
        attributes["function"] = attribute(func=tf.compat.v1.NameAttrList(name=product.name))
        attributes["Nresources"] = attribute(i=0)
        return graph.create_op("XlaLaunch", list(values), [tf.float32], attrs=attributes).outputs

    found = count(step, SQUARE, SQUARE)
    assert (found.flops, found.unknown) == (PRODUCT, {})


def test_a_graph_that_was_traced_before_counts_too() -> None:
    traced = tf.function(lambda x: {"y": x @ x}).get_concrete_function(shaped(None, 8))
    assert count(traced, tf.zeros((8, 8))).flops == PRODUCT


def test_a_model_that_was_stored_counts_too(tmp_path: Path) -> None:
    class Model(tf.Module):
        @tf.function(input_signature=[shaped(None, 8)])
        def step(self, x: Any) -> Any:
            for _ in tf.range(3):
                x = x @ tf.eye(8)
            return x

    tf.saved_model.save(Model(), str(tmp_path))
    found = count(tf.saved_model.load(str(tmp_path)).step, tf.eye(8))
    assert (found.flops, found.unknown) == (3 * PRODUCT, {})


def test_the_type_that_most_is_computed_in_is_told() -> None:
    def mixed(x: Any) -> Any:
        low = tf.cast(x, tf.bfloat16)
        return low @ low @ low + tf.cast(x @ x, tf.bfloat16)

    found = count(mixed, SQUARE)
    assert (found.flops, found.dtype, found.device, found.devices) == (3 * PRODUCT, "bfloat16", "cpu", 1)


def test_the_devices_that_compute_are_counted_wherever_they_are() -> None:
    @tf.function
    def inner(x: Any) -> Any:
        return x @ x

    def step(x: Any) -> Any:
        with tf.device("/job:worker/task:0/device:CPU:0"):
            x = inner(x)
        with tf.device("/job:worker/task:1/device:CPU:0"):
            return x @ x

    found = count(step, SQUARE)
    assert (found.flops, found.device, found.devices) == (2 * PRODUCT, "cpu", 2)


def test_float32_is_multiplied_in_what_the_device_chooses() -> None:
    (product,) = (
        each
        for each in tf.function(lambda x: x @ x).get_concrete_function(SQUARE).graph.get_operations()
        if each.type == "MatMul"
    )
    assert [computes_in(product, platform) for platform in ("CPU", "GPU", "TPU")] == ["float32", "tf32", "bfloat16"]
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        assert computes_in(product, "GPU") == "float32"
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(True)


def test_counting_runs_nothing_and_leaves_variables_and_random_numbers_as_they_were() -> None:
    ran: list[float] = []
    state = tf.Variable(tf.eye(8))
    tf.random.set_seed(3)

    def step(x: Any) -> Any:
        tf.py_function(lambda y: ran.append(float(y[0, 0])), [x], [])
        noise = np.random.random() + random.random()
        state.assign(x)
        return x @ state + noise * tf.random.normal(x.shape)

    random_states = random.getstate(), np.random.get_state()[1].tolist()
    assert count(step, 2 * tf.eye(8)).flops == PRODUCT
    assert (random.getstate(), np.random.get_state()[1].tolist()) == random_states
    drawn = tf.random.normal((2,)).numpy().tolist()
    tf.random.set_seed(3)
    assert drawn == tf.random.normal((2,)).numpy().tolist()
    assert state.numpy().tolist() == np.eye(8).tolist()
    assert not ran


def test_a_compiled_step_is_traced_once_as_without_counting() -> None:
    traces: list[int] = []

    @tf.function
    def step(x: Any) -> Any:
        traces.append(1)
        return x @ x

    x = tf.eye(8)
    assert count(step, x).flops == PRODUCT
    step(x)
    assert len(traces) == 1


class Lazy:
    """A model that makes its weights when it is first called."""

    def __init__(self) -> None:
        self.weight: Any = None

    def __call__(self, x: Any) -> Any:
        if self.weight is None:
            self.weight = tf.Variable(tf.random.normal((8, 8)))
        return x @ self.weight


class Ready(Lazy):
    """One whose first values are known without a graph, as those of Keras are."""

    def __call__(self, x: Any) -> Any:
        if self.weight is None:
            self.weight = tf.Variable(lambda: tf.random.normal((8, 8)))
        return x @ self.weight


@pytest.mark.parametrize("model", [Ready(), tf.function(Ready().__call__), tf.function(Lazy().__call__)])
def test_variables_that_a_first_call_makes_are_there_and_usable_after_counting(model: Any) -> None:
    x = tf.eye(8)
    assert count(model, x).flops == PRODUCT
    weight = getattr(getattr(model, "python_function", model), "__self__", model).weight
    np.testing.assert_allclose(model(x), weight.numpy())
    assert np.ptp(weight.numpy()) > 0


def test_variables_get_the_first_values_that_they_would_have_without_counting() -> None:
    tf.random.set_seed(5)
    counted, plain = Ready(), Ready()
    count(counted, tf.eye(8))
    tf.random.set_seed(5)
    plain(tf.eye(8))
    assert counted.weight.numpy().tolist() == plain.weight.numpy().tolist()


@pytest.mark.parametrize("model", [Ready(), Lazy()])
def test_a_trace_that_fails_leaves_usable_variables(model: Any) -> None:
    def step(x: Any) -> Any:
        return model(x) * float(tf.reduce_sum(x).numpy())

    with pytest.raises(Uncountable):
        count(step, tf.eye(8))
    np.testing.assert_allclose(step(tf.eye(8)), 8 * model.weight.numpy(), rtol=1e-6)


def test_a_step_that_computes_its_first_values_is_not_counted_before_it_has_them() -> None:
    model = Lazy()
    with pytest.raises(Uncountable, match=r"makes variables .* call it once before"):
        count(model, tf.eye(8))
    model(tf.eye(8))
    assert count(model, tf.eye(8)).flops == PRODUCT


def test_a_step_that_looks_at_its_values_is_uncountable_and_told_why_in_a_line() -> None:
    with pytest.raises(Uncountable, match=r"^tracing it failed: \w+: .+$") as refused:
        count(lambda x: x @ x if float(x.numpy()[0, 0]) > 0 else x, SQUARE)
    assert "\n" not in str(refused.value)


def test_a_tensorflow_program_is_not_counted_while_it_runs() -> None:
    counter = TensorFlowCounter()
    reason = counter.obstacle(lambda: None)
    assert reason is not None
    assert "graph" in reason
    with pytest.raises(Uncountable, match="graph"):
        counter.counting(print)


class Scaled(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = tf.Variable(1.0), tf.Variable(1.0)

    def step(self, x: Any) -> Any:
        return x * self.first


SCALED = Scaled()


def global_step(x: Any) -> Any:
    return SCALED.step(x)


def step_closing_over(module: Scaled) -> Step:
    return lambda x: 2 * module.step(x)


@pytest.mark.parametrize("step", [SCALED.step, global_step, tf.function(global_step), step_closing_over(SCALED)])
def test_freezing_a_part_makes_another_kind_of_step(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = TensorFlowCounter()
    before = counter.context(step)
    monkeypatch.setattr(SCALED, "second", tf.Variable(1.0, trainable=False))
    assert counter.context(step) != before


def test_tensors_are_told_apart_by_their_sizes_as_those_of_others_are() -> None:
    kind = signature((tf.zeros((33, 8)), np.zeros(33)))
    assert kind[0][0] == (33, 8)
    assert in_words(kind) == "33×8 float32, 33 float64"
    assert bucket(kind)[0][0] == (32, 8)


def test_a_run_counts_each_kind_of_tensorflow_step_once_and_adds_it_for_every_one() -> None:
    step = tf.function(lambda x: x @ tf.ones((8, 4)))
    with joulegram.track("steps") as run:
        for rows in (3, 5, 3, 3):
            assert run.count(step, tf.ones((rows, 8))).shape == (rows, 4)
    assert run.footprint().flops.value == (3 + 5 + 3 + 3) * 2 * 8 * 4
    assert [kind.inputs for kind in run.trace().counts] == ["3×8 float32", "5×8 float32"]
    assert "TensorFlow" in run.footprint().flops.how
