"""A fork waits for imports off the caller's thread, and for no other thing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from joulegram.host import forking
from joulegram.host.forking import importing

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")


class Importer(threading.Thread):
    """A thread that imports until it is released."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.inside, self.release = threading.Event(), threading.Event()

    def run(self) -> None:
        with importing():
            self.inside.set()
            self.release.wait(60)


@pytest.fixture
def stuck() -> Iterator[Importer]:
    thread = Importer()
    thread.start()
    assert thread.inside.wait(30)
    yield thread
    thread.release.set()
    thread.join()


def fork_and_import() -> int:
    """Forks; the child's exit status, 0 where it could go on as if nothing had been."""
    child = os.fork()
    if child == 0:  # nothing here may raise into pytest
        status = 1
        try:
            with importing():
                status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def test_one_that_is_stuck_in_an_import_keeps_no_other_from_importing(stuck: Importer) -> None:
    other = Importer()
    other.start()
    assert other.inside.wait(30)
    other.release.set()
    other.join()


def test_a_fork_waits_until_imports_are_over() -> None:
    thread = Importer()
    thread.start()
    assert thread.inside.wait(30)
    order: list[str] = []

    def release() -> None:
        order.append("released")
        thread.release.set()

    threading.Timer(0.05, release).start()
    assert fork_and_import() == 0
    assert order == ["released"]
    thread.join()


def test_a_fork_does_not_wait_for_ever(stuck: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "FORK_WAIT_S", 0.01)
    assert fork_and_import() == 0
    assert not stuck.release.is_set()
    assert fork_and_import() == 0


_IMPORTED_WITH_A_LOGGER = """
import os, threading
from joulegram.host.forking import importing
inside, forking, done = threading.Event(), threading.Event(), threading.Event()
os.register_at_fork(before=forking.set)
import logging  # its lock is held from before a fork until after it

def imports():
    with importing():
        inside.set()
        forking.wait(60)
        logging.getLogger("of.a.library")  # as libraries do when they are imported
        done.set()

threading.Thread(target=imports, daemon=True).start()
inside.wait(60)
child = os.fork()
if child == 0:
    os._exit(0 if done.is_set() else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_what_is_imported_may_ask_for_a_logger_while_a_fork_waits_for_it() -> None:
    assert subprocess.run([sys.executable, "-c", _IMPORTED_WITH_A_LOGGER], check=False).returncode == 0
