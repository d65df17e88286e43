"""CPU energy modelled from load, held against real machines."""

import csv
from itertools import combinations
from pathlib import Path

import pytest

from joulegram.config import Settings
from joulegram.host.cpu import Cpus, cpus_of
from joulegram.host.profile import Profile, keep
from joulegram.meters.cpu_model import LEARNED_GAIN, CpuModel, CpuModelMeter, calibrated, model_of, uncalibrated
from joulegram.recorder.learning import BINS, LEAST_FULL

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "cpu_load"
SERIES = sorted(DATA.glob("*.csv"))

CPUINFO = "processor\t: {n}\nmodel name\t: {name}\nphysical id\t: {socket}\nflags\t\t: fpu vme{virtual}\n\n"


def cpuinfo(folder: Path, name: str, cpus: int, sockets: int = 1, *, virtual: bool = False) -> Path:
    """A /proc/cpuinfo of a machine."""
    flag = " hypervisor" if virtual else ""
    path = folder / "cpuinfo"
    path.write_text(
        "".join(CPUINFO.format(n=n, name=name, socket=n * sockets // cpus, virtual=flag) for n in range(cpus))
    )
    return path


def measured(series: Path) -> tuple[str, list[tuple[float, float]]]:
    """A machine's CPU, and (load 0 to 1, true mean power in W) at each step of its profile."""
    with series.open() as file:
        rows = list(csv.DictReader(file))
    # Not the column `rapl_power`: it holds the power of the row before.
    watts = [float(row["rapl_energy"]) * 3.6e6 / float(row["duration"]) for row in rows]
    return rows[0]["cpu_name"], [(float(row["cpu_load"]) / 100, w) for row, w in zip(rows, watts, strict=True)]


def assert_holds(model: CpuModel, points: list[tuple[float, float]]) -> None:
    """The bounds of a model hold the true power at every load."""
    for load, true_w in points:
        model_w = model.energy_j(1.0, load * 8, 8)
        low_w, high_w = model.gain[0] * model_w, min(model.gain[1] * model_w, model.max_w)
        assert low_w <= true_w <= high_w, f"load {load:.0%}: {true_w:.1f} W not in {low_w:.1f} .. {high_w:.1f}"


real_machines = pytest.mark.parametrize("series", SERIES, ids=lambda path: path.stem)
needs_data = pytest.mark.skipif(not SERIES, reason="the measured load profiles are not beside this checkout")


@needs_data
@real_machines
def test_bounds_hold_the_measured_power_of_real_machines_at_every_load(series: Path) -> None:
    name, points = measured(series)
    assert_holds(uncalibrated(Cpus(name, 1, 8, virtual=False)), points)


@needs_data
@real_machines
def test_bounds_hold_it_at_every_load_with_the_machines_own_two_ends(series: Path) -> None:
    _, points = measured(series)
    assert_holds(calibrated(min(points)[1], max(points)[1]), points)


@needs_data
@real_machines
def test_bounds_hold_it_at_every_load_with_every_line_that_a_run_may_learn(series: Path) -> None:
    _, points = measured(series)
    lines = [(a, b) for a, b in combinations(sorted(points), 2) if a[0] < 1 / BINS and b[0] >= LEAST_FULL]
    assert lines
    for (low, low_w), (high, high_w) in lines:
        slope_w = (high_w - low_w) / (high - low)
        assert_holds(
            calibrated(max(0.0, low_w - slope_w * low), high_w + slope_w * (1 - high), "", LEARNED_GAIN), points
        )


@needs_data
@real_machines
def test_a_machines_own_two_ends_err_less_than_its_design_power(series: Path) -> None:
    name, points = measured(series)

    def error(model: CpuModel) -> float:
        return sum(abs(model.energy_j(1.0, load, 1) / true_w - 1) for load, true_w in points) / len(points)

    assert error(calibrated(min(points)[1], max(points)[1])) < error(uncalibrated(Cpus(name, 1, 8, virtual=False)))
    assert error(calibrated(min(points)[1], max(points)[1])) < 0.4


def test_the_bounds_never_exceed_a_tenth_above_the_design_power_of_all_sockets(tmp_path: Path) -> None:
    model = uncalibrated(cpus_of(cpuinfo(tmp_path, "Intel(R) Xeon(R) CPU E5-2620 v3 @ 2.40GHz", 24, sockets=2), 24))
    assert model.max_w == pytest.approx(1.1 * 2 * 85)
    assert "2 × xeon e5-2620 v3" in model.how


def test_a_virtual_machine_has_its_part_of_the_hosts_design_power(tmp_path: Path) -> None:
    model = uncalibrated(cpus_of(cpuinfo(tmp_path, "AMD EPYC 7763 64-Core Processor", 8, virtual=True), 8))
    assert model.max_w == pytest.approx(1.1 * 280 * 8 / 128)
    assert "8 of 128 threads" in model.how


def test_an_unknown_cpu_says_so_and_keeps_the_wide_bounds(tmp_path: Path) -> None:
    model = uncalibrated(cpus_of(cpuinfo(tmp_path, "Virtual CPU", 4, virtual=True), 4))
    assert "unknown" in model.how
    assert model.gain == (0.4, 3.0)
    assert model.max_w == pytest.approx(3 * 0.7 * 4 * 4)


def test_the_machines_own_power_narrows_the_bounds() -> None:
    model = calibrated(idle_w=20, full_w=100)
    assert model.energy_j(elapsed_s=10, busy_s=0, cpus=8) == pytest.approx(200)
    assert model.energy_j(elapsed_s=10, busy_s=80, cpus=8) == pytest.approx(1000)
    assert model.gain == (0.45, 2.0)


def test_energy_follows_the_nodes_busy_time_and_never_falls() -> None:
    now = [0]
    meter = CpuModelMeter(calibrated(10, 100), now_ns=lambda: now[0])
    first = next(iter(meter.read()))
    now[0] += 2_000_000_000
    second = next(iter(meter.read()))
    meter.close()
    assert first >= 0
    assert second - first >= 2 * 10


def test_the_settings_own_power_is_used_where_both_ends_are_given() -> None:
    meter = CpuModelMeter.open(Settings(idle_w=5, max_w=50))
    meter.close()
    assert meter.channels[0].idle_w == 5
    assert meter.channels[0].gain_high == 2.0


MINE = Cpus("AMD EPYC 8024P 8-Core Processor", 1, 16, virtual=False)


def test_the_nearest_that_is_known_of_a_machine_goes_first() -> None:
    here, settings = "alpha", Settings()
    assert "TDP" in model_of(settings, here, MINE).how
    keep(Profile("beta", MINE.name, 32, 40, 120, "calibrated against rapl", "2026-01-01"))
    of_beta = model_of(settings, here, MINE)
    assert "beta" in of_beta.how
    assert (of_beta.idle_w, of_beta.full_w) == (20, 60)  # half as many CPUs
    keep(Profile(here, MINE.name, 16, 18, 46, "calibrated against rapl", "2026-01-01"))
    own = model_of(settings, here, MINE)
    assert (own.idle_w, own.full_w) == (18, 46)
    assert "calibrated against rapl, 2026-01-01" in own.how
    given = model_of(Settings(idle_w=5, max_w=50), here, MINE)
    assert (given.idle_w, given.full_w) == (5, 50)
    assert "given" in given.how


def test_what_a_run_learned_of_this_machine_goes_before_another_machines_calibration() -> None:
    keep(Profile("beta", MINE.name, 16, 40, 120, "calibrated against rapl"))
    keep(Profile("alpha", MINE.name, 16, 18, 46, "learned from a run", "2026-01-01", (0.0, 0.6)))
    model = model_of(Settings(), "alpha", MINE)
    assert (model.idle_w, model.full_w, model.gain) == (18, 46, LEARNED_GAIN)
    assert "learned from a run, 2026-01-01" in model.how


def test_the_nearer_the_profile_the_narrower_the_bounds() -> None:
    keep(Profile("beta", MINE.name, 16, 20, 60))
    of_beta = model_of(Settings(), "alpha", MINE).gain
    own = model_of(Settings(), "beta", MINE).gain
    unknown = uncalibrated(MINE).gain
    assert own[1] / own[0] < of_beta[1] / of_beta[0] < unknown[1] / unknown[0]


def test_a_profile_of_another_cpu_is_not_used() -> None:
    keep(Profile("beta", "AMD EPYC 7763 64-Core Processor", 128, 80, 280))
    assert "TDP" in model_of(Settings(), "alpha", MINE).how


def test_a_made_up_name_of_a_virtual_cpu_stands_for_no_other_machine() -> None:
    keep(Profile("beta", "AMD EPYC", 4, 10, 20))
    assert "TDP" in model_of(Settings(), "alpha", Cpus("AMD EPYC", 1, 4, virtual=True)).how
    assert "TDP" in model_of(Settings(), "alpha", Cpus("", 1, 4, virtual=False)).how


def test_a_virtual_machine_has_its_part_of_a_calibrated_host() -> None:
    keep(Profile("bare-metal", "AMD EPYC 7763 64-Core Processor", 128, 64, 256))
    model = model_of(Settings(), "guest", Cpus("AMD EPYC 7763 64-Core Processor", 1, 8, virtual=True))
    assert (model.idle_w, model.full_w) == (4, 16)
