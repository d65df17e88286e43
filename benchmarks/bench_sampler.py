"""What sampling costs: counters at 20 Hz, the default rate without any, and a node with thousands of processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from measure import Figure

import joulegram
from joulegram.config import Settings
from joulegram.host import processes
from joulegram.host.clock import Clock
from joulegram.host.cohort import Cohort
from joulegram.host.processes import NodeTimes, own_cpu_s
from joulegram.meters import Meter
from joulegram.meters.nvml import NvmlMeter
from joulegram.meters.rapl import RaplMeter
from joulegram.recorder.bell import Bell
from joulegram.recorder.opening import Opened
from joulegram.recorder.sampler import Sampler
from joulegram.recorder.sharing import ShareLog, Since
from joulegram.testing.nvml import FakeNvml, h100

WINDOWS, WINDOW_S = 11, 3.0
PERIOD_S = 0.05
BLOCKS, SAMPLES_IN_A_BLOCK = 11, 500
PROCESSES = 2000
LOOKS = 15


def measure(full: bool) -> Iterator[Figure]:
    del full
    with joulegram.track("benchmark"):
        time.sleep(2.0)  # meters are open, pricing is loaded
        yield Figure("sampling at the default rate", [_percent_of_core() for _ in range(WINDOWS)], "% of a core", 0.3)
    yield from _counters()
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


# -- counters at 20 Hz ------------------------------------------------------------------------------------------------


def _counters() -> Iterator[Figure]:
    """A virtual GPU, two virtual packages."""
    FakeNvml(Path("nvml"), [h100()], clock="monotonic").load()
    with _powercap(Path("powercap").absolute()) as root:
        os.environ |= {"JOULEGRAM_METERS": "rapl,nvml", "JOULEGRAM_METER_OPTIONS_RAPL_ROOT": str(root)}
        yield from _samples(root)
        yield from _at_20_hz(root)
        del os.environ["JOULEGRAM_METERS"], os.environ["JOULEGRAM_METER_OPTIONS_RAPL_ROOT"]


def _samples(root: Path) -> Iterator[Figure]:
    """One sample after the other: what the work is, once everything is in the processor's caches."""
    meters = [RaplMeter(root), NvmlMeter.open(Settings())]
    node, sampler = NodeTimes(), _sampler(meters)

    def read() -> None:
        for meter in meters:
            list(meter.read())
        node.busy_s()
        own_cpu_s()

    yield Figure("reading 1 GPU, 2 packages, CPU times of node and process", _each_us(read), "µs", 30.0)
    yield Figure("the same read and taken into the curves", _each_us(lambda: sampler.tick(everything=True)), "µs")
    sampler.tick(final=True)
    sampler.end(time.monotonic_ns())
    node.close()


def _sampler(meters: Sequence[Meter]) -> Sampler:
    made = Sampler(Settings(meters=()), Clock(), Cohort("benchmark"), time.monotonic_ns())
    for number, meter in enumerate(meters):
        made.take(Opened(str(number), meter))
    made.tick()
    return made


def _each_us(work: Callable[[], None]) -> list[float]:
    """CPU time of this thread for a piece of work (µs), the mean of each block."""
    found = []
    for _ in range(BLOCKS):
        before_s = time.thread_time()
        for _ in range(SAMPLES_IN_A_BLOCK):
            work()
        found.append((time.thread_time() - before_s) / SAMPLES_IN_A_BLOCK * 1e6)
    return found


def _at_20_hz(root: Path) -> Iterator[Figure]:
    """Mere waiting, mere reading and recording in turn, as the machine's speed changes."""
    meters: list[Meter] = [RaplMeter(root), NvmlMeter.open(Settings())]
    waiting, reading, sampling, recording = [], [], [], []
    for _ in range(WINDOWS):
        with _waiting():
            waiting.append(_percent_of_core("waiting"))
        with _waiting(lambda: [list(meter.read()) for meter in meters]):
            reading.append(_percent_of_core("waiting"))
        with joulegram.track("benchmark"):
            time.sleep(1.5)  # meters are open, pricing is loaded
            before_s, started_s = time.process_time(), time.perf_counter()
            sampling.append(_percent_of_core("joulegram-sampler"))
            recording.append(_percent(time.process_time() - before_s, time.perf_counter() - started_s))
    pairs = list(zip(sampling, waiting, strict=True))
    yield Figure("a thread that waits 20 times a second and does nothing else", waiting, "% of a core")
    yield Figure("one that reads 1 GPU and 2 packages each time, and does nothing with it", reading, "% of a core")
    yield Figure("the sampler's thread: 1 GPU and 2 packages 20 times a second", sampling, "% of a core", 0.2)
    yield Figure("the same less the waiting alone", [ours - alone for ours, alone in pairs], "% of a core")
    yield Figure("the same ÷ the waiting alone", [ours / alone for ours, alone in pairs], "")
    yield Figure("all of a recording process, journal included", recording, "% of a core")


@contextmanager
def _waiting(work: Callable[[], object] = lambda: None) -> Iterator[None]:
    """A thread that waits as the sampler does, and does this each time."""
    bell, ended = Bell(), threading.Event()

    def wait() -> None:
        due_s = time.monotonic()
        while not ended.is_set():
            due_s += PERIOD_S
            bell.wait(due_s - time.monotonic())
            work()

    thread = threading.Thread(target=wait, name="waiting")
    thread.start()
    yield
    ended.set()
    thread.join()


@contextmanager
def _powercap(folder: Path) -> Iterator[Path]:
    """Two packages whose counters another process moves; where they are."""
    script = (
        "import sys, pathlib; from joulegram.testing.powercap import PowercapTree\n"
        "with PowercapTree(pathlib.Path(sys.argv[1]), 'amd_two_sockets').run_live(0.02) as tree:\n"
        " print(tree.root, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Path(process.stdout.readline().strip())
        process.communicate()


# -- what it is counted with ------------------------------------------------------------------------------------------


def _percent_of_core(thread: str | None = None) -> float:
    """CPU time of this process, which does nothing but record itself, or of a thread of it."""
    before_s, started_s = _cpu_s(thread), time.perf_counter()
    time.sleep(WINDOW_S)
    return _percent(_cpu_s(thread) - before_s, time.perf_counter() - started_s)


def _cpu_s(thread: str | None) -> float:
    if thread is None:
        return time.process_time()
    (found,) = (each for each in threading.enumerate() if each.name == thread)
    assert found.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(found.ident))


def _percent(cost_s: float, period_s: float) -> float:
    return cost_s / period_s * 100


# -- many processes ---------------------------------------------------------------------------------------------------


def _looks() -> Iterator[tuple[float, float]]:
    """(CPU seconds of a look, seconds to the next) of looks at the node's processes."""
    log = ShareLog.begin(Cohort("benchmark"), Since.now(time.monotonic_ns()))
    for _ in range(LOOKS):
        now_ns, before_s = time.monotonic_ns(), time.thread_time()
        log.look(now_ns)
        yield time.thread_time() - before_s, (log.due_ns - now_ns) / 1e9
    log.close(time.monotonic_ns())


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
