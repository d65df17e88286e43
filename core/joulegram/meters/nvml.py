"""NVIDIA GPUs through NVML: the joules of their energy counters, or of their power readings where there is no counter.

Whether a GPU has a counter is found out by asking it: vGPUs and cards before Volta say that they do not. A counter
refreshes about every 100 ms, and no reading between two refreshes tells more. It is read alone, which is the cheapest
call that NVML has; every call takes the driver's global lock, so there is one per GPU and sample, and a second one for
the power in the first seconds of a run, for as long as `cross_check` takes.

Power readings differ. `nvmlDeviceGetPowerUsage` is an average over a second from Ampere on, GA100 excepted, and the
power of a moment before (nvml.h). The field POWER_INSTANT is the power of a moment everywhere, if the driver knows it.
Moments are a part of the time only, a quarter of it on A100 and H100: Yang, Adamek and Armour, SC24, arXiv 2312.02741.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from math import isnan, nan
from typing import Any, ClassVar, Protocol

from joulegram.config import Settings
from joulegram.meters import Meter
from joulegram.meters.cross_check import CrossCheck, Finding
from joulegram.meters.cuda_visible import Gpu
from joulegram.meters.nvml_library import Handle, answer, chosen, field, load_nvml, start, survey, unknown
from joulegram.meters.tally import AVERAGES_GAIN, MOMENTS_GAIN, Integrated, summed
from joulegram.records import Channel
from joulegram.units import NS_PER_S

SHARE_RULE = (
    "the run's part of a GPU is the utilisation of its multiprocessors by the run's processes over that by all "
    "processes: all of it while nobody else runs anything, and what it was last while nobody runs anything"
)

SENSOR_GAIN = (0.95, 1.05)
"""±5 %, different from board to board: the SC24 paper. What the counter adds up comes from the same sensor."""
COUNTER_REFRESH_S = 0.1
COUNTER_STEP_J = 1e-3
"""It counts whole millijoules."""
LOOKS, LOOK_S = 5, 0.0005
"""A counter that has moved at each of so many looks, so soon one after the other, stands still for no two of them."""
CURRENT_S = 0.005
MOST_LOOKS = 20
"""Looks further apart than `CURRENT_S`, as where others keep the interpreter busy, tell nothing: others are taken."""
AVERAGING_S = 1.0
LEAST_RATIO = 0.01
"""A counter that stands still has no factor to the truth; what it does have is given no more than this."""
HEADROOM = 1.2
"""Power may pass the enforced limit for less than a second."""
HOLE_S = 1.0
"""What happened between two power readings this far apart is not known."""
RETRY_NS = 5 * NS_PER_S

_INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # include/linux/proc_ns.h


class NvmlMeter(Meter):
    """One channel per GPU that this process may compute on.

    Of a GPU that is divided (MIG) NVML knows the whole, which is what its channel counts, once. The counter of a Grace
    Hopper counts the module, CPU and memory included: its kind is ``soc``, so that no model of the CPU is added to it.

    Args:
        nvml: the module ``pynvml`` of nvidia-ml-py.
        environ: where CUDA's variables are.
        now_ns: monotonic clock (ns).
        sees_all_pids: whether pids mean here what they mean to the driver; found out by default.
        pause_s: waits for so many seconds.

    Raises:
        Absent: no driver, no GPU, or none that this process may use.
        Denied: the driver is there and refuses; the message says what to do.
    """

    period_s: ClassVar[float] = 0.05

    def __init__(
        self,
        nvml: Any,
        environ: Mapping[str, str] = os.environ,
        now_ns: Callable[[], int] = time.monotonic_ns,
        sees_all_pids: bool | None = None,
        pause_s: Callable[[float], object] = time.sleep,
    ) -> None:
        self._nvml, self._now_ns = nvml, now_ns
        self._pid, self._retry_ns = os.getpid(), 0
        self._latest: list[float] = []
        start(nvml)
        self._started = True
        try:
            choice = chosen(survey(nvml), environ)
            shared = _sees_all_pids() if sees_all_pids is None else sees_all_pids
            self._devices = [_Device(nvml, gpu, choice.guessed, shared, now_ns, pause_s) for gpu in choice.gpus]
        except BaseException:
            self.close()
            raise
        self.channels: Sequence[Channel] = [device.channel for device in self._devices]
        # A counter that refreshes now and then tells nothing more at an edge.
        self.instant = not any(channel.lag_s for channel in self.channels)

    @classmethod
    def open(cls, settings: Settings) -> NvmlMeter:
        """The meter of this machine."""
        del settings
        return cls(load_nvml())

    def read(self) -> Iterable[float]:
        """Joules of each GPU; NaN for one that does not answer, and that one alone."""
        self._notice_fork()
        readings = [device.read_j() for device in self._devices]
        if any(map(isnan, readings)):
            self._reach_again()
        self._latest = readings
        return readings

    def described(self) -> Sequence[Channel]:
        """The channels, once a counter is found to disagree with the power readings with what that says of it."""
        doubted = [device.cross_check(joules) for device, joules in zip(self._devices, self._latest, strict=False)]
        if any(doubted):
            self.channels = [device.channel for device in self._devices]
        return self.channels

    def shares(self, pids: Collection[int]) -> Sequence[float]:
        """By `SHARE_RULE`."""
        self._notice_fork()
        return [device.share(pids) for device in self._devices]

    def close(self) -> None:
        """Takes back this meter's own start of NVML, which others in the process may use too."""
        self._notice_fork()
        if self._started:
            self._started = False
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()

    def _notice_fork(self) -> None:
        """In a fork's child, forgets what is its parent's, connection and handles: it must not be used here."""
        if self._pid != os.getpid():
            self._pid, self._retry_ns, self._started = os.getpid(), 0, False
            for device in self._devices:
                device.forget()

    def _reach_again(self) -> None:
        """Starts NVML where it is not running any more, after a driver's reload or a fork, and asks for new handles."""
        now_ns = self._now_ns()
        if now_ns < self._retry_ns:
            return
        self._retry_ns = now_ns + RETRY_NS
        with contextlib.suppress(self._nvml.NVMLError):
            if any(device.error == self._nvml.NVML_ERROR_UNINITIALIZED for device in self._devices):
                self._nvml.nvmlInit()
                self._started = True
            for device in self._devices:
                device.reach_again()


