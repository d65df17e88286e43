"""CodeCarbon: start and stop around the whole, or a task for each epoch, whose sum is then the whole."""

from __future__ import annotations

from codecarbon import OfflineEmissionsTracker
from loop import Loop, Window

J_PER_KWH = 3.6e6


def main() -> None:
    loop = Loop()
    tracker = OfflineEmissionsTracker(country_iso_code="DNK", save_to_file=False, log_level="error")
    if loop.count == 1:
        whole = _whole(loop, tracker)
        loop.report(whole, [whole])
    else:
        loop.report(*_tasks(loop, tracker))


def _whole(loop: Loop, tracker: OfflineEmissionsTracker) -> Window:
    """Looking for hardware takes it more than a second, in `start`: what counts begins when that returns."""
    loop.begin()
    tracker.start()
    with Window() as window:
        loop.train(0)
    tracker.stop()
    _take(window, tracker.final_emissions_data)
    return window


def _tasks(loop: Loop, tracker: OfflineEmissionsTracker) -> tuple[Window, list[Window]]:
    tracker.start_task("warm")  # the first one looks for hardware
    tracker.stop_task("warm")
    windows = []
    loop.begin()
    with Window() as whole:
        for index in range(loop.count):
            tracker.start_task(f"epoch {index}")
            with Window() as window:
                loop.train(index)
            _take(window, tracker.stop_task(f"epoch {index}"))
            windows.append(window)
    for part in ("gpu", "cpu"):
        whole.energy_j[part] = sum(window.energy_j[part] for window in windows)
    return whole, windows


def _take(window: Window, data) -> None:
    """Its DRAM is a model of the number of modules, whatever they use."""
    window.energy_j.update(gpu=data.gpu_energy * J_PER_KWH, cpu=data.cpu_energy * J_PER_KWH)


if __name__ == "__main__":
    main()
