"""What the edges of spans and the marks of phases cost the thread that makes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from measure import Figure, seconds_of

import joulegram

BATCHES = 60
PER_BATCH = 200


def measure(full: bool) -> Iterator[Figure]:
    del full
    with joulegram.track("benchmark") as run:

        def spans() -> None:
            for _ in range(PER_BATCH):
                with run.span("request"):
                    pass

        def epochs() -> None:
            for index in range(PER_BATCH):
                with run.span("epoch", index=index):
                    pass

        def phases() -> None:
            for _ in range(PER_BATCH):
                run.phase("forward")
                run.phase("backward")

        time.sleep(0.3)
        yield Figure("a span's edge", _each_us(spans), "µs", 5.0, f"half of opening and closing, {PER_BATCH} in a row")
        yield Figure("an epoch's edge", _each_us(epochs), "µs", note="reads meters that take microseconds")
        yield Figure("a phase mark", _each_us(phases), "µs")


def _each_us(batch: Callable[[], None]) -> list[float]:
    """Microseconds for each of a batch's two operations, the sampler's work in between included."""
    times_us = []
    for _ in range(BATCHES):
        times_us.append(seconds_of(batch) / (2 * PER_BATCH) * 1e6)
        time.sleep(0.03)
    return times_us
