"""Runs of stage serve of known hours, written as a server's recorder writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worlds import MEASURED, journal

from joulegram.host.clock import Clock
from joulegram.records import (
    Anchor,
    Channel,
    End,
    Header,
    Heartbeat,
    IntensityPoint,
    Knots,
    PriceBook,
    Pue,
    Record,
    ServedHour,
)
from joulegram.session.recorded import RecordedRun, open_ledger
from joulegram.units import NS_PER_S

HOUR_S = 3600
MIDNIGHT_S = 1_800_000_000 // 86_400 * 86_400

GPU = Channel(
    "gpu:A", "gpu", "measured", "a counter of known power", gain_low=0.95, gain_high=1.05, max_w=1000.0, idle_w=50.0
)
CPU = Channel("cpu:model", "cpu", "modelled", "a formula", gain_low=0.5, gain_high=2.0, max_w=300.0)
WALL = Channel("node:plug", "node", "measured", "a plug", max_w=3000.0)


class HostClock(Clock):
    """A clock of some host that is never asked for the time."""

    def __init__(self, host: str) -> None:
        self.host = host


@dataclass
class Hour:
    """One hour of one route.

    Args:
        number: hours since midnight.
        requests: that ended.
        joules: by channel, active and idle.
        nobody: by channel, joules of that hour that are no route's; at one of the hour's routes only.
    """

    number: int
    requests: int = 0
    joules: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    nobody: Mapping[str, float] = field(default_factory=dict)
    route: str = "/a"
    service: str = "s"
    tokens: float = 0.0
    failed: int = 0
    items: float = 0.0


def intensity(g_per_kwh: float, number: int | None = None, **more: Any) -> IntensityPoint:
    """Of one hour since midnight, or of all."""
    place = {"start_s": float(MIDNIGHT_S + number * HOUR_S), "length_s": float(HOUR_S)} if number is not None else {}
    bounds = {"low": g_per_kwh, "high": g_per_kwh, **more}
    return IntensityPoint(
        g_per_kwh, zone="DK-DK1", source="a feed", kind="measured", basis="lifecycle", **bounds, **place
    )


def served_run(
    ledger: Path,
    hours: Sequence[Hour],
    *points: IntensityPoint,
    channels: Sequence[Channel] = (GPU,),
    lasted_s: float | None = None,
    run: str = "run-1",
    host: str = "alpha",
    pue: Pue = MEASURED,
    ended: bool = True,
    untold_j: float = 0.0,
    **more: Any,
) -> RecordedRun:
    """A run that began at midnight, as a ledger gives it back.

    Args:
        ledger: its folder.
        hours: what it told.
        points: the grid's intensity; none for a run without a price for it.
        channels: its meters; their counters hold what was told.
        lasted_s: how long it took (s); up to the end of the last hour by default.
        run: its id.
        host: its host.
        pue: of the building.
        ended: whether it has come to its end.
        untold_j: what the counters hold besides what was told, in the first hour (J).
        more: of its header.
    """
    last = max((hour.number for hour in hours), default=0) + 1
    end_ns = round((last * HOUR_S if lasted_s is None else lasted_s) * NS_PER_S)
    start, end = (Anchor(ns, ns, MIDNIGHT_S * NS_PER_S + ns) for ns in (0, end_ns))
    header = Header(
        run=run, name="captions", project="p", stage="serve", zone="DK-DK1", host=host, boot="a-boot", pid=1,
        process_started="1", rank=0, start_ns=0, anchor=start, **more,
    )  # fmt: skip
    records: list[Record] = [header, *channels, PriceBook(pue, points, "lifecycle", zone="DK-DK1")]
    records.append(
        Knots(0, {name: curve for each in channels for name, curve in _curves(each, hours, untold_j, end_ns)})
    )
    records += [told for hour in hours for told in _lines(hour)]
    records += [Heartbeat(end), *([End(end_ns, "finished", end)] if ended else [])]
    writer = journal(ledger, HostClock(host), run)
    writer.write(records)
    writer.close()
    return open_ledger(ledger).run(run)


def _curves(
    channel: Channel, hours: Sequence[Hour], untold_j: float, end_ns: int
) -> list[tuple[str, tuple[list[int], list[float]]]]:
    numbers = sorted({hour.number for hour in hours}) or [0]
    times, values = [0], [0.0]
    for number in range(numbers[-1] + 1):
        told = [hour for hour in hours if hour.number == number]
        used = sum(sum(hour.joules.get(channel.id, ())) + hour.nobody.get(channel.id, 0.0) for hour in told)
        times.append(min((number + 1) * HOUR_S * NS_PER_S, end_ns))
        values.append(values[-1] + used + (untold_j if number == 0 else 0.0))
    return [(f"{of} {channel.id}", (times, values)) for of in ("node", "run")]


def _lines(hour: Hour) -> list[ServedHour]:
    start_s = MIDNIGHT_S + hour.number * HOUR_S
    told = [
        ServedHour(
            "books",
            start_s,
            hour.service,
            hour.route,
            hour.requests,
            hour.failed,
            hour.tokens,
            items=hour.items,
            energy_j=hour.joules,
        )
    ]
    if hour.nobody:
        told.append(ServedHour("books", start_s, "", None, unattributed_j=hour.nobody))
    return told
