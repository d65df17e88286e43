"""CPU energy modelled from load, for machines without a counter.

Power is linear in load, P = TDP × (0.10 + 0.60 u), the pooled fit over four machines of CodeCarbon's published load
profiles (MIT; 35 % mean error leave-one-machine-out). The machine's unknown scale is the larger error, hence the wide
bounds: 0.4 to 3 times the model, and never above 1.1 × TDP. A linear law integrates exactly from busy time, so the
model is as cumulative as a counter and a late read costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from joulegram.config import Settings
from joulegram.host.processes import NodeTimes, cpu_count
from joulegram.meters import Meter
from joulegram.meters.cpu_tdp import lookup
from joulegram.records import Channel
from joulegram.units import NS_PER_S

IDLE_SHARE, LOAD_SHARE = 0.10, 0.60
UNKNOWN_GAIN = (0.4, 3.0)
# With the machine's own idle and maximum power only the shape in between is unknown.
CALIBRATED_GAIN = (0.6, 1.4)
TDP_CEILING = 1.1
# CodeCarbon's figure for an unlisted CPU (MIT), per core; here per logical CPU, within the same wide bounds.
W_PER_UNKNOWN_CPU = 4.0


@dataclass(frozen=True, slots=True)
class CpuModel:
    """Power of a node's CPUs as a line over load: `idle_w` at 0, `full_w` at 1; `max_w` bounds it."""

    idle_w: float
    full_w: float
    max_w: float
    gain: tuple[float, float]
    how: str

    def energy_j(self, elapsed_s: float, busy_s: float, cpus: int) -> float:
        """Joules over `elapsed_s` of which `busy_s` core-seconds, on `cpus` cores, were busy."""
        return self.idle_w * elapsed_s + (self.full_w - self.idle_w) * busy_s / cpus


class CpuModelMeter(Meter):
    """One channel for all CPU sockets of the node.

    Args:
        model: the line to use.
        cpus: logical CPUs of the node.
        now_ns: monotonic clock (ns).
    """

    # Busy time is cumulative, in ticks of 10 ms: a quicker look would cost more and tell no more than the bounds hide.
    period_s: ClassVar[float] = 0.5
    instant: ClassVar[bool] = True
    fallback: ClassVar[int] = 2

    def __init__(self, model: CpuModel, cpus: int | None = None, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._model = model
        self._cpus = cpus or cpu_count()
        self._now_ns = now_ns
        self._node = NodeTimes()
        self._start_ns, self._start_busy_s = now_ns(), self._node.busy_s()
        low, high = model.gain
        self.channels = [
            Channel(
                id="cpu:model",
                kind="cpu",
                method="modelled",
                how=model.how,
                share="cpu",
                gain_low=low,
                gain_high=high,
                max_w=model.max_w,
                idle_w=model.idle_w,
                resolution_s=self.period_s,
            )
        ]

    @classmethod
    def open(cls, settings: Settings) -> CpuModelMeter:
        """The model of this machine: its own profile where the settings have one, else its thermal design power."""
        if settings.idle_w is not None and settings.max_w is not None:
            return cls(calibrated(settings.idle_w, settings.max_w))
        return cls(uncalibrated(Path("/proc/cpuinfo"), cpu_count()))

    def read(self) -> Iterable[float]:
        """Joules since the meter was opened."""
        elapsed_s = (self._now_ns() - self._start_ns) / NS_PER_S
        return (self._model.energy_j(elapsed_s, self._node.busy_s() - self._start_busy_s, self._cpus),)

    def close(self) -> None:
        """Closes the descriptor."""
        self._node.close()


def calibrated(idle_w: float, full_w: float) -> CpuModel:
    """The line between the machine's own idle and full-load power (W)."""
    full_w = max(idle_w, full_w)
    how = f"CPU load × the machine's own power, {idle_w:g} W idle to {full_w:g} W under full load"
    return CpuModel(idle_w, full_w, full_w * CALIBRATED_GAIN[1], CALIBRATED_GAIN, how)


def uncalibrated(cpuinfo: Path, cpus: int) -> CpuModel:
    """The pooled line, scaled to the thermal design power of this machine's CPUs.

    A virtual machine has as much of the host's thermal design power as it has of the host's hardware threads.
    """
    name, sockets, virtual = _cpu(cpuinfo)
    part = lookup(name)
    if part is None or (virtual and not part.threads):
        tdp_w, known = W_PER_UNKNOWN_CPU * cpus, False
        whence = f"{W_PER_UNKNOWN_CPU:g} W per CPU, thermal design power of {name or 'this CPU'} unknown"
    elif virtual:
        tdp_w, known = part.tdp_w * cpus / (part.threads or cpus), True
        whence = f"{cpus} of {part.threads} threads of {part.name}, {part.tdp_w:g} W ({part.source})"
    else:
        tdp_w, known = part.tdp_w * sockets, True
        whence = f"{sockets} × {part.name}, {part.tdp_w:g} W ({part.source})"
    full_w = (IDLE_SHARE + LOAD_SHARE) * tdp_w
    return CpuModel(
        idle_w=IDLE_SHARE * tdp_w,
        full_w=full_w,
        max_w=TDP_CEILING * tdp_w if known else UNKNOWN_GAIN[1] * full_w,
        gain=UNKNOWN_GAIN,
        how=f"CPU load × TDP × ({IDLE_SHARE:.2f} + {LOAD_SHARE:.2f} u), TDP {tdp_w:.4g} W ({whence})",
    )


def _cpu(cpuinfo: Path) -> tuple[str, int, bool]:
    """Name, number of sockets, and whether the CPU is a virtual one."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:  # not Linux
        import platform

        return platform.processor(), 1, False
    pairs = [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]
    name = next((value for key, value in pairs if key == "model name"), "")
    sockets = len({value for key, value in pairs if key == "physical id"}) or 1
    virtual = any(key == "flags" and "hypervisor" in value.split() for key, value in pairs)
    return name, sockets, virtual
