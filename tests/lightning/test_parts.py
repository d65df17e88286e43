"""The fence that finds an accelerator's edges, and the counting of batches and time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from joulegram_lightning.cadence import cadence
from joulegram_lightning.loop import Fence, Loop
from joulegram_lightning.trainers import cuda_mark, summed


class Work:
    """An accelerator's queue, which is worked off when the test says so."""

    def __init__(self) -> None:
        self.is_done = False

    def query(self) -> bool:
        return self.is_done


class Alone:
    """A strategy of one rank."""

    def __init__(self) -> None:
        self.asked = 0

    def broadcast(self, what: Any) -> Any:
        self.asked += 1
        return what


# -- fence ------------------------------------------------------------------------------------------------------------


def test_without_a_queue_an_edge_is_where_the_loop_is() -> None:
    calls: list[str] = []
    Fence(lambda: None).when_reached(lambda: calls.append("closed"))
    assert calls == ["closed"]


def test_work_that_is_done_already_is_no_reason_to_wait() -> None:
    work, calls = Work(), list[str]()
    work.is_done = True
    Fence(lambda: work).when_reached(lambda: calls.append("closed"))
    assert calls == ["closed"]


def test_an_edge_is_put_off_until_the_work_is_done() -> None:
    work, calls = Work(), list[str]()
    fence = Fence(lambda: work)
    fence.when_reached(lambda: calls.append("closed"))
    fence.poll()
    assert calls == []
    work.is_done = True
    fence.poll()
    fence.poll()
    fence.release()
    assert calls == ["closed"]


def test_an_edge_is_put_off_no_longer_than_to_the_next() -> None:
    calls: list[str] = []
    fence = Fence(Work)
    fence.when_reached(lambda: calls.append("first"))
    fence.when_reached(lambda: calls.append("second"))
    assert calls == ["first"]
    fence.release()
    assert calls == ["first", "second"]


def test_an_epoch_is_closed_before_the_next_is_opened() -> None:
    class Run:
        id, status = "run", "running"

        def span(self, kind: str, index: int | None) -> Any:
            span = SimpleNamespace(close=lambda: edges.append(f"close {index}"))
            span.open = lambda: edges.append(f"open {index}") or span
            return span

    edges: list[str] = []
    loop = Loop(Run(), Fence(Work))  # type: ignore[arg-type]
    for index in range(2):
        loop.open_epoch(index)
        loop.close_epoch()
    assert edges == ["open 0", "close 0", "open 1"]


def test_only_a_cuda_device_has_a_queue() -> None:
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cpu")))
    assert cuda_mark(trainer) is None


# -- cadence ----------------------------------------------------------------------------------------------------------


def test_epochs_need_no_counting() -> None:
    assert cadence("epoch") is None


def test_batches_are_counted() -> None:
    alone = Alone()
    every_third = cadence(3)
    assert every_third is not None
    assert [every_third.due(alone) for _ in range(7)] == [False, False, True, False, False, True, False]
    assert alone.asked == 0
    every_third.restart()
    assert [every_third.due(alone) for _ in range(3)] == [False, False, True]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves time."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


def test_time_is_kept_without_asking_at_every_batch(clock: Callable[[float], None]) -> None:
    alone = Alone()
    every_ten_s = cadence(timedelta(seconds=10))
    assert every_ten_s is not None
    due = []
    for batch in range(1, 3001):  # 5 minutes of batches of a tenth of a second
        clock(0.1)
        if every_ten_s.due(alone):
            due.append(batch)
    assert len(due) in (29, 30)
    assert all(9.9 <= (later - earlier) / 10 <= 10.5 for earlier, later in zip([0, *due], due, strict=False))
    assert alone.asked < 120


def test_time_is_kept_when_batches_become_slow(clock: Callable[[float], None]) -> None:
    every_ten_s = cadence(timedelta(seconds=10))
    assert every_ten_s is not None
    for _ in range(50):
        clock(0.1)
        assert not every_ten_s.due(Alone())
    waited = 0
    while not every_ten_s.due(Alone()):
        clock(1.0)
        waited += 1
    assert waited <= 50  # it had expected as many batches again in half of the time


# -- ranks ------------------------------------------------------------------------------------------------------------


class Pair:
    """A strategy that sums what its two ranks bring, one after the other."""

    root_device = torch.device("cpu")

    def __init__(self) -> None:
        self.total = torch.zeros(1, dtype=torch.float64)

    def reduce(self, tensor: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert (reduce_op, tensor.dtype) == ("sum", torch.float64)
        self.total = self.total + tensor
        return self.total


def add(one: dict[str, float], other: dict[str, float], *, on_one_host: bool = True) -> dict[str, float]:
    pair = Pair()
    summed(one, SimpleNamespace(world_size=2, local_rank=0, strategy=pair))
    return summed(other, SimpleNamespace(world_size=2, local_rank=int(on_one_host), strategy=pair))


def test_ranks_add_up_and_a_host_counts_once() -> None:
    lap = {"energy_j": 1.0, "node_energy_j": 5.0, "duration_s": 9.0}
    assert add(lap, lap) == {"energy_j": 2.0, "node_energy_j": 5.0}
    assert add(lap, lap, on_one_host=False) == {"energy_j": 2.0, "node_energy_j": 10.0}


def test_a_figure_that_one_rank_lacks_is_the_others() -> None:
    assert add({"energy_j": 1.0}, {"energy_j": 2.0, "carbon_g": 3.0}) == {"energy_j": 3.0, "carbon_g": 3.0}
    assert add({}, {}) == {}
