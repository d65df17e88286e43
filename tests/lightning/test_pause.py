"""Pausing while the grid is dirty: when, for how long, on whose account, and never in training's way."""

from __future__ import annotations

import copy
import logging
import pickle
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_training import Tiny, loader, work
from worlds import until

import joulegram
from joulegram_lightning import CarbonAwarePause, FootprintMonitor
from joulegram_lightning.pause import FIRST_S, POLL_S

Make = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings("ignore:.*(no `val_dataloader`|callbacks used to create)")
NOW_S = 1.8e9


def point(g_per_kwh: float, start_s: float | None = NOW_S) -> joulegram.IntensityPoint:
    return joulegram.IntensityPoint(
        g_per_kwh, g_per_kwh, g_per_kwh, "DE", "a test", "measured", start_s=start_s, length_s=3600.0
    )


class World:
    """A clock that goes on only by sleeping, and a grid that is dirty until a time."""

    def __init__(self, dirty_s: float = 0.0) -> None:
        self.time_s, self.clean_s = NOW_S, NOW_S + dirty_s
        self.slept: list[float] = []
        self.each_sleep: Callable[[], object] = lambda: None

    def now_s(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time_s += seconds
        self.each_sleep()

    def intensity(self) -> joulegram.IntensityPoint | None:
        return point(400 if self.time_s < self.clean_s else 100)

    def pause(self, threshold: float | None = 250, **more: Any) -> Any:
        settings = {"intensity": self.intensity, "now_s": self.now_s, "sleep": self.sleep, **more}
        return CarbonAwarePause(threshold, **settings)


def planned(*stretches: tuple[float, float]) -> Callable[[float, float], Any]:
    """A plan with these best times, in seconds from the beginning."""
    moved = tuple((NOW_S + start, NOW_S + end) for start, end in stretches)
    return lambda *_: SimpleNamespace(paused=SimpleNamespace(stretches=moved), best=None)


def said(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [record.message for record in caplog.records if words in record.message]


# -- when -------------------------------------------------------------------------------------------------------------


def test_training_waits_for_the_grid_and_then_goes_on(trainer: Make, caplog: pytest.LogCaptureFixture) -> None:
    world = World(dirty_s=60)
    pause = world.pause()
    quiet = trainer(pause, max_epochs=2)
    quiet.fit(Tiny(), loader())
    assert quiet.global_step == 8
    assert 60 <= pause.paused_s < 60 + POLL_S
    assert said(caplog, "400 gCO2e/kWh in DE is above 250")
    assert len(said(caplog, "training goes on")) == 1


def test_on_a_clean_grid_nothing_is_paused_nor_said(trainer: Make, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    trainer(world.pause(), max_epochs=2).fit(Tiny(), loader())
    assert world.slept == []
    assert not said(caplog, "joulegram")


def test_it_looks_again_between_epochs(trainer: Make) -> None:
    world = World()
    pause = world.pause()

    class Later(Tiny):
        def on_train_epoch_end(self) -> None:
            if self.current_epoch == 0:
                world.clean_s = world.time_s + 30

    trainer(pause, max_epochs=3).fit(Later(), loader())
    assert 30 <= pause.paused_s < 30 + POLL_S


def test_all_pauses_together_take_no_longer_than_they_may(trainer: Make, caplog: pytest.LogCaptureFixture) -> None:
    world = World(dirty_s=1e9)
    pause = world.pause(max_pause_s=100)
    quiet = trainer(pause, max_epochs=3)
    quiet.fit(Tiny(), loader())
    assert quiet.global_step == 12
    assert 100 <= pause.paused_s < 100 + POLL_S
    assert len(said(caplog, "pauses no more")) == 1


def test_outside_of_the_best_times_it_waits_for_the_next(trainer: Make) -> None:
    world = World()
    pause = world.pause(None, windows=(120, 600), plan=planned((60, 120), (300, 360)))

    class Slow(Tiny):
        def on_train_epoch_end(self) -> None:
            world.time_s += 50

    trainer(pause, max_epochs=4).fit(Slow(), loader())
    # Waits from 0 to 60, works until 110 and, still in time, until 160; waits until 300, works until 350 and 400.
    assert pause.paused_s == pytest.approx(60 + 140, abs=2 * POLL_S)
    assert world.time_s == pytest.approx(NOW_S + 400, abs=2 * POLL_S)


def test_after_the_last_of_the_best_times_it_goes_on(trainer: Make) -> None:
    world = World()
    world.time_s += 1000
    pause = world.pause(None, windows=(60, 600), plan=planned((0, 60)))
    trainer(pause).fit(Tiny(), loader())
    assert pause.paused_s == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"threshold": 0},
        {"threshold": float("nan")},
        {"threshold": "250"},
        {"threshold": True},
        {"windows": (600, 60)},
        {"windows": (0, 60)},
        {"windows": ("60", 600)},
        {"threshold": 200, "max_pause_s": -1},
    ],
)
def test_arguments_without_sense_are_told_at_once(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needed"):
        CarbonAwarePause(**arguments)


# -- never in the way -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [None, point(900, start_s=None)], ids=["nothing", "yearly mean"])
def test_where_the_hour_is_not_known_nothing_is_paused_and_it_is_said_once(
    trainer: Make, caplog: pytest.LogCaptureFixture, known: Any
) -> None:
    world = World()
    pause = world.pause(intensity=lambda: known)
    trainer(pause, max_epochs=3).fit(Tiny(), loader())
    assert pause.paused_s == 0
    assert sum(world.slept) == pytest.approx(FIRST_S, abs=0.2)  # for a first answer, at the start alone
    assert len(said(caplog, "no intensity of the hour is known")) == 1


def test_whatever_fails_training_goes_on_and_it_is_said(
    trainer: Make, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def breaks(*_: Any) -> Any:
        raise RuntimeError("a bug")

    for pause in (
        World().pause(intensity=breaks),
        World().pause(None, windows=(60, 600), plan=breaks),
        World(dirty_s=30).pause(checkpoint=tmp_path / "a file" / "below.ckpt"),
    ):
        (tmp_path / "a file").touch()
        quiet = trainer(pause, max_epochs=2)
        quiet.fit(Tiny(), loader())
        assert quiet.global_step == 8
    assert len(said(caplog, "RuntimeError: a bug")) == 2


def test_a_job_that_fits_into_no_window_is_not_paused(trainer: Make, caplog: pytest.LogCaptureFixture) -> None:
    pause = World().pause(None, windows=(3600, 7200), plan=None)
    trainer(pause).fit(Tiny(), loader())
    assert pause.paused_s == 0
    assert said(caplog, "no zone is known")


def test_control_c_during_a_pause_ends_it_and_the_run(trainer: Make, monitor: Make, recorded: Make) -> None:
    world, watch = World(dirty_s=1e9), monitor()

    def interrupt() -> None:
        raise KeyboardInterrupt

    world.each_sleep = interrupt
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            trainer(world.pause(), watch).fit(Tiny(), loader())
    finally:
        signal.signal(signal.SIGINT, handler)
    run = recorded(watch)
    assert run.status == "interrupted"
    assert [span.kind for span in run.spans()] == ["fit", "pause"]


def test_a_training_that_is_told_to_stop_is_kept_waiting_no_longer(trainer: Make) -> None:
    world = World(dirty_s=1e9)
    quiet = trainer(world.pause())
    world.each_sleep = lambda: setattr(quiet, "should_stop", True)
    quiet.fit(Tiny(), loader())
    assert len(world.slept) == 1


def test_it_can_be_copied_and_sent() -> None:
    pause = CarbonAwarePause(250, windows=(60, 600))
    pause._stretches = ((0.0, 1.0),)
    for twin in (copy.deepcopy(pause), pickle.loads(pickle.dumps(pause))):
        assert twin._stretches is None
        assert twin._threshold == 250


# -- on whose account -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_first", [True, False])
def test_a_pause_is_the_runs_with_a_span_and_a_phase(
    trainer: Make, monitor: Make, recorded: Make, adds_up: Make, is_first: bool
) -> None:
    world, watch = World(dirty_s=3 * POLL_S), monitor()
    world.each_sleep = lambda: work(0.1)
    pause = world.pause()
    quiet = trainer(*([pause, watch] if is_first else [watch, pause]), max_epochs=2)
    quiet.fit(Tiny(), loader())
    run = recorded(watch)
    (span,) = run.spans("pause")
    phase = run.footprint().phases["pause"]
    assert span.footprint.duration_s == pytest.approx(0.3, abs=0.15)
    assert phase.duration_s == pytest.approx(span.footprint.duration_s, abs=0.02)
    assert phase.energy_j.value > 0
    assert set(run.footprint().phases) >= {"pause", "forward", "backward", "data"}
    assert run.footprint().phases["forward"].duration_s > 0.03
    if is_first:
        adds_up(run)
    parents = {s.id: s.kind for s in run.spans()}
    assert parents[span.parent] == "fit"


def test_a_run_around_the_training_is_charged_without_a_monitor(trainer: Make) -> None:
    world = World(dirty_s=3 * POLL_S)
    world.each_sleep = lambda: work(0.02)
    with joulegram.track("around") as run:
        trainer(world.pause()).fit(Tiny(), loader())
        assert run.current_phase == "other"
    (span,) = joulegram.open_ledger().run(run.id).spans("pause")
    assert span.footprint.duration_s > 0.05


def test_a_checkpoint_is_saved_before_a_pause_and_can_be_continued(
    trainer: Make, monitor: Make, recorded: Make, tmp_path: Path
) -> None:
    path, world, watch = tmp_path / "paused.ckpt", World(), monitor()
    seen: list[bool] = []
    world.each_sleep = lambda: seen.append(path.exists())

    class Later(Tiny):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            if self.global_step == 4:
                world.clean_s = world.time_s + 2 * POLL_S

    quiet = trainer(world.pause(checkpoint=path), watch, max_epochs=3)
    quiet.fit(Later(), loader())
    assert seen == [True, True]
    assert quiet.global_step == 12
    run = recorded(watch)
    assert run.footprint().phases["checkpoint"].duration_s > 0
    assert run.footprint().phases["forward"].duration_s > 0.05

    again = trainer(max_epochs=3)
    again.fit(Tiny(), loader(), ckpt_path=path, weights_only=True)
    assert (again.global_step, again.current_epoch) == (12, 3)


def test_a_run_tells_the_intensity_of_now(tmp_path: Path) -> None:
    """What the callback asks by itself: the hour of a feed, else the yearly mean."""
    import time
    from datetime import UTC, datetime

    start = datetime.fromtimestamp(time.time() // 3600 * 3600, UTC)
    (tmp_path / "grid.csv").write_text(f"time,g_co2e_per_kwh\n{start.isoformat()},321\n")
    with joulegram.track("hour", intensity=f"series:{tmp_path / 'grid.csv'}") as run:
        found = until(lambda: (p := run.intensity()) and p.start_s and p, "an intensity of the hour")
        assert found.g_per_kwh == 321
        assert joulegram.current_run() is run
    with joulegram.track("year", intensity="annual", zone="DK") as run:
        mean = until(run.intensity, "a yearly mean")
        assert mean.start_s is None
        assert mean.zone == "DK"
    assert run.intensity() is None
    assert joulegram.current_run() is None


# -- ranks ------------------------------------------------------------------------------------------------------------


class Ranks:
    """Trainers of one job whose broadcasts are handed from rank 0 to the others, one rank after the other."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def trainer(self, rank: int) -> Any:
        received: Iterator[Any] = iter(self.sent)

        def broadcast(value: Any) -> Any:
            if rank == 0:
                self.sent.append(value)
                return value
            assert value is None, "only rank 0 decides"
            return next(received)

        return SimpleNamespace(
            is_global_zero=rank == 0,
            world_size=2,
            should_stop=False,
            received_sigterm=False,
            strategy=SimpleNamespace(broadcast=broadcast),
            save_checkpoint=lambda _: self.saved.append(rank),
        )

    saved: Sequence[Any] = []


def test_all_ranks_pause_together_as_rank_0_decides(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    ranks = Ranks()
    ranks.saved = saved = []
    slept = []
    for rank in range(2):
        # The second rank's own view of the grid would let it go on at once.
        world = World(dirty_s=4 * POLL_S if rank == 0 else 0)
        pause = world.pause(checkpoint=tmp_path / "c")
        trainer = ranks.trainer(rank)
        pause.on_train_start(trainer, None)
        pause.on_train_epoch_start(trainer, None)
        world.clean_s = world.time_s + 2 * POLL_S if rank == 0 else 0
        pause.on_train_epoch_end(trainer, None)
        pause.on_train_epoch_start(trainer, None)
        slept.append(world.slept)
    assert slept[0] == slept[1] == [POLL_S] * 6
    # Five looks at the start, the last of which says to go on; one for the epoch; one for the save; three for the next.
    assert [bool(said) for said in ranks.sent] == [True] * 4 + [False] * 2 + [True] * 3 + [False]
    assert saved == [0, 1]
    assert len(said(caplog, "training pauses")) == 2


def test_ranks_keep_step_when_rank_0_fails(caplog: pytest.LogCaptureFixture) -> None:
    def breaks() -> Any:
        raise OSError("no network")

    ranks = Ranks()
    for rank in range(2):
        trainer = ranks.trainer(rank)
        World().pause(intensity=breaks).on_train_start(trainer, None)
    assert ranks.sent == [None]
    assert said(caplog, "no network")


DISTRIBUTED = """
import time
import lightning.pytorch as pl
from tiny_training import QUIET, Tiny, loader
from joulegram import IntensityPoint
from joulegram_lightning import CarbonAwarePause, FootprintMonitor, pause

pause.POLL_S = 0.05
begun_s = time.time()

class Grid:
    looks = 0

    def __call__(self):
        Grid.looks += 1
        g_per_kwh = 400 if Grid.looks < 5 else 100
        settings = {"start_s": begun_s, "length_s": 3600}
        return IntensityPoint(g_per_kwh, g_per_kwh, g_per_kwh, "DE", "a test", "measured", **settings)

if __name__ == "__main__":
    callbacks = [CarbonAwarePause(250, intensity=Grid()), FootprintMonitor(summary=False)]
    options = dict(QUIET, devices=2, strategy="ddp", max_epochs=2)
    pl.Trainer(callbacks=callbacks, **options).fit(Tiny(), loader(8))
    print("done", flush=True)
"""


def test_two_real_ranks_pause_and_go_on(script: Callable[..., subprocess.Popen[str]]) -> None:
    process = script(DISTRIBUTED)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    assert output.count("done") == 2
    (run,) = joulegram.open_ledger().runs()
    assert (run.status, run.ranks) == ("finished", 2)
    assert len(run.spans("pause")) == 1


def test_both_callbacks_are_of_the_package_in_use() -> None:
    from lightning.pytorch import Callback

    assert issubclass(CarbonAwarePause, Callback)
    assert issubclass(FootprintMonitor, Callback)
