"""Who else records a run on this host, and whose CPU time is whose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from worlds import until

from joulegram.curves.sharing import reserved_fraction
from joulegram.host import cohort as cohorts
from joulegram.host.cohort import Cohort, runtime_folder
from joulegram.host.processes import process_started
from joulegram.recorder.sharing import ShareLog, Since
from joulegram.units import NS_PER_S

MEMBER = """
import os, sys, time
sys.path[:0] = {path!r}
from joulegram.host.cohort import Cohort
from joulegram.host.processes import ProcessTree
cohort, tree = Cohort("run-1"), ProcessTree()
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: sum(range(1000))
def used():
    tree.look()
    return tree.total_s
for line in sys.stdin:
    word, _, value = line.strip().partition(" ")
    if word == "burn": burn(float(value))
    if word == "join": cohort = Cohort("run-1"); cohort.join(0, used())
    if word == "leave": cohort.leave(1, used())
    print("done", flush=True)
"""


class Child:
    """A process of this one's that does what it is told."""

    def __init__(self) -> None:
        program = MEMBER.format(path=sys.path)
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, *lines: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        for line in lines:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline() == "done\n"

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture
def child() -> object:
    made = Child()
    yield made
    made.process.kill()
    made.end()


def files() -> list[Path]:
    return list((runtime_folder() / "run-1").glob("*"))


def own_s(log: ShareLog, at_s: float) -> float:
    """CPU time that a log counts as its own, at its look."""
    log.look(int(at_s * NS_PER_S))
    assert log.own_s.tip is not None
    return log.own_s.tip[1]


def test_a_member_is_seen_by_others_from_joining_to_leaving(child: Child) -> None:
    mine = Cohort("run-1")
    mine.join(5, 1.0)
    assert mine.others() == {}
    child.tell("join")
    (member,) = mine.others().values()
    assert (member.pid, member.ancestors[0], member.left_ns, member.lives) == (
        child.process.pid,
        os.getpid(),
        None,
        True,
    )
    assert set(member.cpus) == os.sched_getaffinity(0)
    child.tell("leave")
    assert mine.others()[child.process.pid].left_ns == 1
    mine.leave(6, 2.0)
    assert files() == []  # the last one clears up


def test_a_member_that_was_killed_is_no_longer_there(child: Child) -> None:
    mine = Cohort("run-1")
    mine.join(0, 0.0)
    child.tell("join")
    child.process.kill()
    until(lambda: not mine.others()[child.process.pid].lives, "end of the member")
    mine.leave(1, 0.0)
    assert files() == []


def test_another_runs_recorders_are_not_of_this_cohort(child: Child) -> None:
    child.tell("join")
    assert Cohort("run-2").others() == {}


def test_a_runtime_folder_that_cannot_be_written_leaves_a_cohort_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("JOULEGRAM_RUNTIME_DIR", str(tmp_path / "file" / "runtime"))
    mine = Cohort("run-1")
    mine.join(0, 0.0)
    assert mine.others() == {}
    mine.leave(1, 1.0)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1}', "null"])
def test_a_damaged_file_is_no_member(text: str) -> None:
    mine = Cohort("run-1")
    mine.join(0, 0.0)
    (runtime_folder() / "run-1" / "1-1.json").write_text(text)
    assert mine.others() == {}


def test_what_a_member_accounts_for_is_not_this_ones(child: Child) -> None:
    log = ShareLog.begin(Cohort("run-1"), Since.now(0))
    child.tell("burn 0.2")  # nobody else's yet
    before_s = own_s(log, 1)
    assert before_s >= 0.15
    child.tell("join", "burn 0.6")
    during_s = own_s(log, 2)
    assert during_s - before_s < 0.3
    child.tell("leave", "burn 0.3")  # nobody else's any more
    after_s = own_s(log, 3)
    assert 0.2 < after_s - during_s < 0.55
    child.end()
    assert own_s(log, 4) - after_s < 0.25
    log.close(5 * NS_PER_S)


def test_a_member_that_records_twice_is_counted_for_both_and_not_for_between(child: Child) -> None:
    log = ShareLog.begin(Cohort("run-1"), Since.now(0))
    start_s = own_s(log, 1)
    child.tell("join", "burn 0.5", "leave")
    first_s = own_s(log, 2)
    assert first_s - start_s < 0.3
    child.tell("burn 0.4")
    between_s = own_s(log, 3)
    assert between_s - first_s > 0.3
    child.tell("join", "burn 0.5")
    second_s = own_s(log, 4)
    assert second_s - between_s < 0.3
    child.tell("burn 0.5", "leave")
    child.end()
    assert own_s(log, 5) - second_s < 0.3
    log.close(6 * NS_PER_S)


def test_what_came_and_went_between_two_looks_is_not_this_ones_either(child: Child) -> None:
    log = ShareLog.begin(Cohort("run-1"), Since.now(0))
    start_s = own_s(log, 1)
    child.tell("join", "burn 2.0", "leave")
    child.end()
    assert own_s(log, 2) - start_s < 1.0  # its own start and end, which are no part of its record
    log.close(3 * NS_PER_S)


def test_a_recorder_that_begins_late_owes_nothing_for_what_was_before(child: Child) -> None:
    child.tell("join", "burn 0.6")
    log = ShareLog.begin(Cohort("run-1"), Since.now(0))
    sum(range(10_000_000))
    assert own_s(log, 1) > 0.05
    log.close(2 * NS_PER_S)


def test_cores_that_two_may_use_are_divided_between_them() -> None:
    everything = frozenset(range(8))
    assert reserved_fraction(everything, [everything], None, 8) == 0.5
    left, right = frozenset(range(4)), frozenset(range(4, 8))
    assert reserved_fraction(left, [right], None, 8) == 0.5
    assert reserved_fraction(left, [], 2.0, 8) == 0.25
    assert reserved_fraction(everything, [], 16.0, 8) == 1.0


def test_a_log_divides_its_cores_while_another_is_there(child: Child) -> None:
    log = ShareLog.begin(Cohort("run-1"), Since.now(0))
    alone = log.look(NS_PER_S).reserved
    child.tell("join")
    shared = log.look(2 * NS_PER_S).reserved
    assert shared == pytest.approx(alone / 2)
    log.close(3 * NS_PER_S)


def test_a_look_that_is_dear_is_taken_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    log = ShareLog.begin(Cohort("run-1"), Since.now(0))
    spent = iter([0.0, 0.02])
    monkeypatch.setattr("joulegram.recorder.sharing.time.thread_time", lambda: next(spent))
    log.look(NS_PER_S)
    assert 20 * NS_PER_S < log.due_ns - NS_PER_S < 25 * NS_PER_S  # 20 ms are a thousandth of 20 s
    monkeypatch.undo()
    log.close(2 * NS_PER_S)


def test_a_file_is_read_again_only_when_it_has_changed(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Cohort("run-1")
    mine.join(0, 0.0)
    child.tell("join")
    reads: list[object] = []
    loads = json.loads
    monkeypatch.setattr(cohorts.json, "loads", lambda text: reads.append(text) or loads(text))
    for _ in range(5):
        mine.others()
    assert len(reads) == 2  # its own file, and the child's
    child.tell("leave")
    assert mine.others()[child.process.pid].left_ns == 1
    assert len(reads) == 3
    assert process_started(child.process.pid) is not None
