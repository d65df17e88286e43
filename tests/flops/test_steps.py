"""Kinds of steps: told apart by what decides their FLOPs, and scaled within bounds where there are too many."""

from __future__ import annotations

from collections import UserDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.flops.steps import bucket, in_words, scale, signature


@dataclass
class Batch:
    x: Any
    y: Any


def test_shapes_and_types_tell_steps_apart_and_values_do_not() -> None:
    ones, zeros = np.ones((2, 3)), np.zeros((2, 3))
    assert signature((ones, 5)) == signature((zeros, 7))
    assert signature(ones) != signature(np.ones((3, 2)))
    assert signature(ones) != signature(np.ones((2, 3), np.float32))
    assert signature({"a": ones}) != signature({"b": ones})


def test_arrays_are_found_in_whatever_holds_them() -> None:
    batch = {"text": [np.ones((2, 7)), UserDict(mask=np.ones((2, 7), bool))], "meta": Batch(np.ones(4), None)}
    assert in_words(signature(batch)) == "2×7 float64, 2×7 bool, 4 float64"
    assert in_words(signature(("a", 3, None))) == "no arrays"
    hash(signature(batch))


def test_a_signature_is_short_whatever_it_is_of() -> None:
    assert signature("a" * 10**6) is str
    assert signature(test_arrays_are_found_in_whatever_holds_them) is type(test_arrays_are_found_in_whatever_holds_them)


sizes = st.integers(1, 5000)


@given(sizes, sizes, st.integers(0, 2), st.integers(0, 2))
def test_the_flops_of_another_size_in_a_bucket_lie_within_the_bounds(
    batch: int, length: int, linear: int, square: int
) -> None:
    """A step's FLOPs grow with a size at most by its square, and never fall: as matrix products and attention do."""

    def work(shape: tuple[int, int]) -> float:
        return shape[0] * (1.0 + linear * shape[1] + square * shape[1] ** 2)

    counted = (batch, length)
    for other in [(batch + 1, length), (batch, length + 1), (batch, length + length // 9)]:
        one, another = signature(np.empty(counted, "V0")), signature(np.empty(other, "V0"))
        if bucket(one) != bucket(another):
            continue
        best, least, most = scale(one, another)
        assert least <= best <= most
        ratio = work(other) / work(counted)
        assert least * (1 - 1e-9) <= ratio <= most * (1 + 1e-9)


@given(sizes)
def test_sizes_in_a_bucket_differ_by_a_quarter_at_most(size: int) -> None:
    (lowest,), _ = bucket(signature(np.empty((size,), "V0")))
    assert lowest <= size < max(lowest * 1.25, lowest + 1)


def test_the_same_shapes_scale_by_nothing() -> None:
    one = signature((np.ones((3, 4)), 5))
    assert scale(one, one) == (1.0, 1.0, 1.0)


def test_what_an_object_keeps_in_slots_tells_steps_apart_too() -> None:
    @dataclass(slots=True)
    class Slotted:
        x: np.ndarray

    assert signature(Slotted(np.ones(2))) != signature(Slotted(np.ones(3)))
    assert signature(Slotted(np.ones(2))) == signature(Slotted(np.zeros(2)))


def test_inputs_that_hold_themselves_end_long_before_the_stack_does() -> None:
    class Node:
        def __init__(self) -> None:
            self.parent = self

    with pytest.raises(RecursionError, match="hold themselves"):
        signature(Node())
