"""carbontracker: epoch_start and epoch_end; its energy before it is multiplied by a PUE."""

from __future__ import annotations

from carbontracker.tracker import CarbonTracker
from loop import Loop, Window

J_PER_KWH = 3.6e6


def main() -> None:
    loop, windows = Loop(), []
    tracker = CarbonTracker(epochs=loop.count + 1, epochs_before_pred=0, monitor_epochs=-1, verbose=0)
    thread = tracker.tracker
    loop.begin()
    with Window() as whole:
        for index in range(loop.count):
            tracker.epoch_start()
            with Window() as window:
                loop.train(index)
            tracker.epoch_end()
            windows.append(window)
    for component in thread.components:
        energies_j = [float(kwh) * J_PER_KWH for kwh in component.energy_usage(thread.epoch_times)]
        whole.energy_j[component.name] = sum(energies_j)
        for window, energy_j in zip(windows, energies_j, strict=True):
            window.energy_j[component.name] = energy_j
    loop.report(whole, windows)


main()
