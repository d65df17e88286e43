"""A run as plain data: what `--json` prints and what the views render. The schema only grows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from joulegram.curves.curve import Times
from joulegram.curves.trace import ChannelTrace, Trace
from joulegram.pricing import Footprint
from joulegram.records import Header, Lineage, PriceBook, StepCount
from joulegram.session.served import served_part
from joulegram.units import NS_PER_S

if TYPE_CHECKING:
    from joulegram.session.live import Run
    from joulegram.session.recorded import RecordedRun, RecordedSpan

SCHEMA_VERSION = 1
POWER_POINTS = 1_000
"""Most steps of a power trace: as many as a page can show."""
SHORTEST_S = 0.05
"""Shortest step of a power trace: over less than that a quotient of joules and seconds is noise."""


def iso_utc(wall_s: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """What was kept with a run or a span as JSON can hold it: a number that is none (NaN, infinity) as its name."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def describe(run: RecordedRun) -> dict[str, Any]:
    """A recorded run as the document that every view renders."""
    footprint = run.footprint()
    cpu_s, wakeups = run.recorder_cost()
    hours = run.stored.served()
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run_part(run),
        "footprint": footprint.to_json(),
        "channels": [channel.to_json() for channel in footprint.channels],
        "spans": [span_part(span) for span in run.spans()],
        "steps": [step_part(count) for counts in run.pricer.trace.counts for count in counts],
        **({"served": served_part(hours, footprint, run.grams_per_j, run.length_of_hour_s)} if hours else {}),
        "power": [power_part(channel, run.pricer.trace) for channel in run.pricer.trace.channels.values()],
        "platform": run.pricer.platform.to_json(),
        "price": {**price_part(run.pricer.book), "hours": run.hours().to_json(), "feeds": feeds_part(run)},
        "notes": run.notes(),
        "recorder": {"cpu_s": cpu_s, "wakeups": wakeups},
    }


def run_part(run: RecordedRun) -> dict[str, Any]:
    """What identifies a run."""
    return {
        "id": run.id,
        "name": run.name,
        "project": run.project,
        "stage": run.stage,
        "model": run.model,
        "status": run.status,
        "zone": run.zone,
        "started": iso_utc(run.started_s),
        "duration_s": run.duration_s,
        "hosts": run.hosts,
        "ranks": run.ranks,
        "parent": run.parent,
        "lineage": lineage_part(run.lineage),
        "enclosing_run": run.enclosing_run,
        **_grouped(run.attributes, run.stored.header),
        "basis": run.book.basis,
        "attributes": plain(run.attributes),
        "error": run.error,
    }


def lineage_part(lineage: Lineage | None) -> dict[str, Any] | None:
    """What the runs that this one continues had cost when it went on from them; None for one that begins anew."""
    if lineage is None:
        return None
    return {"energy_j": lineage.energy_j, "carbon_g": lineage.carbon_g, "duration_s": lineage.duration_s}


def listed_run(run: RecordedRun) -> dict[str, Any]:
    """What a listing shows of what identifies a run: what its own process knew when it ended."""
    return {name: value for name, value in run_part(run).items() if name not in ("lineage", "attributes", "error")}


def live_summary(run: Run) -> dict[str, Any]:
    """A summary of a run that ends now, as its only recorder saw it: what a listing shows."""
    trace = run.trace()
    header = trace.header
    footprint = run.footprint()
    return {
        "run": {
            "id": run.id,
            "name": run.name,
            "project": run.project,
            "stage": run.stage,
            "model": run.model,
            "status": run.status,
            "zone": run.zone or run.found_zone,
            "started": iso_utc(header.anchor.wall_ns / NS_PER_S),
            "duration_s": footprint.duration_s,
            "hosts": [header.host],
            "ranks": 1,
            "parent": run.parent,
            "enclosing_run": header.enclosing_run,
            **_grouped(run.attributes, header),
            "basis": run.price_book.basis if run.price_book is not None else None,
        },
        "footprint": listed(footprint),
    }


