"""The training that every program measures: it waits, epoch after epoch, by a plan that all of them are given.

    loop = Loop()
    …                                  set up the meter
    for epoch in loop.epochs():        begins on time
        start …
        with loop.window() as window:  what lies in here is what ought to be counted
            loop.train(epoch)
        window.energy_j["gpu"] = …
    loop.report(whole, epochs)

Runs in the rivals' own environments: it knows the standard library alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

SPIN_S = 0.002


class Window:
    """What one begin and one end of a meter enclose; a context manager that keeps its moments (s, monotonic)."""

    def __init__(self) -> None:
        self.energy_j: dict[str, float] = {}
        self.bounds_j: dict[str, tuple[float, float]] = {}
        self.start_s = self.end_s = self.wall_start_s = self.wall_end_s = 0.0

    def __enter__(self) -> Window:
        self.wall_start_s, self.start_s = time.time(), time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.end_s, self.wall_end_s = time.monotonic(), time.time()


class Loop:
    def __init__(self) -> None:
        self._plan_file = Path(sys.argv[1])
        plan = json.loads(self._plan_file.read_text())
        self._edges_s: list[float] = plan["edges_s"]
        self._ready_s = 0.0
        self._begun_s = 0.0

    @property
    def count(self) -> int:
        return len(self._edges_s) - 1

    def begin(self) -> None:
        """Waits for the first epoch: everything is set up."""
        self._ready_s = time.monotonic()
        _until(self._edges_s[0])
        self._begun_s = time.monotonic()

    def train(self, epoch: int) -> None:
        """One epoch."""
        _until(self._edges_s[epoch + 1])

    def report(self, whole: Window, epochs: list[Window]) -> None:
        """Hands in what was measured, and ends this process at once: some meters leave threads and children behind."""
        report = {
            "ready_s": self._ready_s,
            "late_s": self._begun_s - self._edges_s[0],
            "whole": vars(whole),
            "epochs": [vars(epoch) for epoch in epochs],
        }
        draft = self._plan_file.with_suffix(".draft")
        draft.write_text(json.dumps(report))
        draft.rename(self._plan_file.with_suffix(".report"))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _until(time_s: float) -> None:
    while (left_s := time_s - time.monotonic()) > 0:
        time.sleep(min(left_s - SPIN_S, 0.05) if left_s > 2 * SPIN_S else 0)
