"""FLOPs by torch's dispatcher: equal to what the shapes say, and nothing else is changed by counting."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import register_flop_formula

from joulegram.flops import Count
from joulegram.flops.torch_dispatch import TorchCounter

pytestmark = pytest.mark.filterwarnings("ignore:.*(nested tensors is in prototype|LSTM with projections|Sparse CSR)")


def counted(step: Callable[[], Any]) -> Count:
    with TorchCounter().counting(print) as tally:
        step()
    return tally.count()


def backward(step: Callable[[], Tensor]) -> Callable[[], None]:
    return lambda: step().sum().backward()


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.dim() > 1)


# -- equal to the analytic count ------------------------------------------------------------------------------------


def test_linear_layers_take_two_operations_for_each_weight_and_row() -> None:
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    forward = 2 * 32 * (8 * 16 + 16 * 4)
    count = counted(backward(lambda: net(torch.randn(32, 8))))
    assert count.flops - count.backward == forward
    assert count.backward == 2 * forward - 2 * 32 * 8 * 16, "what the net is given needs no gradient"
    assert (count.dtype, count.device, count.unknown) == ("float32", "cpu", {})


def test_a_frozen_layer_has_no_gradient_of_its_weights() -> None:
    net = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4))
    net[0].requires_grad_(False)
    assert counted(backward(lambda: net(torch.randn(32, 8)))).backward == 2 * 32 * 16 * 4


CONVOLUTIONS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "plain": (lambda: nn.Conv2d(4, 8, 3), (2, 4, 9, 9)),
    "strided, dilated and padded": (lambda: nn.Conv2d(4, 8, 3, stride=2, padding=1, dilation=2), (2, 4, 11, 11)),
    "grouped": (lambda: nn.Conv2d(8, 12, 3, groups=4), (2, 8, 9, 9)),
    "depthwise": (lambda: nn.Conv2d(64, 64, 3, groups=64, padding="same"), (2, 64, 9, 9)),
    "in one dimension": (lambda: nn.Conv1d(4, 8, 3, groups=2), (2, 4, 9)),
    "in three": (lambda: nn.Conv3d(4, 8, 3, groups=4), (2, 4, 5, 5, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 8, 3, stride=2), (2, 4, 5, 5)),
    "transposed and grouped": (
        lambda: nn.ConvTranspose2d(8, 16, 3, groups=4, output_padding=1, stride=2),
        (2, 8, 5, 5),
    ),
    "unbatched": (lambda: nn.Conv2d(4, 8, 3, groups=2), (4, 9, 9)),
}


def convolved(layer: Any, given: tuple[int, ...], out: tuple[int, ...]) -> int:
    """Each position, of what goes in where it is transposed, meets the kernel of its group."""
    shape, channels = (given, layer.out_channels) if layer.transposed else (out, layer.in_channels)
    return 2 * prod(shape) * (channels // layer.groups) * prod(layer.kernel_size)


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_a_convolution_and_either_of_its_gradients_take_the_same(kind: str) -> None:
    make, shape = CONVOLUTIONS[kind]
    layer = make()
    forward = convolved(layer, shape, tuple(layer(torch.randn(shape)).shape))
    count = counted(backward(lambda: layer(torch.randn(shape, requires_grad=True))))
    assert count.flops == 3 * forward
    assert count.backward == 2 * forward
    assert counted(backward(lambda: layer(torch.randn(shape)))).flops == 2 * forward


small = st.integers(1, 4)


@given(
    batch=small, size=st.integers(5, 9), groups=small, into=small, out=small, kernel=st.integers(1, 3),
    stride=st.integers(1, 2), transposed=st.booleans(), dims=st.integers(1, 2),
)  # fmt: skip
def test_any_convolution_has_its_analytic_count(
    batch: int, size: int, groups: int, into: int, out: int, kernel: int, stride: int, transposed: bool, dims: int
) -> None:
    kinds = [[nn.Conv1d, nn.Conv2d], [nn.ConvTranspose1d, nn.ConvTranspose2d]]
    layer = kinds[transposed][dims - 1](into * groups, out * groups, kernel, stride=stride, groups=groups)
    shape = (batch, into * groups) + (size,) * dims
    forward = convolved(layer, shape, tuple(layer(torch.randn(shape)).shape))
    count = counted(backward(lambda: layer(torch.randn(shape, requires_grad=True))))
    assert (count.flops, count.backward) == (3 * forward, 2 * forward)


@given(rows=st.lists(small, max_size=3), into=small, out=small, bias=st.booleans())
def test_any_linear_layer_has_its_analytic_count(rows: list[int], into: int, out: int, bias: bool) -> None:
    layer = nn.Linear(into, out, bias=bias)
    assert counted(lambda: layer(torch.randn(*rows, into))).flops == 2 * prod(rows) * into * out


@pytest.mark.parametrize("causal", [False, True])
def test_attention_counts_all_pairs_causal_or_not(causal: bool) -> None:
    query, key, value = (torch.randn(2, 4, length, 16, requires_grad=True) for length in (10, 12, 12))
    product = 2 * 2 * 4 * 10 * 12 * 16
    count = counted(backward(lambda: functional.scaled_dot_product_attention(query, key, value, is_causal=causal)))
    assert count.flops - count.backward == 2 * product
    assert count.backward == 5 * product, "the scores once more, and two gradients for each product"


def test_heads_of_queries_may_share_keys_and_values() -> None:
    query, key = torch.randn(2, 8, 10, 16), torch.randn(2, 2, 10, 16)
    count = counted(lambda: functional.scaled_dot_product_attention(query, key, key, enable_gqa=True))
    assert count.flops == 2 * 2 * 2 * 8 * 10 * 10 * 16


WIDTH, TOKENS = 16, 10
LAYER = 2 * 4 * TOKENS * (4 * WIDTH * WIDTH + 2 * WIDTH * 32) + 4 * 4 * TOKENS**2 * WIDTH
"""An encoder layer on four sequences: projections and feed-forward, then the two products of attention."""


def encoder(layers: int = 1) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 32, batch_first=True)
    return nn.TransformerEncoder(layer, layers)


def test_an_encoder_counts_alike_in_training_and_on_its_fast_path() -> None:
    net, sequences = encoder(), torch.randn(4, TOKENS, WIDTH)
    assert counted(lambda: net(sequences)).flops == LAYER
    net.eval()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert counted(lambda: net(sequences)).flops == LAYER


def test_the_fast_path_of_an_encoder_is_what_runs_while_it_is_counted() -> None:
    net, sequences = encoder(2).eval(), torch.randn(4, TOKENS, WIDTH)
    with torch.no_grad(), torch.profiler.profile() as profile, TorchCounter().counting(print):
        net(sequences)
    assert "aten::_transformer_encoder_layer_fwd" in {event.key for event in profile.key_averages()}


def test_padded_tokens_are_no_work_on_the_fast_path_but_for_attention_up_to_the_longest() -> None:
    net, sequences, lengths = encoder(2).eval(), torch.randn(4, TOKENS, WIDTH), (7, 9, 5, 9)
    padding = torch.arange(TOKENS) >= torch.tensor(lengths)[:, None]
    with torch.no_grad():
        count = counted(lambda: net(sequences, src_key_padding_mask=padding))
    per_token = 2 * (4 * WIDTH * WIDTH + 2 * WIDTH * 32)
    assert count.flops == 2 * (sum(lengths) * per_token + 4 * 4 * max(lengths) ** 2 * WIDTH)
    assert not count.unknown


def test_multi_head_attention_counts_alike_fused_or_not() -> None:
    attention, sequences = nn.MultiheadAttention(WIDTH, 2, batch_first=True), torch.randn(4, TOKENS, WIDTH)
    training = counted(lambda: attention(sequences, sequences, sequences, need_weights=False)).flops
    attention.eval()
    with torch.no_grad():
        assert counted(lambda: attention(sequences, sequences, sequences, need_weights=False)).flops == training
    assert training == 2 * 4 * TOKENS * 4 * WIDTH**2 + 4 * 4 * TOKENS**2 * WIDTH


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_layers_take_each_weight_once_a_step(kind: type[nn.RNNBase], bidirectional: bool) -> None:
    net = kind(8, 16, num_layers=2, batch_first=True, bidirectional=bidirectional)
    steps = 4 * 10
    forward = 2 * steps * weights(net)
    first = 2 * steps * sum(weight.numel() for name, weight in net.named_parameters() if "weight_ih_l0" in name)
    assert counted(lambda: net(torch.randn(4, 10, 8))).flops == forward
    start = torch.zeros((2 + 2 * bidirectional, 4, 16), requires_grad=True)
    state: Any = (start, start) if kind is nn.LSTM else start
    count = counted(backward(lambda: net(torch.randn(4, 10, 8), state)[0]))
    assert count.backward == 2 * forward - first, "what the net is given needs no gradient"
    asked = counted(backward(lambda: net(torch.randn(4, 10, 8, requires_grad=True), state)[0]))
    assert asked.backward == 2 * forward


def test_an_lstm_with_projections_counts_them() -> None:
    net = nn.LSTM(8, 16, proj_size=4, batch_first=True)
    assert counted(lambda: net(torch.randn(4, 10, 8))).flops == 2 * 40 * weights(net)


@pytest.mark.parametrize("directions", [1, 2])
def test_fused_recurrent_layers_of_gpus_count_as_those_of_cpus(directions: int) -> None:
    """Their operators run on a GPU alone; on stand-ins for one they have the same shapes."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        net = nn.LSTM(8, 16, num_layers=2, bidirectional=directions == 2)
        flat = [weight for layer in net.all_weights for weight in layer]
        inputs, state = torch.empty(10, 4, 8), torch.empty(2 * directions, 4, 16)
        arguments = (2, 16, 0, 2, False, 0.0, True, directions == 2, [], None)
        call = (inputs, flat, 4, None, state, state, *arguments)
        forward, first = 2 * 40 * weights(net), 2 * 40 * directions * 8 * 64
        reserve = torch.empty(1)
        with TorchCounter().counting(print) as tally:
            out, *_ = torch.ops.aten._cudnn_rnn(*call)
        assert tally.count().flops == forward
        for mask, of_input in ([False, False, False, True], 0), ([True, False, False, True], first):
            formula_call = (inputs, flat, 4, reserve, state, state, out, out, None, None, *arguments, reserve, mask)
            assert flops_of("_cudnn_rnn_backward", *formula_call) == 2 * forward - first + of_input


