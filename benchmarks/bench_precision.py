"""Whether a span's figures read the same from the live run, its journal and the sealed file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from measure import Figure

import joulegram

EPOCHS, REQUESTS = 4, 25


def measure(full: bool) -> Iterator[Figure]:
    del full
    spans = []
    with joulegram.track("benchmark", zone="DK", pue=1.2) as run:
        for index in range(EPOCHS):
            with run.span("epoch", index=index) as epoch:
                spans.append(epoch)
                for _ in range(REQUESTS):
                    with run.span("request") as request:
                        spans.append(request)
                        run.phase("forward")
                        _work(0.004)
                        run.phase("backward")
                        _work(0.006)
    live = {span.id: span.footprint().to_json() for span in spans}
    ledger = joulegram.open_ledger()
    stored = {span.id: span.footprint.to_json() for span in ledger.run(run.id).spans()}
    assert ledger.seal(run.id) == 1
    sealed = {span.id: span.footprint.to_json() for span in joulegram.open_ledger().run(run.id).spans()}
    assert set(live) <= set(stored) == set(sealed)
    for name, read in (("journal", stored), ("sealed file", sealed)):
        apart = [_apart(live[span], read[span]) for span in live]
        note = f"largest of {len(live)} spans: energy, carbon, bounds, phases"
        yield Figure(f"a span's figures, live and from the {name}: relative difference", [max(apart)], "", 1e-9, note)


def _work(seconds: float) -> None:
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        pass


def _apart(one: Any, other: Any) -> float:
    """Largest relative difference between the numbers of two documents of one shape; infinite for other shapes."""
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
        return max((_apart(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return max((_apart(a, b) for a, b in zip(one, other, strict=True)), default=0.0)
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) / max(abs(one), abs(other), 1e-12)
    return 0.0 if one == other else float("inf")