class _Source(Protocol):
    """How the joules of a GPU are read."""

    def read_j(self, handle: Handle) -> float:
        """Joules so far."""


class _Device:
    """One GPU: its handle, how its joules are read, and what part of them is whose."""

    def __init__(
        self,
        nvml: Any,
        gpu: Gpu,
        guessed: bool,
        shared: bool,
        now_ns: Callable[[], int],
        pause_s: Callable[[float], object],
    ) -> None:
        self.error: int | None = None
        self._nvml, self._uuid = nvml, gpu.uuid
        self._handle: Handle | None = gpu.handle
        self._source, channel = _metered(nvml, gpu, now_ns, pause_s)
        self._use = _Use.found(nvml, gpu.handle) if shared and not gpu.mig else None
        how = f"{channel.how}{_caveats(gpu, guessed)}"
        if not gpu.mig and self._use is None:
            unseen = "" if shared else ", as this container does not see their processes (--pid=host would show them)"
            how += f"; of all who use it, who are not told apart{unseen}"
        self.channel = replace(channel, how=how, share="process" if self._use else "undivided")
        counts_itself = channel.method == "measured" and not _joins_a_cpu(nvml, gpu.handle)
        self._check = CrossCheck(SENSOR_GAIN[1] - 1) if counts_itself else None
        self._now_ns = now_ns

    def read_j(self) -> float:
        """Joules so far; NaN, and the reason in `error`, where it does not answer."""
        if self._handle is None:
            return nan
        try:
            joules = self._source.read_j(self._handle)
        except self._nvml.NVMLError as error:
            self.error = error.value
            return nan
        self.error = None
        return joules

    def cross_check(self, joules: float) -> bool:
        """Holds the counter against the power, until that has told something; whether it is a finding."""
        now_ns = self._now_ns()
        if self._check is None or self._handle is None or isnan(joules) or not self._check.due(now_ns):
            return False
        usage_mw = answer(self._nvml, "nvmlDeviceGetPowerUsage", self._handle)
        finding = None if usage_mw is None else self._check.take(now_ns, joules, usage_mw / 1e3)
        if usage_mw is None or self._check.done:
            self._check = None
        if finding is None or not finding.far:
            return False
        self.channel = _doubted(self.channel, finding)
        return True

    def share(self, pids: Collection[int]) -> float:
        """What part of the GPU these processes used since the last call."""
        if self._use is None:
            return 1.0
        return self._use.last if self._handle is None else self._use.share(self._handle, pids)

    def forget(self) -> None:
        """Its handle is of no use here."""
        self._handle, self.error = None, self._nvml.NVML_ERROR_UNINITIALIZED

    def reach_again(self) -> None:
        """Asks for a new handle, if the old one has failed."""
        if self.error is None:
            return
        try:
            self._handle = self._nvml.nvmlDeviceGetHandleByUUID(self._uuid)
        except self._nvml.NVMLError as error:
            self.error = error.value


