"""AMD, Apple and Jetson through Zeus's devices: a stand-in with the surface that is used, and the real one's own."""

import inspect
import sys
from collections.abc import Callable, Sequence
from math import isnan
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from joulegram.config import Settings
from joulegram.meters import Absent
from joulegram.meters import zeus as ours
from joulegram.meters.zeus import ZeusMeter


class NotSupported(Exception):
    """What a device raises for what it does not have."""


class Gpu:
    """A GPU of AMD as Zeus shows it; `power_mw` None for one that shows no power."""

    def __init__(
        self, index: int, name: str = "AMD Instinct MI300X", counts: bool = True, power_mw: int | None = 100_000
    ) -> None:
        self.gpu_index, self.name, self.counts, self.power_mw = index, name, counts, power_mw
        self.energy_mj = 5_000_000

    def get_name(self) -> str:
        return self.name

    def supports_get_total_energy_consumption(self) -> bool:
        return self.counts

    def get_total_energy_consumption(self) -> int:
        if not self.counts:
            raise NotSupported
        return self.energy_mj

    def get_average_power_usage(self) -> int:
        raise NotSupported

    def get_instant_power_usage(self) -> int:
        if self.power_mw is None:
            raise NotSupported
        return self.power_mw


class AmdGpus:
    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self.gpus = gpus


class Chip:
    """An Apple chip."""

    def __init__(self, **counted: int | None) -> None:
        self.counted = counted
        self.asked = 0

    def get_available_metrics(self) -> set[str]:
        return {name for name, value in self.counted.items() if value is not None}

    def get_total_energy_consumption(self) -> SimpleNamespace:
        self.asked += 1
        return SimpleNamespace(**self.counted)


class Rail:
    def __init__(self, power_mw: float) -> None:
        self.power_mw = power_mw

    def measure_power(self) -> float:
        return self.power_mw


class Jetson:
    rails: ClassVar[dict[str, Rail]] = {}

    def __init__(self) -> None:
        raise AssertionError("starts a process")

    def _discover_available_metrics(self) -> dict[str, Rail]:
        return self.rails


Install = Callable[..., None]


