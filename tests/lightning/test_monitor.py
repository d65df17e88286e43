"""The life of a run from a Trainer's point of view: how it begins, ends, fails, resumes, and keeps to its budget."""

from __future__ import annotations

import copy
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from tiny_training import Tiny, loader

import joulegram
from joulegram_lightning import FootprintMonitor

Make = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings("ignore:.*(no `val_dataloader`|is not empty|callbacks used to create)")


class Raising(Callback):
    """Raises at the third batch."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 2:
            raise self.error


def runs() -> list[Any]:
    return list(joulegram.open_ledger().runs())


# -- set-up -----------------------------------------------------------------------------------------------------------


def test_without_arguments_a_fit_is_a_run_named_after_its_module(trainer: Make, recorded: Make) -> None:
    watch = FootprintMonitor()
    trainer(watch, max_epochs=2).fit(Tiny(), loader())
    run = recorded(watch)
    assert (run.name, run.stage, run.status, run.ranks) == ("Tiny", "train", "finished", 1)
    assert run.attributes["parameters"] == 5
    assert run.attributes["max_epochs"] == 2


def test_arguments_reach_the_run(trainer: Make, recorded: Make, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    watch = FootprintMonitor(
        "a name", project="p", stage="finetune", zone="DK", pue=1.2, ledger=elsewhere, attributes={"seed": 1}
    )
    trainer(watch).fit(Tiny(), loader())
    run = joulegram.open_ledger(elsewhere).run(watch.run.id)
    assert (run.name, run.project, run.stage, run.zone) == ("a name", "p", "finetune", "DK")
    assert run.attributes["seed"] == 1
    assert run.document()["price"]["pue"]["value"] == 1.2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": 3}, TypeError),
        ({"every": 0}, ValueError),
        ({"every": True}, TypeError),
        ({"every": "30s"}, TypeError),
        ({"every": timedelta(0)}, ValueError),
        ({"on_budget": "shout"}, ValueError),
        ({"budget_kwh": -1}, ValueError),
        ({"budget_gco2e": "much"}, ValueError),
        ({"pue": 0.3}, ValueError),
        ({"basis": "other"}, ValueError),
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


def test_disabled_it_does_nothing(trainer: Make, monkeypatch: pytest.MonkeyPatch, capsys: Make) -> None:
    monkeypatch.setenv("JOULEGRAM_DISABLED", "1")
    quiet = trainer(FootprintMonitor(), max_epochs=2)
    quiet.fit(Tiny(), loader())
    assert quiet.global_step == 8
    assert "energy_j" not in quiet.callback_metrics
    assert not runs()
    assert "joulegram" not in capsys.readouterr().out


def test_a_fit_ends_with_a_table_unless_it_is_not_wanted(trainer: Make, capsys: Make) -> None:
    trainer(FootprintMonitor("shown")).fit(Tiny(), loader())
    assert "shown" in capsys.readouterr().out
    trainer(FootprintMonitor("hidden", summary=False)).fit(Tiny(), loader())
    assert "hidden" not in capsys.readouterr().out


# -- failure ----------------------------------------------------------------------------------------------------------


def test_an_exception_passes_and_the_run_has_failed(trainer: Make, monitor: Make, recorded: Make) -> None:
    watch = monitor()
    with pytest.raises(ZeroDivisionError):
        trainer(watch, Raising(ZeroDivisionError("of mine"))).fit(Tiny(), loader())
    run = recorded(watch)
    assert run.status == "failed"
    assert "of mine" in run.error
    assert {span.kind for span in run.spans()} == {"fit", "epoch"}


def test_an_exception_before_set_up_leaves_no_run(trainer: Make, monitor: Make) -> None:
    class Unready(Callback):
        def setup(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("not yet")

    with pytest.raises(RuntimeError, match="not yet"):
        trainer(Unready(), monitor()).fit(Tiny(), loader())
    assert not runs()


def test_ctrl_c_is_an_interruption(trainer: Make, monitor: Make, recorded: Make) -> None:
    watch = monitor()
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            trainer(watch, Raising(KeyboardInterrupt())).fit(Tiny(), loader())
    finally:
        signal.signal(signal.SIGINT, handler)
    assert recorded(watch).status == "interrupted"


SLOWLY = """
import lightning.pytorch as pl
from joulegram_lightning import FootprintMonitor
from tiny_training import QUIET, Tiny, loader

