"""Every CPU busy for a while, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from worlds import until

from joulegram.host.full_load import full_load
from joulegram.host.processes import LINUX

pytestmark = pytest.mark.skipif(not LINUX, reason="looks for children through /proc")

PROGRAM = """
import time
from joulegram.host.full_load import full_load
with full_load(60, 2):
    print("busy", flush=True)
    time.sleep(60)
"""


def children(pid: int) -> list[int]:
    """Living children of a process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it has left meanwhile
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(path.parent.name))
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def test_one_child_for_each_cpu_works_at_low_priority_and_ends_with_the_block() -> None:
    with full_load(60, 2):
        started = until(
            lambda: [pid for pid in children(os.getpid()) if os.getpriority(os.PRIO_PROCESS, pid) == 19][1:], "children"
        )
        busy = children(os.getpid())
    assert started
    assert not any(map(lives, busy))


def test_they_end_when_the_block_is_interrupted() -> None:
    busy = []

    def interrupted() -> None:
        with full_load(60, 1):
            busy.extend(children(os.getpid()))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert busy
    assert not any(map(lives, busy))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_no_child_outlives_a_parent_that_is_ended(number: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert parent.stdout is not None
    parent.stdout.readline()
    busy = children(parent.pid)
    assert len(busy) == 2
    parent.send_signal(number)
    parent.communicate(timeout=30)
    until(lambda: not any(map(lives, busy)), "end of the children")
