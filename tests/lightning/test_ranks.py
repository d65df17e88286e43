"""Distributed training: every rank records its own, the host counts once, totals are of all ranks."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import joulegram

Make = Callable[..., Any]

TRAINING = """
import lightning.pytorch as pl
from tiny_training import QUIET, Tiny, loader
from joulegram_lightning import FootprintMonitor

class Net(Tiny):
    step_s = 0.02

def main():
    options = dict(QUIET, devices=2, strategy=%(strategy)r, max_epochs=2, logger=pl.loggers.CSVLogger("logs"))
    watch = FootprintMonitor(summary=%(summary)s)
    pl.Trainer(callbacks=[watch], **options).fit(Net(), loader(8), loader(2))
    print("done", flush=True)

if __name__ == "__main__":
    main()
"""


def check(run: Any, folder: Path) -> None:
    """One run of two ranks whose host counts once, and whose shares add up to the whole and to what was logged."""
    assert (run.status, run.ranks, len(run.hosts)) == ("finished", 2, 1)
    footprint = run.footprint()
    assert len(footprint.channels) == 1
    traces = [recording.trace() for recording in run.stored.recordings]
    shares = [c.run.over([t.start_ns], [t.end_ns])[0] for t in traces for c in t.channels.values()]
    assert len(shares) == 2
    assert min(shares) > 0
    whole = min(sum(shares), footprint.node_energy_j.value)
    charged = footprint.energy_j.value
    assert charged + footprint.overhead_j.value == pytest.approx(whole, rel=1e-3)
    assert footprint.energy_j.value <= footprint.node_energy_j.value * (1 + 1e-9)
    assert [span.index for span in run.spans("epoch")] == [0, 1]
    (metrics,) = folder.glob("logs/**/metrics.csv")
    with metrics.open() as file:
        logged_j = [float(row["energy_j"]) for row in csv.DictReader(file) if row["energy_j"]]
    assert len(logged_j) == 3
    assert sum(logged_j) == pytest.approx(sum(shares) - footprint.overhead_j.value, rel=1e-3)


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_ranks_that_lightning_starts_are_one_run(script: Make, tmp_path: Path, strategy: str) -> None:
    process = script(TRAINING % {"strategy": strategy, "summary": strategy == "ddp"})
    output, _ = process.communicate(timeout=180)
    # A spawned rank that is through may still die of its process group's own threads, which nobody joins.
    assert process.returncode == 0 or "terminate called without an active exception" in output, output
    (run,) = joulegram.open_ledger().runs()
    check(run, tmp_path)
    if strategy == "ddp":
        assert len(re.findall(r"(?m)^joulegram: Net", output)) == 1, output


def test_ranks_that_a_launcher_starts_side_by_side_are_one_run(script: Make, tmp_path: Path) -> None:
    shared = {
        "TORCHELASTIC_RUN_ID": "none",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29613",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "0",
    }
    text = TRAINING % {"strategy": "ddp", "summary": False}
    ranks = [script(text, **shared, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(2)]
    outputs = [rank.communicate(timeout=180)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], outputs
    (run,) = joulegram.open_ledger().runs()
    check(run, tmp_path)


def test_a_rank_that_is_killed_leaves_a_run_that_can_be_read(script: Make) -> None:
    text = TRAINING.replace(
        "    step_s = 0.02\n",
        "    step_s = 0.02\n"
        "    def on_train_epoch_start(self):\n"
        "        import os, signal\n"
        "        if self.current_epoch == 1 and self.global_rank == 1:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    process = script(text % {"strategy": "ddp", "summary": False})
    output, _ = process.communicate(timeout=180)
    assert process.returncode != 0, output
    (run,) = joulegram.open_ledger().runs()
    assert run.status in ("failed", "lost", "interrupted")
    assert run.spans("epoch")[0].footprint.energy_j.value > 0