class Telling(pl.Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        print("batch", flush=True)

pl.Trainer(**QUIET, callbacks=[FootprintMonitor(), Telling()], max_epochs=1).fit(Tiny(), loader(100_000))
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, "interrupted"), (signal.SIGKILL, "lost")])
def test_a_signal_ends_the_run_with_the_process(
    script: Callable[..., subprocess.Popen[str]], number: int, status: str
) -> None:
    process = script(SLOWLY)
    assert process.stdout is not None
    for line in process.stdout:
        if line == "batch\n":
            break
    if status == "lost":  # what a killed process leaves is what it had written by then
        next(None for _ in process.stdout if any(len(run.spans()) == 2 for run in runs()))
    process.send_signal(number)
    process.communicate(timeout=30)
    (run,) = runs()
    assert run.status == status
    assert [span.kind for span in run.spans()] == ["fit", "epoch"]
    assert run.footprint().duration_s > 0


def test_a_run_is_closed_even_if_no_callback_heard_of_the_failure(trainer: Make, monitor: Make, recorded: Make) -> None:
    class Worse(Raising):
        def on_exception(self, *_: Any) -> None:
            raise RuntimeError("worse")

    first, second = monitor(), monitor()
    with pytest.raises(RuntimeError, match="worse"):
        trainer(Worse(ValueError("bad")), first).fit(Tiny(), loader())
    assert first.run.status == "running"
    trainer(second).fit(Tiny(), loader())
    assert recorded(first).status == "failed"
    assert recorded(second).status == "finished"
    assert recorded(first).id != recorded(second).id


@pytest.mark.parametrize("broken", ["start", "Run.phase", "Run.span", "Run.lap", "Run.state_dict", "Span.close"])
def test_whatever_breaks_in_the_core_training_goes_on(
    trainer: Make,
    monitor: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    broken: str,
) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug of joulegram's")

    owner, _, name = broken.rpartition(".")
    monkeypatch.setattr(getattr(joulegram, owner) if owner else joulegram, name, breaks)
    quiet = trainer(monitor(every=2, budget_kwh=1), ModelCheckpoint(tmp_path), max_epochs=2, enable_checkpointing=True)
    quiet.fit(Tiny(), loader(), loader(2))
    monkeypatch.undo()
    assert quiet.global_step == 8
    assert quiet.state.status == "finished"
    assert len([record for record in caplog.records if "training goes on" in record.message]) == 1


# -- runs after and around each other ---------------------------------------------------------------------------------


def test_each_call_is_a_run_of_its_own(trainer: Make, monitor: Make) -> None:
    quiet = trainer(monitor(), max_epochs=1)
    module = Tiny()
    quiet.fit(module, loader(), loader(1))
    quiet.fit_loop.max_epochs = 2
    quiet.fit(module, loader(), loader(1))
    quiet.fit(module, loader(), loader(1))  # finished already: no epoch, but a run
    quiet.test(module, loader(1), verbose=False)
    epochs = [[span.index for span in run.spans("epoch")] for run in reversed(runs())]
    assert epochs == [[0], [1], [], []]
    assert {run.status for run in runs()} == {"finished"}


def test_a_monitor_can_be_copied_and_sent_whatever_it_has_recorded(trainer: Make, monitor: Make) -> None:
    watch = monitor(every=2, budget_kwh=1)
    quiet = trainer(watch)
    quiet.fit(Tiny(), loader())
    for twin in (copy.deepcopy(watch), pickle.loads(pickle.dumps(watch))):
        assert twin.run is None
        trainer(twin).fit(Tiny(), loader())
        assert twin.run.id != watch.run.id
    assert copy.deepcopy(quiet).callbacks[0].run is None