def flops_of(name: str, *args: Any) -> int:
    from joulegram.flops.torch_formulas import formula_of

    operator = getattr(torch.ops.aten, name).default
    formula = formula_of(operator)
    assert formula is not None
    return formula(operator, args, {}, None)


def test_look_ups_count_nothing_and_products_of_vectors_do() -> None:
    table = nn.EmbeddingBag(100, 16)
    head = nn.Linear(16, 4)
    assert counted(lambda: head(table(torch.randint(100, (8, 5))))).flops == 2 * 8 * 16 * 4
    matrix, vector = torch.randn(6, 5), torch.randn(5)
    assert counted(lambda: matrix @ vector).flops == 2 * 30
    assert counted(lambda: torch.addmv(torch.zeros(6), matrix, vector)).flops == 2 * 30
    assert counted(lambda: vector @ vector).flops == 2 * 5
    assert counted(lambda: torch.einsum("bij,bjk->bik", torch.randn(2, 3, 4), torch.randn(2, 4, 5))).flops == 240
    small = torch.ones(32, 16, dtype=torch.int8), torch.ones(16, 8, dtype=torch.int8)
    assert counted(lambda: torch._int_mm(*small)).flops == 2 * 32 * 16 * 8


def test_sparse_matrices_count_what_they_store() -> None:
    graph = torch.eye(50).to_sparse()
    assert counted(lambda: torch.sparse.mm(graph, torch.randn(50, 8))).flops == 2 * 50 * 8
    assert counted(lambda: graph.to_sparse_csr() @ torch.randn(50, 8)).flops == 2 * 50 * 8


