"""One of a host's processes is elected, and another when it dies, whatever copies of its lock were left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from joulegram.host.election import Election

HOLDER = """
import sys
from pathlib import Path
from joulegram.host.election import Election
election = Election(Path(sys.argv[1]))
print(election.stand(), flush=True)
sys.stdin.readline()
"""


def test_one_is_elected_and_the_next_when_it_steps_down(tmp_path: Path) -> None:
    one, two = Election(tmp_path / "lock"), Election(tmp_path / "lock")
    assert one.stand()
    assert one.stand()
    assert not two.stand()
    one.step_down()
    one.step_down()
    assert two.stand()
    assert (one.won, two.won) == (False, True)


def test_another_is_elected_once_the_holder_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    election = Election(tmp_path / "lock")
    assert not election.stand()
    process.kill()
    process.communicate()
    assert election.stand()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_forks_child_neither_holds_the_lock_nor_takes_it_from_its_parent(tmp_path: Path) -> None:
    election, other = Election(tmp_path / "lock"), Election(tmp_path / "lock")
    assert election.stand()
    go, gone = os.pipe()
    forked, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gone)
        os.write(said, b"x")
        os.read(go, 1)  # lives on until the parent has looked
        os._exit(election.won or other.stand())
    assert os.read(forked, 1) == b"x"
    assert not other.stand()  # the child has not taken it away
    election.step_down()
    assert other.stand()  # nor kept it
    for end in (go, gone, forked, said):
        os.close(end)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
