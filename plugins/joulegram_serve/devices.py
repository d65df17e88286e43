"""Joules and watts of a host's devices, as OpenTelemetry observes them.

Names are those of the semantic conventions for hardware (opentelemetry.io/docs/specs/semconv/hardware, in development
as of 0.66b2).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import joulegram

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

NODE = "node"
"""The kind of a channel that counts the whole machine."""
TYPES = {"dram": "memory"}
"""Kinds of channels that the conventions call otherwise."""
LEAST_S = 2.0
"""Power is a mean over this time, at least."""


class Devices:
    """Joules and watts of a host's devices, told by one of its processes: the one that reads the counters.

    What was counted before this process told of it, or while another did, is not told here: over all processes each
    joule is told once. Any thread may call it.

    Args:
        service: whose snapshots are read.
    """

    def __init__(self, service: joulegram.Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._closed = False
        snapshot = service.snapshot()
        self._seen_j = {channel.id: channel.meter_j for channel in snapshot.channels.values()} if snapshot else {}
        self._rated = (snapshot.time_s, dict(self._seen_j)) if snapshot else (0.0, {})
        self._energy_j: dict[str, float] = {}
        self._power_w: dict[str, float] = {}

    def energy_j(self) -> list[tuple[joulegram.ChannelTotals, float]]:
        """Joules of each channel, as far as this process tells of them; they never fall."""
        channels = self._look()
        return [(channel, self._energy_j[channel.id]) for channel in channels if channel.id in self._energy_j]

    def power_w(self) -> list[tuple[joulegram.ChannelTotals, float]]:
        """Mean power of each channel since the look before; none of one that was not counted meanwhile."""
        channels = self._look()
        return [(channel, self._power_w[channel.id]) for channel in channels if channel.id in self._power_w]

    def close(self) -> None:
        """Tells nothing more."""
        self._closed = True

    def _look(self) -> list[joulegram.ChannelTotals]:
        snapshot = None if self._closed else self._service.snapshot()
        if snapshot is None:
            return []
        is_told_here = snapshot.owner_pid == os.getpid()
        channels = list(snapshot.channels.values())
        with self._lock:
            for channel in channels:
                before_j = self._seen_j.get(channel.id, 0.0)
                self._seen_j[channel.id] = channel.meter_j
                if is_told_here:  # less than before: the books were begun anew
                    rise_j = channel.meter_j - before_j if channel.meter_j >= before_j else channel.meter_j
                    self._energy_j[channel.id] = self._energy_j.get(channel.id, 0.0) + rise_j
            self._rate(snapshot.time_s, channels if is_told_here else [])
        return channels

    def _rate(self, time_s: float, channels: Iterable[joulegram.ChannelTotals]) -> None:
        was_s, was_j = self._rated
        if time_s - was_s < LEAST_S:
            return
        rises_j = {channel.id: channel.meter_j - was_j.get(channel.id, channel.meter_j) for channel in channels}
        self._power_w = {name: rise_j / (time_s - was_s) for name, rise_j in rises_j.items() if rise_j > 0}
        self._rated = time_s, dict(self._seen_j)


def observe(meter: Meter, devices: Devices) -> None:
    """Devices by themselves, and whole machines by names of their own, so that nobody adds both."""
    from opentelemetry.metrics import CallbackOptions, Observation

    def told(values: Callable[[], list[tuple[joulegram.ChannelTotals, float]]], whole: bool) -> Any:
        def callback(_: CallbackOptions) -> list[Observation]:
            return [
                Observation(value, _attributes(channel))
                for channel, value in values()
                if (channel.kind == NODE) is whole
            ]

        return [callback]

    for prefix, whole, of in (("hw", False, "a device"), ("hw.host", True, "the whole machine")):
        meter.create_observable_counter(
            f"{prefix}.energy", told(devices.energy_j, whole), "J", f"Energy consumed by {of}."
        )
        meter.create_observable_gauge(f"{prefix}.power", told(devices.power_w, whole), "W", f"Mean power of {of}.")


def _attributes(channel: joulegram.ChannelTotals) -> dict[str, str | bool]:
    told: dict[str, str | bool] = {"hw.id": channel.id, "joulegram.method": channel.method}
    if channel.kind != NODE:
        told["hw.type"] = TYPES.get(channel.kind, channel.kind)
        told["joulegram.counted"] = channel.counted
    return told