# -- joules ---------------------------------------------------------------------------------------------------------


class _Counter:
    """The hardware's own sum."""

    def __init__(self, nvml: Any) -> None:
        self._read_mj: Callable[[Handle], int] = nvml.nvmlDeviceGetTotalEnergyConsumption

    def read_j(self, handle: Handle) -> float:
        """Joules since the driver was loaded."""
        return self._read_mj(handle) / 1e3

    def refreshes_within(
        self, handle: Handle, now_ns: Callable[[], int], pause_s: Callable[[float], object]
    ) -> float | None:
        """Within what time (s) it is sure to refresh; None for one that was seen to stand still, as most do.

        Looks a few times only: some counters stay behind while they are read fast (`COUNTER_REFRESH_S`).
        """
        moved_ns: list[int] = []
        before_ns, before_mj = now_ns(), self._read_mj(handle)
        for _ in range(MOST_LOOKS):
            pause_s(LOOK_S)
            then_ns, then_mj = now_ns(), self._read_mj(handle)
            if then_ns - before_ns <= CURRENT_S * NS_PER_S:
                if then_mj <= before_mj:
                    return None
                moved_ns.append(then_ns - before_ns)
                if len(moved_ns) == LOOKS:
                    return 2 * max(moved_ns) / NS_PER_S  # between two refreshes lie two looks at most
            before_ns, before_mj = then_ns, then_mj
        return None


class _Integral:
    """Power readings summed up, for want of a counter."""

    def __init__(self, power_w: Callable[[Handle], float], now_ns: Callable[[], int]) -> None:
        self._power_w, self._now_ns = power_w, now_ns
        self._sum = Integrated(1.0, HOLE_S)

    def read_j(self, handle: Handle) -> float:
        """Joules since the first reading, or less after a hole, whose energy nobody kept."""
        power_w = nan
        try:
            power_w = self._power_w(handle)
        finally:  # a reading that fails leaves a hole
            joules = self._sum.take(self._now_ns(), power_w)
        return joules


def _metered(
    nvml: Any, gpu: Gpu, now_ns: Callable[[], int], pause_s: Callable[[float], object]
) -> tuple[_Source, Channel]:
    """How a GPU's joules are read, and what is known of them."""
    if _has_counter(nvml, gpu.handle):
        counter = _Counter(nvml)
        channel, refresh_s = _counted(nvml, gpu), counter.refreshes_within(gpu.handle, now_ns, pause_s)
        if refresh_s is not None:
            channel = replace(channel, resolution_s=refresh_s, lag_s=0.0, delay_s=refresh_s)
        return counter, channel
    power_w, averages = _power_reading(nvml, gpu.handle)
    return _Integral(power_w, now_ns), _integrated(nvml, gpu, averages)


