"""The life of a run from a model's point of view: how it begins, ends, goes on, and keeps to its budget."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import keras
import pytest
from keras.callbacks import BackupAndRestore
from tiny_models import FORWARD, Calling, net, samples, working

import joulegram
from joulegram_keras import FootprintMonitor
from joulegram_keras.cadence import cadence
from joulegram_keras.watch import even_sizes, size_of

Make = Callable[..., Any]


def fit(*callbacks: Any, model: Any = None, epochs: int = 1, **options: Any) -> Any:
    x, y = samples(16)
    return (model or net()).fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks), **options)


# -- set-up -----------------------------------------------------------------------------------------------------------


def test_without_arguments_a_fit_is_a_run_named_after_its_model(recorded: Make, capsys: Make) -> None:
    watch = FootprintMonitor()
    fit(watch, epochs=2)
    run = recorded(watch)
    assert (run.name, run.stage, run.status, run.ranks) == ("net", "train", "finished", 1)
    assert run.attributes["parameters"] == 49
    assert run.attributes["epochs"] == 2
    assert run.attributes["backend"] == keras.backend.backend()
    assert run.attributes["metrics"]["loss"] > 0
    assert "energy_j" not in run.attributes["metrics"]
    assert "joulegram: net" in capsys.readouterr().out


def test_arguments_reach_the_run(monitor: Make, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    watch = monitor(
        name="a name", project="p", stage="finetune", zone="DK", pue=1.2, ledger=elsewhere, attributes={"seed": 1}
    )
    fit(watch)
    run = joulegram.open_ledger(elsewhere).run(watch.run.id)
    assert (run.name, run.project, run.stage, run.zone) == ("a name", "p", "finetune", "DK")
    assert run.attributes["seed"] == 1
    assert run.document()["price"]["pue"]["value"] == 1.2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": 3}, TypeError),
        ({"prefix": 3}, TypeError),
        ({"again": "never"}, ValueError),
        ({"every": 0}, ValueError),
        ({"every": True}, TypeError),
        ({"every": "30s"}, TypeError),
        ({"every": timedelta(0)}, ValueError),
        ({"on_budget": "shout"}, ValueError),
        ({"budget_kwh": -1}, ValueError),
        ({"budget_gco2e": "much"}, ValueError),
        ({"pue": 0.3}, ValueError),
        ({"zone": 7}, ValueError),
    ],
    ids=str,
)
def test_an_argument_that_cannot_be_is_refused_at_once(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error) as refusal:
        FootprintMonitor(**arguments)
    (name,) = arguments
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_disabled_it_does_nothing(monkeypatch: pytest.MonkeyPatch, capsys: Make, runs: Make) -> None:
    monkeypatch.setenv("JOULEGRAM_DISABLED", "1")
    history = fit(FootprintMonitor(), epochs=2).history
    assert set(history) == {"loss"}
    assert not runs()
    assert "joulegram" not in capsys.readouterr().out


def test_a_callback_need_not_be_in_a_list(monitor: Make, recorded: Make) -> None:
    watch = monitor()
    x, y = samples(16)
    net().fit(x, y, epochs=2, verbose=0, callbacks=watch)
    assert [span.index for span in recorded(watch).spans("epoch")] == [0, 1]


def test_it_leaves_jax_undisturbed(monitor: Make) -> None:
    callbacks = keras.callbacks.CallbackList([monitor()])
    plain = keras.callbacks.CallbackList([keras.callbacks.Callback()])
    assert callbacks._async_train == plain._async_train
    hooks = ("on_batch_end", "on_train_batch_end", "on_test_batch_end", "on_predict_batch_end")
    assert not set(hooks) & set(vars(FootprintMonitor))


def test_a_monitor_can_be_copied_and_sent_whatever_it_has_recorded(monitor: Make) -> None:
    watch = monitor(every=2, budget_kwh=1)
    fit(watch)
    for twin in (copy.deepcopy(watch), pickle.loads(pickle.dumps(watch))):
        assert twin.run is None
        fit(twin)
        assert twin.run.id != watch.run.id


# -- loops around and inside each other -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["evaluate", "predict"])
def test_evaluations_are_runs_of_their_own(monitor: Make, recorded: Make, kind: str) -> None:
    watch = monitor()
    x, y = samples(20)
    given = {"x": x, "y": y} if kind == "evaluate" else {"x": x}
    getattr(net(), kind)(**given, batch_size=8, verbose=0, callbacks=[watch])
    run = recorded(watch)
    assert (run.stage, run.status) == ("evaluate", "finished")
    (span,) = run.spans()
    assert (span.kind, span.attributes) == (kind, {"steps": 3, "samples": 20})
    assert run.footprint().flops.value == 20 * FORWARD
    assert (run.attributes.get("metrics", {}).get("loss") is not None) == (kind == "evaluate")


def test_inside_a_tracked_block_a_fit_joins_it(runs: Make, capsys: Make) -> None:
    with joulegram.track("around", project="p"):
        fit(FootprintMonitor("inside"), epochs=2)
    (run,) = runs()
    assert (run.name, run.status) == ("around", "finished")
    part, of_fit, *epochs = run.spans()
    assert (part.kind, part.name, of_fit.kind, of_fit.parent) == ("track", "inside", "fit", part.id)
    assert [(epoch.kind, epoch.parent) for epoch in epochs] == [("epoch", of_fit.id)] * 2
    assert part.footprint.energy_j.value <= run.footprint().energy_j.value
    assert "inside" not in capsys.readouterr().out


def test_a_fit_inside_a_fit_joins_it(monitor: Make, recorded: Make, runs: Make) -> None:
    outer, inner = monitor(), monitor()
    fit(outer, Calling(on_epoch_end=lambda *_: fit(inner)))
    assert [run.status for run in runs()] == ["finished"]
    kinds = [span.kind for span in recorded(outer).spans()]
    assert kinds == ["fit", "epoch", "track", "fit", "epoch"]


def test_an_evaluation_and_a_prediction_within_a_fit_are_parts_of_it(monitor: Make, recorded: Make, runs: Make) -> None:
    watch, model = monitor(), net()
    x, y = samples(8)

    def look(*_: Any) -> None:
        model.evaluate(x, y, verbose=0, callbacks=[watch])
        model.predict(x, verbose=0, callbacks=[watch])

    fit(watch, Calling(on_epoch_begin=look), model=model)
    assert len(runs()) == 1
    run = recorded(watch)
    assert [span.kind for span in run.spans()] == ["fit", "epoch", "validation", "predict"]
    assert run.spans("epoch")[0].attributes == {"steps": 2, "samples": 16}


# -- again, and lineage -----------------------------------------------------------------------------------------------


def test_another_fit_is_a_run_of_its_own(monitor: Make, recorded: Make, runs: Make) -> None:
    watch, model = monitor(), net()
    fit(watch, model=model)
    first = recorded(watch)
    fit(watch, model=model)
    assert recorded(watch).id != first.id
    assert recorded(watch).parent is None
    assert [run.status for run in runs()] == ["finished"] * 2


def test_another_fit_continues_the_one_before_if_told_to(monitor: Make, recorded: Make) -> None:
    watch, model = monitor(again="continue"), net()
    fit(watch, working(0.05), model=model)
    first, spent_j = recorded(watch), watch.run.spent()["energy_j"]
    fit(watch, working(0.05), model=model)
    assert recorded(watch).parent == first.id
    assert recorded(watch).document()["run"]["lineage"]["energy_j"] == pytest.approx(spent_j)
    assert watch.run.spent()["energy_j"] > spent_j > 0


def test_a_restored_training_names_its_parent_and_keeps_its_total(
    monitor: Make, recorded: Make, tmp_path: Path
) -> None:
    def breaks(epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            raise RuntimeError("power cut")

    first, second, third = monitor(), monitor(), monitor()
    folder = tmp_path / "backup"
    with pytest.raises(RuntimeError, match="power cut"):
        fit(first, working(0.05), BackupAndRestore(folder), Calling(on_epoch_begin=breaks), epochs=4)
    fit(BackupAndRestore(folder), second, working(0.05), epochs=4)
    run, parent = recorded(second), recorded(first)
    assert (run.parent, parent.status) == (parent.id, "failed")
    assert [span.index for span in run.spans("epoch")] == [2, 3]
    carried_j = run.document()["run"]["lineage"]["energy_j"]
    assert 0 < carried_j <= parent.footprint().energy_j.value
    assert second.run.spent()["energy_j"] == pytest.approx(carried_j + run.footprint().energy_j.value)
    assert not folder.exists()
    fit(third, BackupAndRestore(folder))
    assert recorded(third).parent is None


def test_a_file_without_weights_beside_it_restores_nothing(monitor: Make, recorded: Make, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    folder.mkdir()
    (folder / "joulegram.json").write_text('{"run": "another", "energy_j": 1.0}')
    watch = monitor()
    fit(watch, BackupAndRestore(folder))
    assert recorded(watch).parent is None


# -- budgets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [{"budget_kwh": 1e-12}, {"budget_gco2e": 1e-12}], ids=str)
def test_a_budget_stops_training_cleanly(
    monitor: Make, recorded: Make, budget: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    watch = monitor(**budget)
    fit(watch, working(0.05), epochs=5)
    run = recorded(watch)
    assert run.status == "finished"
    assert len(run.spans("epoch")) == 1
    assert "training stops" in caplog.text


def test_a_budget_may_only_warn_and_does_so_once(
    monitor: Make, recorded: Make, caplog: pytest.LogCaptureFixture
) -> None:
    watch = monitor(budget_kwh=1e-12, on_budget="warn")
    fit(watch, working(0.05), epochs=3)
    assert len(recorded(watch).spans("epoch")) == 3
    assert caplog.text.count("training goes on") == 1


def test_a_budget_that_is_far_stops_nothing(monitor: Make, recorded: Make) -> None:
    watch = monitor(budget_kwh=1e3, every=1)
    fit(watch, epochs=2)
    assert len(recorded(watch).spans("epoch")) == 2


def test_a_budget_may_be_looked_at_within_an_epoch(monitor: Make, recorded: Make) -> None:
    watch = monitor(budget_kwh=1e-12, every=3)
    x, y = samples(80)
    net().fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[watch, working(0.3)])
    (epoch,) = recorded(watch).spans("epoch")
    assert epoch.attributes["steps"] % 3 == 0
    assert epoch.attributes["steps"] < 20


def test_cadences_come_round() -> None:
    due = cadence(3)
    assert due is not None
    assert [due() for _ in range(7)] == [False, False, True, False, False, True, False]
    times_s = iter([0.0, 4.0, 10.0, 10.0, 12.0, 20.0, 20.0])
    due = cadence(timedelta(seconds=10), lambda: next(times_s))
    assert due is not None
    assert [due() for _ in range(4)] == [False, True, False, True]


# -- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("samples_", "steps"), [(28, 4), (1, 1), (10, 9), (70, 3), (1437, 45), (64, 2)])
def test_even_sizes_are_so_many_and_add_up(samples_: int, steps: int) -> None:
    sizes = even_sizes(samples_, steps)
    assert (len(sizes), sum(sizes)) == (steps, samples_)
    assert min(sizes) > 0


def test_the_size_of_a_batch_is_that_of_its_first_array() -> None:
    x, y = samples(5)
    assert [size_of(batch) for batch in ((x, y, None), [(x,)], {"a": x}, x, (), None)] == [5, 5, 5, 5, 0, 0]
