"""FLOPs of PyTorch's operators, by name: our own formulas first, then those registered with torch itself.

torch's registry (`torch.utils.flop_counter`) is right about most, and is where a formula for an operator of one's own
goes (`register_flop_formula`). Ours are for what it leaves out (fused recurrent and encoder layers, attention on CPUs,
matrix-vector and integer products) or has wrong (gradients of grouped convolutions, products of sparse matrices).

As in torch's, a causal mask saves nothing, and fused attention recomputes the scores in its backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

Operator = Any
"""`torch._ops.OpOverload`, or a `HigherOrderOperator`."""
Arguments = Mapping[str, Any]
"""What an operator was called with, by the names in its schema."""
Formula = Callable[[Operator, Sequence[Any], Mapping[str, Any], Any], int]
"""FLOPs of one call: the operator, its arguments, those by name, and what it returned."""
OwnFormula = Callable[[Arguments, Any], int]

_OWN: dict[str, OwnFormula] = {}

_KNOWN_NAMESPACES = frozenset({"aten", "prim", "prims", "profiler", "c10d", "_c10d_functional", "inductor_prims"})
"""What is not in these may do anything. In these, all is elementwise, a reduction, a view or communication but for what
has a formula and what begins as follows."""
_MATRIX_WORK = (
    "_cdist",
    "_cholesky",
    "_cslt_sparse",
    "_efficient_attention",
    "_fft_",
    "_flash_attention",
    "_foreach_mm",
    "_linalg_",
    "_lstm_mps",
    "_lu_with_info",
    "_scaled_dot_product",
    "_sparse_mm_reduce",
    "_sparse_semi_structured",
    "_sparse_sparse",
    "_spsolve",
    "_trilinear",
    "cholesky",
    "fbgemm_linear_",
    "geqrf",
    "linalg_",
    "lstm_mps_backward",
    "lu_solve",
    "mkldnn_linear_backward",
    "mps_convolution",
    "orgqr",
    "ormqr",
    "sparse_sampled_addmm",
    "triangular_solve",
)
_NOT_MATRIX_WORK = ("_linalg_check_errors", "fbgemm_linear_quantize", "linalg_cross", "linalg_vector_norm", "linalg__")


def formula_of(operator: Operator) -> Formula | None:
    """How to count calls of an operator; None where nothing says."""
    packet = getattr(operator, "overloadpacket", operator)
    own = _OWN.get(name_of(operator))
    if own is not None:
        return _by_name(own)
    registered = flop_registry.get(packet)
    return None if registered is None else _as_registered(registered)


def is_matrix_work(name: str) -> bool:
    """Whether an operator, by ``namespace::name``, has a formula here or does what matrix products do without one."""
    return name in _OWN or (name.startswith("aten::") and _like_matrix_work(name.removeprefix("aten::")))


def may_hide_work(operator: Operator) -> bool:
    """Whether an operator without formula may do what matrix products do."""
    namespace, _, name = name_of(operator).partition("::")
    if namespace != "aten":
        return namespace not in _KNOWN_NAMESPACES
    return _like_matrix_work(name)


def _like_matrix_work(name: str) -> bool:
    return name.startswith(_MATRIX_WORK) and not name.startswith(_NOT_MATRIX_WORK)


def name_of(operator: Operator) -> str:
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


def _elements(matrix: Tensor) -> int:
    """How many elements there are to multiply: of a sparse matrix, those that it stores."""
    if matrix.layout is torch.strided:
        return matrix.numel()
    stored: Tensor = matrix._values() if matrix.layout is torch.sparse_coo else matrix.values()
    return stored.numel()


def _product(left: Tensor, right: Tensor) -> int:
    """(…, m, k) times (…, k, n): each element of one meets those of the other at its k, in its batch."""
    places = prod(left.shape[:-2]) * left.shape[-1]
    return 2 * _elements(left) * _elements(right) // places if places else 0


@_counts("mm", "bmm", "_int_mm", "_scaled_mm", "_scaled_mm_v2")
def _mm(of: Arguments, out: Any) -> int:
    return _product(of["self"], of["mat2"])


@_counts("addmm", "_addmm_activation", "_sparse_addmm")
def _addmm(of: Arguments, out: Any) -> int:
    return _product(of["mat1"], of["mat2"])


@_counts("baddbmm", "addbmm")
def _baddbmm(of: Arguments, out: Any) -> int:
    return _product(of["batch1"], of["batch2"])


@_counts("mv", "dot", "vdot")
def _mv(of: Arguments, out: Any) -> int:
    return 2 * _elements(of["self"])


@_counts("addmv")
def _addmv(of: Arguments, out: Any) -> int:
    return 2 * _elements(of["mat"])


@_counts("addr")
def _addr(of: Arguments, out: Tensor) -> int:
    return 2 * out.numel()


@_counts("_grouped_mm", "_scaled_grouped_mm", "_scaled_grouped_mm_v2")
def _grouped_mm(of: Arguments, out: Tensor) -> int:
    """Groups that share out k leave each element of the one matrix a row of the other; others are as any product."""
    left: Tensor = of["self"]
    if left.dim() == of["mat2"].dim() == 2:
        return 2 * left.numel() * out.shape[-1]
    return 2 * out.numel() * left.shape[-1]


@_counts("_weight_int4pack_mm", "_weight_int4pack_mm_for_cpu", "_weight_int4pack_mm_with_scales_and_zeros")
@_counts("_weight_int8pack_mm", "_dyn_quant_matmul_4bit", "_mixed_dtypes_linear", "mkldnn_linear")
@_counts("fbgemm_linear_int8_weight", "fbgemm_linear_int8_weight_fp32_activation")
@_counts("fbgemm_linear_fp16_weight", "fbgemm_linear_fp16_weight_fp32_activation")
@_counts("quantized::linear", "quantized::linear_relu", "quantized::linear_dynamic", "quantized::linear_relu_dynamic")
@_counts("quantized::linear_dynamic_fp16", "quantized::linear_relu_dynamic_fp16")
@_counts("onednn::qlinear_pointwise", "mkldnn::_linear_pointwise", "mkl::_mkl_linear")
def _packed_linear(of: Arguments, out: Tensor) -> int:
    """Weights may be packed: each element of the input, the first argument, meets one for each output."""
    inputs: Tensor = next(iter(of.values()))
    return 2 * inputs.numel() * out.shape[-1]


# -- convolutions -------------------------------------------------------------------------------------------------


@_counts("convolution", "_convolution", "convolution_overrideable")
def _convolution(of: Arguments, out: Tensor) -> int:
    return _convolved(of["input"] if of["transposed"] else out, of["weight"])


@_counts("cudnn_convolution", "cudnn_convolution_relu", "cudnn_convolution_add_relu")
@_counts("miopen_convolution", "miopen_depthwise_convolution", "miopen_convolution_relu", "miopen_convolution_add_relu")
@_counts("mkldnn_convolution", "_mps_convolution", "_slow_conv2d_forward", "slow_conv3d_forward")
@_counts("_conv_depthwise2d", "conv_depthwise3d")
def _plain_convolution(of: Arguments, out: Tensor) -> int:
    return _convolved(out, of["weight"])


@_counts("cudnn_convolution_transpose", "miopen_convolution_transpose", "_mps_convolution_transpose")
def _transposed_convolution(of: Arguments, out: Tensor) -> int:
    return _convolved(of["self"], of["weight"])


@_counts("convolution_backward", "convolution_backward_overrideable")
def _convolution_backward(of: Arguments, out: Any) -> int:
    """Either gradient takes as many products as the convolution itself, whatever its groups."""
    gradients: int = sum(of["output_mask"][:2])  # of the input and of the weight
    return gradients * _convolved(of["input"] if of["transposed"] else of["grad_output"], of["weight"])


@_counts("conv_tbc")
def _conv_tbc(of: Arguments, out: Tensor) -> int:
    taps, channels, _ = of["weight"].shape
    return 2 * out.numel() * int(taps * channels)


def _convolved(positions: Tensor, weight: Tensor) -> int:
    """Each position of each channel meets the kernel of its group."""
    return 2 * positions.numel() * prod(weight.shape[1:])


# -- attention ----------------------------------------------------------------------------------------------------


@_counts("_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu")
@_counts("_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention")
@_counts("_scaled_dot_product_fused_attention_overrideable", "_scaled_dot_product_attention_math_for_mps")
def _attention(of: Arguments, out: Any) -> int:
    scores, values = _attended(of["query"], of["key"], of["value"])
    return scores + values


@_counts("_scaled_dot_product_flash_attention_backward", "_scaled_dot_product_flash_attention_for_cpu_backward")
@_counts("_scaled_dot_product_efficient_attention_backward", "_scaled_dot_product_cudnn_attention_backward")
@_counts("_scaled_dot_product_fused_attention_overrideable_backward")
def _attention_backward(of: Arguments, out: Any) -> int:
    """The scores once more, and the gradients of both factors of either product."""
    scores, values = _attended(of["query"], of["key"], of["value"])
    return 3 * scores + 2 * values


def _attended(query: Tensor, key: Tensor, value: Tensor) -> tuple[int, int]:
    """FLOPs of queries times keys, and of scores times values; several heads of queries may share those of keys."""
    pairs = prod(query.shape[:-1]) * key.shape[-2]
    return 2 * pairs * query.shape[-1], 2 * pairs * value.shape[-1]


@_counts("_native_multi_head_attention")
def _multi_head_attention(of: Arguments, out: Any) -> int:
    query: Tensor = of["query"]
    key: Tensor = of["key"]
    width: int = of["embed_dim"]
    return 4 * width * (query.numel() + key.numel() + _pairs(query, key))  # four projections and two products


@_counts("_transformer_encoder_layer_fwd")
def _encoder_layer(of: Arguments, out: Any) -> int:
    tokens: Tensor = of["src"]
    width: int = of["embed_dim"]
    weights: list[Tensor] = [of[name] for name in ("qkv_weight", "proj_weight", "ffn_weight_1", "ffn_weight_2")]
    projected = 2 * (tokens.numel() // width) * sum(weight.numel() for weight in weights)
    return projected + 4 * width * _pairs(tokens, tokens)


def _pairs(query: Tensor, key: Tensor) -> int:
    """Pairs of tokens that meet in attention. On a CPU nested sequences are padded for it to the longest one."""
    lengths, others = _lengths(query), _lengths(key)
    if query.device.type == "cpu":
        return len(lengths) * max(lengths, default=0) * max(others, default=0)
    return sum(length * other for length, other in zip(lengths, others, strict=True))


def _lengths(sequences: Tensor) -> list[int]:
    if sequences.is_nested:
        return [length for length, *_ in sequences._nested_tensor_size().tolist()]
    batch, length, _ = sequences.shape
    return [length] * batch


# -- recurrent layers ---------------------------------------------------------------------------------------------


@_counts("mkldnn_rnn_layer")
def _onednn_layer(of: Arguments, out: Any) -> int:
    """One layer, in one direction."""
    return 2 * _steps(of["input"]) * _numel(of["weight0"], of["weight1"])


@_counts("mkldnn_rnn_layer_backward")
def _onednn_layer_backward(of: Arguments, out: Any) -> int:
    """Gradients are counted where somebody needs them: not of what a first layer is given, in most models."""
    inputs: Tensor = of["input"]
    of_input: Tensor = of["weight1"]
    of_state: Tensor = of["weight2"]
    needed = [of_state] + [of_input] * inputs.requires_grad
    needed += [weight for weight in (of_input, of_state) if weight.requires_grad]
    return 2 * _steps(inputs) * _numel(*needed)


@_counts("_cudnn_rnn", "miopen_rnn")
def _layers(of: Arguments, out: Any) -> int:
    return 2 * _steps(of["input"]) * _numel(*_matrices(of["weight"]))


@_counts("_cudnn_rnn_backward", "miopen_rnn_backward")
def _layers_backward(of: Arguments, out: Any) -> int:
    of_input, *_, of_weights = of["output_mask"]
    needed = _matrices(of["weight"]) * (1 + of_weights)
    first = of["weight"][:: of["weight_stride0"]][: 1 + of["bidirectional"]]  # they meet the input
    return 2 * _steps(of["input"]) * (_numel(*needed) - (0 if of_input else _numel(*first)))


def _steps(sequences: Tensor) -> int:
    """Of all sequences together, padded or packed."""
    return prod(sequences.shape[:-1])


def _matrices(weights: Sequence[Tensor]) -> list[Tensor]:
    return [weight for weight in weights if weight.dim() > 1]


def _numel(*tensors: Tensor) -> int:
    return sum(tensor.numel() for tensor in tensors)
