"""CPU time of real process trees, and what a process may use of its node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from worlds import until

from joulegram.host import processes
from joulegram.host.processes import (
    NodeTimes,
    ProcessTree,
    affinity,
    ancestors,
    cgroup_quota,
    cpu_count,
    process_started,
)

pytestmark = pytest.mark.skipif(not processes.LINUX, reason="what /proc tells")

BURN = "import time\nwhile time.process_time() < {seconds}: sum(range(1000))\n"
WAIT = "import sys; print('ready', flush=True); sys.stdin.read()\n"
TICKS_S = 0.05
"""Other processes' times come in ticks of 10 ms, of user and of system time."""


@pytest.fixture
def start() -> Iterator[object]:
    """Starts programs that wait for their input to end; ends them after the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(program: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))


def total_s(tree: ProcessTree) -> float:
    tree.look()
    return tree.total_s


def test_a_process_is_known_by_its_start(start: object) -> None:
    process = start(WAIT)  # type: ignore[operator]
    mine, its = process_started(os.getpid()), process_started(process.pid)
    assert mine == process_started(os.getpid()) is not None
    assert its is not None
    process.kill()
    process.wait()
    assert process_started(process.pid) is None


def test_a_process_that_ended_is_gone_even_if_nobody_waits_for_it(start: object) -> None:
    process = start(WAIT)  # type: ignore[operator]
    process.send_signal(signal.SIGKILL)
    until(lambda: process_started(process.pid) is None, "end of the process")
    assert os.path.exists(f"/proc/{process.pid}")  # still in the table
    process.wait()


def test_the_ancestors_of_a_process_are_named_from_its_parent_up(start: object) -> None:
    process = start(WAIT)  # type: ignore[operator]
    assert ancestors(process.pid)[:2] == (os.getpid(), os.getppid())
    assert ancestors(2**22 - 1) == ()


def test_a_trees_time_holds_its_own_its_childrens_and_its_grandchildrens(start: object) -> None:
    tree = ProcessTree()
    before_s = total_s(tree)
    burn(0.1)
    grandchild = BURN.format(seconds=0.3)
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {grandchild!r}])\n"
    start(BURN.format(seconds=0.2) + child + WAIT)  # type: ignore[operator]
    assert total_s(tree) - before_s >= 0.1 + 0.2 + 0.3 - TICKS_S


def test_what_children_used_stays_when_they_come_and_go_between_two_looks() -> None:
    tree = ProcessTree()
    before_s = total_s(tree)
    for _ in range(3):
        subprocess.run([sys.executable, "-c", BURN.format(seconds=0.15)], check=True)
    after_s = total_s(tree)
    assert after_s - before_s >= 0.45 - TICKS_S
    assert total_s(tree) - after_s < 0.2  # and is not counted again


def test_a_child_that_is_waited_for_is_counted_once(start: object) -> None:
    tree = ProcessTree()
    process = start(BURN.format(seconds=0.5) + WAIT)  # type: ignore[operator]
    while_alive_s = total_s(tree)
    process.communicate()
    assert total_s(tree) - while_alive_s < 0.25


def test_a_descendant_that_moves_to_another_parent_keeps_what_it_had_used() -> None:
    """The parent between leaves, and its child goes on under another."""
    orphan = BURN.format(seconds=0.4) + "print('ready', flush=True)\nimport sys; sys.stdin.read()"
    between = f"import signal, subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {orphan!r}])\nsignal.pause()"
    process = subprocess.Popen(
        [sys.executable, "-c", between], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    tree = ProcessTree()
    together_s = total_s(tree)
    process.terminate()
    process.wait()
    burn(0.3)
    # Had the orphan's time been lost, the tree's own would have had to make up for it first.
    assert total_s(tree) - together_s >= 0.3 - TICKS_S
    process.stdin.close()
    process.stdout.read()
    process.stdout.close()


def test_a_subtree_is_told_apart_and_as_last_seen_once_it_is_gone(start: object) -> None:
    process = start(BURN.format(seconds=0.3) + WAIT)  # type: ignore[operator]
    tree = ProcessTree()
    alive_s = tree.look([process.pid])[process.pid]
    assert alive_s >= 0.3 - TICKS_S
    process.communicate()
    assert tree.look([process.pid])[process.pid] == alive_s
    assert tree.look([2**22 - 1]).keys() == {process.pid}


def test_children_are_found_without_the_kernels_list_too(start: object, monkeypatch: pytest.MonkeyPatch) -> None:
    process = start(BURN.format(seconds=0.2) + WAIT)  # type: ignore[operator]
    monkeypatch.setattr(processes, "_kernel_lists_children", lambda: False)
    assert ProcessTree().look([process.pid])[process.pid] >= 0.2 - TICKS_S


def test_a_node_is_as_busy_as_its_processes_at_least() -> None:
    node = NodeTimes()
    before_s = node.busy_s()
    burn(0.5)
    assert node.busy_s() - before_s >= 0.5 - TICKS_S
    node.close()
    node.close()


def test_affinity_is_what_the_system_grants() -> None:
    assert affinity(os.getpid()) == os.sched_getaffinity(0)
    assert affinity(2**22 - 1) == frozenset(range(cpu_count()))  # gone: all, where nothing is known


# -- control groups ---------------------------------------------------------------------------------------------------


def group(root: Path, path: str, **files: str) -> None:
    folder = root / path.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{text}\n")


def own(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "cgroup"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def test_the_tightest_quota_on_the_way_to_the_root_counts(tmp_path: Path) -> None:
    root = tmp_path / "fs"
    group(root, "/", cpu_max="max 100000")
    group(root, "/slice", cpu_max="150000 100000")
    group(root, "/slice/job", cpu_max="400000 100000")
    group(root, "/slice/job/step", cpu_max="max 100000")
    assert cgroup_quota(root, own(tmp_path, "0::/slice/job/step")) == 1.5


def test_version_one_has_its_own_files(tmp_path: Path) -> None:
    root = tmp_path / "fs"
    group(root, "/cpu/docker/abc", cpu_cfs_quota_us="250000", cpu_cfs_period_us="100000")
    group(root, "/cpu/free", cpu_cfs_quota_us="-1", cpu_cfs_period_us="100000")
    hybrid = ("12:memory:/docker/abc", "4:cpu,cpuacct:/docker/abc", "1:name=systemd:/docker/abc")
    assert cgroup_quota(root, own(tmp_path, *hybrid)) == 2.5
    assert cgroup_quota(root, own(tmp_path, "4:cpu,cpuacct:/free")) is None


def test_inside_a_container_the_hosts_path_leads_nowhere_and_the_root_counts(tmp_path: Path) -> None:
    root = tmp_path / "fs"
    group(root, "/", cpu_max="50000 100000")
    assert cgroup_quota(root, own(tmp_path, "0::/system.slice/docker-abc.scope")) == 0.5
    assert cgroup_quota(root, own(tmp_path, "0::/../../elsewhere")) == 0.5


@pytest.mark.parametrize("text", ["", "max", "none 100000", "100000 0"])
def test_what_is_not_understood_is_no_quota(tmp_path: Path, text: str) -> None:
    root = tmp_path / "fs"
    group(root, "/", cpu_max=text)
    assert cgroup_quota(root, own(tmp_path, "0::/")) is None
    assert cgroup_quota(root, tmp_path / "nothing") is None


def test_a_tree_knows_who_is_outside_of_a_subtree(start: Callable[[str], subprocess.Popen[str]]) -> None:
    child, other = start(WAIT), start(WAIT)
    tree = ProcessTree()
    tree.look()
    assert {os.getpid(), child.pid, other.pid} <= tree.outside(())
    assert {os.getpid(), other.pid} <= tree.outside({child.pid})
    assert child.pid not in tree.outside({child.pid})
