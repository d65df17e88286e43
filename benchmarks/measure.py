"""What benchmarks share: a figure with its target, medians of repeats, fresh interpreters."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing.

    Args:
        what: what was measured, in words.
        values: one value for each repeat.
        unit: of the values; empty for ratios.
        most: the target, a value not to be passed; None for what is only reported.
        note: what a reader should know of it.
    """

    what: str
    values: Sequence[float]
    unit: str
    most: float | None = None
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """Quartiles of the repeats."""
        if len(self.values) < 2:
            return self.values[0], self.values[0]
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high

    @property
    def verdict(self) -> str:
        if self.most is None:
            return ""
        return "ok" if self.median <= self.most else "over"

    def to_json(self) -> dict[str, Any]:
        low, high = self.spread
        return {
            "what": self.what,
            "unit": self.unit,
            "target": self.most,
            "median": self.median,
            "quartiles": [low, high],
            "repeats": len(self.values),
            "verdict": self.verdict,
            "note": self.note,
        }


def seconds_of(work: Callable[[], Any]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def in_fresh_python(code: str, *arguments: str) -> Any:
    """Runs code in an interpreter of its own; what it printed last, read as JSON."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def mean_interval_95(differences: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of paired differences, by Student's t (without scipy: Hill's expansion suffices)."""
    n = len(differences)
    z, degrees = 1.959964, n - 1
    # Cornish-Fisher expansion of the t quantile in 1/degrees; Abramowitz & Stegun 26.7.5.
    t = z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    half = t * statistics.stdev(differences) / n**0.5
    mean = statistics.fmean(differences)
    return mean - half, mean + half
