"""The emulated NVML: it shows what a driver shows, and its truth is exact."""

import os
import subprocess
import sys
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.testing.nvml import FakeNvml, Fault, Gpu, Instance, Process, a100, can_build, h100, made_up_uuid, pascal

pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
pytestmark = pytest.mark.skipif(not can_build(), reason="there is no C compiler, cc")

SQUARE = ((0.35, 50.0), (0.35, 350.0))
PIECES = st.lists(st.tuples(st.floats(0.001, 5), st.floats(0, 1000)), min_size=1, max_size=20)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("nvml")


@pytest.fixture
def machine(folder):
    """Makes this process's NVML a machine with these GPUs, started."""

    def made(*gpus, **more):
        fake = FakeNvml(folder, gpus, **more)
        fake.load()
        pynvml.nvmlInit()
        return fake

    return made


def handle(index=0):
    return pynvml.nvmlDeviceGetHandleByIndex(index)


def energy_j(index=0):
    return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle(index)) / 1e3


def power_w(field, index=0):
    return pynvml.nvmlDeviceGetFieldValues(handle(index), [field])[0].value.uiVal / 1e3


def test_truth_is_the_sum_of_the_pieces_over_and_over(machine):
    fake = machine(Gpu(power=SQUARE, starts_s=2.0, idle_w=30.0))
    assert fake.truth_j(0, 0, 2_000_000_000) == pytest.approx(60)
    assert fake.truth_j(0, 2_000_000_000, 9_000_000_000) == pytest.approx(7 * 200)
    assert fake.truth_j(0, 2_350_000_000, 2_450_000_000) == pytest.approx(35)


def test_a_trace_that_does_not_repeat_keeps_its_last_power(machine):
    fake = machine(Gpu(power=((1.0, 100.0), (1.0, 10.0)), repeats=False))
    assert fake.truth_j(0, 0, 10_000_000_000) == pytest.approx(100 + 90)


@given(PIECES, st.floats(0, 100), st.floats(0, 100), st.booleans())
def test_truth_adds_up_whatever_the_trace(folder, pieces, first_s, second_s, repeats):
    fake = FakeNvml(folder, [Gpu(power=pieces, repeats=repeats)])
    fake.load()
    a, b, c = sorted((0, round(first_s * 1e9), round(second_s * 1e9)))
    whole, parts = fake.truth_j(0, a, c), fake.truth_j(0, a, b) + fake.truth_j(0, b, c)
    assert isclose(whole, parts, rel_tol=1e-9, abs_tol=1e-6)
    assert -1e-6 <= whole <= max(w for _, w in pieces) * (c - a) / 1e9 + 1e-6


def test_an_ideal_counter_tells_the_truth_at_every_moment(machine):
    fake = machine(Gpu(power=SQUARE, counted_j=5.0))
    for seconds in (0.0, 0.1, 0.35, 1.234, 60.0):
        fake.set_time(seconds)
        assert energy_j() == pytest.approx(5 + fake.truth_j(0, 0, fake.now_ns()), abs=0.001)


def test_a_counter_shows_its_last_refresh(machine):
    fake = machine(a100(power=((1.0, 100.0),), energy_phase_s=0.03))
    for seconds, refreshed_s in ((1.0, 0.93), (1.0299, 0.93), (1.03, 1.03), (1.1, 1.03)):
        fake.set_time(seconds)
        assert energy_j() == pytest.approx(1000 + 100 * refreshed_s)


def test_power_readings_average_over_their_windows(machine):
    fake = machine(h100(power=((1.0, 100.0), (1.0, 300.0))))
    fake.set_time(1.2)
    assert pynvml.nvmlDeviceGetPowerUsage(handle()) / 1e3 == pytest.approx(0.8 * 100 + 0.2 * 300)
    assert power_w(pynvml.NVML_FI_DEV_POWER_AVERAGE) == pytest.approx(140)
    assert power_w(pynvml.NVML_FI_DEV_POWER_INSTANT) == pytest.approx(300)
    fake.set_time(1.29)
    assert power_w(pynvml.NVML_FI_DEV_POWER_AVERAGE) == pytest.approx(140)


def test_a_pascal_has_power_readings_and_nothing_else(machine):
    fake = machine(pascal(power=((1.0, 100.0),)))
    fake.set_time(1.0)
    assert pynvml.nvmlDeviceGetPowerUsage(handle()) == 100_000
    with pytest.raises(pynvml.NVMLError_NotSupported):
        energy_j()
    fields = [pynvml.NVML_FI_DEV_POWER_INSTANT, pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION]
    answered = pynvml.nvmlDeviceGetFieldValues(handle(), fields)
    assert [field.nvmlReturn for field in answered] == [pynvml.NVML_ERROR_NOT_SUPPORTED] * 2


def test_a_lost_gpu_is_lost_alone_and_for_its_time(machine):
    fake = machine(Gpu().lost(5.0, 6.0), Gpu())
    lost = handle(0)
    fake.set_time(5.0)
    with pytest.raises(pynvml.NVMLError_GpuIsLost):
        pynvml.nvmlDeviceGetName(lost)
    assert energy_j(1) == pytest.approx(2000)
    fake.set_time(6.0)
    assert pynvml.nvmlDeviceGetName(lost) == "NVIDIA Ideal"


