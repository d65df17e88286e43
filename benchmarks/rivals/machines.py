"""A machine whose every joule is known: an emulated GPU and an emulated powercap tree under one load.

Programs find both where they look for the real ones: the GPU's library by the loader's path, the tree by an overlay
over /sys that only they see.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from joulegram.testing import nvml
from joulegram.testing.powercap import RANGE_J, PowercapTree, PowerTrace
from joulegram.units import NS_PER_S
from rivals.loads import LOADS, Load

GPU_IDLE_W, CPU_IDLE_W, CPU_PEAK_W = 50.0, 20.0, 100.0
REFRESH_S = 0.1
WRAP_S = 8.0

DEVICES: Mapping[str, tuple[Callable[..., nvml.Gpu], float]] = {
    "ideal": (nvml.ideal, 350.0),
    "a100": (nvml.a100, 350.0),
    "h100": (nvml.h100, 350.0),
    "pascal": (nvml.pascal, 230.0),
}
"""GPUs, and what they draw under full load (W)."""

LAYOUTS: Mapping[str, str] = {
    "laptop": "laptop",
    "server": "server",
    "no-dram": "server_no_dram",
    "2-sockets": "two_sockets",
    "multi-die": "multi_die",
    "amd": "amd",
    "wrapping": "server",
}
"""RAPL layouts, and the trees that have them; the counters of the last come round every 8 s."""

_IN_OVERLAY = """
for place in class devices/virtual; do
    mount -t overlay -o "lowerdir=$0/$place:/sys/$place" overlay "/sys/$place" || exit 1
done
exec "$@"
"""


def cannot_emulate() -> str | None:
    """Why this machine cannot stand in for another; None where it can."""
    if os.geteuid() != 0:
        return "needs root: the emulated powercap tree is mounted over /sys, in a namespace of the program's own"
    missing = [name for name in ("cc", "unshare", "mount") if shutil.which(name) is None]
    return f"needs {', '.join(missing)} to emulate a GPU and a powercap tree" if missing else None


class _Started(PowerTrace):
    """A power trace that begins at a moment of the monotonic clock (s)."""

    def __init__(self, start_s: float, steps: Sequence[tuple[float, float]]) -> None:
        super().__init__(*steps)
        self._start_s = start_s

    def energy_j(self, time_s: float) -> float:
        return super().energy_j(time_s - self._start_s)


@dataclass(frozen=True)
class Machine:
    """A load, a GPU and a RAPL layout, by name."""

    load_name: str
    device: str
    layout: str

    def __str__(self) -> str:
        return f"{self.load_name} {self.device} {self.layout}"

    @property
    def load(self) -> Load:
        return LOADS[self.load_name]


class Running:
    """A machine whose load begins at a moment; a context manager.

    Args:
        machine: which.
        folder: an empty one.
        library: where the GPU's library is built, and kept.
        start_s: when the load begins (s, monotonic).
        phase_s: when its GPU refreshes after that, within its period.
    """

    def __init__(self, machine: Machine, folder: Path, library: Path, start_s: float, phase_s: float) -> None:
        self.machine = machine
        make, peak_w = DEVICES[machine.device]
        gpu = make(
            power=machine.load.watts(GPU_IDLE_W, peak_w),
            starts_s=start_s,
            idle_w=GPU_IDLE_W,
            energy_phase_s=(start_s + phase_s) % REFRESH_S,
            power_phase_s=(start_s + phase_s) % REFRESH_S,
        )
        self._gpu = nvml.FakeNvml(library, [gpu], clock="monotonic")
        self._gpu.load()
        power = _Started(start_s, machine.load.watts(CPU_IDLE_W, CPU_PEAK_W))
        mean_w = power.energy_j(start_s + machine.load.edges_s[-1]) / machine.load.edges_s[-1]
        range_j = WRAP_S * mean_w if machine.layout == "wrapping" else RANGE_J
        self._folder, self._stack = folder, ExitStack()
        self._tree = PowercapTree(folder, LAYOUTS[machine.layout], power, range_j=range_j)

    def __enter__(self) -> Running:
        self._stack.callback(self._tree.close)
        self._stack.enter_context(self._tree.run_live())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def environment(self) -> dict[str, str]:
        return self._gpu.environment()

    def command(self, *words: str) -> list[str]:
        """What runs a program on this machine."""
        return ["unshare", "-m", "--propagation", "private", "sh", "-c", _IN_OVERLAY, str(self._folder), *words]

    def truth_j(self, start_s: float, end_s: float) -> dict[str, float]:
        """What each part used: the GPU, all packages, all DRAM."""
        spans_ns = round(start_s * NS_PER_S), round(end_s * NS_PER_S)
        truth = {"gpu": self._gpu.truth_j(0, *spans_ns)}
        for channel, zone in self._tree.channels.items():
            part = channel.partition(":")[0]
            truth[part] = truth.get(part, 0.0) + self._tree.truth_j(zone, start_s, end_s)
        return truth
