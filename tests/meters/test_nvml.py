"""NVML's meter on emulated GPUs of known power: right joules, and missing ones that say so."""

import os
import sys
import types
import warnings
from dataclasses import replace
from itertools import pairwise
from math import isfinite, isnan

import pytest
from worlds import Kept, ModelCounter, OwnedClock, recorder

from joulegram.config import Settings
from joulegram.meters import Absent, Denied
from joulegram.meters.nvml import SENSOR_GAIN, NvmlMeter
from joulegram.meters.nvml_library import load_nvml
from joulegram.meters.tally import AVERAGES_GAIN, MOMENTS_GAIN
from joulegram.records import Channel, Gap
from joulegram.testing.nvml import FakeNvml, Fault, Gpu, Instance, Process, a100, can_build, h100, made_up_uuid, pascal

pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
pytestmark = pytest.mark.skipif(not can_build(), reason="there is no C compiler, cc")

CONSTANT = ((1.0, 200.0),)
SQUARE = ((0.35, 50.0), (0.35, 350.0))
EPOCHS = ((1.1, 400.0), (0.2, 50.0))
ERRORS = sorted(
    value
    for name, value in vars(pynvml).items()
    if name.startswith("NVML_ERROR_") and isinstance(value, int) and value not in (0, pynvml.NVML_ERROR_UNINITIALIZED)
)
NS_PER_S = 1_000_000_000
MINE, OTHERS = 4711, 4712


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("nvml")


@pytest.fixture
def machine(folder):
    """Makes this process's NVML a machine with these GPUs, ten seconds after its start."""

    def made(*gpus, at_s=10.0, **more):
        fake = FakeNvml(folder, gpus, **more)
        fake.load()
        fake.set_time(at_s)
        return fake

    return made


