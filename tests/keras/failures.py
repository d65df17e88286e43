"""Loops that end with an exception, of which Keras tells no callback."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from typing import Any

import keras
import pytest
from tiny_models import Calling, net, samples

import joulegram

Make = Callable[..., Any]


def fit(*callbacks: Any, model: Any = None, **options: Any) -> Any:
    x, y = samples(16)
    settings = {"batch_size": 8, "epochs": 2, "verbose": 0, **options}
    return (model or net()).fit(x, y, callbacks=list(callbacks), **settings)


def raising(error: BaseException, hook: str = "on_epoch_end") -> Calling:
    def hooked(*_: Any, **__: Any) -> None:
        raise error

    return Calling(**{hook: hooked})


class Breakable(keras.layers.Layer):
    """Works until it is broken."""

    is_broken = False

    def call(self, x: Any) -> Any:
        if self.is_broken:
            raise ZeroDivisionError("of mine")
        return x


def test_an_exception_in_a_step_passes_and_the_run_has_failed_at_once(monitor: Make, recorded: Make) -> None:
    layer = Breakable()
    watch, model = monitor(), keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ZeroDivisionError, match="of mine"):
        fit(watch, Calling(on_epoch_begin=lambda *_: setattr(layer, "is_broken", True)), model=model)
    assert watch.run.status == "failed"
    run = recorded(watch)
    assert run.status == "failed"
    assert "of mine" in run.error
    assert [span.kind for span in run.spans()] == ["fit", "epoch"]
    assert not hasattr(model.train_function, "_joulegram_beneath")


@pytest.mark.parametrize("model", ["same", "another"])
def test_an_exception_elsewhere_is_known_by_the_next_fit(monitor: Make, recorded: Make, runs: Make, model: str) -> None:
    first, second, one = monitor(), monitor(), net()
    with pytest.raises(ZeroDivisionError):
        fit(first, raising(ZeroDivisionError()), model=one)
    assert first.run.status == "running"
    fit(second, model=one if model == "same" else net())
    assert [run.status for run in runs()] == ["failed", "finished"]
    assert "without a word" in recorded(first).error
    assert recorded(second).id != recorded(first).id


@pytest.mark.parametrize("model", ["same", "another"])
def test_a_monitor_may_be_used_again_after_a_failure(monitor: Make, runs: Make, model: str) -> None:
    watch, one = monitor(), net()
    with pytest.raises(ZeroDivisionError):
        fit(watch, raising(ZeroDivisionError()), model=one)
    fit(watch, model=one if model == "same" else net(), validation_data=samples(8))
    assert [run.status for run in runs()] == ["failed", "finished"]
    assert [span.kind for span in runs()[1].spans()] == ["fit", *["epoch", "validation"] * 2]


def test_an_evaluation_after_a_failed_fit_is_no_part_of_it(monitor: Make, runs: Make) -> None:
    watch, model = monitor(), net()
    with pytest.raises(ZeroDivisionError):
        fit(watch, raising(ZeroDivisionError()), model=model)
    model.evaluate(*samples(8), verbose=0, callbacks=[watch])
    assert [(run.stage, run.status) for run in runs()] == [("train", "failed"), ("evaluate", "finished")]


def test_within_a_tracked_block_a_failure_is_the_blocks(monitor: Make, runs: Make) -> None:
    with pytest.raises(ZeroDivisionError), joulegram.track("around"):
        fit(monitor(), raising(ZeroDivisionError("of mine")))
    (run,) = runs()
    assert (run.name, run.status) == ("around", "failed")
    assert "of mine" in run.error


def test_a_monitor_that_failed_in_a_block_records_the_next_fit_by_itself(monitor: Make, runs: Make) -> None:
    watch = monitor()
    with pytest.raises(ZeroDivisionError), joulegram.track("around"):
        fit(watch, raising(ZeroDivisionError()))
    fit(watch)
    assert [(run.name, run.status) for run in runs()] == [("around", "failed"), ("net", "finished")]


def test_an_interruption_in_a_step_is_one(monitor: Make, recorded: Make) -> None:
    class Interrupted(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            return samples(4)

    watch, model = monitor(), net()
    own = model.make_train_function

    def made(*_: Any, **__: Any) -> None:
        own()
        function = model.train_function

        def interrupted(*given: Any) -> Any:
            function(*given)
            raise KeyboardInterrupt

        model.train_function = interrupted

    model.make_train_function = made
    with pytest.raises(KeyboardInterrupt):
        model.fit(Interrupted(), verbose=0, callbacks=[watch])
    assert recorded(watch).status == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=str)
def test_a_signal_ends_the_run_with_the_process(
    script: Callable[..., subprocess.Popen[str]], runs: Make, number: int
) -> None:
    process = script("""
from joulegram_keras import FootprintMonitor
from tiny_models import Calling, net, samples

x, y = samples(64)
told = Calling(on_epoch_begin=lambda epoch, logs=None: print("epoch", flush=True))
net().fit(x, y, epochs=1_000_000, batch_size=2, verbose=0, callbacks=[FootprintMonitor(), told])
""")
    assert process.stdout is not None
    epochs = 0
    for line in process.stdout:
        epochs += line == "epoch\n"
        if epochs == 3:
            break
    if number == signal.SIGKILL:  # what a killed process leaves is what it had written by then
        next(None for _ in process.stdout if any(len(run.spans()) >= 2 for run in runs()))
    process.send_signal(number)
    process.communicate(timeout=60)
    (run,) = runs()
    assert run.status in ({"lost"} if number == signal.SIGKILL else {"interrupted", "failed"})
    assert [span.kind for span in run.spans()][:2] == ["fit", "epoch"]
    assert run.footprint().duration_s > 0


@pytest.mark.parametrize(
    "name", ["start", "Run.phase", "Run.span", "Run.steps", "Run.lap", "Run.state_dict", "Span.close"]
)
def test_whatever_breaks_in_the_core_training_goes_on(
    monitor: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Any, name: str
) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug of joulegram's")

    owner, _, attribute = name.rpartition(".")
    monkeypatch.setattr(getattr(joulegram, owner) if owner else joulegram, attribute, breaks)
    model = net()
    saves = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    history = fit(monitor(every=1, budget_kwh=1), saves, model=model, validation_data=samples(8)).history
    monkeypatch.undo()
    assert len(history["loss"]) == 2
    assert not hasattr(model.train_function, "_joulegram_beneath")
    assert len([record for record in caplog.records if "training goes on" in record.message]) == 1
    assert len(history.get("energy_j", [0, 0])) == 2


def test_a_step_that_the_monitor_stumbles_over_runs_all_the_same(
    monitor: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*_: Any) -> Any:
        raise RuntimeError("a bug of joulegram's")

    monkeypatch.setattr("joulegram_keras.watch.Watch._end_execution", breaks)
    model = net()
    history = fit(monitor(), model=model).history
    assert len(history["loss"]) == 2
    assert len([record for record in caplog.records if "training goes on" in record.message]) == 1
