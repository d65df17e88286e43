"""Whatever NVML answers to whichever call: the one GPU is missing for that time, the others are measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import isfinite, isnan
from pathlib import Path
from typing import Any

import pytest

from joulegram.meters import Absent, Denied
from joulegram.meters.nvml import NvmlMeter
from joulegram.testing.nvml import FakeNvml, Fault, Gpu, Instance, Process, a100, can_build, h100, made_up_uuid, pascal

pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
pytestmark = pytest.mark.skipif(not can_build(), reason="there is no C compiler, cc")

ERRORS: list[int] = sorted(
    value for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_") and isinstance(value, int) and value
)
CONSTANT = ((1.0, 200.0),)
MINE, OTHERS = 4711, 4712
PROCESSES = (Process(MINE, 30), Process(OTHERS, 10))

# One of each way to be described and read; every function that the meter knows is asked of one of them.
KINDS = {
    "counter": a100(power=CONSTANT, processes=PROCESSES),
    "divided": a100(power=CONSTANT, mig=True, instances=(Instance("MIG-1", 1), Instance("MIG-2", 2))),
    "module": h100(power=CONSTANT, c2c=True),
    "moments": h100(power=CONSTANT).without_counter(),
    "readings": pascal(power=CONSTANT),
}
LIBRARY = ("nvmlInitWithFlags", "nvmlDeviceGetCount_v2", "nvmlShutdown")
"""Calls about no device, by their names in the library."""
OPENING = (
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetNumGpuCores",
    "nvmlDeviceGetMaxClockInfo",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex",
    "nvmlDeviceGetGpuInstanceId",
    "nvmlDeviceGetComputeInstanceId",
    "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetC2cModeInfoV",
    "nvmlDeviceGetArchitecture",
    "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetProcessesUtilizationInfo",
    "nvmlDeviceGetProcessUtilization",
)
"""Calls about a device while a meter opens."""
READING = {
    "nvmlDeviceGetTotalEnergyConsumption": "counter",
    "nvmlDeviceGetPowerUsage": "readings",
    "nvmlDeviceGetFieldValues": "moments",
    str(pynvml.NVML_FI_DEV_POWER_INSTANT): "moments",  # the field alone: the call succeeds
}
"""Calls for a sample, and the kind of GPU that is read by them."""

Machine = Callable[..., FakeNvml]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nvml-errors")


@pytest.fixture
def machine(folder: Path) -> Machine:
    """Makes this process's NVML a machine with these GPUs, ten seconds after its start."""

    def made(*gpus: Gpu, **more: Any) -> FakeNvml:
        fake = FakeNvml(folder, gpus, **more)
        fake.load()
        fake.set_time(10.0)
        return fake

    return made


def opened(fake: FakeNvml, nvml: Any = pynvml) -> NvmlMeter:
    return NvmlMeter(nvml, {}, fake.now_ns, sees_all_pids=True)


def failing(gpu: Gpu, *faults: Fault) -> Gpu:
    return replace(gpu, faults=(*gpu.faults, *faults))


def sampled(fake: FakeNvml, meter: NvmlMeter, seconds: float) -> list[list[float]]:
    """Readings of every GPU, 20 a second; every tenth of a second processes are asked about as well."""
    readings = [list(meter.read())]
    for number in range(round(seconds / 0.05)):
        fake.advance(0.05)
        readings.append(list(meter.read()))
        if number % 2:
            assert all(0 <= share <= 1 for share in meter.shares([MINE]))
    return readings


def risen_j(readings: list[list[float]], gpu: int) -> float:
    return readings[-1][gpu] - readings[0][gpu]


@contextmanager
def code(error: int) -> Iterator[None]:
    """Names the error in a failure: many are tried in one test."""
    try:
        yield
    except AssertionError as failed:
        raise AssertionError(f"NVML answers {pynvml.nvmlErrorString(error)} ({error})") from failed