def test_what_is_recomputed_counts_again() -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
    once = counted(backward(lambda: net(torch.randn(4, 8, requires_grad=True))))
    again = counted(backward(lambda: checkpoint(net, torch.randn(4, 8, requires_grad=True), use_reentrant=False)))
    assert again.flops - once.flops == 2 * 2 * 4 * 8 * 8
    assert again.backward - once.backward == 2 * 2 * 4 * 8 * 8


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return 2 * x @ weight

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return 2 * gradients[0] @ weight.T, 2 * x.T @ gradients[0]


def test_functions_of_ones_own_are_counted_through() -> None:
    x, weight = torch.randn(4, 8, requires_grad=True), torch.randn(8, 16, requires_grad=True)
    assert counted(backward(lambda: Doubled.apply(x, weight))).flops == 3 * 2 * 4 * 8 * 16


def test_the_type_is_the_one_that_most_is_computed_in() -> None:
    wide, narrow = nn.Linear(64, 64), nn.Linear(2, 2).double()
    with torch.autocast("cpu", torch.bfloat16):
        count = counted(lambda: (wide(torch.randn(4, 64)), torch.randn(2, 2).double() @ narrow.weight))
    assert count.dtype == "bfloat16"


# -- what cannot be counted is told ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opaque() -> Iterator[Any]:
    library = torch.library.Library("joulegram_test", "DEF")
    for name in ("product", "registered"):
        library.define(f"{name}(Tensor a, Tensor b) -> Tensor")
        library.impl(name, lambda a, b: a @ b, "CPU")
    yield torch.ops.joulegram_test
    library._destroy()


