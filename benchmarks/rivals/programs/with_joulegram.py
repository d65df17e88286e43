"""joulegram: a run, and epochs in it; the whole is an epoch too, whose edges are read at once like theirs."""

from __future__ import annotations

import time

from loop import Loop, Window

import joulegram
from joulegram.quantities import Quantity
from joulegram.records import Channel

WARM_S = 1.5
"""Meters are open, pricing is loaded: a training does not begin with its first epoch either."""


def main() -> None:
    loop, windows, spans = Loop(), [], []
    with joulegram.track("accuracy") as run:
        time.sleep(WARM_S)
        loop.begin()
        all_of_it = run.span("epoch", "all").open()
        with Window() as whole:
            for index in range(loop.count):
                span = run.span("epoch", index=index).open()
                with Window() as window:
                    loop.train(index)
                span.close()
                windows.append(window)
                spans.append(span)
        all_of_it.close()
    channels = {name: trace.channel for name, trace in run.trace().channels.items()}
    for window, span in zip([whole, *windows], [all_of_it, *spans], strict=True):
        for figure in span.footprint().channels:
            _add(window, figure.kind, figure.node_energy_j, channels[figure.id])
    loop.report(whole, windows)


def _add(window: Window, kind: str, energy: Quantity, channel: Channel) -> None:
    """Adds a channel's joules and bounds to a window: of a counter the bounds of timing alone, as this one has no gain
    error; of readings added up, which see moments only, all of them."""
    counted = channel.method == "measured"
    low_j = energy.low / (channel.gain_low if counted else 1)
    high_j = energy.high / (channel.gain_high if counted else 1)
    before_low_j, before_high_j = window.bounds_j.get(kind, (0.0, 0.0))
    window.energy_j[kind] = window.energy_j.get(kind, 0.0) + energy.value
    window.bounds_j[kind] = (before_low_j + low_j, before_high_j + high_j)


main()
