"""eco2AI: start and stop around the whole. It has a GPU's power readings, and no RAPL."""

from __future__ import annotations

import eco2ai
from loop import Loop, Window

J_PER_KWH = 3.6e6


def main() -> None:
    loop = Loop()
    tracker = eco2ai.Tracker(file_name="eco2ai.csv", alpha_2_code="DK", ignore_warnings=True)
    loop.begin()
    tracker.start()
    with Window() as whole:
        for index in range(loop.count):
            loop.train(index)
    tracker.stop()
    whole.energy_j["gpu"] = tracker._gpu.get_consumption() * J_PER_KWH
    loop.report(whole, [])


main()
