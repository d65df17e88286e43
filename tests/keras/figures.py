"""What the epochs of a fit cost, and who sees it."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint
from tiny_models import FORWARD, TRAIN, Calling, net, samples, working

Make = Callable[..., Any]
BACKEND = keras.backend.backend()
FIGURES = ("energy_j", "carbon_g", "flops")


def fit(*callbacks: Any, model: Any = None, epochs: int = 2, **options: Any) -> Any:
    """A fit of 28 samples in batches of 8; its History."""
    x, y = samples(28)
    settings = {"batch_size": 8, "verbose": 0, **options}
    return (model or net()).fit(x, y, epochs=epochs, callbacks=list(callbacks), **settings)


def test_train_and_validation_add_up_to_the_fit(monitor: Make, recorded: Make) -> None:
    watch = monitor()
    fit(watch, working(0.05), validation_data=samples(20), epochs=3)
    run = recorded(watch)
    assert [span.kind for span in run.spans()] == ["fit", *["epoch", "validation"] * 3]
    whole_j = run.footprint().energy_j.value
    phases = run.footprint().phases
    assert whole_j > 0
    assert {"train", "validation"} <= set(phases)
    assert ("data" in phases) == (BACKEND == "torch")
    assert sum(phase.energy_j.value for phase in phases.values()) == pytest.approx(whole_j, rel=1e-9)
    for span in run.spans():
        parts = [phase.energy_j.value for phase in span.footprint.phases.values()]
        assert sum(parts) == pytest.approx(span.footprint.energy_j.value, rel=1e-9, abs=1e-12)

    # Train is what is left of an epoch without its validation; the rest of the fit lies between epochs.
    pricer = run.pricer
    total_j, until_ns = 0.0, pricer.trace.start_ns
    for epoch, validation in zip(run.spans("epoch"), run.spans("validation"), strict=True):
        assert epoch._start_ns <= validation._start_ns <= validation._end_ns <= epoch._end_ns
        edges = [until_ns, epoch._start_ns, validation._start_ns, validation._end_ns, epoch._end_ns]
        parts = [pricer.footprint(a, b).energy_j.value for a, b in pairwise(edges)]
        _, before_j, validation_j, after_j = parts
        assert before_j + validation_j + after_j == pytest.approx(epoch.footprint.energy_j.value, rel=1e-9, abs=1e-12)
        assert validation_j == pytest.approx(validation.footprint.energy_j.value, rel=1e-9, abs=1e-12)
        total_j, until_ns = total_j + sum(parts), epoch._end_ns
    total_j += pricer.footprint(until_ns, pricer.trace.end_ns).energy_j.value
    assert total_j == pytest.approx(whole_j, rel=1e-9)


def test_steps_and_samples_are_told_apart_by_loop(monitor: Make, recorded: Make) -> None:
    watch = monitor()
    fit(watch, validation_data=samples(20))
    run = recorded(watch)
    assert [span.attributes for span in run.spans("epoch")] == [{"steps": 4, "samples": 28}] * 2
    assert [span.attributes for span in run.spans("validation")] == [{"steps": 3, "samples": 20}] * 2


def test_an_epoch_has_the_flops_of_its_batches_the_odd_last_one_too(monitor: Make, recorded: Make) -> None:
    watch = monitor()
    history = fit(watch, validation_data=samples(20)).history
    run = recorded(watch)
    epoch, validation = 28 * TRAIN + 20 * FORWARD, 20 * FORWARD
    assert [span.footprint.flops.value for span in run.spans("epoch")] == [epoch] * 2
    assert [span.footprint.flops.value for span in run.spans("validation")] == [validation] * 2
    phases = run.footprint().phases
    assert phases["train"].flops.value == 2 * 28 * TRAIN
    assert phases["validation"].flops.value == 2 * validation
    assert history["flops"] == [epoch] * 2
    whole = run.footprint().flops
    assert (whole.value, whole.low, whole.high) == (2 * epoch,) * 3


@pytest.mark.skipif(BACKEND == "torch", reason="Keras has no steps_per_execution on torch")
@pytest.mark.parametrize("steps", [2, 3])
def test_several_steps_in_an_execution_are_several_steps(monitor: Make, recorded: Make, steps: int) -> None:
    watch = monitor()
    fit(watch, model=net(steps_per_execution=steps), validation_data=samples(16))
    run = recorded(watch)
    assert [span.attributes for span in run.spans("epoch")] == [{"steps": 4, "samples": 28}] * 2
    assert [span.attributes for span in run.spans("validation")] == [{"steps": 2, "samples": 16}] * 2
    assert run.footprint().flops.value == 2 * (28 * TRAIN + 16 * FORWARD)


def test_a_step_is_traced_no_more_often_than_without(monitor: Make) -> None:
    class Counting(keras.Sequential):
        calls = 0

        def train_step(self, *given: Any) -> Any:
            type(self).calls += 1
            return super().train_step(*given)

    def calls(*callbacks: Any) -> int:
        Counting.calls = 0
        model = Counting([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        fit(*callbacks, model=model)
        return Counting.calls

    counted, plain = calls(monitor()), calls()
    # TensorFlow's graph for counting is a trace of its own.
    assert counted <= plain + (2 if BACKEND == "tensorflow" else 0)


def test_what_is_trained_is_the_same_to_the_last_bit(monitor: Make) -> None:
    def weights(*callbacks: Any) -> list[np.ndarray]:
        model = net(optimizer="adam")
        fit(*callbacks, model=model, validation_data=samples(20))
        return model.get_weights()

    for with_it, without in zip(weights(monitor()), weights(), strict=True):
        assert np.array_equal(with_it, without)


def test_the_models_functions_are_its_own_again_afterwards(monitor: Make) -> None:
    model = net()
    fit(model=model, epochs=1, validation_data=samples(8))
    own = model.train_function, model.test_function
    fit(monitor(), model=model, epochs=1, validation_data=samples(8))
    assert (model.train_function, model.test_function) == own


def test_figures_reach_what_is_listed_after_the_monitor(monitor: Make, tmp_path: Path) -> None:
    seen: list[Any] = []
    before = Calling(on_epoch_end=lambda epoch, logs: seen.append(set(logs) & set(FIGURES)))
    after = Calling(on_epoch_end=lambda epoch, logs: seen.append({name: logs[name] for name in FIGURES}))
    log, saved = tmp_path / "log.csv", tmp_path / "{epoch}-{flops:.0f}.keras"
    history = fit(
        before, monitor(), working(0.05), after, CSVLogger(log), ModelCheckpoint(saved, monitor="energy_j", mode="min")
    )
    assert seen[0] == seen[2] == set()
    for name in FIGURES:
        assert history.history[name] == [seen[1][name], seen[3][name]]
        assert all(math.isfinite(value) and value >= 0 for value in history.history[name])
    with log.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["energy_j"]) for row in rows] == pytest.approx(history.history["energy_j"])
    assert {path.stem for path in tmp_path.glob("*.keras")} == {f"{n}-{28 * TRAIN}" for n in (1, 2)}


def test_early_stopping_may_go_by_what_an_epoch_costs(monitor: Make, recorded: Make) -> None:
    watch = monitor()
    fit(watch, EarlyStopping("flops", mode="min", patience=1), epochs=5)
    run = recorded(watch)
    assert run.status == "finished"
    assert len(run.spans("epoch")) == 2


def test_logged_figures_sum_to_what_the_run_has_cost_by_then(monitor: Make) -> None:
    spent = []
    watch = monitor()
    history = fit(watch, working(0.1), Calling(on_epoch_end=lambda *_: spent.append(watch.run.spent()))).history
    assert sum(history["energy_j"]) == pytest.approx(spent[-1]["energy_j"], rel=0.2)


def test_names_may_have_a_prefix(monitor: Make) -> None:
    history = fit(monitor(prefix="cost_")).history
    assert {"cost_energy_j", "cost_carbon_g", "cost_flops"} < set(history)
    assert "energy_j" not in history


def test_what_is_missing_is_not_a_number_and_there_from_the_first_epoch_on(monitor: Make) -> None:
    flops = fit(monitor(flops="off")).history["flops"]
    assert len(flops) == 2
    assert all(map(math.isnan, flops))


@pytest.mark.skipif(BACKEND != "jax", reason="where steps are watched as they run there is nothing to trace")
def test_a_step_that_cannot_be_counted_says_why(monitor: Make, recorded: Make) -> None:
    class Looking(keras.Sequential):
        def train_step(self, state: Any, data: Any) -> Any:
            assert float(data[0].sum()) > 0
            return super().train_step(state, data)

    model = Looking([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    watch = monitor()
    history = fit(watch, model=model).history
    assert "tracing it failed" in str(recorded(watch).document()["notes"])
    assert recorded(watch).footprint().flops.value is None
    assert all(map(math.isnan, history["flops"]))


def test_a_loop_that_ends_in_its_midst_counts_what_it_did(monitor: Make, recorded: Make) -> None:
    watch, model = monitor(), net()

    def stop(batch: int, logs: Any = None) -> None:
        model.stop_training = batch >= 1

    fit(watch, Calling(on_train_batch_begin=stop), model=model, validation_data=samples(8))
    run = recorded(watch)
    assert run.status == "finished"
    assert [span.kind for span in run.spans()] == ["fit", "epoch", "validation"]
    assert run.spans("epoch")[0].attributes == {"steps": 2, "samples": 16}
    assert run.footprint().flops.value == 16 * TRAIN + 8 * FORWARD


def test_a_generator_of_data_is_looked_at_as_it_comes(monitor: Make, recorded: Make) -> None:
    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            return samples(4 + index)

    watch = monitor()
    net().fit(Batches(), epochs=2, verbose=0, callbacks=[watch])
    run = recorded(watch)
    assert [span.attributes for span in run.spans("epoch")] == [{"steps": 3, "samples": 15}] * 2
    assert run.footprint().flops.value == 2 * 15 * TRAIN


@pytest.mark.filterwarnings("ignore:.*ran out of data")
def test_data_without_a_known_end_are_counted_up_to_it(monitor: Make, recorded: Make) -> None:
    def batches() -> Any:
        for _ in range(3):
            yield samples(4)

    watch = monitor()
    net().fit(batches(), verbose=0, callbacks=[watch])
    run = recorded(watch)
    assert run.status == "finished"
    assert [span.attributes for span in run.spans("epoch")] == [{"steps": 3, "samples": 12}]
    assert run.footprint().flops.value == 12 * TRAIN