class Asked:
    """The module, which keeps the names of the functions that were taken from it."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("nvml"):
            self.names.add(name)
        return getattr(pynvml, name)


def test_no_call_of_the_meter_is_left_out_here(machine: Machine) -> None:
    asked = Asked()
    old = failing(
        KINDS["counter"], Fault("nvmlDeviceGetProcessesUtilizationInfo", pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    )
    fake = machine(*KINDS.values(), old, reload_at_s=11.0)
    meter = opened(fake, asked)
    sampled(fake, meter, 3)
    meter.close()
    known = {*LIBRARY, *OPENING, "nvmlDeviceGetHandleByUUID"}
    assert asked.names == {re.sub("WithFlags|_v[23]", "", function) for function in known}


# -- while the meter opens --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["nvmlInitWithFlags", "nvmlDeviceGetCount_v2"])
def test_a_driver_that_does_not_start_or_list_its_gpus_is_absent_or_denied_and_left_as_it_was(
    machine: Machine, function: str
) -> None:
    for error in ERRORS:
        fake = machine(Gpu(), faults=[Fault(function, error)])
        with code(error), pytest.raises((Absent, Denied)) as refused:
            opened(fake)
        with code(error):
            assert len(str(refused.value).splitlines()) == 1
            assert fake.users() == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", OPENING)
def test_any_error_about_one_gpu_while_opening_leaves_the_others_measured_and_none_at_zero(
    machine: Machine, function: str, kind: str
) -> None:
    for error in ERRORS:
        fake = machine(failing(KINDS[kind], Fault(function, error)), Gpu(power=CONSTANT), pascal(power=CONSTANT))
        meter = opened(fake)
        readings = sampled(fake, meter, 1)
        used_j = {channel.id: risen_j(readings, number) for number, channel in enumerate(meter.channels)}
        meter.close()
        with code(error):
            assert used_j[f"gpu:{made_up_uuid(1)}"] == pytest.approx(200)
            assert used_j[f"gpu:{made_up_uuid(2)}"] == pytest.approx(200)
            broken_j = used_j.get(f"gpu:{made_up_uuid(0)}")
            assert broken_j is None or isnan(broken_j) or broken_j == pytest.approx(200, abs=20)


# -- while it samples -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", READING)
def test_any_error_while_reading_is_a_missing_reading_of_that_gpu_for_just_as_long(
    machine: Machine, function: str
) -> None:
    for error in ERRORS:
        fake = machine(failing(KINDS[READING[function]], Fault(function, error, 11.0, 12.0)), Gpu(power=CONSTANT))
        meter = opened(fake)
        readings = sampled(fake, meter, 3)
        meter.close()
        with code(error):
            assert [isnan(first) for first, _ in readings] == [20 <= number < 40 for number in range(61)]
            assert risen_j(readings, 1) == pytest.approx(600)


@pytest.mark.parametrize("function", ["nvmlDeviceGetProcessesUtilizationInfo", "nvmlDeviceGetProcessUtilization"])
def test_any_error_about_processes_leaves_the_share_as_it_was_and_the_joules_alone(
    machine: Machine, function: str
) -> None:
    unknown = Fault("nvmlDeviceGetProcessesUtilizationInfo", pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    older = [unknown] if function == "nvmlDeviceGetProcessUtilization" else []
    for error in ERRORS:
        fake = machine(failing(KINDS["counter"], Fault(function, error, 11.0, 12.0), *older))
        meter = opened(fake)
        readings = sampled(fake, meter, 1.5)
        with code(error):
            assert meter.shares([MINE]) == pytest.approx([0.75])
            assert risen_j(readings, 0) == pytest.approx(300)
        meter.close()


@pytest.mark.parametrize("function", ["nvmlInitWithFlags", "nvmlDeviceGetHandleByUUID"])
def test_any_error_on_the_way_back_to_a_reloaded_driver_is_tried_again(machine: Machine, function: str) -> None:
    for error in ERRORS:
        fault = Fault(function, error, 11.0, 13.0)
        fake = machine(failing(Gpu(power=CONSTANT), fault), faults=[fault], reload_at_s=11.0)
        meter = opened(fake)
        readings = sampled(fake, meter, 8)
        meter.close()
        with code(error):
            assert all(isfinite(value) for (value,) in readings[:20])
            assert all(isnan(value) for (value,) in readings[20:60])  # never the zero that the new driver begins with
            assert isfinite(readings[-1][0])
            assert fake.users() == 0


def test_any_error_at_the_end_ends_it_all_the_same(machine: Machine) -> None:
    for error in ERRORS:
        fake = machine(Gpu(), faults=[Fault("nvmlShutdown", error, 11.0)])
        meter = opened(fake)
        fake.advance(2.0)
        with code(error):
            meter.close()
            meter.close()
            assert fake.calls("nvmlShutdown") == 1
