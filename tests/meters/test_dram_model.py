"""DRAM energy modelled from the memory installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.config import Settings
from joulegram.curves.sharing import Share, split
from joulegram.meters import Absent
from joulegram.meters.dram_model import DramModelMeter, installed_gb, power_range_w


def meminfo(folder: Path, text: str) -> Path:
    """A /proc/meminfo of a machine."""
    path = folder / "meminfo"
    path.write_text(text)
    return path


def test_power_goes_by_the_memory_of_the_node(tmp_path: Path) -> None:
    now = [5_000_000_000]
    size_gb = installed_gb(meminfo(tmp_path, "MemTotal:       33554432 kB\nMemFree:        1 kB\n"))
    assert size_gb == 32
    meter = DramModelMeter(size_gb, now_ns=lambda: now[0])
    assert list(meter.read()) == [0.0]
    now[0] += 10_000_000_000
    assert list(meter.read()) == [pytest.approx(10 * 32 * 0.3725)]


def test_all_of_it_is_static_and_goes_by_reserved_cores() -> None:
    (channel,) = DramModelMeter(64).channels
    assert channel.share == "cpu"
    energy_j = 64 * 0.3725 * 10
    busy_with_a_quarter_of_the_cores = Share(reserved=0.25, cpu=1.0)
    run_j = split(energy_j, 10_000_000_000, channel.idle_w, busy_with_a_quarter_of_the_cores)
    assert run_j == pytest.approx(energy_j / 4)


@pytest.mark.parametrize(
    ("size_gb", "others_w"),
    [
        (8, (8 * 0.284, 10.0)),  # Boavizta, CodeCarbon
        (23, (6.5, 8.6, 20.0)),  # Boavizta, Green Algorithms, CodeCarbon
        (128, (128 * 0.284, 128 * 0.392, 40.0)),
        (1024, (1024 * 0.284, 1024 * 0.392, 128.0)),
    ],
)
def test_the_bounds_hold_what_other_models_say(size_gb: float, others_w: tuple[float, ...]) -> None:
    low_w, high_w = power_range_w(size_gb)
    assert low_w <= min(others_w) + 0.05
    assert high_w >= max(others_w)


@given(st.floats(min_value=0.05, max_value=1e5))
def test_the_bounds_hold_the_model_itself_at_any_size(size_gb: float) -> None:
    (channel,) = DramModelMeter(size_gb).channels
    assert 0 < channel.gain_low < 1 < channel.gain_high
    assert channel.max_w == pytest.approx(channel.gain_high * (channel.idle_w or 0))


def test_a_system_that_does_not_say_has_no_model(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no MemTotal"):
        installed_gb(meminfo(tmp_path, "MemFree: 1 kB\n"))


def test_where_there_is_no_proc_the_portable_way_answers_alike(tmp_path: Path) -> None:
    assert installed_gb(tmp_path / "none") == pytest.approx(installed_gb(), rel=0.01)


def test_it_opens_on_this_machine() -> None:
    meter = DramModelMeter.open(Settings())
    assert "GB of memory" in meter.channels[0].how
    meter.close()