def test_any_function_and_field_fails_when_told_to(machine):
    rules = (Fault("nvmlDeviceGetPowerUsage", 10, 1.0, 2.0), Fault("186", 27, 1.0))
    fake = machine(Gpu(faults=rules), faults=[Fault("nvmlDeviceGetCount_v2", 999, 3.0)])
    fake.set_time(1.5)
    with pytest.raises(pynvml.NVMLError_Timeout):
        pynvml.nvmlDeviceGetPowerUsage(handle())
    answered = pynvml.nvmlDeviceGetFieldValues(handle(), [pynvml.NVML_FI_DEV_POWER_INSTANT])
    assert answered[0].nvmlReturn == pynvml.NVML_ERROR_NOT_READY
    fake.set_time(3.0)
    assert pynvml.nvmlDeviceGetPowerUsage(handle()) == 200_000
    with pytest.raises(pynvml.NVMLError_Unknown):
        pynvml.nvmlDeviceGetCount()


def test_a_reloaded_driver_wants_to_be_started_again_and_has_counted_nothing(machine):
    fake = machine(Gpu(power=((1.0, 100.0),)), reload_at_s=10.0)
    old = handle()
    fake.set_time(12.0)
    with pytest.raises(pynvml.NVMLError_Uninitialized):
        pynvml.nvmlDeviceGetName(old)
    pynvml.nvmlInit()
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        pynvml.nvmlDeviceGetName(old)
    assert energy_j() == pytest.approx(200)


def test_instances_have_names_and_a_parent_but_no_energy(machine):
    machine(a100(mig=True, instances=(Instance("MIG-1", 1), Instance("MIG-2", 2, 1))))
    assert pynvml.nvmlDeviceGetMigMode(handle())[0] == 1
    part = pynvml.nvmlDeviceGetHandleByUUID("MIG-2")
    assert (pynvml.nvmlDeviceGetGpuInstanceId(part), pynvml.nvmlDeviceGetComputeInstanceId(part)) == (2, 1)
    assert pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(part)) == made_up_uuid(0)
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceGetTotalEnergyConsumption(part)
    with pytest.raises(pynvml.NVMLError_NotFound):
        pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle(), 2)


@pytest.mark.parametrize("function", ["nvmlDeviceGetProcessesUtilizationInfo", "nvmlDeviceGetProcessUtilization"])
def test_the_use_by_processes_is_told_since_the_last_time(machine, function):
    fake = machine(Gpu(processes=(Process(11, 60), Process(12, 40, from_s=5.0, until_s=6.0))))
    ask = getattr(pynvml, function)
    fake.set_time(4.0)
    first = ask(handle(), 0)
    assert [(sample.pid, sample.smUtil) for sample in first] == [(11, 60)]
    with pytest.raises(pynvml.NVMLError_NotFound):
        ask(handle(), first[0].timeStamp)
    fake.set_time(6.0)
    assert [(s.pid, s.smUtil) for s in ask(handle(), first[0].timeStamp)] == [(11, 60), (12, 20)]


def test_a_child_that_uses_what_its_parent_began_is_seen(machine):
    fake = machine(Gpu())
    inherited, (reads, writes) = handle(), os.pipe()
    if (pid := os.fork()) == 0:
        try:
            with pytest.raises(pynvml.NVMLError_Uninitialized):
                pynvml.nvmlDeviceGetName(inherited)
            os.write(writes, b"%d" % fake.foreign_calls())
        finally:
            os._exit(0)
    os.close(writes)
    os.waitpid(pid, 0)
    assert os.read(reads, 9) == b"1"
    assert fake.foreign_calls() == 0


def test_calls_are_counted(machine):
    fake = machine(Gpu())
    energy_j()
    energy_j()
    assert fake.calls("nvmlDeviceGetTotalEnergyConsumption") == 2
    assert fake.calls("nvmlDeviceGetPowerUsage") == 0
    assert fake.users() == 1


def test_a_program_that_knows_nothing_of_it_finds_the_machine(folder):
    fake = FakeNvml(folder, [h100(), pascal()], clock="monotonic")
    program = (
        "import pynvml as n, shutil; n.nvmlInit(); handles = map(n.nvmlDeviceGetHandleByIndex, range(2));"
        "print([n.nvmlDeviceGetName(h) for h in handles], shutil.which('nvidia-smi'))"
    )
    environment = {**os.environ, **fake.environment()}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert "['NVIDIA H100 80GB HBM3', 'Tesla P100-PCIE-16GB']" in done.stdout
    assert str(folder) in done.stdout


def test_on_the_machines_own_clock_time_passes_by_itself(machine):
    fake = machine(Gpu(power=((1.0, 100.0),)), clock="monotonic")
    before_ns, first_j = fake.now_ns(), energy_j()
    second_j, after_ns = energy_j(), fake.now_ns()
    assert 0 <= second_j - first_j <= fake.truth_j(0, before_ns, after_ns) + 0.001
