"""AMD GPUs, Apple chips and Jetsons, through the device layer of Zeus (https://ml.energy/zeus, Apache-2.0).

Of Zeus only the devices are used, never its monitors; NVIDIA's GPUs and Linux's CPU counters have meters of their own.

- AMD: `amdsmi`'s cumulative counter (mJ), or the power, summed up here, where Zeus found the counter to be wrong. An
  MI250 is two GPUs with one sensor, told by the first of them only: it is one channel.
- Apple: the chip's own cumulative counters (mJ) of CPU, GPU, DRAM and neural engine. Whether the GPU's counter holds
  its memory's (`gpu_sram_mj`) is not documented, so the latter is left out.
- Jetson: the power (mW) of the INA3221 sensor's rails, summed up here. Zeus's `Jetson` object starts a process for
  that; only its discovery of the rails is used.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any, ClassVar

from joulegram.config import Settings
from joulegram.meters import Absent, Meter, Unneeded
from joulegram.meters.tally import AVERAGES_GAIN, MOMENTS_GAIN, Counted, Integrated, Tally, number, summed
from joulegram.records import Channel

MILLI = 1e-3
MOST_S = 5.0
"""Two readings of a power further apart than this have an unknown energy between them."""

DEVICES = (Path("/dev/kfd"), Path("/etc/nv_tegra_release"), Path("/usr/lib/aarch64-linux-gnu/tegra"))
"""An AMD GPU's driver, a Jetson's release: without any of them, and off Apple's chips, Zeus need not be imported."""

_APPLE_KINDS = {"cpu_total_mj": "cpu", "gpu_mj": "gpu", "dram_mj": "dram", "ane_mj": "npu"}
_JETSON_KINDS = {"cpu_power_mw": "cpu", "gpu_power_mw": "gpu", "total_power_mw": "soc"}


@dataclass(frozen=True, slots=True)
class Device:
    """One device.

    Args:
        channels: what it counts.
        figures: for each of them a counter's figure or a power, in thousandths of J or W; None for one not known.
        tallies: what makes joules of them.
    """

    channels: Sequence[Channel]
    figures: Callable[[], Iterable[float | None]]
    tallies: Sequence[Tally]

    def joules(self, now_ns: int) -> Iterable[float]:
        """Joules of each channel now; NaN where it could not be read."""
        try:
            figures = [number(figure) for figure in self.figures()]
        except Exception:  # a device that is lost; the others go on
            figures = [nan] * len(self.channels)
        return [tally.take(now_ns, figure) for tally, figure in zip(self.tallies, figures, strict=True)]


