"""CPU energy modelled from load, held against real machines."""

import csv
import os
from pathlib import Path

import pytest

from joulegram.config import Settings
from joulegram.meters.cpu_model import CpuModelMeter, calibrated, uncalibrated

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


@pytest.mark.skipif(not SERIES, reason="the measured load profiles are not beside this checkout")
@pytest.mark.parametrize("series", SERIES, ids=lambda path: path.stem)
def test_bounds_hold_the_measured_power_of_real_machines_at_every_load(series: Path, tmp_path: Path) -> None:
    with series.open() as file:
        rows = list(csv.DictReader(file))
    cores = int(max(float(row["cores_used"]) for row in rows)) if "all_cores" in series.stem else os.cpu_count() or 1
    model = uncalibrated(cpuinfo(tmp_path, rows[0]["cpu_name"], cores), cores)
    for row in rows:
        true_w = float(row["rapl_energy"]) * 3.6e6 / float(row["duration"])
        model_w = model.energy_j(1.0, float(row["cpu_load"]) / 100 * cores, cores)
        low_w, high_w = model.gain[0] * model_w, min(model.gain[1] * model_w, model.max_w)
        assert low_w <= true_w <= high_w, f"load {row['cpu_load']} %: {true_w:.1f} W not in {low_w:.1f} .. {high_w:.1f}"


def test_the_bounds_never_exceed_a_tenth_above_the_design_power_of_all_sockets(tmp_path: Path) -> None:
    model = uncalibrated(cpuinfo(tmp_path, "Intel(R) Xeon(R) CPU E5-2620 v3 @ 2.40GHz", 24, sockets=2), 24)
    assert model.max_w == pytest.approx(1.1 * 2 * 85)
    assert "2 × xeon e5-2620 v3" in model.how


def test_a_virtual_machine_has_its_part_of_the_hosts_design_power(tmp_path: Path) -> None:
    model = uncalibrated(cpuinfo(tmp_path, "AMD EPYC 7763 64-Core Processor", 8, virtual=True), 8)
    assert model.max_w == pytest.approx(1.1 * 280 * 8 / 128)
    assert "8 of 128 threads" in model.how


def test_an_unknown_cpu_says_so_and_keeps_the_wide_bounds(tmp_path: Path) -> None:
    model = uncalibrated(cpuinfo(tmp_path, "Virtual CPU", 4, virtual=True), 4)
    assert "unknown" in model.how
    assert model.gain == (0.4, 3.0)
    assert model.max_w == pytest.approx(3 * 0.7 * 4 * 4)


def test_the_machines_own_power_narrows_the_bounds() -> None:
    model = calibrated(idle_w=20, full_w=100)
    assert model.energy_j(elapsed_s=10, busy_s=0, cpus=8) == pytest.approx(200)
    assert model.energy_j(elapsed_s=10, busy_s=80, cpus=8) == pytest.approx(1000)
    assert model.gain == (0.6, 1.4)


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
    assert meter.channels[0].gain_high == 1.4
