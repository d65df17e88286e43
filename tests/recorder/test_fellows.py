"""A recorder answers for processes that are not below it, from the first look at them until they are gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from joulegram.recorder.sharing import Fellows

BUSY = """
import sys, time
print("ready", flush=True)
for line in sys.stdin:
    end = time.process_time() + float(line)
    while time.process_time() < end:
        sum(range(1000))
    print("done", flush=True)
"""


class Busy:
    """A process that computes as long as it is told to."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self.hears("ready")

    def hears(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == word + "\n"

    def work(self, seconds: float) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        self.hears("done")

    def leave(self) -> None:
        self._process.communicate()


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Busy]:
    process = Busy()
    monkeypatch.setattr("joulegram.recorder.sharing.ancestors", lambda pid: ())  # as if somebody else had started it
    yield process
    process.leave()


def test_what_a_fellow_uses_counts_from_the_first_look_on_and_stays_when_it_is_gone(busy: Busy) -> None:
    busy.work(0.2)
    pids = [busy.pid]
    fellows = Fellows(lambda: tuple(pids))
    assert fellows.used_s() == 0.0
    assert fellows.tree == {busy.pid}
    busy.work(0.3)
    used_s = fellows.used_s()
    assert 0.25 <= used_s <= 1.0
    busy.leave()
    assert fellows.used_s() == pytest.approx(used_s, abs=0.1)
    pids.clear()
    assert fellows.used_s() == pytest.approx(used_s, abs=0.1)
    assert fellows.tree == frozenset()


def test_a_process_below_this_one_or_below_a_fellow_is_no_fellow() -> None:
    child = Busy()
    fellows = Fellows(lambda: (os.getpid(), child.pid))
    assert fellows.used_s() == 0.0
    assert fellows.tree == frozenset()
    child.leave()