def both(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Bounds of a sensor, and of what is done with its readings, together."""
    return one[0] * other[0], one[1] * other[1]


def opened(fake, *, sees_all_pids=True, **environ):
    return NvmlMeter(pynvml, environ, fake.now_ns, sees_all_pids, fake.advance)


def only(meter):
    (channel,) = meter.channels
    return channel


def sampled(fake, meter, seconds, step_s=0.05):
    """Reads regularly; all readings."""
    readings = [list(meter.read())]
    for _ in range(round(seconds / step_s)):
        fake.advance(step_s)
        readings.append(list(meter.read()))
    return readings


def used_j(fake, meter, seconds):
    """What the meter says that each GPU used in that time."""
    readings = sampled(fake, meter, seconds)
    return [last - first for first, last in zip(readings[0], readings[-1], strict=True)]


# -- joules -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "instant"),
    [(Gpu(power=CONSTANT), True), (h100(power=CONSTANT), False), (pascal(power=CONSTANT), False)],
)
def test_only_a_counter_that_is_always_current_is_read_at_edges(machine, profile, instant):
    assert opened(machine(profile)).instant is instant


def test_a_machine_that_is_slow_to_wake_says_nothing_of_how_fast_a_counter_refreshes(machine):
    fake = machine(Gpu(power=CONSTANT))
    meter = NvmlMeter(pynvml, {}, fake.now_ns, True, lambda seconds: fake.advance(seconds + 0.02))
    assert only(meter).lag_s == 0.1


@pytest.mark.parametrize("power", [CONSTANT, SQUARE, EPOCHS], ids=["constant", "square", "epochs"])
@pytest.mark.parametrize("profile", [Gpu, a100, h100])
def test_a_counter_is_measured_and_right_to_one_refresh(machine, profile, power):
    fake = machine(profile(power=power))
    meter = opened(fake)
    start_ns = fake.now_ns()
    (energy_j,) = used_j(fake, meter, 60)
    assert energy_j == pytest.approx(fake.truth_j(0, start_ns, fake.now_ns()), abs=0.1 * 400)
    channel = only(meter)
    assert (channel.method, channel.kind) == ("measured", "gpu")
    if profile is Gpu:  # seen to move at every look
        assert (channel.lag_s, channel.delay_s, channel.resolution_s) == (0.0, pytest.approx(0.001), channel.delay_s)
    else:
        assert (channel.lag_s, channel.resolution_s) == (0.1, 0.1)
    assert (channel.gain_low, channel.gain_high) == (0.95, 1.05)
    assert channel.id == f"gpu:{made_up_uuid(0)}"
    assert channel.idle_w is None


@pytest.mark.parametrize("power", [CONSTANT, SQUARE, EPOCHS], ids=["constant", "square", "epochs"])
def test_without_a_counter_power_is_integrated_within_three_percent(machine, power):
    fake = machine(pascal(power=power))
    meter = opened(fake)
    start_ns = fake.now_ns()
    (energy_j,) = used_j(fake, meter, 60)
    assert energy_j == pytest.approx(fake.truth_j(0, start_ns, fake.now_ns()), rel=0.03)
    channel = only(meter)
    assert channel.method == "modelled"
    assert "summed up" in channel.how
    assert (channel.gain_low, channel.gain_high) == both(SENSOR_GAIN, MOMENTS_GAIN)
    assert channel.lag_s == 0.1


def test_a_gpu_whose_counter_stands_at_nothing_has_none(machine):
    fake = machine(Gpu(power=((1.0, 0.0),), counted_j=0.0))
    assert only(opened(fake)).method == "modelled"


def test_a_gpu_that_tells_only_averages_lags_by_a_second(machine):
    fake = machine(h100(power=SQUARE, faults=[Fault("186")]).without_counter())
    meter = opened(fake)
    channel = only(meter)
    assert (channel.lag_s, channel.resolution_s) == (1.0, 1.0)
    assert (channel.gain_low, channel.gain_high) == both(SENSOR_GAIN, AVERAGES_GAIN)
    start_ns = fake.now_ns()
    (energy_j,) = used_j(fake, meter, 70)
    assert energy_j == pytest.approx(fake.truth_j(0, start_ns, fake.now_ns()), rel=0.02)


def test_a_gpu_whose_architecture_is_not_known_is_taken_to_tell_averages(machine):
    faults = [Fault("186"), Fault("nvmlDeviceGetArchitecture")]
    assert only(opened(machine(h100(faults=faults).without_counter()))).lag_s == 1.0


def test_the_power_of_an_a100_is_of_the_moment_even_without_the_field_for_it(machine):
    assert only(opened(machine(a100(faults=[Fault("186")]).without_counter()))).lag_s == 0.1


@pytest.mark.parametrize("gpu", [h100(), h100().without_counter()])
def test_a_channel_names_its_product(machine, gpu):
    assert only(opened(machine(gpu))).product == gpu.name


def test_several_gpus_are_several_channels_each_with_its_own_joules(machine):
    fake = machine(Gpu(power=((1.0, 200.0),)), Gpu(power=((1.0, 300.0),)), pascal(power=((1.0, 100.0),)))
    meter = opened(fake)
    assert used_j(fake, meter, 10) == pytest.approx([2000, 3000, 1000], rel=0.001)
    assert [channel.method for channel in meter.channels] == ["measured", "measured", "modelled"]


def test_power_is_bounded_by_the_enforced_limit_with_headroom(machine):
    assert only(opened(machine(a100()))).max_w == pytest.approx(480)
    assert only(opened(machine(a100(faults=[Fault("nvmlDeviceGetEnforcedPowerLimit")])))).max_w is None


def test_a_sample_costs_one_call_for_each_gpu(machine):
    fake = machine(a100(), h100(), pascal())
    meter = opened(fake)
    names = ("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetFieldValues")
    before = [fake.calls(name) for name in names]
    meter.read()
    assert [fake.calls(name) - calls for name, calls in zip(names, before, strict=True)] == [2, 1, 0]


# -- which GPUs -------------------------------------------------------------------------------------------------


def uuids(meter):
    return [channel.id.removeprefix("gpu:") for channel in meter.channels]


def test_all_gpus_count_where_nothing_is_chosen(machine):
    meter = opened(machine(*[Gpu()] * 12))
    assert uuids(meter) == [made_up_uuid(number) for number in range(12)]


@pytest.mark.parametrize(
    ("devices", "numbers"),
    [
        ("10", [10]),
        ("11,3", [11, 3]),
        (made_up_uuid(1), [1]),
        (made_up_uuid(11)[:12], [11]),
        (f"{made_up_uuid(2)},{made_up_uuid(0)}", [2, 0]),
        ("0,-1,2", [0]),
    ],
)
def test_only_the_chosen_gpus_count(machine, devices, numbers):
    meter = opened(machine(*[Gpu()] * 12), CUDA_VISIBLE_DEVICES=devices)
    assert uuids(meter) == [made_up_uuid(number) for number in numbers]


@pytest.mark.parametrize("devices", ["", "-1", "7", "GPU-ffffffff"])
def test_a_choice_of_nothing_is_no_gpu_and_leaves_nvml_as_it_was(machine, devices):
    fake = machine(Gpu())
    with pytest.raises(Absent, match=f"CUDA_VISIBLE_DEVICES={devices} names none"):
        opened(fake, CUDA_VISIBLE_DEVICES=devices)
    assert fake.users() == 0


def test_among_different_gpus_an_index_says_that_it_is_a_guess(machine):
    fake = machine(pascal(), a100())
    guessed = opened(fake, CUDA_VISIBLE_DEVICES="0")
    assert uuids(guessed) == [made_up_uuid(1)]
    assert "CUDA_DEVICE_ORDER" in only(guessed).how
    certain = opened(fake, CUDA_VISIBLE_DEVICES="0", CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert uuids(certain) == [made_up_uuid(0)]
    assert "CUDA_DEVICE_ORDER" not in only(certain).how


MIG = a100(
    power=CONSTANT,
    mig=True,
    instances=(Instance("MIG-11111111-1", 1), Instance("MIG-22222222-2", 2)),
    processes=(Process(OTHERS, 50),),
)


@pytest.mark.parametrize(
    "devices",
    ["MIG-11111111-1", "MIG-11111111-1,MIG-22222222-2", "MIG-2", f"MIG-{made_up_uuid(1)}/2/0", "1", made_up_uuid(1)],
)
def test_a_mig_instance_counts_its_whole_gpu_once_and_says_so(machine, devices):
    fake = machine(a100(), MIG)
    meter = opened(fake, CUDA_VISIBLE_DEVICES=devices)
    channel = only(meter)
    assert channel.id == f"gpu:{made_up_uuid(1)}"
    assert "of the whole GPU" in channel.how
    assert channel.share == "undivided"
    assert used_j(fake, meter, 10) == pytest.approx([2000])
    assert meter.shares([MINE]) == [1.0]


class Torch:
    """A torch whose CUDA has begun, or has not."""

    def __init__(self, *devices, begun=True):
        self.cuda = self
        self._devices, self._begun = devices, begun

    def is_initialized(self):
        return self._begun

    def device_count(self):
        assert self._begun, "this would start CUDA"
        return len(self._devices)

    def get_device_properties(self, index):
        assert self._begun, "this would start CUDA"
        return types.SimpleNamespace(**self._devices[index])


@pytest.mark.parametrize(
    "device",
    [
        {"uuid": made_up_uuid(1).removeprefix("GPU-")},
        {"pci_domain_id": 0, "pci_bus_id": 2, "pci_device_id": 0},
    ],
)
def test_torchs_own_devices_count_where_it_has_begun_to_compute(machine, monkeypatch, device):
    monkeypatch.setitem(sys.modules, "torch", Torch(device))
    assert uuids(opened(machine(pascal(), a100(), h100()), CUDA_VISIBLE_DEVICES="0")) == [made_up_uuid(1)]


def test_torchs_mig_device_is_its_gpu(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", Torch({"uuid": "22222222-2"}))
    assert uuids(opened(machine(a100(), MIG))) == [made_up_uuid(1)]


@pytest.mark.parametrize("torch", [Torch(begun=False), types.ModuleType("torch"), Torch({}), Torch({"uuid": "f"})])
def test_a_torch_that_has_not_begun_or_knows_no_gpu_is_left_alone(machine, monkeypatch, torch):
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert uuids(opened(machine(*[Gpu()] * 2), CUDA_VISIBLE_DEVICES="1")) == [made_up_uuid(1)]


# -- modules ----------------------------------------------------------------------------------------------------


def test_a_grace_hoppers_counter_is_its_modules(machine):
    channel = only(opened(machine(h100(c2c=True, limit_w=900.0))))
    assert (channel.kind, channel.id) == ("soc", f"soc:{made_up_uuid(0)}")
    assert "module: GPU, CPU and memory" in channel.how
    assert channel.max_w == pytest.approx(1080)


def test_a_newer_module_says_that_its_cpu_may_be_counted(machine):
    channel = only(opened(machine(h100(c2c=True, architecture=10))))
    assert channel.kind == "gpu"
    assert "may count the CPU" in channel.how
    assert channel.max_w is None


def test_a_modules_counter_takes_the_place_of_a_model_of_its_cpu(machine):
    fake, clock = machine(h100(c2c=True)), OwnedClock()
    model = ModelCounter(clock, names=("cpu:model",))
    kinds = [c.channel.kind for c in recorder(clock, Kept(), model, opened(fake)).sampler.channels()]
    assert kinds == ["soc"]
    assert model.closed == 1


def test_a_gpus_counter_leaves_the_model_of_the_cpu_in_place(machine):
    fake, clock = machine(h100()), OwnedClock()
    held = recorder(clock, Kept(), ModelCounter(clock, names=("cpu:model",)), opened(fake)).sampler.channels()
    assert sorted(c.channel.kind for c in held) == ["cpu", "gpu"]


# -- faults -----------------------------------------------------------------------------------------------------


def test_a_lost_gpu_is_missing_alone_and_for_its_time(machine):
    fake = machine(Gpu(power=CONSTANT).lost(11.0, 12.0), Gpu(power=CONSTANT))
    meter = opened(fake)
    readings = sampled(fake, meter, 3)
    lost = [isnan(first) for first, _ in readings]
    assert lost == [20 <= number < 40 for number in range(61)]
    assert readings[-1][0] - readings[0][0] == pytest.approx(600)
    assert all(isfinite(second) for _, second in readings)


def test_gpus_that_cannot_be_listed_or_told_apart_are_denied(machine):
    with pytest.raises(Denied, match="does not list its GPUs"):
        opened(machine(Gpu(), faults=[Fault("nvmlDeviceGetCount_v2", 999)]))
    fake = machine(Gpu(faults=[Fault("nvmlDeviceGetUUID", 999)]))
    with pytest.raises(Denied, match="none of the 1 GPUs"):
        opened(fake)
    assert fake.users() == 0
    with pytest.raises(Absent, match="lists no GPU"):
        opened(machine())


@pytest.mark.parametrize(
    ("error", "problem", "remedy"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, Absent, "no NVIDIA driver"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, Absent, "not loaded"),
        (pynvml.NVML_ERROR_NO_PERMISSION, Denied, "/dev/nvidia"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, Denied, "reboot"),
        (pynvml.NVML_ERROR_UNKNOWN, Denied, "nvidia-smi"),
    ],
)
def test_a_driver_that_does_not_start_says_what_to_do(machine, error, problem, remedy):
    fake = machine(Gpu(), faults=[Fault("nvmlInitWithFlags", error)])
    with pytest.raises(problem, match=remedy):
        opened(fake)


def recorded(fake, meter, seconds):
    """The recorder's channel of a meter that was read for so long."""
    clock = OwnedClock(mono_s=fake.now_ns() / NS_PER_S)
    running = recorder(clock, Kept(), meter)
    for _ in range(round(seconds / 0.05)):
        fake.advance(0.05)
        running.run_for(0.05)
    running.stop()
    (log,) = running.sampler.channels()
    return log


def test_a_reloaded_driver_is_reached_again_and_what_it_forgot_is_a_gap(machine):
    fake = machine(Gpu(power=CONSTANT), reload_at_s=15.0)
    log = recorded(fake, opened(fake), 10)
    assert [(gap.why, gap.energy_known) for gap in log.gaps] == [("reset", False)]
    (gap,) = log.gaps
    gap_s = (gap.end_ns - gap.start_ns) / NS_PER_S
    assert gap.start_ns < 15 * NS_PER_S < gap.end_ns
    assert gap_s <= 0.15, "a refresh, and how well its moment is known"
    counted_s = (log.node.tip[0] - log.node.times_ns[0]) / NS_PER_S - gap_s
    assert log.node.tip[1] == pytest.approx(200 * counted_s, abs=200 * 0.1)
    assert fake.users() == 0, "as many starts as ends"


def test_a_driver_that_stays_away_is_asked_for_every_few_seconds_only(machine):
    gone = Fault("nvmlInitWithFlags", pynvml.NVML_ERROR_DRIVER_NOT_LOADED, 11.0, 25.0)
    fake = machine(Gpu(power=CONSTANT), faults=[gone], reload_at_s=12.0)
    meter = opened(fake)
    readings = sampled(fake, meter, 20)
    assert 4 <= fake.calls("nvmlInitWithFlags") <= 6
    assert isnan(readings[240][0])
    assert isfinite(readings[-1][0])


def test_others_who_shut_nvml_down_do_not_end_the_reading(machine):
    fake = machine(Gpu(power=CONSTANT))
    meter = opened(fake)
    pynvml.nvmlShutdown()
    assert isnan(next(iter(meter.read())))
    assert isfinite(next(iter(meter.read())))


def test_stale_handles_are_asked_for_again(machine):
    fake = machine(Gpu(power=CONSTANT))
    meter = opened(fake)
    pynvml.nvmlShutdown()
    pynvml.nvmlInit()
    assert isnan(next(iter(meter.read())))
    assert isfinite(next(iter(meter.read())))


@pytest.mark.parametrize("times", [1, 2])
def test_the_energy_of_a_hole_between_power_readings_is_not_known(machine, times):
    holes = [Fault("nvmlDeviceGetPowerUsage", 10, 11.0 + 2 * n, 12.0 + 2 * n) for n in range(times)]
    gpu = pascal(power=CONSTANT)
    fake = machine(replace(gpu, faults=(*gpu.faults, *holes)))
    log = recorded(fake, opened(fake), 6)
    assert [(gap.why, gap.energy_known) for gap in log.gaps] == [("reset", False)] * times
    assert log.node.tip[1] == pytest.approx(200 * (6 - 1.05 * times), rel=0.001)


def test_a_first_power_reading_that_is_followed_by_a_hole_makes_it_no_known_one(machine):
    gpu = pascal(power=CONSTANT)
    fake = machine(replace(gpu, faults=(*gpu.faults, Fault("nvmlDeviceGetPowerUsage", 10, 10.01, 11.0))))
    log = recorded(fake, opened(fake), 3)
    assert [gap.energy_known for gap in log.gaps] == [False]


def test_power_readings_too_far_apart_leave_a_hole(machine):
    fake = machine(pascal(power=CONSTANT))
    readings = sampled(fake, opened(fake), 6, step_s=1.5)
    values = [value for (value,) in readings]
    assert all(later < earlier for earlier, later in pairwise(values))


# -- forks and ends ---------------------------------------------------------------------------------------------


def in_a_child(work):
    """What a fork's child answers, as text."""
    reads, writes = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.write(writes, repr(work()).encode())
        finally:
            os._exit(0)
    os.close(writes)
    answer = os.read(reads, 4096).decode()
    os.close(reads)
    os.waitpid(pid, 0)
    return answer


def test_a_child_starts_nvml_for_itself_and_leaves_its_parents_alone(machine):
    fake = machine(Gpu(power=CONSTANT, processes=[Process(MINE, 50)]), pascal(power=CONSTANT))
    meter = opened(fake)
    meter.read()

    def child():
        shares = meter.shares([MINE])
        first, second = list(meter.read()), list(meter.read())
        return all(map(isnan, first)), all(map(isfinite, second)), shares, fake.foreign_calls(), fake.users()

    assert in_a_child(child) == "(True, True, [1.0, 1.0], 0, 1)"
    assert all(map(isfinite, meter.read()))


def test_a_child_does_not_start_nvml_over_and_over_for_a_gpu_that_is_gone(machine):
    fake = machine(Gpu().lost(11.0), Gpu())
    meter = opened(fake)
    fake.set_time(12.0)

    def child():
        last = sampled(fake, meter, 30, step_s=0.5)[-1]
        return isnan(last[0]), isfinite(last[1]), fake.users()

    assert in_a_child(child) == "(True, True, 1)"


def test_a_child_that_closes_its_parents_meter_does_not_shut_nvml_down(machine):
    fake = machine(Gpu())
    meter = opened(fake)
    assert in_a_child(lambda: (meter.close(), fake.calls("nvmlShutdown"), fake.foreign_calls())) == "(None, 0, 0)"


def test_closing_takes_back_one_start_and_no_more(machine):
    fake = machine(Gpu())
    pynvml.nvmlInit()
    meter = opened(fake)
    assert fake.users() == 2
    meter.close()
    meter.close()
    assert fake.users() == 1


# -- shares -----------------------------------------------------------------------------------------------------


def test_a_gpu_is_shared_by_what_the_processes_used_of_it(machine):
    others = Process(OTHERS, 60, from_s=12.0, until_s=14.0)
    fake = machine(Gpu(processes=[Process(MINE, 20, until_s=15.0), others]))
    meter = opened(fake)
    assert only(meter).share == "process"
    shares = []
    for _ in range(8):
        fake.advance(1.0)
        shares += meter.shares([MINE, 99])
    assert shares == pytest.approx([1.0, 1.0, 0.25, 0.25, 1.0, 1.0, 1.0, 1.0])


def test_what_others_alone_used_is_theirs_and_stays_so_while_nobody_runs(machine):
    fake = machine(Gpu(processes=[Process(OTHERS, 90, until_s=11.0)]))
    meter = opened(fake)
    fake.advance(1.0)
    assert meter.shares([MINE]) == [0.0]
    fake.advance(5.0)
    assert meter.shares([MINE]) == [0.0]


def test_a_gpu_that_nobody_has_used_is_all_the_runs(machine):
    meter = opened(machine(Gpu()))
    assert only(meter).share == "process"
    assert meter.shares([MINE]) == [1.0]


# Not found is the answer where there are no samples.
@pytest.mark.parametrize("error", [error for error in ERRORS if error != pynvml.NVML_ERROR_NOT_FOUND])
def test_an_old_driver_is_asked_the_old_way(machine, error):
    processes = [Process(MINE, 30), Process(OTHERS, 10)]
    fake = machine(Gpu(processes=processes, faults=[Fault("nvmlDeviceGetProcessesUtilizationInfo", error)]))
    meter = opened(fake)
    fake.advance(1.0)
    assert meter.shares([MINE]) == pytest.approx([0.75])


def test_a_gpu_whose_use_cannot_be_read_is_counted_whole_and_says_that_others_may_use_it(machine):
    names = ("nvmlDeviceGetProcessesUtilizationInfo", "nvmlDeviceGetProcessUtilization")
    gpu = Gpu(processes=[Process(OTHERS, 50)], faults=[Fault(name, 4) for name in names])
    meter = opened(machine(gpu))
    assert only(meter).share == "undivided"
    assert "not told apart" in only(meter).how
    assert meter.shares([MINE]) == [1.0]


def test_where_pids_mean_other_processes_so_is_a_gpu_and_it_names_the_remedy(machine):
    meter = opened(machine(Gpu(processes=[Process(OTHERS, 50)])), sees_all_pids=False)
    assert only(meter).share == "undivided"
    assert "--pid=host" in only(meter).how


def test_a_share_outlives_a_driver_that_stops_telling(machine):
    fault = Fault("nvmlDeviceGetProcessesUtilizationInfo", 999, from_s=12.0)
    fake = machine(Gpu(processes=[Process(MINE, 10), Process(OTHERS, 30)], faults=[fault]))
    meter = opened(fake)
    fake.advance(1.0)
    assert meter.shares([MINE]) == pytest.approx([0.25])
    fake.advance(5.0)
    assert meter.shares([MINE]) == pytest.approx([0.25])


def test_samples_without_sense_are_not_believed(machine, monkeypatch):
    fake = machine(Gpu(processes=[Process(MINE, 10), Process(OTHERS, 10)]))
    true = pynvml.nvmlDeviceGetProcessesUtilizationInfo

    def with_nonsense(handle, last_us):
        nonsense = types.SimpleNamespace(pid=77, smUtil=4_000_000_000, timeStamp=2**60)
        return [*true(handle, last_us), nonsense, types.SimpleNamespace(pid=77, smUtil=50, timeStamp=0)]

    monkeypatch.setattr(pynvml, "nvmlDeviceGetProcessesUtilizationInfo", with_nonsense)
    meter = opened(fake)
    fake.advance(1.0)
    assert meter.shares([MINE]) == pytest.approx([0.5])


# -- the library ------------------------------------------------------------------------------------------------


def test_the_meter_opens_by_its_settings_alone(machine, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine(Gpu())
    meter = NvmlMeter.open(Settings())
    assert [isfinite(value) for value in meter.read()] == [True]
    meter.close()


def test_an_old_module_of_the_same_name_is_denied_with_the_remedy(monkeypatch):
    old = types.ModuleType("pynvml")
    old.__file__ = "/somewhere/pynvml/__init__.py"
    monkeypatch.setitem(sys.modules, "pynvml", old)
    with pytest.raises(Denied, match=r"/somewhere/pynvml.*pip uninstall pynvml; pip install .*nvidia-ml-py"):
        load_nvml()


@pytest.mark.parametrize(("has_gpu", "problem"), [(True, Denied), (False, Absent)])
def test_a_missing_module_is_denied_only_where_there_is_a_gpu(monkeypatch, has_gpu, problem):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(os.path, "exists", lambda path: has_gpu)
    with pytest.raises(problem, match=r"joulegram\[nvidia\]"):
        load_nvml()


def test_the_warning_of_the_retired_package_is_not_shown_and_others_are():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_nvml()
        warnings.warn("The pynvml package is deprecated. Please install nvidia-ml-py instead.", FutureWarning, 1)
        warnings.warn("something else is deprecated", FutureWarning, stacklevel=1)
    assert [str(one.message) for one in caught] == ["something else is deprecated"]


def test_channels_and_gaps_can_be_kept(machine):
    channel = only(opened(machine(MIG)))
    assert isinstance(channel, Channel)
    assert channel.to_line()
    assert Gap(channel.id, 0, 1, "reset", energy_known=False).to_line()


# -- the counter against the power ----------------------------------------------------------------------------------


def watched(fake, meter, seconds):
    """What the meter says of its only channel after being read at 20 Hz."""
    for _ in range(round(seconds * 20)):
        fake.advance(0.05)
        list(meter.read())
        meter.described()
    return only(meter)


@pytest.mark.parametrize("make", [h100, a100])
def test_a_counter_that_says_far_less_than_the_power_is_told_of_and_its_bounds_hold_the_truth(machine, make):
    fake = machine(make(power=CONSTANT, counts=0.57))
    meter = opened(fake)
    assert only(meter).gain_high == pytest.approx(1.05)
    channel = watched(fake, meter, 8)
    assert channel.method == "measured"
    assert "it says 57% of what the power readings say" in channel.how
    assert "too low" in channel.how
    assert channel.gain_low == pytest.approx(0.95)
    assert channel.gain_high == pytest.approx(1.05 / 0.57, rel=0.03)


@pytest.mark.parametrize("gpu", [h100(power=CONSTANT), a100(power=CONSTANT), h100(power=SQUARE), a100(power=EPOCHS)])
def test_a_counter_that_agrees_is_not_doubted(machine, gpu):
    fake = machine(gpu)
    meter = opened(fake)
    before = only(meter)
    assert watched(fake, meter, 70) is before


def test_the_power_is_asked_for_no_longer_than_the_check_takes(machine):
    fake = machine(h100(power=CONSTANT))
    meter = opened(fake)
    watched(fake, meter, 8)
    before = fake.calls("nvmlDeviceGetPowerUsage")
    watched(fake, meter, 8)
    assert fake.calls("nvmlDeviceGetPowerUsage") == before


def test_the_power_is_asked_for_no_more_than_twenty_times_a_second(machine):
    fake = machine(h100(power=CONSTANT))
    meter = opened(fake)
    before = fake.calls("nvmlDeviceGetPowerUsage")
    for _ in range(200):
        fake.advance(0.01)
        list(meter.read())
        meter.described()
    assert fake.calls("nvmlDeviceGetPowerUsage") - before <= 41


def test_a_run_notes_once_that_a_counter_is_doubted(machine, caplog):
    clock = OwnedClock()
    fake = machine(h100(power=CONSTANT, counts=0.5))
    made = recorder(clock, Kept(), opened(fake))
    for _ in range(400):
        fake.advance(0.05)
        clock.advance(0.05)
        made.sampler.tick()
    (note,) = [note.text for note in made.sampler.notes if "power readings say" in note.text]
    assert note.startswith("gpu:")
    (channel,) = made.sampler.channels()
    assert channel.described.gain_high > 2
