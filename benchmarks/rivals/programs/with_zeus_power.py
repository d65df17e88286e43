"""Zeus: PowerMonitor, asked afterwards for each interval. Polls ten times a second: as often as it can, it starves two
cores."""

from __future__ import annotations

import time

from loop import Loop, Window
from zeus.monitor import PowerMonitor


def main() -> None:
    loop, windows = Loop(), []
    monitor = PowerMonitor(update_period=0.1)
    loop.begin()
    with Window() as whole:
        for index in range(loop.count):
            with Window() as window:
                loop.train(index)
            windows.append(window)
    time.sleep(0.3)  # its last samples are on their way
    for window in (whole, *windows):
        energy_j = monitor.get_energy(window.wall_start_s, window.wall_end_s)
        if energy_j is not None:
            window.energy_j["gpu"] = sum(energy_j.values())
    loop.report(whole, windows)


if __name__ == "__main__":  # it starts processes that import this file again
    main()
