"""FLOPs by PyTorch's own profiler: a second opinion on what `torch_dispatch` counts.

It has formulas for matrix products and plain 2-d convolutions; those without are told as unknown. It needs no dispatch
mode, so compiled code runs as ever, and what its fused kernels hold goes unseen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from joulegram.flops import Count, FlopCounter, Tally, Uncountable
from joulegram.flops.torch_formulas import is_matrix_work

_ELEMENTWISE = frozenset({"aten::mul", "aten::add"})
"""The profiler counts these too; by the field's convention they are nothing."""


class _ProfilerTally(Tally):
    """Knows nothing before it is over: a profile is worked out as a whole."""

    def __init__(self) -> None:
        self._events: list[FunctionEvent] = []
        self.overhead_s = 0.0

    @property
    def flops(self) -> int:
        """Operations, once the profile is over."""
        return sum(map(_flops, self._events))

    def take(self, profiler: profile) -> None:
        self._events = list(profiler.events() or ())  # type: ignore[no-untyped-call]

    def count(self) -> Count:
        return Count(
            self.flops,
            "torch.profiler",
            unknown=dict(Counter(event.name for event in self._events if _is_missed(event))),
            overhead_s=self.overhead_s,
        )


class ProfilerCounter(FlopCounter):
    """Counts by `torch.profiler`, while a step runs."""

    def obstacle(self, step: Callable[..., Any]) -> str | None:
        """There is none: nothing runs otherwise than it would."""
        return None

    @contextmanager
    def counting(self, step: Callable[..., Any]) -> Iterator[Tally]:
        """Counts what runs inside of it; a phase of it cannot be told apart."""
        tally = _ProfilerTally()
        started_s = perf_counter()
        profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True, with_flops=True)
        profiler.start()
        tally.overhead_s += perf_counter() - started_s
        try:
            yield tally
        finally:
            ended_s = perf_counter()
            profiler.stop()
            tally.take(profiler)
            tally.overhead_s += perf_counter() - ended_s

    def count(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Count:
        """Never.

        Raises:
            Uncountable: a profiler sees what runs.
        """
        raise Uncountable("torch.profiler counts only what runs")


def _flops(event: FunctionEvent) -> int:
    return 0 if event.name in _ELEMENTWISE else event.flops or 0


def _is_missed(event: FunctionEvent) -> bool:
    """The outermost of operators that do what matrix products do where none of them has FLOPs."""
    if not is_matrix_work(event.name) or _flops(event):
        return False
    if any(is_matrix_work(above.name) or _flops(above) for above in _above(event)):
        return False
    return not any(map(_flops, _below(event)))


def _above(event: FunctionEvent) -> Iterator[FunctionEvent]:
    parent = event.cpu_parent
    while parent is not None:
        yield parent
        parent = parent.cpu_parent


def _below(event: FunctionEvent) -> Iterable[FunctionEvent]:
    for child in event.cpu_children:
        yield child
        yield from _below(child)
