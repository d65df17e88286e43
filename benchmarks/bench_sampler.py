"""What sampling costs: at the default rate, and on a node with thousands of processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from measure import Figure

import joulegram
from joulegram.host import processes
from joulegram.host.cohort import Cohort
from joulegram.recorder.sharing import ShareLog, Since

WINDOWS, WINDOW_S = 11, 3.0
PROCESSES = 2000
LOOKS = 15


def measure(full: bool) -> Iterator[Figure]:
    del full
    with joulegram.track("benchmark"):
        time.sleep(2.0)  # meters are open, pricing is loaded
        yield Figure("sampling at the default rate", [_percent_of_core() for _ in range(WINDOWS)], "% of a core", 0.3)
    with _many_processes():
        what = f"looking at processes, with {PROCESSES:,} that are this run's"
        yield Figure(f"{what}: one look", [cost_s * 1e3 for cost_s, _ in _looks()], "ms")
        yield Figure(
            what, [_percent(*look) for look in _looks()], "% of a core", 0.1, "its cost over the time to the next"
        )
        listed, processes._kernel_lists_children = processes._kernel_lists_children, lambda: False
        yield Figure(
            f"{what}, on a kernel that lists no children", [_percent(*look) for look in _looks()], "% of a core", 0.1
        )
        processes._kernel_lists_children = listed


def _percent_of_core() -> float:
    """CPU time of this process, which does nothing but record itself."""
    before_s, started_s = time.process_time(), time.perf_counter()
    time.sleep(WINDOW_S)
    return (time.process_time() - before_s) / (time.perf_counter() - started_s) * 100


def _looks() -> Iterator[tuple[float, float]]:
    """(CPU seconds of a look, seconds to the next) of looks at the node's processes."""
    log = ShareLog.begin(Cohort("benchmark"), Since.now(time.monotonic_ns()))
    for _ in range(LOOKS):
        now_ns, before_s = time.monotonic_ns(), time.thread_time()
        log.look(now_ns)
        yield time.thread_time() - before_s, (log.due_ns - now_ns) / 1e9
    log.close(time.monotonic_ns())


def _percent(cost_s: float, period_s: float) -> float:
    return cost_s / period_s * 100


@contextmanager
def _many_processes() -> Iterator[None]:
    script = f"i=0; while [ $i -lt {PROCESSES} ]; do sleep 600 & i=$((i+1)); done; echo ready; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        try:
            yield
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
