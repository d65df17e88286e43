"""pyRAPL: a Measurement of the whole and one of each epoch. It looks for as many sockets as the real machine has."""

from __future__ import annotations

import pyRAPL
from loop import Loop, Window

UJ_PER_J = 1e6


def main() -> None:
    loop, windows = Loop(), []
    pyRAPL.setup()
    loop.begin()
    all_of_it = pyRAPL.Measurement("all")
    all_of_it.begin()
    with Window() as whole:
        for index in range(loop.count):
            epoch = pyRAPL.Measurement("epoch")
            epoch.begin()
            with Window() as window:
                loop.train(index)
            epoch.end()
            _take(window, epoch.result)
            windows.append(window)
    all_of_it.end()
    _take(whole, all_of_it.result)
    loop.report(whole, windows)


def _take(window: Window, result) -> None:
    parts = {"cpu": result.pkg, "dram": result.dram}
    window.energy_j.update({part: sum(uj) / UJ_PER_J for part, uj in parts.items() if uj})


main()
