"""FLOPs: one file per way of counting, found through the entry point group ``joulegram.flops``.

The convention is that of the field: a multiply-add is two floating-point operations, and what counts are matrix
products, convolutions, attention and recurrent layers. Elementwise operations, normalisation, softmax, look-ups and
optimizers count nothing. What is recomputed (activation checkpointing) counts again: it is work that was done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar


class Uncountable(Exception):
    """A step that cannot be counted in this way; the message says why."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one module of a model, with all that is inside of it, has of a step.

    Args:
        path: the class of the outermost module, and the attributes from there on.
        kind: its class.
        flops: floating-point operations, forward and backward.
        share: of those of the step, 0 to 1.
        time_share: its share of the time in operations, 0 to 1.
    """

    path: str
    kind: str
    flops: int
    share: float
    time_share: float


@dataclass(frozen=True, slots=True)
class Count:
    """What one step computes.

    Args:
        flops: floating-point operations.
        backward: those of them in the backward pass, where that is known.
        how: in words, how they were counted.
        unknown: operations that have no formula, with how often they were called; `flops` is then a lower bound.
        dtype: what most of the operations compute in (``float32``, ``bfloat16``, …); None for none.
        device: what they ran on, by its product name where it has one (``NVIDIA H100 80GB HBM3``), else its kind
            (``cpu``); None for none.
        devices: on how many of these.
        overhead_s: time that counting itself took (s).
        layers: what each module has of it, in the order in which they contain each other; of counters that tell.
    """

    flops: int
    how: str
    backward: int = 0
    unknown: Mapping[str, int] = field(default_factory=dict)
    dtype: str | None = None
    device: str | None = None
    devices: int = 1
    overhead_s: float = 0.0
    layers: tuple[Layer, ...] = ()


class Tally(ABC):
    """A count under way."""

    @property
    @abstractmethod
    def flops(self) -> int:
        """Operations so far."""

    @abstractmethod
    def count(self) -> Count:
        """All that was counted, once it is over."""


class FlopCounter(ABC):
    """One way of counting. Made once for each run; loads its framework only when it counts.

    Attributes:
        caution: what somebody who chose it should know; empty where there is nothing.
    """

    caution: ClassVar[str] = ""

    def context(self, step: Callable[..., Any]) -> Hashable:
        """What decides, besides its inputs, what a step computes: training or not, gradients, precision, frozen layers.

        Asked when a loop begins, and for each call of a step that no loop is known of.
        """
        del step
        return None

    @abstractmethod
    def obstacle(self, step: Callable[..., Any]) -> str | None:
        """Why a step cannot be counted while it runs; None where it can.

        It can where the same operations run, with the same results, as without counting. The modules that take part are
        what the step is bound to, what it closes over and, for a module, itself.
        """

    @abstractmethod
    def counting(self, step: Callable[..., Any]) -> AbstractContextManager[Tally]:
        """Counts what runs inside of it, the backward pass included.

        Args:
            step: what is called inside.

        Raises:
            Uncountable: this way of counting does not work on what runs.
        """

    @abstractmethod
    def count(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Count:
        """Counts a step without running it, on values that have shapes and types but no content.

        What the step is given, the modules that it is bound to or that it closes over, and the state of every
        generator of random numbers are as before.

        Raises:
            Uncountable: the step depends on what its values are, or on what has no such stand-in.
        """
