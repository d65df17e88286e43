"""Several processes of one job: one run, one sum, one decision."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import Any

import keras
import pytest
from tiny_models import TRAIN

from joulegram_keras.ranks import Ranks, task_of

Make = Callable[..., Any]
BACKEND = keras.backend.backend()


class Wall:
    """A board of this process's memory."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}
        self._is_news = threading.Condition()

    def put(self, name: str, words: str) -> None:
        with self._is_news:
            self._words[name] = words
            self._is_news.notify_all()

    def get(self, name: str, wait_s: float) -> str:
        with self._is_news:
            if not self._is_news.wait_for(lambda: name in self._words, wait_s):
                raise TimeoutError
            return self._words[name]


def job(size: int, work: Callable[[Ranks], Any], speaking: int | None = None, wait_s: float = 30.0) -> list[Any]:
    """What each rank's work gives; those that do not speak do none."""
    wall, given = Wall(), [None] * size
    ranks = [Ranks(wall, rank, size, wait_s) for rank in range(size)]
    for rank in ranks:
        rank._place = "a place"

    def do(rank: int) -> None:
        given[rank] = work(ranks[rank])

    threads = [threading.Thread(target=do, args=(rank,)) for rank in range(speaking or size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return given


def test_all_ranks_have_the_sum_and_what_rank_0_decides_by_it() -> None:
    def work(ranks: Ranks) -> Any:
        def decide(sums: Mapping[str, float]) -> str | None:
            assert ranks.rank == 0
            return "enough" if sums["energy_j"] >= 6 else None

        laps = ({"energy_j": 1.0 + ranks.rank}, {"energy_j": 0.0} if ranks.rank else {"energy_j": 1.0, "flops": 2.0})
        return [ranks.together(lap, decide) for lap in laps]

    assert job(3, work) == [[({"energy_j": 6.0}, "enough"), ({"energy_j": 1.0, "flops": 2.0}, None)]] * 3


def test_who_says_nothing_is_waited_for_once(caplog: pytest.LogCaptureFixture) -> None:
    def work(ranks: Ranks) -> Any:
        return [ranks.together({"energy_j": 1.0}, lambda sums: None)[0] for _ in range(3)]

    assert job(3, work, speaking=2, wait_s=0.2) == [[{"energy_j": 2.0}] * 3, [{"energy_j": 2.0}] * 3, None]
    assert len([record for record in caplog.records if "process 2" in record.message]) == 1


def test_without_rank_0_there_are_no_figures_and_no_decision() -> None:
    ranks = Ranks(Wall(), 1, 2, wait_s=0.05)
    assert ranks.together({"energy_j": 1.0}, lambda sums: "enough") == ({}, None)


CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"], "evaluator": ["e:1"]}


@pytest.mark.parametrize(
    ("config", "task"),
    [
        (json.dumps({"cluster": CLUSTER, "task": {"type": "chief", "index": 0}}), (0, 3)),
        (json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 1}}), (2, 3)),
        (json.dumps({"cluster": CLUSTER, "task": {"type": "ps", "index": 0}}), (0, 1)),
        (json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}), (0, 1)),
        (json.dumps(["cluster"]), (0, 1)),
        ("nonsense", (0, 1)),
        ("", (0, 1)),
    ],
)
def test_tf_config_tells_the_rank(config: str, task: tuple[int, int]) -> None:
    assert task_of(config) == task


BEGIN = {
    "jax": """
import jax
jax.distributed.initialize("localhost:{port}", 2, {rank})
import keras
devices = keras.distribution.list_devices()
keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False))
""",
    "torch": """
import torch.distributed
torch.distributed.init_process_group("gloo", init_method="tcp://localhost:{port}", world_size=2, rank={rank})
""",
    "tensorflow": """
import json, os
cluster = {{"worker": ["localhost:{port}", "localhost:{other}"]}}
os.environ["TF_CONFIG"] = json.dumps({{"cluster": cluster, "task": {{"type": "worker", "index": {rank}}}}})
import tensorflow
strategy = tensorflow.distribute.MultiWorkerMirroredStrategy()
""",
}
FIT = """
import json
from joulegram_keras import FootprintMonitor
from tiny_models import net, samples, working

watch = FootprintMonitor(summary=False, budget_kwh=1e-12)
x, y = samples(16)
history = net().fit(x, y, epochs=3, batch_size=8, verbose=0, callbacks=[working(0.1), watch]).history
print(json.dumps([watch.run.id, history["energy_j"], history["flops"]]))
"""
SPEAK = """
from joulegram_keras.ranks import ranks

here = ranks()
here._place = "a place"
print(json.dumps([here.size, here.together({"energy_j": 1.0 + here.rank}, lambda sums: "enough")]))
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def two_processes(script: Callable[..., subprocess.Popen[str]], work: str) -> list[Any]:
    """What each of two processes that know each other prints as JSON."""
    port, other = free_ports(2)
    processes = [script(BEGIN[BACKEND].format(port=port, other=other, rank=rank) + work) for rank in (0, 1)]
    outputs = [process.communicate(timeout=180)[0] for process in processes]
    answers = [
        line for output in outputs for line in output.splitlines() if line.startswith("[") and "Gloo" not in line
    ]
    assert len(answers) == 2, outputs
    return list(map(json.loads, answers))


@pytest.mark.skipif(BACKEND == "tensorflow", reason="Keras 3.15 does not fit under MultiWorkerMirroredStrategy")
def test_two_processes_record_one_run_log_the_same_and_stop_together(
    script: Callable[..., subprocess.Popen[str]], runs: Make
) -> None:
    first, second = two_processes(script, FIT)
    assert first == second
    (run,) = runs()
    assert (run.id, run.ranks, run.status) == (first[0], 2, "finished")
    assert first[2] == [2 * 16 * TRAIN]  # of one epoch: the budget
    assert run.footprint().flops.value == 2 * 16 * TRAIN


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the others are shown by a fit")
def test_two_processes_speak_to_each_other(script: Callable[..., subprocess.Popen[str]]) -> None:
    assert two_processes(script, SPEAK) == [[2, [{"energy_j": 3.0}, "enough"]]] * 2