def test_operators_of_ones_own_are_unknown_until_a_formula_is_registered(opaque: Any) -> None:
    a, b = torch.randn(4, 8), torch.randn(8, 16)
    count = counted(lambda: [opaque.product(a, b), opaque.product(a, b), a @ b])
    assert (count.flops, count.unknown) == (2 * 4 * 8 * 16, {"joulegram_test::product": 2})

    @register_flop_formula(opaque.registered)
    def flops(a: Any, b: Any, *, out_shape: Any) -> int:
        return 2 * prod(out_shape) * a[-1]

    count = counted(lambda: opaque.registered(a, b))
    assert (count.flops, count.unknown) == (2 * 4 * 8 * 16, {})


def test_a_formula_that_fails_leaves_the_operator_unknown_and_the_step_running(opaque: Any) -> None:
    @register_flop_formula(opaque.product)
    def flops(a: Any, b: Any, *, out_shape: Any) -> int:
        raise ValueError("no idea")

    a, b = torch.randn(4, 8), torch.randn(8, 16)
    assert counted(lambda: opaque.product(a, b)).unknown == {"joulegram_test::product": 1}


def test_decompositions_and_fourier_transforms_are_unknown_and_plain_operators_are_not() -> None:
    x = torch.randn(8, 8, requires_grad=True)
    assert set(counted(lambda: torch.linalg.svd(x.detach())).unknown) == {"aten::_linalg_svd"}
    assert set(counted(lambda: torch.fft.rfft(x.detach())).unknown) == {"aten::_fft_r2c"}
    net = nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(), nn.GELU(), nn.LayerNorm(8), nn.Softmax(1))
    optimizer = torch.optim.AdamW([x, *net.parameters()])

    def step() -> None:
        functional.cross_entropy(net(x).cumsum(0), torch.arange(8)).backward()
        nn.utils.clip_grad_norm_([x], 1.0)
        optimizer.step()

    assert counted(step) == Count(0, counted(step).how, overhead_s=pytest.approx(0, abs=60))


@pytest.mark.filterwarnings("ignore:.*(quantization is deprecated|quantized tensor creation)")
def test_a_quantised_linear_layer_counts_as_a_plain_one() -> None:
    net = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 16)), {nn.Linear}, torch.qint8)
    assert counted(lambda: net(torch.randn(4, 8))).flops == 2 * 4 * 8 * 16


# -- nothing else is changed by counting ------------------------------------------------------------------------------