@pytest.fixture
def zeus(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a stand-in for Zeus, with these devices, in the place of the real one."""

    def install(amd: Any = None, apple: Chip | None = None, jetson: dict[str, Rail] | None = None) -> None:
        def gpus() -> Any:
            if isinstance(amd, Exception):
                raise amd
            return amd

        gpu, soc = ModuleType("zeus.device.gpu"), ModuleType("zeus.device.soc")
        vars(gpu).update(AMDGPUs=AmdGpus, amdsmi_is_available=lambda: amd is not None, get_gpus=gpus)
        vars(soc).update(
            apple_silicon_is_available=lambda: apple is not None,
            get_soc=lambda: apple,
            Jetson=type("Jetson", (Jetson,), {"rails": jetson}),
            jetson_is_available=lambda: jetson is not None,
        )
        device = ModuleType("zeus.device")
        vars(device).update(gpu=gpu, soc=soc)
        modules = {"zeus": ModuleType("zeus"), "zeus.device": device, "zeus.device.gpu": gpu, "zeus.device.soc": soc}
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)

    monkeypatch.setattr(ours, "DEVICES", (Path("/"),))
    return install


class Clock:
    now_s = 0.0

    def __call__(self) -> int:
        return round(self.now_s * 1e9)


def opened() -> tuple[ZeusMeter, Clock]:
    meter, clock = ZeusMeter.open(Settings()), Clock()
    meter._now_ns = clock
    return meter, clock


def test_amd_gpus_are_read_from_their_counters_in_millijoules(zeus: Install) -> None:
    gpus = [Gpu(0), Gpu(3)]
    gpus[1].energy_mj = 7_500
    zeus(AmdGpus(gpus))
    meter, _ = opened()
    assert [channel.id for channel in meter.channels] == ["gpu:amd-0", "gpu:amd-3"]
    assert list(meter.read()) == [5000, 7.5]
    assert "energy counter of AMD Instinct MI300X" in meter.channels[0].how


@pytest.mark.parametrize(
    "second", [Gpu(1, "AMD Instinct MI250X", counts=False, power_mw=None), Gpu(1, "AMD Instinct MI250X")]
)
def test_the_two_dies_of_an_mi250_are_counted_once(zeus: Install, second: Gpu) -> None:
    zeus(AmdGpus([second, Gpu(0, "AMD Instinct MI250X"), Gpu(2, "AMD Instinct MI250X")]))
    meter, _ = opened()
    assert [channel.id for channel in meter.channels] == ["gpu:amd-0", "gpu:amd-2"]
    assert list(meter.read()) == [5000, 5000]


def test_a_gpu_whose_counter_is_wrong_has_its_power_summed_up(zeus: Install) -> None:
    zeus(AmdGpus([Gpu(0, counts=False)]))
    meter, clock = opened()
    assert list(meter.read()) == [0]
    clock.now_s = 2
    assert list(meter.read()) == [pytest.approx(200)]
    assert "summed up" in meter.channels[0].how
    assert meter.channels[0].method == "modelled"
    assert meter.channels[0].gain_low < 1 < meter.channels[0].gain_high


def test_a_gpu_that_tells_nothing_is_missing_and_not_zero(zeus: Install) -> None:
    zeus(AmdGpus([Gpu(0, counts=False, power_mw=None), Gpu(1)]))
    meter, _ = opened()
    unread, read = meter.read()
    assert isnan(unread)
    assert read == 5000


def test_a_gpu_that_is_lost_is_missing_until_it_is_back(zeus: Install) -> None:
    gpu, other = Gpu(0), Gpu(1)
    zeus(AmdGpus([gpu, other]))
    meter, _ = opened()
    gpu.counts = False
    assert [isnan(joules) for joules in meter.read()] == [True, False]
    gpu.counts = True
    assert list(meter.read()) == [5000, 5000]


def test_nvidias_gpus_are_left_to_their_own_meter(zeus: Install) -> None:
    zeus(SimpleNamespace(gpus=[Gpu(0)]))
    with pytest.raises(Absent, match="NVIDIA"):
        ZeusMeter.open(Settings())


def test_an_apple_chip_is_asked_once_for_its_disjoint_parts(zeus: Install) -> None:
    chip = Chip(cpu_total_mj=2000, efficiency_core_manager_mj=5, gpu_mj=3000, gpu_sram_mj=10, dram_mj=None, ane_mj=500)
    zeus(apple=chip)
    meter, _ = opened()
    chip.asked = 0
    readings = dict(zip([channel.id for channel in meter.channels], meter.read(), strict=True))
    assert readings == {"npu:apple": 0.5, "cpu:apple": 2, "gpu:apple": 3}
    assert chip.asked == 1
    assert {channel.kind: channel.share for channel in meter.channels} == {
        "npu": "undivided", "cpu": "cpu", "gpu": "undivided",
    }  # fmt: skip


def test_a_jetson_has_its_rails_summed_up_and_starts_no_process(zeus: Install) -> None:
    zeus(jetson={"cpu_power_mw": Rail(2000), "gpu_power_mw": Rail(5000), "total_power_mw": Rail(10_000)})
    meter, clock = opened()
    list(meter.read())
    clock.now_s = 1
    readings = dict(zip([channel.kind for channel in meter.channels], meter.read(), strict=True))
    assert readings == {"cpu": 2, "gpu": 5, "soc": 10}


@pytest.mark.parametrize(
    ("amd", "reason"),
    [
        (None, "Zeus finds no"),
        (RuntimeError("HIP_VISIBLE_DEVICES is empty"), "HIP_VISIBLE"),
        (KeyError(), "KeyError"),
    ],
)
def test_what_zeus_cannot_use_is_absent_with_the_reason(zeus: Install, amd: Any, reason: str) -> None:
    zeus(amd)
    with pytest.raises(Absent, match=reason):
        ZeusMeter.open(Settings())


def test_one_kind_of_device_that_fails_does_not_hide_another(zeus: Install) -> None:
    zeus(RuntimeError("broken"), apple=Chip(cpu_total_mj=1))
    assert [channel.id for channel in opened()[0].channels] == ["cpu:apple"]


def test_without_zeus_it_is_absent_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "DEVICES", (Path("/"),))
    for name in ("zeus", "zeus.device", "zeus.device.gpu", "zeus.device.soc"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Absent, match=r'pip install "joulegram\[zeus\]"'):
        ZeusMeter.open(Settings())


@pytest.mark.skipif(sys.platform == "darwin", reason="may be an Apple chip")
def test_without_a_device_zeus_is_not_even_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "DEVICES", (Path("/nowhere"),))
    monkeypatch.setitem(sys.modules, "zeus", None)
    with pytest.raises(Absent, match="no AMD GPU, Apple chip or Jetson"):
        ZeusMeter.open(Settings())


# -- the real one -----------------------------------------------------------------------------------------------------


def test_the_real_zeus_has_the_surface_that_is_used() -> None:
    gpu = pytest.importorskip("zeus.device.gpu")
    soc = pytest.importorskip("zeus.device.soc")
    amd = pytest.importorskip("zeus.device.gpu.amd")
    apple = pytest.importorskip("zeus.device.soc.apple")
    for function in (gpu.amdsmi_is_available, soc.apple_silicon_is_available, soc.get_soc, soc.jetson_is_available):
        assert not list(inspect.signature(getattr(function, "__wrapped__", function)).parameters)
    assert all(p.default is not p.empty for p in inspect.signature(gpu.get_gpus).parameters.values())
    assert isinstance(gpu.AMDGPUs.gpus, property)
    for stand_in, real in ((Gpu, amd.AMDGPU), (Chip, soc.AppleSilicon), (Jetson, soc.Jetson)):
        for name, method in inspect.getmembers(stand_in, inspect.isfunction):
            if not name.startswith("__"):
                assert list(inspect.signature(method).parameters) == ["self"]
                needed = [p for p in inspect.signature(getattr(real, name)).parameters.values() if p.default is p.empty]
                assert [parameter.name for parameter in needed] == ["self"]
    assert ours._APPLE_KINDS.keys() <= apple.AppleSiliconMeasurement.__dataclass_fields__.keys()
    assert ours._JETSON_KINDS.keys() == pytest.importorskip("zeus.device.soc.jetson").DeviceMap.__annotations__.keys()


def test_the_real_zeus_on_a_machine_without_its_devices_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    soc = pytest.importorskip("zeus.device.soc")
    gpu = pytest.importorskip("zeus.device.gpu")
    if gpu.amdsmi_is_available() or soc.apple_silicon_is_available() or soc.jetson_is_available():
        pytest.skip("this machine has one")
    monkeypatch.setattr(ours, "DEVICES", (Path("/"),))
    with pytest.raises(Absent, match="Zeus finds no"):
        ZeusMeter.open(Settings())


def test_the_rails_of_a_real_jetsons_files_are_found_without_a_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jetson = pytest.importorskip("zeus.device.soc.jetson")
    soc = pytest.importorskip("zeus.device.soc")
    rails = tmp_path / "1-0040" / "hwmon" / "hwmon3"
    rails.mkdir(parents=True)
    for index, (label, volt, curr) in enumerate([("VDD_IN", 5000, 2000), ("VDD_CPU", 5000, 400)], start=1):
        (rails / f"in{index}_label").write_text(f"{label}\n")
        (rails / f"in{index}_input").write_text(f"{volt}\n")
        (rails / f"curr{index}_input").write_text(f"{curr}\n")
    monkeypatch.setattr(jetson, "Path", lambda path: tmp_path if "ina3221" in str(path) else Path(path))
    monkeypatch.setattr(soc, "jetson_is_available", lambda: True)
    monkeypatch.setattr(ours, "DEVICES", (Path("/"),))
    meter, clock = opened()
    list(meter.read())
    clock.now_s = 1
    readings = dict(zip([channel.id for channel in meter.channels], meter.read(), strict=True))
    assert readings == {"cpu:jetson": pytest.approx(2), "soc:jetson": pytest.approx(10)}
