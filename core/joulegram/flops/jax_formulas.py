"""What one JAX operation computes: formulas for matrix products, convolutions and attention, from shapes alone.

Factorisations, triangular solves, Fourier transforms and kernels that others wrote have no formula here: they are
listed, so that a count which lacks them says so. What JAX itself brings beside these counts nothing. `Operation` stands
for ``jax.extend.core.JaxprEqn``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import prod
from types import MappingProxyType
from typing import Any

Operation = Any

_OPAQUE = frozenset(
    {
        *("cholesky", "eig", "eigh", "fft", "hessenberg", "householder_product", "lu", "qr", "schur", "svd"),
        *("triangular_solve", "tridiagonal", "tridiagonal_solve"),
        *("core_map", "mpmd_map", "pallas_call"),  # they hold a jaxpr: of one block of their grid
    }
)
# JAX's own that its list of primitives does not name, up to 0.10: collectives, random numbers, references, layouts.
_FREE_FAMILIES = (
    *("all_gather", "all_to_all", "debug_", "pbroadcast", "philox", "ppermute", "preduced", "prng_", "psum", "random_"),
    *("reduce_scatter", "reduced_", "scatter", "threefry", "unreduced_", "vary_"),
)
_FREE = frozenset(
    {
        *("accum_grad_in_ref", "addupdate", "broadcast_to", "dce_sink", "delay", "dim_as_value", "dimension_size"),
        *("empty", "empty_ref", "free_ref", "freeze", "from_edtype", "get", "inspect_sharding", "iota_2x32_shape"),
        *("layout_constraint", "lu_pivots_to_permutation", "mulhi", "multiple_of", "mutable_array", "name", "new_ref"),
        *(
            "optimization_barrier",
            "pgather",
            "pin",
            "platform_index",
            "precv",
            "psend",
            "pvary",
            "reciprocal",
            "repeat",
        ),
        *("reshard", "roll", "shape_assertion", "split", "stack", "swap", "tie", "tile", "to_edtype", "unpin"),
        *("unstack", "with_memory_space_constraint", "zeros_like"),
    }
)


def opaque(name: str) -> bool:
    """Whether an operation may compute much that no formula tells."""
    return name in _OPAQUE


def free(name: str) -> bool:
    """Whether an operation is one of JAX's own that count nothing: elementwise, random, moving data."""
    return name in _FREE or name in _jax_own() or name.startswith(_FREE_FAMILIES)


@cache
def _jax_own() -> frozenset[str]:
    from jax.extend.core import Primitive, primitives

    return frozenset(each.name for each in vars(primitives).values() if isinstance(each, Primitive)) - _OPAQUE


def dot(operation: Operation) -> int:
    """Multiply-adds of a product of matrices, batched or ragged: each element on the left meets the free ones right.

    Rows of a ragged product that are in no group are counted too.
    """
    numbers = operation.params.get("ragged_dot_dimension_numbers")
    groups: Sequence[int] = () if numbers is None else numbers.rhs_group_dimensions
    dimensions = operation.params["dimension_numbers"] if numbers is None else numbers.dot_dimension_numbers
    (_, contracted), (_, batched) = dimensions
    left, right = _shape(operation, 0), _shape(operation, 1)
    met = {*contracted, *batched, *groups}
    return prod(left) * prod(size for axis, size in enumerate(right) if axis not in met)


def ragged_dot(operation: Operation) -> int:
    """Multiply-adds of rows (m, k) with the matrix of their group, of (groups, k, n): as JAX had it before 0.5."""
    return prod(_shape(operation, 0)) * _shape(operation, 1)[-1]


