"""Pricing a million samples under an hourly intensity, and looking up a hundred thousand spans."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
from measure import Figure, seconds_of

from joulegram.curves.curve import Curve, Steps, price
from joulegram.units import NS_PER_S

SAMPLES, SPANS = 1_000_000, 100_000
PERIOD_NS = NS_PER_S // 20
REPEATS = 11


def measure(full: bool) -> Iterator[Figure]:
    del full
    generator = np.random.default_rng(0)
    times_ns = np.arange(SAMPLES, dtype=np.int64) * PERIOD_NS
    energy = Curve(times_ns, np.cumsum(generator.uniform(50, 400, SAMPLES)) / 20)
    hours = np.arange(0, SAMPLES * PERIOD_NS, 3600 * NS_PER_S, dtype=np.int64)
    intensity = Steps(hours, generator.uniform(20, 600, len(hours)))
    starts_ns = np.sort(generator.integers(0, times_ns[-1], SPANS))  # as a ledger lists them
    ends_ns = np.minimum(starts_ns + generator.integers(1, 600 * NS_PER_S, SPANS), times_ns[-1])

    def work() -> None:
        grams = price(energy, intensity)
        energy.over(starts_ns, ends_ns)
        energy.bounds(starts_ns, ends_ns)
        grams.over(starts_ns, ends_ns)

    times_s = [seconds_of(work) for _ in range(REPEATS)]
    tracemalloc.start()
    work()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    what = "pricing 1,000,000 samples × 100,000 spans"
    yield Figure(what, times_s, "s", 0.3, f"joules with bounds, and grams under {len(hours)} hourly steps")
    yield Figure(f"{what}: extra memory at the peak", [peak_bytes / 1e6], "MB", 200)