class Mixed(nn.Module):
    """In-place operators on views, random numbers, statistics, a recurrent layer, attention."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(4, 16, 3, padding=1, groups=2), nn.BatchNorm1d(16), nn.Dropout(0.2))
        self.lstm = nn.LSTM(16, 16, batch_first=True, bidirectional=True)
        self.encoder = nn.TransformerEncoderLayer(32, 2, 32, batch_first=True)

    def forward(self, x: Tensor, scale: float = 1.0, names: list[str] | None = None) -> Tensor:
        x = self.conv(x).transpose(1, 2)
        x[:, ::2].mul_(scale).add_(torch.rand(()))
        return self.encoder(self.lstm(x)[0])


def trained(watch: Callable[[Any], Any]) -> list[Tensor]:
    torch.manual_seed(3)
    net = Mixed()
    optimizer = torch.optim.Adam(net.parameters())
    losses = []
    for _ in range(3):
        x = torch.randn(5, 4, 7)
        with watch(net):
            optimizer.zero_grad()
            loss = net(x, 0.5, names=["a"]).square().mean()
            loss.backward()
            optimizer.step()
        losses.append(loss.detach())
    return [*losses, *net.state_dict().values(), torch.get_rng_state()]


def test_training_is_the_same_to_the_bit_with_counting_and_without() -> None:
    from contextlib import nullcontext

    plain, watched = trained(nullcontext), trained(TorchCounter().counting)
    assert all(torch.equal(one, other) for one, other in zip(plain, watched, strict=True))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_inference_is_the_same_to_the_bit_fused_layers_included(mode: Callable[[], Any]) -> None:
    torch.manual_seed(3)
    lstm, net = nn.LSTM(16, 16, batch_first=True).eval(), encoder(2).eval()
    x = torch.randn(4, TOKENS, WIDTH)
    padding = torch.arange(TOKENS) >= torch.tensor([7, 9, 5, 9])[:, None]

    def outputs() -> list[Tensor]:
        return [lstm(x)[0], net(x), net(x, src_key_padding_mask=padding)]

    with mode():
        plain = outputs()
        with TorchCounter().counting(print):
            watched = outputs()
    assert all(torch.equal(one, other) for one, other in zip(plain, watched, strict=True))


def test_no_tensor_outlives_its_step_for_having_been_counted() -> None:
    net = nn.Linear(8, 8)
    with TorchCounter().counting(print) as tally:
        x = torch.randn(4, 8)
        y = net(x)
        watched = [weakref.ref(x), weakref.ref(y)]
        del x, y
        gc.disable()
        try:
            assert [ref() for ref in watched] == [None, None]
        finally:
            gc.enable()
    assert tally.flops == 2 * 4 * 8 * 8


def test_a_step_that_fails_leaves_nothing_behind() -> None:
    net = nn.Linear(8, 8)
    with pytest.raises(RuntimeError, match="shapes"), TorchCounter().counting(print) as tally:
        net(net(torch.randn(4, 8))[:, 1:])
    assert tally.count().flops == 2 * 4 * 8 * 8
    net(torch.randn(4, 8))
    assert tally.count().flops == 2 * 4 * 8 * 8, "what runs afterwards is not seen"


def test_what_is_counted_can_be_asked_for_under_way() -> None:
    net = nn.Linear(8, 8)
    with TorchCounter().counting(print) as tally:
        loss = net(torch.randn(4, 8)).sum()
        forward = tally.flops
        loss.backward()
        assert (forward, tally.flops) == (2 * 4 * 8 * 8, 2 * 2 * 4 * 8 * 8)


def test_tensors_that_wrap_others_are_counted_by_what_they_call() -> None:
    jagged = torch.nested.nested_tensor([torch.randn(3, 8), torch.randn(5, 8)], layout=torch.jagged)
    assert counted(lambda: functional.linear(jagged, torch.randn(4, 8))).flops == 2 * (3 + 5) * 8 * 4


def test_steps_on_the_meta_device_are_counted_by_shape() -> None:
    with torch.device("meta"):
        net, x = nn.LSTM(8, 16), torch.empty(10, 4, 8)
    assert counted(lambda: net(x)).flops == 2 * 40 * weights(net)


# -- what decides what a step computes --------------------------------------------------------------------------------


def test_a_context_changes_with_what_is_trained_and_with_nothing_else() -> None:
    net, counter = nn.Sequential(nn.Linear(8, 8), nn.Dropout()), TorchCounter()
    contexts = [counter.context(net)]
    net(torch.randn(2, 8)).sum().backward()
    torch.optim.SGD(net.parameters()).step()
    assert counter.context(net) == contexts[0]
    net.eval()
    contexts.append(counter.context(net))
    net[0].weight.requires_grad_(False)
    contexts.append(counter.context(net))
    net.double()
    contexts.append(counter.context(net))
    with torch.no_grad():
        contexts.append(counter.context(net))
    assert len(set(contexts)) == 5
