"""Steps of any loop: each kind counted once and added for every step; whatever goes wrong, the step is the user's."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

import joulegram
from joulegram.flops.steps import MOST_BUCKETS, MOST_EXACT
from joulegram.records import StepCount
from joulegram.session.live import Run

NET = torch.nn.Linear(8, 4)
PER_ROW = 2 * 8 * 4


@pytest.fixture
def run() -> Iterator[Run]:
    with joulegram.track("steps") as made:
        yield made


def kinds(run: Run) -> list[StepCount]:
    return list(run.trace().counts)


def test_a_step_is_called_and_added_and_each_kind_counted_once(run: Run) -> None:
    for rows in (3, 5, 3, 3):
        out = run.count(NET, torch.ones(rows, 8))
        assert out.shape == (rows, 4)
    assert run.footprint().flops.value == (3 + 5 + 3 + 3) * PER_ROW
    assert [kind.inputs for kind in kinds(run)] == ["3×8 float32", "5×8 float32"]


def test_flops_that_the_caller_knows_are_added_to_the_phase_that_they_are_of(run: Run) -> None:
    run.phase("forward")
    run.add_flops(1e9)
    run.add_flops(5e8, phase="backward")
    run.phase("data")
    assert run.footprint().flops.value == 1.5e9
    assert run.trace().tallies["flops forward"].total == 1e9
    assert run.trace().tallies["flops backward"].total == 5e8


def test_energy_outside_of_counted_steps_is_never_more_than_the_runs() -> None:
    with joulegram.track("steps") as run:
        for phase in ("data", "forward", "checkpoint"):
            run.phase(phase)
            run.add_flops(1e9, phase="forward")
            sum(range(100_000))
    figure = run.footprint()
    idle = [phase.energy_j.high or 0.0 for phase in figure.phases.values() if not phase.flops.value]
    assert figure.energy_j.high is not None
    assert sum(idle) > figure.energy_j.high  # each of them alone might be all of it
    assert figure.efficiency.outside_j.high == figure.energy_j.high


@pytest.mark.parametrize("flops", [-1, float("nan"), float("inf"), "three", None])
def test_no_number_of_operations_is_less_than_none(run: Run, flops: Any) -> None:
    with pytest.raises(ValueError, match="not negative"):
        run.add_flops(flops)


def test_a_step_of_jax_is_counted_from_its_program(run: Run) -> None:
    step = jax.jit(lambda x, w: jnp.tanh(x @ w))
    for _ in range(3):
        run.count(step, jnp.ones((2, 8)), w=jnp.ones((8, 4)))
    assert run.footprint().flops.value == 3 * 2 * PER_ROW
    assert "jaxpr" in run.footprint().flops.how


def test_what_is_of_no_framework_is_missing_with_the_reason(run: Run) -> None:
    assert run.count(lambda x: x + 1, 1) == 2
    assert run.count(lambda x: x + 1, 2) == 3
    flops = run.footprint().flops
    assert flops.method == "missing"
    assert "neither" in flops.how


def test_a_step_that_fails_adds_nothing_and_its_exception_is_the_users(run: Run) -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        run.count(NET, torch.ones(3, 9))
    with pytest.raises(ZeroDivisionError):
        run.count(lambda x: NET(x) / (1 // 0), torch.ones(3, 8))
    run.count(NET, torch.ones(2, 8))
    assert run.footprint().flops.value == 2 * PER_ROW


def test_a_step_that_is_left_in_its_midst_does_not_count_into_the_next(run: Run) -> None:
    steps = run.steps("fit", NET.forward)
    steps.begin(torch.ones(2, 8))
    NET(torch.ones(2, 8))  # never ended
    steps.begin(torch.ones(3, 8))
    NET(torch.ones(3, 8))
    steps.end()
    assert run.footprint().flops.value == 3 * PER_ROW


def test_lengths_without_end_are_counted_up_to_a_cap_and_the_truth_is_within_the_bounds(run: Run) -> None:
    attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    steps = run.steps("fit", attention.forward)
    truth = 0.0
    lengths = [7 * number % 1009 + 1 for number in range(400)]
    with torch.no_grad():
        for length in lengths:
            x = torch.ones(1, length, 8)
            steps.begin(x, x, x)
            if length in lengths[:MOST_EXACT] or steps._live is not None:
                attention(x, x, x)
            steps.end()
            truth += 4 * 2 * length * 8 * 8 + 2 * 2 * length * length * 8
    flops = run.footprint().flops
    assert len(kinds(run)) <= MOST_EXACT + MOST_BUCKETS
    assert flops.low is not None
    assert flops.high is not None
    assert flops.low <= truth <= flops.high
    assert flops.value == pytest.approx(truth, rel=0.1)
    assert flops.low < flops.high
    assert "scaled" in flops.how


def test_a_callable_that_has_no_hash_is_counted_too(run: Run) -> None:
    class Odd:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return NET(x)

    odd = Odd()
    for _ in range(2):
        run.count(odd, torch.ones(3, 8))
    assert run.footprint().flops.value == 2 * 3 * PER_ROW
    assert len(kinds(run)) == 1


def test_an_inert_run_calls_the_step_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEGRAM_DISABLED", "1")
    with joulegram.track("inert") as run:
        assert run.count(NET, torch.ones(3, 8)).shape == (3, 4)
        run.add_flops(5)
    assert run.footprint().flops.method == "missing"


def test_the_opt_in_that_may_change_results_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with joulegram.track("eager", flops="eager") as run:
        run.count(NET, torch.ones(3, 8))
        run.count(NET, torch.ones(3, 8))
    assert sum("may differ in their last digits" in record.message for record in caplog.records) == 1


def test_a_misspelt_way_of_counting_is_one_clear_line() -> None:
    with pytest.raises(joulegram.ConfigError, match=r"flops = 'touch'.*torch"):
        joulegram.start("x", flops="touch")


def test_a_step_inside_a_counted_step_is_not_counted_twice(run: Run) -> None:
    for _ in range(2):
        run.count(lambda x: run.count(NET, x), torch.ones(2, 8))
    assert run.footprint().flops.value == 2 * 2 * PER_ROW


def test_threads_that_count_the_same_step_at_once_leave_each_other_alone(run: Run) -> None:
    barrier = threading.Barrier(2)

    def step(x: torch.Tensor) -> torch.Tensor:
        barrier.wait(30)
        out = NET(x)
        barrier.wait(30)
        return out

    def count(rows: int) -> object:
        run.count(step, torch.ones(rows, 8))
        return _get_current_dispatch_mode()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(count, (2, 3))) == [None, None]
    assert run.footprint().flops.value == (2 + 3) * PER_ROW


async def _later(x: torch.Tensor) -> torch.Tensor:
    return NET(x)


def _bit_by_bit(x: torch.Tensor) -> Iterator[torch.Tensor]:
    yield NET(x)


def test_what_computes_after_it_has_returned_is_missing_and_not_zero(run: Run) -> None:
    asyncio.run(run.count(_later, torch.ones(2, 8)))
    list(run.count(_bit_by_bit, torch.ones(2, 8)))
    assert run.footprint().flops.value is None
    assert "after it has returned" in run.footprint().flops.how


def test_functions_that_are_made_anew_for_each_call_are_of_one_kind_and_hold_on_to_nothing(run: Run) -> None:
    def over(weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: NET(x) * weight.sum()

    weights = [torch.ones(7) for _ in range(9)]
    gone = [weakref.ref(weight) for weight in weights]
    while weights:
        run.count(over(weights.pop()), torch.ones(3, 8))
    gc.collect()
    assert run.footprint().flops.value == 9 * 3 * PER_ROW
    assert len(kinds(run)) == 1
    assert sum(weight() is not None for weight in gone) <= 1  # the last one's


def test_functions_of_one_place_that_close_over_other_shapes_are_of_different_kinds(run: Run) -> None:
    def over(weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: x @ weight

    for width in (4, 9, 4):
        run.count(over(torch.ones(8, width)), torch.ones(3, 8))
    assert run.footprint().flops.value == (4 + 9 + 4) * 2 * 8 * 3


def test_functions_of_one_place_that_close_over_different_networks_are_of_different_kinds(run: Run) -> None:
    def step_of(net: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: net(x) + 1

    x = torch.ones(3, 8)
    run.count(step_of(NET), x)
    wide = torch.nn.Linear(8, 40)
    run.count(step_of(wide), x)
    assert run.footprint().flops.value == 3 * PER_ROW + 3 * 10 * PER_ROW
