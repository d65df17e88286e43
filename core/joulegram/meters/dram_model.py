"""DRAM energy modelled from the memory installed, for machines that do not count it.

Memory is refreshed whether or not it is used, so power goes by size alone: 0.3725 W/GB, the figure of Green Algorithms
(Lannelongue et al. 2021, doi:10.1002/advs.202100707). No published measurement decides between it and the other models
in use, so the bounds are the range of those: Boavizta's 0.284 W/GB, Cloud Carbon Footprint's 0.392 W/GB, and
CodeCarbon's 5 W for each module that a machine of this size is thought to hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import ceil, floor, log
from pathlib import Path
from typing import ClassVar

from joulegram.config import Settings
from joulegram.meters import Absent, Meter
from joulegram.records import Channel
from joulegram.units import NS_PER_S

MEMINFO = Path("/proc/meminfo")
W_PER_GB = 0.3725
LOW_W_PER_GB, HIGH_W_PER_GB = 0.284, 0.392
# CodeCarbon takes 10 to 20 % off for the further modules of a machine.
LOW_W_PER_MODULE, HIGH_W_PER_MODULE = 4.0, 5.0


class DramModelMeter(Meter):
    """One channel for all memory of the node; a container's limit is no smaller machine.

    Args:
        installed_gb: memory of the node (GiB, the unit in which modules are sold).
        now_ns: monotonic clock (ns).
    """

    # A straight line: reading it more often tells nothing more.
    period_s: ClassVar[float] = 1.0
    instant: bool = True
    fallback: ClassVar[int] = 2

    def __init__(self, installed_gb: float, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._power_w = W_PER_GB * installed_gb
        self._now_ns, self._start_ns = now_ns, now_ns()
        low, high = (power_w / self._power_w for power_w in power_range_w(installed_gb))
        gain_low, gain_high = floor(100 * low) / 100, ceil(100 * high) / 100
        self.channels = [
            Channel(
                id="dram:model",
                kind="dram",
                method="modelled",
                how=f"{installed_gb:.4g} GB of memory × {W_PER_GB} W/GB (Green Algorithms)",
                share="cpu",
                gain_low=gain_low,
                gain_high=gain_high,
                max_w=gain_high * self._power_w,
                idle_w=self._power_w,
            )
        ]

    @classmethod
    def open(cls, settings: Settings) -> DramModelMeter:
        """The model of this machine.

        Raises:
            Absent: the system does not say how much memory there is.
        """
        del settings
        return cls(installed_gb())

    def read(self) -> Iterable[float]:
        """Joules since the meter was opened."""
        return (self._power_w * (self._now_ns() - self._start_ns) / NS_PER_S,)


def power_range_w(installed_gb: float) -> tuple[float, float]:
    """Lowest and highest power (W) that a model in use gives to this much memory."""
    modules = _modules(installed_gb)
    low_w = min(LOW_W_PER_GB * installed_gb, LOW_W_PER_MODULE * modules)
    return low_w, max(HIGH_W_PER_GB * installed_gb, HIGH_W_PER_MODULE * modules)


def _modules(installed_gb: float) -> int:
    """Modules as CodeCarbon supposes them: 2 up to 8 GB, 4 up to 32 GB, 8 up to 128 GB, and so on."""
    return int(2 ** max(1, 1 + ceil(log(installed_gb / 8, 4))))


def installed_gb(meminfo: Path = MEMINFO) -> float:
    """Memory of the node (GiB), less the few per cent that the kernel keeps from the start.

    Raises:
        Absent: the system does not say.
    """
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:  # not Linux
        return _portable_gb()
    total_kib = next((int(line.split()[1]) for line in lines if line.startswith("MemTotal:")), 0)
    if not total_kib:
        raise Absent(f"{meminfo} does not say how much memory there is (no MemTotal)")
    return total_kib / 2**20


def _portable_gb() -> float:
    import psutil

    return float(psutil.virtual_memory().total) / 2**30
