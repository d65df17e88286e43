"""FLOPs of PyTorch's operators, by name: our own formulas first, then those registered with torch itself.

torch's registry (`torch.utils.flop_counter`) is right about most, and is where a formula for an operator of one's own
goes (`register_flop_formula`). Ours are for what it leaves out (fused recurrent and encoder layers, attention on CPUs,
matrix-vector and integer products) or has wrong (gradients of grouped convolutions, products of sparse matrices).

As in torch's, a causal mask saves nothing, and fused attention recomputes the scores in its backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry

Operator = Any
"""`torch._ops.OpOverload`, or a `HigherOrderOperator`."""
Arguments = Mapping[str, Any]
"""What an operator was called with, by the names in its schema."""
Formula = Callable[[Operator, Sequence[Any], Mapping[str, Any], Any], int]
"""FLOPs of one call: the operator, its arguments, those by name, and what it returned."""
OwnFormula = Callable[[Arguments, Any], int]

_OWN: dict[str, OwnFormula] = {}

_KNOWN_NAMESPACES = frozenset(
    {"aten", "prim", "prims", "profiler", "c10d", "_c10d_functional", "rngprims", "inductor_prims"}
)
"""Operators of these are elementwise, reductions, views or communication, but for those with a formula and for
`_MATRIX_WORK`. Any other may be anything."""
_MATRIX_WORK = (
    "_cdist",
    "_cholesky",
    "_cslt_sparse",
    "_fft_",
    "_foreach_mm",
    "_linalg_",
    "_lstm_mps",
    "_lu_with_info",
    "_scaled_dot_product",
    "_sparse_mm_reduce",
    "_sparse_sparse",
    "_spsolve",
    "_trilinear",
    "cholesky",
    "fbgemm_linear_",
    "geqrf",
    "linalg_",
    "lstm_mps_backward",
    "lu_solve",
    "miopen_",
    "mkldnn_linear_backward",
    "mps_convolution",
    "orgqr",
    "ormqr",
    "triangular_solve",
)
"""How operators of `aten` begin that do what matrix products do, where they have no formula."""
_NOT_WORK = ("linalg_vector_norm", "linalg_cross", "linalg__powsum", "linalg_check_errors", "_linalg_check_errors")


def formula_of(operator: Operator) -> Formula | None:
    """How to count calls of an operator; None where nothing says."""
    packet = getattr(operator, "overloadpacket", operator)
    own = _OWN.get(_name(operator))
    if own is not None:
        return _by_name(own)
    registered = flop_registry.get(packet)
    return None if registered is None else _as_registered(registered)


def may_hide_work(operator: Operator) -> bool:
    """Whether an operator without formula may do what matrix products do."""
    namespace, _, name = _name(operator).partition("::")
    if namespace != "aten":
        return namespace not in _KNOWN_NAMESPACES
    return name.startswith(_MATRIX_WORK) and not name.startswith(_NOT_WORK)


def _name(operator: Operator) -> str:
    """``namespace::name``, without the overload."""
    return str(operator.name()).partition(".")[0]


def _by_name(own: OwnFormula) -> Formula:
    def formula(operator: Operator, args: Sequence[Any], named: Mapping[str, Any], out: Any) -> int:
        names = [argument.name for argument in operator._schema.arguments]
        return own({**dict(zip(names, args, strict=False)), **named}, out)

    return formula


def _as_registered(registered: Callable[..., int]) -> Formula:
    def formula(operator: Operator, args: Sequence[Any], named: Mapping[str, Any], out: Any) -> int:
        return int(registered(*args, **named, out_val=out))

    return formula


def _counts(*names: str) -> Callable[[OwnFormula], OwnFormula]:
    def keep(formula: OwnFormula) -> OwnFormula:
        _OWN.update({name if "::" in name else f"aten::{name}": formula for name in names})
        return formula

    return keep


# -- matrix products ----------------------------------------------------------------------------------------------


def _elements(tensor: Any) -> int:
    """How many elements there are to multiply: of a sparse matrix, those that it stores."""
    if tensor.layout is torch.strided:
        return int(tensor.numel())
    values = tensor._values() if tensor.layout is torch.sparse_coo else tensor.values()
    return int(values.numel())


def _product(left: Any, right: Any) -> int:
    """(…, m, k) times (…, k, n): every element of one meets those of the other in its row; k and batches are shared."""
    shared = prod(left.shape[:-2]) * left.shape[-1]
    return 2 * _elements(left) * _elements(right) // shared if shared else 0


@_counts("mm", "bmm", "_int_mm", "_scaled_mm", "_scaled_mm_v2", "mkldnn_linear")
def _mm(of: Arguments, out: Any) -> int:
    return _product(of["self"], of["mat2"])


@_counts("addmm", "_addmm_activation")
def _addmm(of: Arguments, out: Any) -> int:
    return _product(of["mat1"], of["mat2"])


@_counts("baddbmm", "addbmm")
def _addbmm(of: Arguments, out: Any) -> int:
    return _product(of["batch1"], of["batch2"])


@_counts("mv", "dot", "vdot")
def _mv(of: Arguments, out: Any) -> int:
    return 2 * _elements(of["self"])


@_counts("addmv")
def _addmv(of: Arguments, out: Any) -> int:
    return 2 * _elements(of["mat"])


@_counts("addr")
def _addr(of: Arguments, out: Any) -> int:
    return 2 * int(of["vec1"].numel() * of["vec2"].numel())


@_counts("_grouped_mm", "_scaled_grouped_mm", "_scaled_grouped_mm_v2")
def _grouped_mm(of: Arguments, out: Any) -> int:
    """Where groups share out k, each element of the one matrix meets every column of the other; else as any product."""
    left, right = of["self"], of["mat2"]
    if left.dim() == right.dim() == 2:
        return 2 * int(left.numel()) * int(right.shape[-1])
    return 2 * int(out.numel()) * int(left.shape[-1])


_PACKED = ("self", "input", "inp", "X", "qx")


@_counts(
    "_weight_int4pack_mm",
    "_weight_int4pack_mm_for_cpu",
    "_weight_int4pack_mm_with_scales_and_zeros",
    "_weight_int8pack_mm",
    "_dyn_quant_matmul_4bit",
    "_mixed_dtypes_linear",
    "fbgemm_linear_int8_weight",
    "fbgemm_linear_int8_weight_fp32_activation",
    "fbgemm_linear_fp16_weight",
    "fbgemm_linear_fp16_weight_fp32_activation",
    "quantized::linear",
    "quantized::linear_relu",
    "quantized::linear_dynamic",
    "quantized::linear_relu_dynamic",
    "quantized::linear_dynamic_fp16",
    "quantized::linear_relu_dynamic_fp16",
    "onednn::qlinear_pointwise",
    "mkldnn::_linear_pointwise",
    "mkl::_mkl_linear",
)
def _packed_linear(of: Arguments, out: Any) -> int:
    """The weights are packed, but every input meets as many of them as there are outputs."""
    return 2 * int(next(of[name] for name in _PACKED if name in of).numel()) * int(out.shape[-1])


# -- convolutions -------------------------------------------------------------------------------------------------


@_counts("convolution", "_convolution", "convolution_overrideable")
def _convolution(of: Arguments, out: Any) -> int:
    return _convolved(of["input"] if of["transposed"] else out, of["weight"])


@_counts("cudnn_convolution", "_slow_conv2d_forward", "slow_conv3d_forward", "_conv_depthwise2d", "conv_depthwise3d")
@_counts("mkldnn_convolution", "miopen_convolution", "miopen_depthwise_convolution", "_mps_convolution")
@_counts("cudnn_convolution_relu", "cudnn_convolution_add_relu", "miopen_convolution_relu")
@_counts("miopen_convolution_add_relu", "mkldnn::_convolution_pointwise")
def _plain_convolution(of: Arguments, out: Any) -> int:
    return _convolved(out, of["weight"])


@_counts("cudnn_convolution_transpose", "miopen_convolution_transpose", "_mps_convolution_transpose")
def _transposed_convolution(of: Arguments, out: Any) -> int:
    return _convolved(of["self"], of["weight"])


@_counts("convolution_backward", "convolution_backward_overrideable")
def _convolution_backward(of: Arguments, out: Any) -> int:
    """Either gradient takes as many products as the convolution itself, whatever its groups."""
    of_input, of_weight, *_ = of["output_mask"]
    return (of_input + of_weight) * _convolved(of["input"] if of["transposed"] else of["grad_output"], of["weight"])


@_counts("conv_tbc")
def _conv_tbc(of: Arguments, out: Any) -> int:
    taps, channels, _ = of["weight"].shape
    return 2 * int(out.numel()) * int(taps * channels)


def _convolved(positions: Any, weight: Any) -> int:
    """Each position of each channel meets the kernel of its group."""
    return 2 * int(positions.numel()) * int(prod(weight.shape[1:]))


# -- attention ----------------------------------------------------------------------------------------------------


@_counts("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_attention_math_for_mps")
@_counts("_scaled_dot_product_fused_attention_overrideable")
@_counts("_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention")
@_counts("_scaled_dot_product_cudnn_attention")
def _attention(of: Arguments, out: Any) -> int:
    scores, values = _attended(of["query"], of["key"], of["value"])
    return scores + values


@_counts("_scaled_dot_product_flash_attention_for_cpu_backward")
@_counts("_scaled_dot_product_fused_attention_overrideable_backward")
@_counts("_scaled_dot_product_flash_attention_backward", "_scaled_dot_product_efficient_attention_backward")
@_counts("_scaled_dot_product_cudnn_attention_backward")
def _attention_backward(of: Arguments, out: Any) -> int:
    """The scores once more, the gradients of both factors of either product."""
    scores, values = _attended(of["query"], of["key"], of["value"])
    return 3 * scores + 2 * values


def _attended(query: Any, key: Any, value: Any) -> tuple[int, int]:
    """FLOPs of queries times keys, and of scores times values; heads of keys and values may be shared by queries'."""
    pairs = prod(query.shape[:-1]) * key.shape[-2]
    return 2 * int(pairs * query.shape[-1]), 2 * int(pairs * value.shape[-1])


