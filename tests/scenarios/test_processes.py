"""Whole runs across processes and hosts: killed, forked, wrapped, launched side by side, merged afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

import joulegram

BUSY = """
import time
def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))
"""


def script(folder: Path, text: str) -> Path:
    """A program that knows `busy`."""
    path = folder / f"script-{len(list(folder.glob('script-*')))}.py"
    path.write_text(BUSY + textwrap.dedent(text))
    return path


def run_python(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end."""
    env = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, str(path)], env=env, capture_output=True, text=True, timeout=120, check=False
    )


def until(condition: Any, what: str, seconds: float = 60.0) -> None:
    """Waits for something another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {seconds:g} s"
        time.sleep(0.02)


def joules(quantity: joulegram.Quantity) -> float:
    """The value of a figure that is there."""
    assert quantity.value is not None
    return quantity.value


def test_a_killed_process_keeps_what_it_had_flushed_and_is_shown_as_lost(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """
        import sys, joulegram
        with joulegram.track("victim") as run:
            with run.span("epoch", index=0):
                busy(0.3)
            run.span("epoch", index=1).open()
            while True:
                busy(0.1)
        """,
    )
    process = subprocess.Popen([sys.executable, str(path)], env=dict(os.environ))
    ledger = joulegram.open_ledger()

    def epochs() -> list[Any]:
        runs = list(ledger.runs())
        return [span for span in runs[0].spans("epoch") if joules(span.footprint.energy_j) > 0] if runs else []

    until(lambda: len(epochs()) == 2, "flushed second epoch")
    assert ledger.latest().status == "running"
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = ledger.latest()
    first, second = run.spans("epoch")
    assert run.status == "lost"
    assert joules(first.footprint.energy_j) > 0
    assert second.start_s + second.duration_s == pytest.approx(run.duration_s, abs=0.1)


def test_a_forked_child_leaves_the_parents_run_alone_and_joins_it_with_its_own_track(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """
        import os, joulegram
        with joulegram.track("parent") as run:
            child = os.fork()
            if child == 0:
                with run.span("ghost"):
                    pass
                run.close("failed")
                with joulegram.track("child", stage="data") as joined:
                    busy(0.3)
                    assert joined.id == run.id
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            busy(0.2)
        """,
    )
    done = run_python(path)
    assert done.returncode == 0, done.stderr
    (run,) = joulegram.open_ledger().runs()
    assert run.status == "finished"
    assert [(span.kind, span.name, span.attributes["stage"]) for span in run.spans()] == [("track", "child", "data")]
    whole, part = joules(run.footprint().energy_j), joules(run.spans()[0].footprint.energy_j)
    assert 0 < part < whole <= joules(run.footprint().node_energy_j) * (1 + 1e-9)


def test_a_wrapped_program_with_a_tracker_of_its_own_is_one_run_and_counted_once(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """
        import joulegram
        with joulegram.track("inner") as run:
            with run.span("epoch", index=0):
                busy(0.5)
        """,
    )
    command = [sys.executable, "-m", "joulegram", "run", "--name", "outer", "--", sys.executable, str(path)]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = joulegram.open_ledger().runs()
    assert (run.name, run.status, len(run.stored.recordings)) == ("outer", "finished", 2)
    footprint = run.footprint()
    assert len(footprint.channels) == 1
    assert joules(footprint.energy_j) <= joules(footprint.node_energy_j) * (1 + 1e-9)
    traces = [recording.trace() for recording in run.stored.recordings]
    shares = [c.run.over([t.start_ns], [t.end_ns])[0] for t in traces for c in t.channels.values()]
    assert joules(footprint.energy_j) == pytest.approx(min(sum(shares), joules(footprint.node_energy_j)), rel=1e-9)
    assert [span.kind for span in run.spans()] == ["track", "epoch"]


def test_sibling_ranks_of_a_launcher_share_one_run_and_their_host_counts_once(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """
        import joulegram
        with joulegram.track("ranks") as run:
            with run.span("epoch", index=0):
                busy(1.0)
        print(run.footprint().energy_j.value)
        """,
    )
    shared = {"TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29501"}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(path)],
            env={**os.environ, **shared, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    measured = [float(rank.communicate(timeout=120)[0]) for rank in ranks]
    (run,) = joulegram.open_ledger().runs()
    footprint = run.footprint()
    assert (run.ranks, run.status, len(footprint.channels)) == (2, "finished", 1)
    assert joules(footprint.energy_j) == pytest.approx(sum(measured), rel=1e-9)
    assert joules(footprint.energy_j) <= joules(footprint.node_energy_j)
    assert [span.index for span in run.spans("epoch")] == [0]


def test_folders_of_two_hosts_without_a_shared_disk_are_joined_by_merge(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """
        import joulegram
        with joulegram.track("two-hosts") as run:
            busy(0.3)
        """,
    )
    for rank, host in enumerate(("alpha", "beta")):
        there = {"JOULEGRAM_RUN": "job-7", "JOULEGRAM_HOST": host, "RANK": str(rank), "WORLD_SIZE": "2"}
        place = {"JOULEGRAM_LEDGER": str(tmp_path / host), "JOULEGRAM_RUNTIME_DIR": str(tmp_path / f"run-{host}")}
        done = run_python(path, **there, **place)
        assert done.returncode == 0, done.stderr
    alone = [joulegram.open_ledger(tmp_path / host).run("job-7").footprint() for host in ("alpha", "beta")]
    ledger = joulegram.open_ledger(tmp_path / "alpha")
    assert ledger.merge(tmp_path / "beta") == ["job-7"]
    assert ledger.merge(tmp_path / "beta") == []
    run = ledger.run("job-7")
    assert (run.hosts, run.ranks) == (["alpha", "beta"], 2)
    assert [channel.id for channel in run.footprint().channels] == ["alpha/cpu:model", "beta/cpu:model"]
    whole = sum(joules(footprint.energy_j) for footprint in alone)
    assert joules(run.footprint().energy_j) == pytest.approx(whole, rel=1e-9)


def test_sealed_and_unsealed_runs_read_identically() -> None:
    with joulegram.track("sealed", attributes={"seed": 3}) as run:
        for index in range(2):
            with run.span("epoch", index=index):
                run.phase("forward")
                sum(range(2_000_000))
                run.phase("data")
    live = run.footprint().to_json()
    ledger = joulegram.open_ledger()
    before = ledger.run(run.id).document()
    assert ledger.seal(run.id) == 1
    assert not list((ledger.path / run.id).glob("*.journal"))
    after = ledger.run(run.id).document()
    assert json.loads(json.dumps(before)) == json.loads(json.dumps(after))
    assert after["footprint"] == live
    assert ledger.seal(run.id) == 0
    assert [summary.run["status"] for summary in ledger.summaries()] == ["finished"]


def test_importing_and_tracking_load_nothing_heavy(tmp_path: Path) -> None:
    heavy = ("torch", "lightning", "plotly", "pyarrow", "requests", "rich", "psutil", "pandas", "keras")
    path = script(
        tmp_path,
        f"""
        import sys, joulegram
        assert not [name for name in ("numpy", *{heavy!r}) if name in sys.modules]
        with joulegram.track("light"):
            pass
        assert not [name for name in {heavy!r} if name in sys.modules]
        """,
    )
    done = run_python(path)
    assert done.returncode == 0, done.stderr