def _counted(nvml: Any, gpu: Gpu) -> Channel:
    """The channel of an energy counter."""
    kind, what = "gpu", gpu.name
    limit_mw = answer(nvml, "nvmlDeviceGetEnforcedPowerLimit", gpu.handle)
    if _joins_a_cpu(nvml, gpu.handle):
        if answer(nvml, "nvmlDeviceGetArchitecture", gpu.handle) == nvml.NVML_DEVICE_ARCH_HOPPER:
            kind, what = "soc", f"{gpu.name}, which counts its module: GPU, CPU and memory"
            limit_mw = _module_limit_mw(nvml, gpu.handle)
        else:  # newer modules: nobody has said what their counters hold
            limit_mw, what = None, f"{gpu.name}, which may count the CPU of its module too"
    return Channel(
        id=f"{kind}:{gpu.uuid}",
        kind=kind,
        method="measured",
        how=f"energy counter of {what} (NVML)",
        gain_low=SENSOR_GAIN[0],
        gain_high=SENSOR_GAIN[1],
        max_w=_max_w(limit_mw),
        resolution_s=COUNTER_REFRESH_S,
        lag_s=COUNTER_REFRESH_S,
        quantum_j=COUNTER_STEP_J,
        product=gpu.name,
    )


def _doubted(channel: Channel, finding: Finding) -> Channel:
    """The channel of a counter that disagrees with the power readings: either of them may be right."""
    ratio = max(finding.ratio, LEAST_RATIO)
    said = (
        f"it says {finding.ratio:.0%} of what the power readings say ({finding.counted_j:.4g} J and "
        f"{finding.summed_j:.4g} J in {finding.seconds:.2g} s): its figures may be too {'low' if ratio < 1 else 'high'}"
    )
    return replace(
        channel,
        how=f"{channel.how}; {said}",
        gain_low=channel.gain_low / max(1.0, ratio),
        gain_high=channel.gain_high / min(1.0, ratio),
    )


def _integrated(nvml: Any, gpu: Gpu, averages: bool) -> Channel:
    """The channel of power readings, which are averages over a second or the power of moments."""
    readings = "averages over a second" if averages else "the power of moments"
    window_s = AVERAGING_S if averages else COUNTER_REFRESH_S
    sensor = Channel(
        id=f"gpu:{gpu.uuid}",
        kind="gpu",
        method="measured",
        how=f"power readings, {readings}, of {gpu.name} (NVML), which has no energy counter",
        gain_low=SENSOR_GAIN[0],
        gain_high=SENSOR_GAIN[1],
        max_w=_max_w(answer(nvml, "nvmlDeviceGetEnforcedPowerLimit", gpu.handle)),
        resolution_s=window_s,
        lag_s=window_s,
        product=gpu.name,
    )
    return summed(sensor, AVERAGES_GAIN if averages else MOMENTS_GAIN)


def _has_counter(nvml: Any, handle: Handle) -> bool:
    """Whether there is an energy counter that counts: one at nothing since the driver was loaded does not."""
    return bool(answer(nvml, "nvmlDeviceGetTotalEnergyConsumption", handle))


def _joins_a_cpu(nvml: Any, handle: Handle) -> bool:
    """Whether the GPU is on a module with a CPU, as on a Grace Hopper."""
    link = answer(nvml, "nvmlDeviceGetC2cModeInfoV", handle)
    return link is not None and bool(link.isC2cEnabled)


