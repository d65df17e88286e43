"""What one TensorFlow operation computes: formulas for products, convolutions and recurrent layers, from shapes alone.

Factorisations, solvers, Fourier transforms, quantised products and functions of Python have no formula here: they are
listed, so that a count which lacks them says so. So are operations that TensorFlow does not bring. `Operation` stands
for ``tf.Operation``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from math import prod
from types import MappingProxyType
from typing import Any

Operation = Any

_OPAQUE = re.compile(
    r"FFT|Cholesky|Eig|Svd|^(Lu|Qr)$|Solve|Tridiagonal|Matrix(Determinant|Exponential|Inverse|Logarithm|SquareRoot)"
    r"|MatMul|Matmul|Conv\dD|Conv2d|Convolution|Dot|PyFunc|TPUReplicateMetadata",
)
# TensorFlow's own that it offers to nobody by name: what its graphs are made of.
_FREE = re.compile(
    r"^_(Arg|Retval|DeviceArg|DeviceRetval|Send|Recv|HostSend|HostRecv|EagerConst)$|^Xla(Sharding|Replica)"
)
_GATES = MappingProxyType({"lstm": 4, "gru": 3, "rnn_relu": 1, "rnn_tanh": 1})


class UnknownSize(Exception):
    """A size that an operation's count depends on is not known before it runs."""


@cache
def free(name: str) -> bool:
    """Whether an operation is one of TensorFlow's own that count nothing: elementwise, random, moving data."""
    import tensorflow as tf

    return not _OPAQUE.search(name) and (hasattr(tf.raw_ops, name) or _FREE.search(name) is not None)


def matmul(operation: Operation) -> int:
    """Multiply-adds of a product of matrices, batched or not: each element of the result sums over the inner size."""
    attributes = operation.node_def.attr
    across = attributes["transpose_a"].b or attributes["adj_x"].b
    return prod(_result(operation, 0)) * _operand(operation, 0)[-2 if across else -1]


def sparse_dense(operation: Operation) -> int:
    """Multiply-adds of a sparse matrix, given as indices (n, 2) and values, and a dense one."""
    entries, dense = _operand(operation, 0)[0], _operand(operation, 3)
    return entries * dense[0 if operation.get_attr("adjoint_b") else 1]


def einsum(operation: Operation) -> int:
    """Multiply-adds of a product of two: every letter's size; what one of them sums over by itself comes first."""
    if len(operation.inputs) != 2:
        return 0
    terms, _, result = operation.get_attr("equation").decode().replace(" ", "").partition("->")
    letters = [each.replace("...", "") for each in terms.split(",")]
    sizes: dict[str, int] = {}
    for index, own in enumerate(letters):
        shape = _operand(operation, index)
        before = terms.split(",")[index].partition("...")[0]
        spread = len(shape) - len(own)  # dimensions that an ellipsis stands for
        named = shape[: len(before)] + shape[len(before) + spread :] if spread else shape
        for letter, size in zip(own, named, strict=True):
            if letter in result or all(letter in each for each in letters):
                sizes[letter] = max(size, sizes.get(letter, 1))
    if "..." not in result:
        return prod(sizes.values())
    wide = _result(operation, 0)
    before, _, after = result.partition("...")
    return prod(sizes.values()) * prod(wide[len(before) : len(wide) - len(after)])


def conv(operation: Operation) -> int:
    """Multiply-adds of a convolution with taps (…, inputs of a group, outputs): output positions × taps."""
    taps = _operand(operation, 1)
    packed = operation.node_def.attr["data_format"].s == b"NCHW_VECT_C"  # taps come as (outputs, …)
    return prod(_result(operation, 0)) * prod(taps[1:] if packed else taps[:-1])


def conv_to_input(operation: Operation) -> int:
    """Multiply-adds of a convolution's gradient for its input, which is the transposed convolution."""
    return prod(_operand(operation, 2)) * prod(_operand(operation, 1)[:-1])