def _grouped(attributes: Mapping[str, Any], header: Header) -> dict[str, Any]:
    """What runs belong together by: the search that they are trials of, and the process that recorded them."""
    sweep, trial = (None if value is None else str(value) for value in map(attributes.get, ("sweep", "trial")))
    return {"sweep": sweep, "trial": trial, "process": f"{header.host}/{header.pid}/{header.process_started}"}


def listed(footprint: Footprint) -> dict[str, Any]:
    """The part of a footprint that listings show: totals, without channels, phases and how they were made."""
    figures = footprint.to_json()
    names = ("flops", "energy_j", "node_energy_j", "facility_energy_j", "carbon_g")
    return {
        **{name: {**figures[name], "how": ""} for name in names},
        **{name: figures[name] for name in ("duration_s", "coverage", "settled")},
    }


def span_part(span: RecordedSpan) -> dict[str, Any]:
    """A span with its footprint."""
    return {
        "id": span.id,
        "parent": span.parent,
        "kind": span.kind,
        "name": span.name,
        "index": span.index,
        "start_s": span.start_s,
        "duration_s": span.duration_s,
        "attributes": plain(span.attributes),
        "footprint": span.footprint.to_json(),
    }


def step_part(count: StepCount) -> dict[str, Any]:
    """A kind of step that was counted, or was not."""
    names = ("stage", "inputs", "flops", "how", "unknown", "dtype", "device", "devices", "overhead_s", "layers")
    return {name: getattr(count, name) for name in names}


def price_part(book: PriceBook) -> dict[str, Any]:
    """What the figures were priced with."""
    pue = book.pue
    return {
        "pue": {"value": pue.value, "low": pue.low, "high": pue.high, "method": pue.method, "source": pue.source},
        "intensity": [{entry.name: getattr(point, entry.name) for entry in fields(point)} for point in book.intensity],
        "basis": book.basis,
        "zone": book.zone,
        "place": book.place,
        "reason": book.reason,
        "made": iso_utc(book.made_s),
    }


def feeds_part(run: RecordedRun) -> list[str]:
    """Who would tell the hours of the run's zone without a key, on the basis that was asked for."""
    from joulegram.config import Settings
    from joulegram.feeds.choice import choose

    return [feed.title for feed in choose(Settings(basis=run.stored.header.basis), run.zone, time.time).feeds]


def power_part(channel: ChannelTrace, trace: Trace) -> dict[str, Any]:
    """A channel's power over the run: steps between times, this run's share and the whole device (W).

    A curve of many knots is thinned to what a page can show, and to steps that its counter resolves: over less than a
    refresh the quotient is noise. Energy over each shown step stays exact.
    """
    times = np.concatenate([channel.node.times_ns, channel.run.times_ns])
    times = np.unique(np.clip(times, trace.start_ns, trace.end_ns))  # the last sample is after the run's end
    times = _apart(times, max(SHORTEST_S, channel.channel.resolution_s))
    if len(times) > POWER_POINTS:
        times = times[np.unique(np.linspace(0, len(times) - 1, POWER_POINTS).astype(int))]
    lengths_s = np.diff(times) / NS_PER_S
    return {
        "channel": channel.id,
        "time_s": ((times - trace.start_ns) / NS_PER_S).tolist(),
        "power_w": _ratios(np.diff(channel.run.at(times)), lengths_s),
        "node_power_w": _ratios(np.diff(channel.node.at(times)), lengths_s),
    }


def _apart(times: Times, least_s: float) -> Times:
    """Times that lie at least so far apart, the first and the last among them however near these two are."""
    if len(times) < 2:
        return times
    first, *between, last = times.tolist()
    kept = [first]
    for time_ns in between:
        if min(time_ns - kept[-1], last - time_ns) >= least_s * NS_PER_S:
            kept.append(time_ns)
    return np.array([*kept, last], np.int64)


def _ratios(energies_j: Iterable[float], lengths_s: Iterable[float]) -> list[float]:
    return [float(energy / length) for energy, length in zip(energies_j, lengths_s, strict=True)]


def listing(summary_run: Mapping[str, Any], summary_footprint: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a listing: a document without spans."""
    return {"schema_version": SCHEMA_VERSION, "run": dict(summary_run), "footprint": dict(summary_footprint)}
