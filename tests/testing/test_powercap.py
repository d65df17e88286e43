"""The virtual powercap tree: what it shows is what it says that it drew."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.testing.powercap import LAYOUTS, RANGE_J, PowercapTree, PowerTrace

SQUARE = PowerTrace((0.35, 20.0), (0.35, 100.0))


def shown_j(tree: PowercapTree, zone: str) -> float:
    return int(tree.file(zone).read_text()) / 1e6


@given(st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 500)), min_size=1, max_size=5), st.floats(-100, 100))
def test_a_trace_repeats_its_steps_for_ever(steps: list[tuple[float, float]], time_s: float) -> None:
    trace = PowerTrace(*steps)
    period_s, round_j = sum(s for s, _ in steps), sum(s * w for s, w in steps)
    assert trace.energy_j(0) == 0
    assert trace.energy_j(time_s + period_s) - trace.energy_j(time_s) == pytest.approx(round_j, abs=1e-6)
    later_j = trace.energy_j(time_s + 0.5) - trace.energy_j(time_s)
    assert -1e-9 <= later_j <= 0.5 * trace.peak_w + 1e-6  # as far as sums of a hundred rounds are exact


def test_a_trace_is_exact_within_and_across_its_steps() -> None:
    assert SQUARE.energy_j(0.2) == pytest.approx(4)
    assert SQUARE.energy_j(0.45) == pytest.approx(0.35 * 20 + 0.1 * 100)
    assert SQUARE.energy_j(7 + 0.45) == pytest.approx(10 * 42 + 17)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_counter_shows_what_its_zone_drew(tmp_path: Path, layout: str) -> None:
    tree = PowercapTree(tmp_path, layout, SQUARE)
    before = {zone: shown_j(tree, zone) for zone in tree.zones}
    tree.update(12.34)
    for zone in tree.zones:
        assert shown_j(tree, zone) - before[zone] == pytest.approx(tree.truth_j(zone, 0, 12.34), abs=2e-6)


def test_counters_are_apart_unless_one_mirrors_the_other(tmp_path: Path) -> None:
    dies, mirrored = PowercapTree(tmp_path / "a", "multi_die"), PowercapTree(tmp_path / "b", "mirrored_dies")
    assert len({shown_j(dies, zone) for zone in dies.zones}) == 4
    assert len({shown_j(mirrored, zone) for zone in mirrored.zones}) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_device_links_back_to_its_class(tmp_path: Path, layout: str) -> None:
    tree = PowercapTree(tmp_path, layout)
    for device in tree.root.iterdir():
        assert (device / "subsystem").is_symlink()
        assert (device / "subsystem").samefile(tree.root)


def test_a_counter_starts_again_from_zero_at_its_range(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, power=50.0, range_j=100.0, start_j=99.0)
    assert (tree.file("intel-rapl:0", "max_energy_range_uj")).read_text() == "100000000\n"
    tree.update(0.1)
    assert shown_j(tree, "intel-rapl:0") == pytest.approx(4.0, abs=1e-5)


def test_numbers_are_of_one_length_so_that_none_is_read_torn(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, range_j=100.0)
    sizes = set()
    for time_s in (0.0, 0.5, 1.5):
        tree.update(time_s)
        sizes.add(tree.file("intel-rapl:0").stat().st_size)
    assert len(sizes) == 1


def test_the_class_folder_links_to_the_devices_as_the_kernels_does(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, "server")
    assert sorted(os.listdir(tree.root)) == ["intel-rapl", "intel-rapl:0", "intel-rapl:0:0"]
    assert all((tree.root / name).is_symlink() for name in os.listdir(tree.root))
    for path in (tree.root / "intel-rapl:0:0", tree.root / "intel-rapl" / "intel-rapl:0" / "intel-rapl:0:0"):
        assert (path / "name").read_text() == "dram\n"


def test_a_masked_tree_can_be_listed_and_no_more(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)
    tree.mask()
    assert "intel-rapl:0" in os.listdir(tree.root)
    assert not (tree.root / "intel-rapl:0").exists()


UNTIL_IT_MOVES = """
import sys, time
def shown(): return int(open(sys.argv[1]).read())
before = now = shown()
while now == before: now = shown()
print(now / 1e6, time.monotonic())
"""


def test_a_live_tree_follows_the_monotonic_clock_for_another_program(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, power=1000.0)
    path = tree.file("intel-rapl:0")
    program = [sys.executable, "-c", UNTIL_IT_MOVES, str(path)]
    before_s = time.monotonic()
    with tree.run_live():
        first_j = shown_j(tree, "intel-rapl:0")
        output = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60).stdout
    seen_j, read_s = map(float, output.split())
    moved_j = (seen_j - first_j) % RANGE_J
    assert 0 < moved_j <= tree.truth_j("intel-rapl:0", before_s, read_s) + 1e-3
    at_rest = path.read_text()
    time.sleep(0.005)
    assert path.read_text() == at_rest


def test_closing_leaves_the_tree_as_it_is(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)
    tree.close()
    tree.close()
    assert shown_j(tree, "intel-rapl:0") > 0
