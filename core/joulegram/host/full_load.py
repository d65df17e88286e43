"""Every CPU busy for a while, with work of the kind that training does, and out of everybody else's way."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

# Matrices of 256 × 256 stay in a core's own cache and keep its widest units busy; zeros would spare them. The child
# ends with its parent, however that one ends, and at the latest when its time is up.
_WORK = """
import os, sys, time
import numpy as np
parent, until_s = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
if hasattr(os, "nice"):
    os.nice(19)
matrix = np.random.default_rng(0).random((256, 256))
while time.monotonic() < until_s and os.getppid() == parent:
    for _ in range(20):
        matrix @ matrix
"""
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_WAIT_S = 5.0


@contextlib.contextmanager
def full_load(seconds: float, cpus: int) -> Iterator[None]:
    """Keeps CPUs busy from child processes of low priority, none of which outlives the block.

    Args:
        seconds: when the children end by themselves (s).
        cpus: how many to keep busy.
    """
    children: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(cpus):
            children.append(_start(seconds))  # noqa: PERF401 - those before a failed or interrupted start end as well
        yield
    finally:
        for child in children:
            child.kill()
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_WAIT_S)


def _start(seconds: float) -> subprocess.Popen[bytes]:
    # In a session of its own: Ctrl-C in the terminal is for us alone, who then end the children quietly.
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _WORK, str(os.getpid()), str(seconds)],
        env={**os.environ, **_ONE_THREAD},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
