"""NVIDIA GPUs without hardware: a ``libnvidia-ml.so.1`` whose power, and so whose every joule, the test has chosen.

The library is compiled on the spot (``cc``). In this process, with a time that stands still until the test moves it:

    fake = FakeNvml(folder, [h100(power=[(0.35, 50), (0.35, 350)])])
    fake.load()                       # before anything imports pynvml
    fake.advance(10)
    fake.truth_j(0, 0, fake.now_ns()) # 2 kJ

For programs that know nothing of it, on the machine's own monotonic clock:

    fake = FakeNvml(folder, [pascal()], clock="monotonic")
    subprocess.run([...], env=os.environ | fake.environment())
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from joulegram.units import NS_PER_S

SOURCE = Path(__file__).with_name("fakenvml.c")
LIBRARY = "libnvidia-ml.so.1"
FOREVER_NS = 2**62
# NVML's own numbers (nvml.h).
NOT_SUPPORTED, GPU_IS_LOST = 3, 15
TOTAL_ENERGY, POWER_AVERAGE, POWER_INSTANT, ENERGY = "83", "185", "186", "191"


@dataclass(frozen=True, slots=True)
class Fault:
    """A function that fails for a while.

    Args:
        function: NVML's name of it, the number of a field, or ``*`` for every call about the device.
        code: what it answers instead (nvml.h, ``NVML_ERROR_…``).
        from_s: since when (s of the fake's clock).
        until_s: until when; None for ever.
    """

    function: str
    code: int = NOT_SUPPORTED
    from_s: float = 0.0
    until_s: float | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """A process that keeps a device's multiprocessors busy for `sm_percent` of the time."""

    pid: int
    sm_percent: int
    from_s: float = 0.0
    until_s: float | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """A MIG instance."""

    uuid: str
    gpu_instance: int
    compute_instance: int = 0


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: the power that it draws, and how much of that it shows.

    Args:
        power: pieces of (seconds, watts), over and over.
        repeats: False for once only; the last power stays.
        starts_s: when the pieces begin (s of the clock).
        idle_w: power before that.
        counted_j: what the energy counter holds at time zero; not nothing, as the driver has been up for a while.
        counts: what part of the energy its counter counts.
        energy_period_s: how often the energy counter refreshes; 0 for continuously.
        energy_phase_s: when, within that period.
        power_period_s: how often the power readings refresh; 0 for continuously.
        power_phase_s: when, within that period.
        usage_window_s: over how long ``nvmlDeviceGetPowerUsage`` averages; 0 for the power of the moment.
        instant_window_s: over how long the field ``POWER_INSTANT`` averages.
        average_window_s: over how long the field ``POWER_AVERAGE`` averages.
        utilisation_period_s: how often the use by processes is sampled.
        architecture: nvml.h's number of it.
        capability: CUDA compute capability.
        c2c: the GPU is on a module with a CPU (Grace Hopper), whose energy its counter holds too.
        mig: MIG mode is on.
        uuid: NVML's name of it; one is made up by default.
    """

    power: Sequence[tuple[float, float]] = ((1.0, 200.0),)
    repeats: bool = True
    starts_s: float = 0.0
    idle_w: float = 50.0
    counted_j: float = 1000.0
    counts: float = 1.0
    energy_period_s: float = 0.0
    energy_phase_s: float = 0.0
    power_period_s: float = 0.0
    power_phase_s: float = 0.0
    usage_window_s: float = 0.0
    instant_window_s: float = 0.0
    average_window_s: float = 1.0
    utilisation_period_s: float = 0.1
    name: str = "NVIDIA Ideal"
    architecture: int = 9
    capability: tuple[int, int] = (9, 0)
    cores: int = 16896
    clock_mhz: int = 1980
    limit_w: float = 700.0
    c2c: bool = False
    mig: bool = False
    instances: Sequence[Instance] = ()
    processes: Sequence[Process] = ()
    faults: Sequence[Fault] = ()
    uuid: str | None = None

    def without_counter(self) -> Gpu:
        """The same GPU with no energy counter."""
        names = ("nvmlDeviceGetTotalEnergyConsumption", TOTAL_ENERGY, ENERGY)
        return replace(self, faults=(*self.faults, *map(Fault, names)))

    def lost(self, from_s: float, until_s: float | None = None) -> Gpu:
        """The same GPU, fallen off the bus at `from_s`."""
        return replace(self, faults=(*self.faults, Fault("*", GPU_IS_LOST, from_s, until_s)))


ideal = Gpu
"""Shows its power as it is, at every moment."""

# Refreshes and windows as Yang, Adamek and Armour (SC24, arXiv 2312.02741) found them; limits from the data sheets.
a100 = partial(
    Gpu,
    name="NVIDIA A100-SXM4-80GB",
    architecture=7,
    capability=(8, 0),
    cores=6912,
    clock_mhz=1410,
    limit_w=400.0,
    energy_period_s=0.1,
    power_period_s=0.1,
    usage_window_s=0.025,
    instant_window_s=0.025,
)
"""Its counter refreshes ten times a second; its power readings see a quarter of the time."""

h100 = partial(
    Gpu,
    name="NVIDIA H100 80GB HBM3",
    energy_period_s=0.1,
    power_period_s=0.1,
    usage_window_s=1.0,
    instant_window_s=0.025,
)
"""As the A100, but its ordinary power reading is an average over a second."""


def pascal(**more: Any) -> Gpu:
    """No energy counter, no power fields: only a reading that sees half of the time."""
    shape = Gpu(
        name="Tesla P100-PCIE-16GB",
        architecture=4,
        capability=(6, 0),
        cores=3584,
        clock_mhz=1328,
        limit_w=250.0,
        power_period_s=0.02,
        usage_window_s=0.01,
        faults=(Fault(POWER_AVERAGE), Fault(POWER_INSTANT)),
    )
    return replace(shape.without_counter(), **more)


class FakeNvml:
    """A machine with these GPUs, in place of the driver's library.

    Args:
        folder: where the library is built, and kept for the next one.
        gpus: in the order of their PCI addresses.
        clock: ``virtual`` moves when the test says so, ``monotonic`` by itself.
        faults: of calls that are about no device.
        latency_s: how long every call takes.
        reload_at_s: when the driver is loaded anew: NVML has to be started again, and counters begin at zero.
    """

    def __init__(
        self,
        folder: Path,
        gpus: Sequence[Gpu] = (Gpu(),),
        *,
        clock: Literal["virtual", "monotonic"] = "virtual",
        faults: Sequence[Fault] = (),
        latency_s: float = 0.0,
        reload_at_s: float | None = None,
    ) -> None:
        self.gpus = [replace(gpu, uuid=gpu.uuid or made_up_uuid(number)) for number, gpu in enumerate(gpus)]
        self._folder = folder
        self._library: ctypes.CDLL | None = None
        machine = [
            f"virtual {int(clock == 'virtual')}",
            f"latency {_ns(latency_s)}",
            f"reload_at {_ns(reload_at_s or 0)}",
            *map(_fault, faults),
        ]
        self.configuration = "\n".join([*machine, *(line for gpu in self.gpus for line in _lines(gpu))]) + "\n"

    def load(self) -> None:
        """Makes this process's NVML this machine; whatever it was before is forgotten.

        Whoever loads ``libnvidia-ml.so.1`` from now on gets the library that is loaded already.
        """
        self._library = _loaded(build(self._folder))
        self._library.fake_nvml_configure(self.configuration.encode())

    def environment(self) -> dict[str, str]:
        """Variables with which another program finds this machine, and an ``nvidia-smi`` that does nothing."""
        folder = build(self._folder).parent
        text = self.configuration.encode()
        file = folder / f"machine-{hashlib.sha256(text).hexdigest()[:12]}.conf"
        file.write_bytes(text)
        stub = folder / "nvidia-smi"
        stub.write_text("#!/bin/sh\nexit 0\n")
        stub.chmod(0o755)
        return {
            "FAKE_NVML_CONFIG": str(file),
            "LD_LIBRARY_PATH": _before(folder, "LD_LIBRARY_PATH"),
            "PATH": _before(folder, "PATH"),
        }

    def now_ns(self) -> int:
        """The time (ns of its clock)."""
        return int(self._driver.fake_nvml_now())

    def set_time(self, seconds: float) -> None:
        """Moves virtual time to `seconds`."""
        self._driver.fake_nvml_set_time(_ns(seconds))

    def advance(self, seconds: float) -> None:
        """Lets virtual time pass."""
        self._driver.fake_nvml_set_time(self.now_ns() + _ns(seconds))

    def truth_j(self, gpu: int, start_ns: int, end_ns: int) -> float:
        """What a GPU used from one moment to another (J), exactly."""
        return float(self._driver.fake_nvml_truth_j(gpu, start_ns, end_ns))

    def calls(self, function: str) -> int:
        """How often an NVML function was called since `load`."""
        return int(self._driver.fake_nvml_calls(function.encode()))

    def foreign_calls(self) -> int:
        """Calls in a fork's child that relied on what its parent had begun."""
        return int(self._driver.fake_nvml_foreign_calls())

    def users(self) -> int:
        """Times that NVML was started and not yet shut down."""
        return int(self._driver.fake_nvml_users())

    @property
    def _driver(self) -> ctypes.CDLL:
        if self._library is None:
            self.load()
        assert self._library is not None
        return self._library


def can_build() -> bool:
    """Whether there is a C compiler."""
    return shutil.which("cc") is not None


def build(folder: Path) -> Path:
    """Compiles the library into `folder`, unless it is there; its path.

    Raises:
        subprocess.CalledProcessError: the compiler failed; its message is in `stderr`.
        FileNotFoundError: there is no ``cc``.
    """
    library = folder / LIBRARY
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        mine = folder / f"{LIBRARY}.{os.getpid()}"  # another process may be at it too
        flags = ["-O2", "-Wall", "-Wextra", "-fvisibility=hidden", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}"]
        subprocess.run(["cc", *flags, "-o", str(mine), str(SOURCE), "-lm"], check=True, capture_output=True, text=True)
        mine.replace(library)
    return library


def made_up_uuid(number: int) -> str:
    """The UUID of the fake GPU at an index, where none was chosen; no two begin with the same eight digits."""
    return f"GPU-{0xA0000000 + number:08x}-6a6f-756c-6573-{number:012x}"


def _loaded(path: Path) -> ctypes.CDLL:
    """The library with its types; the one that this process has already, wherever it was built."""
    try:
        library = ctypes.CDLL(LIBRARY, mode=os.RTLD_NOLOAD)
    except OSError:
        library = ctypes.CDLL(str(path))
    if not hasattr(library, "fake_nvml_configure"):
        raise RuntimeError("this process has loaded the driver's own NVML already; call load() before it does")
    library.fake_nvml_configure.argtypes = [ctypes.c_char_p]
    library.fake_nvml_set_time.argtypes = [ctypes.c_int64]
    library.fake_nvml_now.restype = ctypes.c_int64
    library.fake_nvml_truth_j.argtypes = [ctypes.c_uint, ctypes.c_int64, ctypes.c_int64]
    library.fake_nvml_truth_j.restype = ctypes.c_double
    library.fake_nvml_calls.argtypes = [ctypes.c_char_p]
    library.fake_nvml_calls.restype = ctypes.c_long
    library.fake_nvml_foreign_calls.restype = ctypes.c_long
    return library


def _lines(gpu: Gpu) -> Iterator[str]:
    """A GPU in the words of the library."""
    yield f"gpu {gpu.uuid}"
    yield f"name {gpu.name}"
    yield f"idle_w {gpu.idle_w!r}"
    yield f"counted_j {gpu.counted_j!r}"
    yield f"counts {gpu.counts!r}"
    yield from (f"{key} {_ns(getattr(gpu, f'{key}_s'))}" for key in _TIMES)
    yield from (f"{key} {int(getattr(gpu, key))}" for key in ("repeats", "cores", "clock_mhz", "c2c", "mig"))
    yield f"arch {gpu.architecture}"
    yield f"major {gpu.capability[0]}"
    yield f"minor {gpu.capability[1]}"
    yield f"limit_mw {round(gpu.limit_w * 1000)}"
    yield from (f"piece {_ns(length_s)} {watts!r}" for length_s, watts in gpu.power)
    yield from (f"instance {i.uuid} {i.gpu_instance} {i.compute_instance}" for i in gpu.instances)
    yield from (f"process {p.pid} {p.sm_percent} {_ns(p.from_s)} {_until(p.until_s)}" for p in gpu.processes)
    yield from map(_fault, gpu.faults)


_TIMES = (
    "starts", "energy_period", "energy_phase", "power_period", "power_phase",
    "usage_window", "instant_window", "average_window", "utilisation_period",
)  # fmt: skip


def _fault(fault: Fault) -> str:
    return f"fault {fault.function} {fault.code} {_ns(fault.from_s)} {_until(fault.until_s)}"


def _until(seconds: float | None) -> int:
    return FOREVER_NS if seconds is None else _ns(seconds)


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def _before(folder: Path, variable: str) -> str:
    return os.pathsep.join(filter(None, (str(folder), os.environ.get(variable))))