def _power_reading(nvml: Any, handle: Handle) -> tuple[Callable[[Handle], float], bool]:
    """What reads a GPU's power (W), and whether that is an average over a second."""

    def moment_w(handle: Handle) -> float:
        return field(nvml, handle, nvml.NVML_FI_DEV_POWER_INSTANT) / 1e3

    def usage_w(handle: Handle) -> float:
        return float(nvml.nvmlDeviceGetPowerUsage(handle)) / 1e3

    with contextlib.suppress(nvml.NVMLError):
        moment_w(handle)
        return moment_w, False
    return usage_w, _usage_is_average(nvml, handle)


def _usage_is_average(nvml: Any, handle: Handle) -> bool:
    """From Ampere on, but not on GA100 (compute capability 8.0); an unknown GPU is taken for a new one."""
    architecture = answer(nvml, "nvmlDeviceGetArchitecture", handle)
    ga100 = answer(nvml, "nvmlDeviceGetCudaComputeCapability", handle) == (8, 0)
    return not ga100 and (architecture is None or architecture >= nvml.NVML_DEVICE_ARCH_AMPERE)


def _module_limit_mw(nvml: Any, handle: Handle) -> int | None:
    with contextlib.suppress(nvml.NVMLError):
        return field(nvml, handle, nvml.NVML_FI_DEV_POWER_CURRENT_LIMIT, nvml.NVML_POWER_SCOPE_MODULE)
    return None


def _max_w(limit_mw: int | None) -> float | None:
    return HEADROOM * limit_mw / 1e3 if limit_mw else None


def _caveats(gpu: Gpu, guessed: bool) -> str:
    whole = "; of the whole GPU, as what its MIG instances use is not told apart" if gpu.mig else ""
    index = "; which GPU CUDA means by an index is guessed, CUDA_DEVICE_ORDER=PCI_BUS_ID would tell" if guessed else ""
    return whole + index


# -- shares ---------------------------------------------------------------------------------------------------------


class _Use:
    """Who used a GPU, from the driver's samples of each process.

    Args:
        samples: asks a handle for the samples since a time stamp.
        nvml: the module.
    """

    def __init__(self, samples: Callable[[Handle, int], Sequence[Any]], nvml: Any) -> None:
        self._samples, self._nvml = samples, nvml
        self._seen_us, self.last = 0, 1.0

    @classmethod
    def found(cls, nvml: Any, handle: Handle) -> _Use | None:
        """The use of a GPU from now on; None where the driver does not tell."""
        for name in ("nvmlDeviceGetProcessesUtilizationInfo", "nvmlDeviceGetProcessUtilization"):
            use = cls(getattr(nvml, name, unknown(nvml)), nvml)
            with contextlib.suppress(nvml.NVMLError):
                use._since_last(handle)
                return use
        return None

    def share(self, handle: Handle, pids: Collection[int]) -> float:
        """By `SHARE_RULE`; as before where the driver does not answer."""
        with contextlib.suppress(self._nvml.NVMLError):
            used = self._since_last(handle)
            total = sum(used.values())
            if total:
                self.last = sum(percent for pid, percent in used.items() if pid in pids) / total
        return self.last

    def _since_last(self, handle: Handle) -> dict[int, int]:
        """Percent of the multiprocessors' time that each process used since the last call."""
        try:
            samples = self._samples(handle, self._seen_us)
        except self._nvml.NVMLError as error:
            if error.value in (self._nvml.NVML_SUCCESS, self._nvml.NVML_ERROR_NOT_FOUND):
                return {}  # nobody has run anything
            raise
        # What the driver did not fill in has an old stamp, or no sense.
        good = [s for s in samples if s.timeStamp > self._seen_us and s.smUtil <= 100]
        self._seen_us = max([self._seen_us, *(sample.timeStamp for sample in good)])
        used: dict[int, int] = {}
        for sample in good:
            used[sample.pid] = used.get(sample.pid, 0) + sample.smUtil
        return used


def _sees_all_pids() -> bool:
    """The driver's pids are those of the initial namespace; in a container's own, other processes bear them."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino == _INITIAL_PID_NAMESPACE
    except OSError:  # no such namespaces here
        return not sys.platform.startswith("linux")