def test_inside_a_tracked_block_a_fit_joins_it(trainer: Make, capsys: Make) -> None:
    with joulegram.track("around", project="p"):
        trainer(FootprintMonitor("inside"), max_epochs=2).fit(Tiny(), loader())
    (run,) = runs()
    assert (run.name, run.status) == ("around", "finished")
    part, fit, *epochs = run.spans()
    assert (part.kind, part.name, fit.kind, fit.parent) == ("track", "inside", "fit", part.id)
    assert [(epoch.kind, epoch.parent) for epoch in epochs] == [("epoch", fit.id)] * 2
    assert part.footprint.energy_j.value <= run.footprint().energy_j.value
    assert "inside" not in capsys.readouterr().out


def test_a_tuner_leaves_the_loop_as_it_was(trainer: Make, monitor: Make, recorded: Make, adds_up: Make) -> None:
    from lightning.pytorch.callbacks import LearningRateFinder

    class Tunable(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.lr = 1e-6

    watch = monitor()
    finder = LearningRateFinder(num_training_steps=5, early_stop_threshold=None, update_attr=False)
    trainer(watch, finder, enable_checkpointing=True).fit(Tunable(), loader(8))
    run = recorded(watch)
    assert len(run.spans("epoch")) == 1
    assert run.footprint().phases["other"].duration_s > 5 * Tiny.step_s
    adds_up(run)


# -- lineage and budgets ----------------------------------------------------------------------------------------------


def test_a_resumed_run_names_its_parent_and_carries_its_totals_on(
    trainer: Make, monitor: Make, recorded: Make, tmp_path: Path
) -> None:
    first, second = monitor(), monitor()
    saves = ModelCheckpoint(tmp_path, save_last=True)
    trainer(first, saves, enable_checkpointing=True).fit(Tiny(), loader())
    state = torch.load(saves.last_model_path, weights_only=True)["callbacks"]["FootprintMonitor"]
    assert state["run"] == first.run.id
    assert 0 < state["energy_j"] <= recorded(first).footprint().energy_j.value

    trainer(second, max_epochs=2).fit(Tiny(), loader(), ckpt_path=saves.last_model_path)
    assert recorded(second).parent == first.run.id
    assert recorded(second).document()["run"]["lineage"]["energy_j"] == pytest.approx(state["energy_j"])
    own_j = recorded(second).footprint().energy_j.value
    assert second.state_dict()["energy_j"] == pytest.approx(state["energy_j"] + own_j)


@pytest.mark.parametrize("task", ["validate", "test"])
def test_an_evaluation_of_a_checkpoint_continues_no_training(
    trainer: Make, monitor: Make, recorded: Make, tmp_path: Path, task: str
) -> None:
    path = tmp_path / "end.ckpt"
    before = trainer(monitor())
    before.fit(Tiny(), loader())
    before.save_checkpoint(path)
    watch = monitor()
    getattr(trainer(watch), task)(Tiny(), loader(), ckpt_path=path, verbose=False, weights_only=True)
    assert recorded(watch).parent is None
    assert watch.state_dict() == {}


def test_a_budget_stops_training_cleanly(
    trainer: Make, monitor: Make, recorded: Make, caplog: pytest.LogCaptureFixture
) -> None:
    watch = monitor(budget_gco2e=1e-9)
    quiet = trainer(watch, max_epochs=9)
    quiet.fit(Tiny(), loader())
    assert (quiet.current_epoch, quiet.state.status, recorded(watch).status) == (1, "finished", "finished")
    (message,) = [record.message for record in caplog.records if "budget" in record.message]
    assert "1e-09 gCO2e" in message
    assert "training stops" in message


def test_a_budget_stops_within_an_epoch_if_it_is_looked_at_there(trainer: Make, monitor: Make) -> None:
    quiet = trainer(monitor(budget_kwh=1e-12, every=2))
    quiet.fit(Tiny(), loader(50))
    assert quiet.global_step == 2


def test_a_budget_may_only_warn(trainer: Make, monitor: Make, caplog: pytest.LogCaptureFixture) -> None:
    quiet = trainer(monitor(budget_kwh=1e-12, on_budget="warn"), max_epochs=3)
    quiet.fit(Tiny(), loader())
    assert quiet.current_epoch == 3
    assert len([record for record in caplog.records if "budget" in record.message]) == 1


def test_a_budget_holds_for_all_that_a_run_continues(trainer: Make, monitor: Make, tmp_path: Path) -> None:
    path = tmp_path / "end.ckpt"
    first = trainer(monitor(), max_epochs=2)
    first.fit(Tiny(), loader(40))
    first.save_checkpoint(path)
    spent_j = torch.load(path, weights_only=True)["callbacks"]["FootprintMonitor"]["energy_j"]
    quiet = trainer(monitor(budget_kwh=spent_j / 3.6e6), max_epochs=5)
    quiet.fit(Tiny(), loader(1), ckpt_path=path, weights_only=True)
    assert quiet.current_epoch == 3


# -- packages and automatic activation --------------------------------------------------------------------------------


def test_the_other_package_is_served_as_well(script: Callable[..., subprocess.Popen[str]]) -> None:
    process = script("""
import sys
import pytorch_lightning as pl, torch
from joulegram_lightning import FootprintMonitor
assert "lightning.pytorch" not in sys.modules
assert issubclass(FootprintMonitor, pl.Callback)
watch = FootprintMonitor("other package")

class Tiny(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch, batch_idx):
        return self.layer(batch).sum()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-6)

data = torch.utils.data.DataLoader(torch.ones(8, 4))
trainer = pl.Trainer(accelerator="cpu", max_epochs=2, callbacks=watch, enable_progress_bar=False)
trainer.fit(Tiny(), data)
assert trainer.callback_metrics["energy_j"] >= 0

from lightning.pytorch import Callback
from joulegram_lightning import FootprintMonitor as Lightnings
assert issubclass(Lightnings, Callback)
pl.Trainer(accelerator="cpu", max_epochs=1, callbacks=[Lightnings("both")], enable_progress_bar=False).fit(Tiny(), data)
""")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert [(run.name, len(run.spans("epoch"))) for run in runs()] == [("both", 1), ("other package", 2)]


def test_nothing_happens_by_itself(trainer: Make) -> None:
    trainer().fit(Tiny(), loader())
    assert not runs()


def test_the_environment_can_ask_for_a_monitor(trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEGRAM_AUTO", "1")
    trainer(max_epochs=2).fit(Tiny(), loader())
    (run,) = runs()
    assert len(run.spans("epoch")) == 2


def test_an_automatic_monitor_gives_way_to_the_users_own(trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEGRAM_AUTO", "1")
    quiet = trainer(FootprintMonitor("mine"))
    assert len([callback for callback in quiet.callbacks if isinstance(callback, FootprintMonitor)]) == 2
    quiet.fit(Tiny(), loader(), loader(1))
    (run,) = runs()
    assert run.name == "mine"
    assert len(run.spans()) == 4


def test_automatic_activation_never_breaks_a_trainer(
    trainer: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JOULEGRAM_AUTO", "1")
    monkeypatch.setenv("JOULEGRAM_ZONNE", "DK")
    trainer().fit(Tiny(), loader())
    assert "JOULEGRAM_ZONE" in caplog.text


def test_importing_it_loads_no_framework() -> None:
    code = "import joulegram_lightning, joulegram_lightning.auto, sys; joulegram_lightning.auto.callbacks(); "
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'lightning', 'pytorch_lightning')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
