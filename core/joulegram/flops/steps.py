"""Steps repeat: each kind is counted once, by its signature, and looked up from then on.

A signature is the shapes and types of what a step is given. Where these keep changing (text of any length), only the
first `MOST_EXACT` are counted one by one. Later ones share a bucket with those whose sizes agree to three binary
digits: one of a bucket is counted, and the others are scaled by their number of elements, between bounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, repeat
from math import prod
from typing import Any

MOST_EXACT = 64
"""Signatures counted one by one, for each run and loop."""
MOST_BUCKETS = 256
"""Buckets counted after that; steps that would need one more are not counted."""
DEEPEST = 32
"""Values in values that are looked into."""
DIGITS = 3
"""Binary digits to which sizes in a bucket agree: to an eighth."""
_PLAIN = frozenset({int, float, bool, str, type(None)})

Signature = Any
"""Hashable: pairs of a shape and a type, in tuples as nested as the values are."""


def signature(value: Any, depth: int = 0) -> Signature:
    """Shapes and types of a value and of what it holds; plain values by their type alone.

    Args:
        value: any.
        depth: in how many others it is.

    Raises:
        RecursionError: it holds itself, or is more than `DEEPEST` deep.
    """
    if depth > DEEPEST:  # not left to Python, whose own limit may have been raised beyond what its stack bears
        raise RecursionError(f"the inputs hold themselves, or others more than {DEEPEST} deep")
    kind = type(value)
    if kind is tuple or kind is list:
        return tuple(map(signature, value, repeat(depth + 1)))
    if kind is dict:
        return tuple(value), tuple(map(signature, value.values(), repeat(depth + 1)))
    if kind in _PLAIN:
        return kind
    try:  # asked for in every step: quicker than to look whether they are there
        shape, dtype = value.shape, value.dtype
    except AttributeError:
        return _inside(value, depth)
    if not isinstance(shape, tuple) and isinstance(shape, Iterable):  # TensorFlow's
        shape = tuple(shape)
    return shape, dtype


def _inside(value: Any, depth: int) -> Signature:
    if isinstance(value, Mapping):
        return signature(dict(value), depth)
    if isinstance(value, list | tuple):
        return signature(tuple(value), depth)
    if isinstance(value, type) or callable(value):
        return type(value)
    held = {**dict(_slots(value)), **getattr(value, "__dict__", {})}
    return (type(value), signature(held, depth)) if held else type(value)


def _slots(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object keeps by ``__slots__``, of its class and those that it is made from."""
    for kind in type(value).__mro__:
        names = kind.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if hasattr(value, name):
                yield name, getattr(value, name)


def in_words(inputs: Signature) -> str:
    """A signature for people: ``32×3×224×224 float32, 32 int64``."""
    words = [f"{'×'.join(map(str, shape)) or 'scalar'} {_short(dtype)}" for shape, dtype in _arrays(inputs)]
    return ", ".join(words) or "no arrays"


def bucket(inputs: Signature) -> Signature:
    """The signature that all of a bucket share: every size rounded down to `DIGITS` binary digits."""
    if _is_array(inputs):
        shape, dtype = inputs
        return tuple(map(_rounded, shape)), dtype
    return tuple([bucket(entry) for entry in inputs]) if isinstance(inputs, tuple) else inputs


def scale(counted: Signature, other: Signature) -> tuple[float, float, float]:
    """How many times the FLOPs of a counted signature another one of its bucket has: at best guess, least and most.

    By the number of elements; at least, and at most, by the square of each size that is smaller, or greater (attention
    grows with the square of a sequence, a batch alone).
    """
    best, least, most = 1.0, 1.0, 1.0
    elements = [prod(shape) for shape, _ in _arrays(counted)]
    others = [prod(shape) for shape, _ in _arrays(other)]
    if sum(elements):
        best = sum(others) / sum(elements)
    ratios = {
        (size, another)
        for (shape, _), (another_shape, _) in zip(_arrays(counted), _arrays(other), strict=True)
        for size, another in zip(shape, another_shape, strict=True)
        if size != another and size
    }
    for size, another in ratios:  # a size that several arrays share counts once
        least *= min(1.0, another / size) ** 2
        most *= max(1.0, another / size) ** 2
    return min(max(best, least), most), least, most


def _rounded(size: int) -> int:
    spare = max(0, size.bit_length() - DIGITS)
    return size >> spare << spare


def _is_array(inputs: Signature) -> bool:
    return (
        isinstance(inputs, tuple)
        and len(inputs) == 2
        and isinstance(inputs[0], tuple)
        and all(isinstance(size, int) for size in inputs[0])
        and not isinstance(inputs[1], tuple)
    )


def _arrays(inputs: Signature) -> Iterator[tuple[tuple[int, ...], Any]]:
    if _is_array(inputs):
        yield inputs
    elif isinstance(inputs, tuple):
        yield from chain.from_iterable(map(_arrays, inputs))


def _short(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.").removeprefix("<dtype: '").removesuffix("'>")
