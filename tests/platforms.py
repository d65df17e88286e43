"""Traces of known devices and hosts."""

from __future__ import annotations

from collections.abc import Sequence

from joulegram.curves.curve import Curve
from joulegram.curves.timeline import Timeline
from joulegram.curves.trace import ChannelTrace, HostTrace, Trace, channel_trace
from joulegram.quantities import Quantity
from joulegram.records import Anchor, Channel, Hardware
from joulegram.units import NS_PER_S

HOUR_NS = 3600 * NS_PER_S
SERVER = Hardware("alpha", "server", "PowerEdge R740", "Xeon", 2, 64, 384.0)
KWH = Quantity(3.6e6, 1.8e6, 7.2e6, "measured", "a counter")


def line(hours: float, rises: float) -> Curve:
    return Curve.of([0, round(hours * HOUR_NS)], [0.0, rises])


def gpu(
    product: str = "NVIDIA H100 80GB HBM3",
    share: str = "exclusive",
    hours: float = 1.0,
    node: Curve | None = None,
    run: Curve | None = None,
    name: str = "gpu:A",
) -> ChannelTrace:
    """A GPU that the run had for some hours; all of its energy unless told otherwise."""
    kind = name.partition(":")[0]
    channel = Channel(name, kind, "measured", "a counter", share, product=product)  # type: ignore[arg-type]
    node = node or line(hours, 1e6)
    curves = {f"node {name}": node, f"run {name}": run or node}
    return channel_trace(f"alpha/{name}", channel, curves, (), 0, round(hours * HOUR_NS))


def host(hardware: Hardware | None = SERVER, reserved: float = 1.0, hours: float = 1.0) -> HostTrace:
    """A host of which the run reserved a part."""
    return HostTrace("alpha", hardware, line(hours, reserved * hours * 3600))


def traced(devices: Sequence[ChannelTrace] = (), hosts: Sequence[HostTrace] = (), hours: float = 1.0) -> Trace:
    """A run of these."""
    return Trace(
        Timeline([Anchor(0, None, 0)]),
        {device.id: device for device in devices},
        end_ns=round(hours * HOUR_NS),
        hosts=tuple(hosts),
    )
