"""A machine whose wall clock the test sets, and a grid behind a server that knows each half-hour of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hosts import Host

from joulegram.session.recorded import RecordedRun
from joulegram.units import J_PER_KWH, NS_PER_S

HALF_HOUR_S = 1800.0
BOUNDARY_S = 1_782_295_200.0
"""2026-06-24T10:00:00Z: one half-hour ends, the next begins."""


def set_wall(monkeypatch: pytest.MonkeyPatch, wall_s: float) -> Callable[[], float]:
    """From now on the wall clock of this process goes on from there; returns it."""
    ahead_ns = round(wall_s * NS_PER_S) - time.time_ns()

    def now_ns() -> int:
        return time.time_ns() + ahead_ns

    shown = SimpleNamespace(**{name: getattr(time, name) for name in dir(time) if not name.startswith("_")})
    shown.time_ns = now_ns
    monkeypatch.setattr("joulegram.host.clock.time", shown)
    return lambda: now_ns() / NS_PER_S


def half_hours(values: Mapping[float, float | None], forecast: float = 999.0) -> list[dict[str, Any]]:
    """Rows as NESO writes them: actual figures by start (s since 1970), None for those that are not known yet."""

    def text(time_s: float) -> str:
        return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%MZ")

    return [
        {
            "from": text(start_s),
            "to": text(start_s + HALF_HOUR_S),
            "intensity": {"forecast": forecast, "actual": actual, "index": "moderate"},
        }
        for start_s, actual in values.items()
    ]


def teach(server: Host, values: Mapping[float, float | None], forecast: float = 999.0) -> None:
    """The server knows these half-hours from now on."""
    server.body = {"data": half_hours(values, forecast)}


def integral_g(run: RecordedRun, values: Mapping[float, float]) -> float:
    """Grams of a run by hand: the joules of each half-hour times its intensity, with the run's PUE."""
    trace = run.pricer.trace
    grams = 0.0
    for start_s, g_per_kwh in values.items():
        edges = trace.timeline.mono_ns([start_s, start_s + HALF_HOUR_S]).clip(trace.start_ns, trace.end_ns)
        grams += float(run.pricer.energy.over(edges[:1], edges[1:])[0]) * g_per_kwh / J_PER_KWH
    return grams * run.book.pue.value
