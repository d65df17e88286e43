"""CPU energy modelled from load, for machines without a counter.

Power is linear in load. A linear law integrates exactly from busy time, so the model is as cumulative as a counter and
a late read costs nothing. Where the line lies is known the better, the nearer to this machine it was measured:

1. between the machine's own idle and full-load power, from the configuration, from its calibration, or from an earlier
   run that could read its counters;
2. between those of another machine with the same CPU model;
3. else P = TDP × (0.10 + 0.60 u), the pooled fit over four machines of CodeCarbon's published load profiles (MIT; 35 %
   mean error leave-one-machine-out), and never above 1.1 × TDP: a machine's unknown scale is the larger error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from joulegram.config import Settings, learned_file, profiles_file
from joulegram.host.clock import Clock
from joulegram.host.cpu import Cpus, cpus_of
from joulegram.host.processes import NodeTimes, cpu_count
from joulegram.meters import Meter
from joulegram.meters.cpu_tdp import lookup
from joulegram.records import Channel
from joulegram.units import NS_PER_S

if TYPE_CHECKING:
    from joulegram.host.profile import Profile

IDLE_SHARE, LOAD_SHARE = 0.10, 0.60
UNKNOWN_GAIN = (0.4, 3.0)
# With the machine's own two ends only the shape in between is unknown: the measured power of two machines was 0.48 to
# 1.91 times the line, low where the governor holds the clock down, high where few busy cores run at their fastest
# (benchmarks/cpu_model.py).
CALIBRATED_GAIN = (0.45, 2.0)
# A line that a run has learned begins at up to 10 % load and may end at half of full load: 0.42 to 1.96 times.
LEARNED_GAIN = (0.4, 2.0)
# Nominally identical CPUs differ as well (v. Kistowski et al., Variations in CPU Power Consumption, ICPE 2016): an
# allowance of a factor of 1.3 on top of the shape, which no data here could test.
ALIKE_GAIN, ALIKE_LEARNED_GAIN = (0.35, 2.6), (0.3, 2.6)
# Other instructions than the calibration's may draw more than it did.
CALIBRATED_CEILING, ALIKE_CEILING = 1.4, 1.7
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
    instant: bool = True
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
        """The model of this machine."""
        return cls(model_of(settings, Clock(os.environ.get("JOULEGRAM_HOST")).host, cpus_of()))

    def read(self) -> Iterable[float]:
        """Joules since the meter was opened."""
        elapsed_s = (self._now_ns() - self._start_ns) / NS_PER_S
        return (self._model.energy_j(elapsed_s, self._node.busy_s() - self._start_busy_s, self._cpus),)

    def close(self) -> None:
        """Closes the descriptor."""
        self._node.close()


def model_of(settings: Settings, host: str, cpus: Cpus) -> CpuModel:
    """The line of a machine, from the nearest that is known of it."""
    if settings.idle_w is not None and settings.max_w is not None:
        return calibrated(settings.idle_w, settings.max_w)
    # Most machines have no profile; loading what reads one would take a tenth of a run's start.
    kept = os.path.isfile(profiles_file()) or os.path.isfile(learned_file())
    stored = _calibrated_once(host, cpus) if kept else None
    return stored or uncalibrated(cpus)


def _calibrated_once(host: str, cpus: Cpus) -> CpuModel | None:
    """The line of a profile that is kept for this machine, or for one with the same CPU."""
    from joulegram.host.profile import alike, own, profiles

    kept = profiles()
    if (mine := own(host, cpus, kept)) is not None:
        gain = CALIBRATED_GAIN if mine.loads is None else LEARNED_GAIN
        return calibrated(mine.idle_w, mine.max_w, _origin(mine), gain)
    # A hypervisor's made-up name may stand for any CPU: machines that share it need not be alike.
    if (not cpus.virtual or lookup(cpus.name)) and (other := alike(host, cpus, kept)) is not None:
        return calibrated_elsewhere(other)
    return None


def calibrated(
    idle_w: float, full_w: float, source: str = "given", gain: tuple[float, float] = CALIBRATED_GAIN
) -> CpuModel:
    """The line between the machine's own idle and full-load power (W)."""
    full_w = max(idle_w, full_w)
    how = f"CPU load × the machine's own power, {idle_w:.4g} W idle to {full_w:.4g} W under full load ({source})"
    return CpuModel(idle_w, full_w, full_w * CALIBRATED_CEILING, gain, how)


def calibrated_elsewhere(profile: Profile) -> CpuModel:
    """The line of another machine with the same CPU model."""
    how = (
        f"CPU load × the power of {profile.host}, which has the same CPU: for {profile.threads} CPUs "
        f"{profile.idle_w:.4g} W idle to {profile.max_w:.4g} W under full load ({_origin(profile)})"
    )
    gain = ALIKE_GAIN if profile.loads is None else ALIKE_LEARNED_GAIN
    return CpuModel(profile.idle_w, profile.max_w, profile.max_w * ALIKE_CEILING, gain, how)


def _origin(profile: Profile) -> str:
    return f"{profile.source}, {profile.date}" if profile.date else profile.source


def uncalibrated(cpus: Cpus) -> CpuModel:
    """The pooled line, scaled to the thermal design power of a machine's CPUs.

    A virtual machine has as much of the host's thermal design power as it has of the host's hardware threads.
    """
    part = lookup(cpus.name)
    if part is None or (cpus.virtual and not part.threads):
        tdp_w, known = W_PER_UNKNOWN_CPU * cpus.threads, False
        whence = f"{W_PER_UNKNOWN_CPU:g} W per CPU, thermal design power of {cpus.name or 'this CPU'} unknown"
    elif cpus.virtual:
        tdp_w, known = part.tdp_w * cpus.threads / (part.threads or cpus.threads), True
        whence = f"{cpus.threads} of {part.threads} threads of {part.name}, {part.tdp_w:g} W ({part.source})"
    else:
        tdp_w, known = part.tdp_w * cpus.sockets, True
        whence = f"{cpus.sockets} × {part.name}, {part.tdp_w:g} W ({part.source})"
    full_w = (IDLE_SHARE + LOAD_SHARE) * tdp_w
    return CpuModel(
        idle_w=IDLE_SHARE * tdp_w,
        full_w=full_w,
        max_w=TDP_CEILING * tdp_w if known else UNKNOWN_GAIN[1] * full_w,
        gain=UNKNOWN_GAIN,
        how=f"CPU load × TDP × ({IDLE_SHARE:.2f} + {LOAD_SHARE:.2f} u), TDP {tdp_w:.4g} W ({whence})",
    )