@_counts("_native_multi_head_attention")
def _multi_head_attention(of: Arguments, out: Any) -> int:
    query, key, width = of["query"], of["key"], of["embed_dim"]
    projected = 2 * (int(query.numel()) + int(key.numel())) * 2 * width
    return projected + 4 * width * _pairs(query, key)


@_counts("_transformer_encoder_layer_fwd")
def _encoder_layer(of: Arguments, out: Any) -> int:
    tokens, width = of["src"], of["embed_dim"]
    weights = (of[name] for name in ("qkv_weight", "proj_weight", "ffn_weight_1", "ffn_weight_2"))
    projected = 2 * int(tokens.numel()) // width * sum(int(weight.numel()) for weight in weights)
    return projected + 4 * width * _pairs(tokens, tokens)


def _pairs(query: Any, key: Any) -> int:
    """Pairs of tokens that meet in attention. On a CPU nested sequences are padded for it to the longest one."""
    lengths, others = _lengths(query), _lengths(key)
    if query.device.type == "cpu":
        lengths, others = [max(lengths, default=0)] * len(lengths), [max(others, default=0)] * len(others)
    return sum(length * other for length, other in zip(lengths, others, strict=True))


def _lengths(sequences: Any) -> list[int]:
    if sequences.is_nested:
        return [int(length) for length, *_ in sequences._nested_tensor_size().tolist()]
    batch, length, _ = sequences.shape
    return [int(length)] * int(batch)


