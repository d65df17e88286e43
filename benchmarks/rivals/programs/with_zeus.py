"""Zeus: ZeusMonitor, a window for the whole and one for each epoch. Without CUDA there is nothing to synchronise."""

from __future__ import annotations

from loop import Loop, Window
from zeus.monitor import ZeusMonitor


def main() -> None:
    loop, windows = Loop(), []
    monitor = ZeusMonitor()
    monitor.begin_window("warm", sync_execution=False)  # the first one starts the watchers of RAPL counters
    monitor.end_window("warm", sync_execution=False)
    loop.begin()
    monitor.begin_window("all", sync_execution=False)
    with Window() as whole:
        for index in range(loop.count):
            monitor.begin_window("epoch", sync_execution=False)
            with Window() as window:
                loop.train(index)
            _take(window, monitor.end_window("epoch", sync_execution=False))
            windows.append(window)
    _take(whole, monitor.end_window("all", sync_execution=False))
    loop.report(whole, windows)


def _take(window, measurement) -> None:
    parts = {"gpu": measurement.gpu_energy, "cpu": measurement.cpu_energy, "dram": measurement.dram_energy}
    window.energy_j.update({part: sum(joules.values()) for part, joules in parts.items() if joules})


if __name__ == "__main__":  # it starts processes that import this file again
    main()