class ZeusMeter(Meter):
    """The devices that Zeus finds.

    Args:
        devices: what to read.
        now_ns: monotonic clock (ns).
    """

    # A power has to be read often to be summed up.
    period_s: ClassVar[float] = 0.1

    def __init__(self, devices: Iterable[Device], now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._devices = list(devices)
        self._now_ns = now_ns
        self.channels = [channel for device in self._devices for channel in device.channels]

    @classmethod
    def open(cls, settings: Settings) -> ZeusMeter:
        """The devices of this machine.

        Raises:
            Absent: there are none, Zeus is not installed, or it cannot use them; the message says which.
        """
        del settings
        if not _has_devices():
            raise Unneeded("no AMD GPU, Apple chip or Jetson")
        try:
            import zeus.device.gpu
            import zeus.device.soc  # noqa: F401 - the functions below take what they need
        except Exception as error:  # libraries of drivers raise whatever they like
            raise Absent(f'Zeus cannot be imported ({error!r}): pip install "joulegram[zeus]"') from None
        devices: list[Device] = []
        reasons: list[str] = []
        for find in (_amd, _apple, _jetson):
            try:
                devices += find()
            except Exception as error:
                reasons.append(str(error) or repr(error))
        if not devices:
            raise Absent("; ".join(reasons) or "Zeus finds no AMD GPU, Apple chip or Jetson that it can read")
        return cls(devices)

    def read(self) -> Iterable[float]:
        """Joules on each channel's counter; NaN where it could not be read."""
        return [joules for device in self._devices for joules in device.joules(self._now_ns())]


def _has_devices() -> bool:
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return apple or any(path.exists() for path in DEVICES)


def _amd() -> Iterator[Device]:
    from zeus.device.gpu import AMDGPUs, amdsmi_is_available, get_gpus

    if not amdsmi_is_available():
        return
    gpus = get_gpus()  # one object for the process, which a user of Zeus may hold too
    if not isinstance(gpus, AMDGPUs):
        raise Absent("where there are GPUs of NVIDIA too, Zeus sees only those")
    packages = set()
    for gpu in sorted(gpus.gpus, key=lambda gpu: int(gpu.gpu_index)):
        name = gpu.get_name()
        package = (name, gpu.gpu_index // 2 if "MI250" in name else gpu.gpu_index)
        if package not in packages:
            packages.add(package)
            yield _amd_gpu(gpu, name)


def _amd_gpu(gpu: Any, name: str) -> Device:
    identity = f"gpu:amd-{gpu.gpu_index}"
    power = None if gpu.supports_get_total_energy_consumption() else _power_of(gpu)
    if power is None:  # where there is not even a power, the counter's reading fails, and the GPU is missing by name
        counter = _channel(identity, f"energy counter of {name}, through Zeus", MILLI, name)
        return Device([counter], lambda: [gpu.get_total_energy_consumption()], [Counted(MILLI)])
    measure, gain = power
    return _summed(_channel(identity, f"power of {name}, through Zeus", product=name), measure, gain)


def _power_of(gpu: Any) -> tuple[Callable[[], float], tuple[float, float]] | None:
    """The first of a GPU's two readings of power that works, and what summing it up does to its bounds."""
    for power, gain in ((gpu.get_average_power_usage, AVERAGES_GAIN), (gpu.get_instant_power_usage, MOMENTS_GAIN)):
        try:
            power()
        except Exception:  # not supported
            continue
        return power, gain
    return None


def _apple() -> Iterator[Device]:
    from zeus.device.soc import apple_silicon_is_available, get_soc

    if not apple_silicon_is_available():
        return
    chip = get_soc()
    metrics = sorted(chip.get_available_metrics() & _APPLE_KINDS.keys())

    def figures() -> Iterable[float | None]:
        counted = chip.get_total_energy_consumption()
        return [getattr(counted, metric) for metric in metrics]

    channels = [
        _channel(f"{_APPLE_KINDS[m]}:apple", f"energy counter {m} of the chip, through Zeus", MILLI) for m in metrics
    ]
    yield Device(channels, figures, [Counted(MILLI) for _ in metrics])


def _jetson() -> Iterator[Device]:
    from zeus.device.soc import Jetson, jetson_is_available

    if not jetson_is_available():
        return
    rails = Jetson._discover_available_metrics(object.__new__(Jetson))
    for rail in sorted(rails.keys() & _JETSON_KINDS.keys()):
        how = f"power of the {rail.removesuffix('_power_mw')} rail, through Zeus"
        yield _summed(_channel(f"{_JETSON_KINDS[rail]}:jetson", how), rails[rail].measure_power, MOMENTS_GAIN)


def _summed(sensor: Channel, power: Callable[[], float], gain: tuple[float, float]) -> Device:
    return Device([summed(sensor, gain)], lambda: [power()], [Integrated(MILLI, MOST_S)])


def _channel(identity: str, how: str, quantum_j: float = 0.0, product: str = "") -> Channel:
    kind = identity.partition(":")[0]
    return Channel(
        identity,
        kind,
        "measured",
        how,
        share="cpu" if kind in ("cpu", "dram") else "undivided",
        resolution_s=ZeusMeter.period_s,
        quantum_j=quantum_j,
        product=product,
    )