def conv_to_taps(operation: Operation) -> int:
    """Multiply-adds of a convolution's gradient for its taps."""
    return prod(_operand(operation, 2)) * prod(_result(operation, 0)[:-1])


def depthwise(operation: Operation) -> int:
    """Multiply-adds of a convolution of each channel with taps (height, width, channels, outputs of each)."""
    return prod(_result(operation, 0)) * prod(_operand(operation, 1)[:2])


def depthwise_to_input(operation: Operation) -> int:
    """Multiply-adds of its gradient for its input."""
    return prod(_operand(operation, 2)) * prod(_operand(operation, 1)[:2])


def depthwise_to_taps(operation: Operation) -> int:
    """Multiply-adds of its gradient for its taps."""
    return prod(_operand(operation, 2)) * prod(_result(operation, 0)[:2])


def cudnn_rnn(operation: Operation) -> int:
    """Multiply-adds of cuDNN's recurrent layers: each gate multiplies the input and the state, at every step.

    Input (time, batch, features) or (batch, time, features); states (layers × directions, batch, units).
    """
    (rows, first), (stacked, units, out) = _cudnn_input(operation), _cudnn_state(operation)
    directions = 2 if operation.get_attr("direction") == b"bidirectional" else 1
    gates = _GATES[operation.get_attr("rnn_mode").decode()]
    later = stacked // directions - 1
    states = stacked * (gates * units * out + (units * out if out != units else 0))
    return rows * (directions * gates * units * (first + later * directions * out) + states)


def cudnn_rnn_input(operation: Operation) -> int:
    """Those of them that the input takes part in."""
    (rows, first), (_, units, _) = _cudnn_input(operation), _cudnn_state(operation)
    directions = 2 if operation.get_attr("direction") == b"bidirectional" else 1
    return rows * directions * _GATES[operation.get_attr("rnn_mode").decode()] * units * first


def _cudnn_input(operation: Operation) -> tuple[int, int]:
    """Rows of the input, and features that are multiplied: none where it skips the first layer's product."""
    *rows, features = _operand(operation, 0)
    return prod(rows), 0 if operation.get_attr("input_mode") == b"skip_input" else features


def _cudnn_state(operation: Operation) -> tuple[int, int, int]:
    """Layers × directions, units, and the size of what is passed on, which a projection makes smaller."""
    stacked, _, out = _operand(operation, 1)
    return stacked, _operand(operation, 2)[-1] if operation.node_def.attr["num_proj"].i else out, out


def block_lstm(operation: Operation) -> int:
    """Multiply-adds of a fused LSTM layer: input (time, batch, features), weights (features + units, 4 × units)."""
    return prod(_operand(operation, 1)[:-1]) * prod(_operand(operation, 4))


def block_lstm_input(operation: Operation) -> int:
    """Those of them that the input takes part in."""
    return prod(_operand(operation, 1)) * _operand(operation, 4)[-1]


def lstm_cell(operation: Operation) -> int:
    """Multiply-adds of one step of a fused LSTM: input (batch, features)."""
    return _operand(operation, 0)[0] * prod(_operand(operation, 3))


def gru_cell(operation: Operation) -> int:
    """Multiply-adds of one step of a fused GRU, either way: the weights of two gates, and of the candidate."""
    return _operand(operation, 0)[0] * (prod(_operand(operation, 2)) + prod(_operand(operation, 3)))


def twice(formula: Callable[[Operation], int]) -> Callable[[Operation], int]:
    """The formula of a gradient that multiplies as its layer does, once for the inputs and once for the weights."""
    return lambda operation: 2 * formula(operation)