def conv(operation: Operation) -> int:
    """Multiply-adds of a convolution, of its transpose, or of either's gradients.

    The textbook's count: output positions × taps, those that fall on padding too; for a transposed one, input positions
    × taps. Along each axis two of the three sizes (input, taps, output) say how often one meets another. A gradient is
    a convolution with these in other roles, and which two they are shows in the sizes. So a gradient counts what its
    forward pass does, unless the image is smaller than the kernel or the padding more than the taps reach over it.
    """
    numbers = operation.params["dimension_numbers"]
    left, right, out = _shape(operation, 0), _shape(operation, 1), _shape(operation, 2)
    pairs = 1
    for axis, dilation in enumerate(operation.params["lhs_dilation"], start=2):
        given, taps, made = left[numbers.lhs_spec[axis]], right[numbers.rhs_spec[axis]], out[numbers.out_spec[axis]]
        pairs *= min(given, made) * taps if dilation == 1 else given * min(taps, made)
    features = right[numbers.rhs_spec[0]] * right[numbers.rhs_spec[1]]  # out × in, of one group
    return int(out[numbers.out_spec[0]] * features * pairs)


def attention(products: int) -> Callable[[Operation], int]:
    """Multiply-adds of cuDNN's fused attention, which multiplies queries and keys, or their like, `products` times.

    Masks spare nothing in this count, as where the products are written out.
    """

    def formula(operation: Operation) -> int:
        query, key = _shape(operation, 0), _shape(operation, 1)
        heads_first = operation.params["layout"] == 1  # else batch, time, heads, features
        return products * prod(query) * key[2 if heads_first else 1]

    return formula


FORMULAS: Mapping[str, Callable[[Operation], int]] = MappingProxyType(
    {
        "dot_general": dot,
        "scaled_dot": dot,
        "ragged_dot_general": dot,
        "ragged_dot": ragged_dot,
        "conv_general_dilated": conv,
        "dot_product_attention_fwd_wrapper": attention(2),
        "dot_product_attention_fp8_fwd_wrapper": attention(2),
        # Backward, the scores are computed again before the four products of the gradients.
        "dot_product_attention_bwd_wrapper": attention(5),
        "dot_product_attention_fp8_bwd_wrapper": attention(5),
    }
)
"""Multiply-adds, by the name of the operation."""


def _shape(operation: Operation, index: int) -> tuple[int, ...]:
    """Of an operand; after two operands, of the result."""
    values = (*operation.invars[:2], *operation.outvars)
    return tuple(values[index].aval.shape)


_ALGORITHMS = MappingProxyType(
    {"BF16": "bfloat16", "F16": "float16", "TF32": "tf32", "F32": "float32", "F64": "float64"}
)
_REAL = MappingProxyType({"complex64": "float32", "complex128": "float64"})


def flops(operation: Operation) -> int:
    """Floating-point operations: two for a multiply-add, eight for a complex one."""
    return FORMULAS[operation.primitive.name](operation) * (8 if _type(operation) in _REAL else 2)


def computes_in(operation: Operation, platform: str) -> str:
    """The type that an operation multiplies in, which for float32 depends on its precision and on the device.

    By default float32 is multiplied in TF32 on GPUs that have it, in bfloat16 on TPUs (the documentation of
    ``jax.lax.Precision``); several passes that make up for it (``HIGHEST``, ``BF16_BF16_F32_X3``) count as float32.

    Args:
        operation: one with a formula.
        platform: ``cpu``, ``gpu`` or ``tpu``.
    """
    kind = _REAL.get(_type(operation), _type(operation))
    precision = operation.params.get("precision")
    chosen = {getattr(each, "name", "") for each in (precision if isinstance(precision, tuple) else (precision,))}
    algorithm = next(iter(chosen))
    if "_" in algorithm:
        return kind if "_X" in algorithm else _ALGORITHMS.get(algorithm.partition("_")[0], kind)
    if kind != "float32" or "HIGHEST" in chosen:
        return kind
    if platform == "gpu":
        return "tf32"
    return "bfloat16" if platform == "tpu" and "HIGH" not in chosen else kind


def _type(operation: Operation) -> str:
    return str(operation.invars[0].aval.dtype)