# -- recurrent layers ---------------------------------------------------------------------------------------------


@_counts("mkldnn_rnn_layer")
def _onednn_layer(of: Arguments, out: Any) -> int:
    """One layer, in one direction."""
    return 2 * _steps(of["input"]) * int(of["weight0"].numel() + of["weight1"].numel())


@_counts("mkldnn_rnn_layer_backward")
def _onednn_layer_backward(of: Arguments, out: Any) -> int:
    """What somebody needs the gradient of tells; a first layer's input seldom is."""
    of_input, of_hidden = of["weight1"], of["weight2"]
    needed = [of_hidden.numel()]
    needed += [of_input.numel()] * of["input"].requires_grad
    needed += [weight.numel() for weight in (of_input, of_hidden) if weight.requires_grad]
    return 2 * _steps(of["input"]) * int(sum(needed))


@_counts("_cudnn_rnn", "miopen_rnn")
def _layers(of: Arguments, out: Any) -> int:
    return 2 * _steps(of["input"]) * sum(map(int, _matrices(of["weight"])))


@_counts("_cudnn_rnn_backward", "miopen_rnn_backward")
def _layers_backward(of: Arguments, out: Any) -> int:
    of_input, *_, of_weights = of["output_mask"]
    every = sum(map(int, _matrices(of["weight"])))
    first = sum(
        int(of["weight"][index].numel())
        for index in range(0, len(of["weight"]), of["weight_stride0"])[: 1 + of["bidirectional"]]
    )
    return 2 * _steps(of["input"]) * (every - (0 if of_input else first) + (every if of_weights else 0))


def _steps(sequence: Any) -> int:
    """Of all sequences together, padded or packed."""
    return int(prod(sequence.shape[:-1]))


def _matrices(weights: Sequence[Any]) -> Iterator[Any]:
    return (weight.numel() for weight in weights if weight.dim() > 1)