FORMULAS: Mapping[str, Callable[[Operation], int]] = MappingProxyType(
    {
        **dict.fromkeys(["MatMul", "SparseMatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"], matmul),
        "_FusedMatMul": matmul,
        "SparseTensorDenseMatMul": sparse_dense,
        "Einsum": einsum,
        **dict.fromkeys(["Conv", "Conv2D", "Conv3D", "_FusedConv2D", "_FusedConv3D"], conv),
        **dict.fromkeys(["Conv2DBackpropInput", "Conv3DBackpropInput", "Conv3DBackpropInputV2"], conv_to_input),
        **dict.fromkeys(["Conv2DBackpropFilter", "Conv3DBackpropFilter", "Conv3DBackpropFilterV2"], conv_to_taps),
        "DepthwiseConv2dNative": depthwise,
        "_FusedDepthwiseConv2dNative": depthwise,
        "DepthwiseConv2dNativeBackpropInput": depthwise_to_input,
        "DepthwiseConv2dNativeBackpropFilter": depthwise_to_taps,
        **dict.fromkeys(["CudnnRNN", "CudnnRNNV2", "CudnnRNNV3"], cudnn_rnn),
        **dict.fromkeys(["CudnnRNNBackprop", "CudnnRNNBackpropV2", "CudnnRNNBackpropV3"], twice(cudnn_rnn)),
        **dict.fromkeys(["BlockLSTM", "BlockLSTMV2"], block_lstm),
        **dict.fromkeys(["BlockLSTMGrad", "BlockLSTMGradV2"], twice(block_lstm)),
        "LSTMBlockCell": lstm_cell,
        **dict.fromkeys(["GRUBlockCell", "GRUBlockCellGrad"], gru_cell),
    }
)
"""Multiply-adds, by the name of the operation."""

_NEEDLESS: Mapping[str, tuple[int, Callable[[Operation], int]]] = MappingProxyType(
    {
        **dict.fromkeys(["CudnnRNNBackprop", "CudnnRNNBackpropV2", "CudnnRNNBackpropV3"], (0, cudnn_rnn_input)),
        **dict.fromkeys(["BlockLSTMGrad", "BlockLSTMGradV2"], (0, block_lstm_input)),
    }
)
"""Which result of a fused layer takes multiply-adds of its own: they count where somebody uses it."""


def flops(operation: Operation, used: set[int]) -> int:
    """Floating-point operations: two for a multiply-add, eight for a complex one.

    Args:
        operation: one with a formula.
        used: which of its results are needed.

    Raises:
        UnknownSize: a size that counts is known to nobody yet.
    """
    pairs = FORMULAS[operation.type](operation)
    result, own = _NEEDLESS.get(operation.type, (0, None))
    if own is not None and result not in used:
        pairs -= own(operation)
    return pairs * (8 if _multiplied(operation).is_complex else 2)


def computes_in(operation: Operation, platform: str) -> str:
    """The type that an operation multiplies in, which for float32 depends on the device.

    TensorFlow multiplies float32 in TF32 on GPUs that have it unless told otherwise
    (``tf.config.experimental.enable_tensor_float_32_execution``), and in bfloat16 on TPUs.

    Args:
        operation: one with a formula.
        platform: ``CPU``, ``GPU`` or ``TPU``.
    """
    import tensorflow as tf

    kind = str(_multiplied(operation).real_dtype.name)
    if kind != "float32":
        return kind
    if platform == "GPU" and tf.config.experimental.tensor_float_32_execution_enabled():
        return "tf32"
    return "bfloat16" if platform == "TPU" else kind


def _multiplied(operation: Operation) -> Any:
    """The type of what is multiplied: a gradient's first operand may be sizes, a sparse matrix's its indices."""
    return next(
        (each.dtype for each in reversed(operation.inputs) if each.dtype.is_floating or each.dtype.is_complex),
        operation.inputs[0].dtype,
    )


def _operand(operation: Operation, index: int) -> list[int]:
    return _known(operation.inputs[index].shape)


def _result(operation: Operation, index: int) -> list[int]:
    return _known(operation.outputs[index].shape)


def _known(shape: Any) -> list[int]:
    if not shape.is_fully_defined():
        raise UnknownSize
    return list(shape.as_list())
