"""The face of joulegram: runs and spans of one process, live and read back."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import joulegram
from joulegram.host.clock import Clock
from joulegram.ledger.stored import read_run
from joulegram.records import ServedHour

FIGURES = ("energy_j", "node_energy_j", "facility_energy_j", "carbon_g")


def work() -> None:
    """Something that takes CPU time."""
    sum(range(500_000))


def only_run() -> Any:
    """The ledger's one run."""
    (run,) = joulegram.open_ledger().runs()
    return run


def value(quantity: joulegram.Quantity) -> float:
    """The value of a figure that is there."""
    assert quantity.value is not None
    return quantity.value


def test_a_run_is_kept_with_what_it_was_given_and_its_spans() -> None:
    with joulegram.track("ablation-3", project="resnets", stage="search", zone="DK-DK1") as run:
        with run.span("epoch", index=0, learning_rate=0.1):
            work()
        assert run.status == "running"
    kept = only_run()
    assert (kept.id, kept.name, kept.project, kept.stage, kept.zone) == (
        run.id,
        "ablation-3",
        "resnets",
        "search",
        "DK-DK1",
    )
    assert (kept.status, kept.ranks, kept.parent, kept.enclosing_run) == ("finished", 1, None, None)
    (epoch,) = kept.spans("epoch")
    assert (epoch.kind, epoch.name, epoch.index, epoch.parent) == ("epoch", "epoch", 0, None)
    assert epoch.attributes == {"learning_rate": 0.1}
    assert 0 <= epoch.start_s < epoch.duration_s + epoch.start_s <= kept.duration_s
    assert kept.spans("batch") == []


def test_the_model_that_a_run_works_for_is_kept_and_may_be_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    with joulegram.track("first", model="tiny-2"), joulegram.track("inside", model="teacher"):
        pass
    monkeypatch.setenv("JOULEGRAM_MODEL", "tiny-3")
    with joulegram.track("second"):
        pass
    second, first = sorted(joulegram.open_ledger().runs(), key=lambda run: run.name != "second")
    assert (first.model, second.model) == ("tiny-2", "tiny-3")
    (inside,) = first.spans("track")
    assert inside.attributes["model"] == "teacher"
    assert first.document()["run"]["model"] == "tiny-2"
    assert {summary.run["model"] for summary in joulegram.open_ledger().summaries()} == {"tiny-2", "tiny-3"}


def test_every_figure_has_bounds_and_a_method_and_compute_says_that_it_is_missing() -> None:
    with joulegram.track("figures") as run:
        work()
    footprint = run.footprint()
    for name in FIGURES:
        figure = getattr(footprint, name)
        assert figure.low <= figure.value <= figure.high
        assert figure.method in ("measured", "modelled", "estimated")
        assert figure.how
    assert footprint.flops == joulegram.Quantity(None, None, None, "missing", "no step was counted")
    assert footprint.settled
    assert 0 < footprint.coverage <= 1
    assert value(footprint.energy_j) <= value(footprint.node_energy_j) * (1 + 1e-9)


def test_live_and_recorded_figures_agree_and_epochs_with_what_lies_between_are_the_run() -> None:
    with joulegram.track("sums") as run:
        spans = []
        for index in range(3):
            with run.span("epoch", index=index) as span:
                run.phase("forward")
                work()
                run.phase("validation")
                work()
            spans.append(span)
            run.phase("other")
            with run.span("between", index=index):
                work()
    kept = only_run()
    assert kept.footprint().to_json() == run.footprint().to_json()
    for live, recorded in zip(spans, kept.spans("epoch"), strict=True):
        assert value(recorded.footprint.energy_j) == pytest.approx(value(live.footprint().energy_j), rel=1e-9)
        phases = recorded.footprint.phases.values()
        assert sum(value(p.energy_j) for p in phases) == pytest.approx(value(recorded.footprint.energy_j), rel=1e-9)
        assert sum(p.duration_s for p in phases) == pytest.approx(recorded.duration_s, rel=1e-6)
    edges = sorted({edge for s in kept.spans() for edge in (s._start_ns, s._end_ns)})
    trace = kept.pricer.trace
    edges = [trace.start_ns, *edges, trace.end_ns]
    pieces = [kept.pricer.footprint(a, b) for a, b in pairwise(edges)]
    for name in FIGURES:
        total = sum(value(getattr(piece, name)) for piece in pieces)
        assert total == pytest.approx(value(getattr(kept.footprint(), name)), rel=1e-9)


def test_the_platforms_impacts_are_in_the_document_of_the_run_and_of_its_spans_and_tile_it() -> None:
    with joulegram.track("platform", zone="DK") as run:
        for index in range(3):
            with run.span("epoch", index=index):
                work()
    document = only_run().document()
    footprint = document["footprint"]
    assert footprint["embodied_g"]["value"] > 0
    assert {part["part"] for part in footprint["embodied"]} == {"host", "building"}
    assert [part["part"] for part in footprint["water_l"]] == ["onsite", "offsite"]
    assert footprint["ewaste_g"]["value"] is None
    (host,) = document["platform"]["hosts"]
    assert host["factors"]["lifetime_y"]["source"]
    kept = only_run()
    edges = sorted({edge for s in kept.spans() for edge in (s._start_ns, s._end_ns)})
    edges = [kept.pricer.trace.start_ns, *edges, kept.pricer.trace.end_ns]
    pieces = [kept.pricer.footprint(a, b).impacts for a, b in pairwise(edges)]
    assert sum(value(piece.embodied_g) for piece in pieces) == pytest.approx(footprint["embodied_g"]["value"], rel=1e-9)
    for place in (0, 1):
        litres = sum(value(piece.water[place].water_l) for piece in pieces)
        assert litres == pytest.approx(footprint["water_l"][place]["value"], rel=1e-9)


def test_a_run_that_was_recorded_before_hardware_was_is_not_counted_and_says_why() -> None:
    with joulegram.track("old") as run:
        work()
    assert run.ledger is not None
    (journal,) = (run.ledger / run.id).glob("*.journal")
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if '"is":"hardware"' not in line))
    embodied = only_run().document()["footprint"]["embodied_g"]
    assert embodied["value"] is None
    assert "not counted: what machine it is was not recorded" in embodied["how"]


def test_the_users_own_factors_price_recorded_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with joulegram.track("own"):
        work()
    before = value(only_run().footprint().impacts.embodied_g)
    monkeypatch.setenv("JOULEGRAM_IMPACTS_HOST_EMBODIED_KG", "1e6")
    assert value(only_run().footprint().impacts.embodied_g) > 10 * before
    monkeypatch.setenv("JOULEGRAM_IMPACTS_SITE_WATER", "atlantis")
    with pytest.raises(joulegram.ConfigError, match="atlantis"):
        joulegram.open_ledger()
    with pytest.raises(joulegram.ConfigError, match="atlantis"), joulegram.track("nowhere"):
        pass


def test_spans_nest_overlap_and_cross_threads() -> None:
    with joulegram.track("spans") as run:
        outer = run.span("outer").open()
        with run.span("inner") as inner:
            pass
        overlapping = run.span("overlapping").open()
        closer = threading.Thread(target=outer.close)
        closer.start()
        closer.join()
        overlapping.close()
        overlapping.close()
    spans = {span.kind: span for span in only_run().spans()}
    assert spans["inner"].parent == outer.id == spans["overlapping"].parent
    assert inner.end_ns is not None
    assert spans["outer"].duration_s < spans["overlapping"].start_s + spans["overlapping"].duration_s


def test_a_decorated_function_is_tracked_under_its_name_and_returns_what_it_returns() -> None:
    @joulegram.track(stage="data")
    def prepare(number: int) -> int:
        """Doubles."""
        return 2 * number

    @joulegram.track("stream")
    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    @joulegram.track("later")
    async def later() -> str:
        await asyncio.sleep(0)
        return "done"

    assert prepare(21) == 42
    assert prepare.__doc__ == "Doubles."
    assert list(numbers()) == [1, 2]
    assert asyncio.run(later()) == "done"
    runs = list(joulegram.open_ledger().runs())
    assert {(run.name, run.stage, run.status) for run in runs} == {
        ("prepare", "data", "finished"),
        ("stream", "train", "finished"),
        ("later", "train", "finished"),
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("mine"), "failed"),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(0), "finished"),
        (SystemExit(3), "failed"),
    ],
    ids=repr,
)
def test_an_exception_passes_through_unchanged_and_tells_the_status(error: BaseException, status: str) -> None:
    with pytest.raises(type(error)) as caught, joulegram.track("ends"):
        raise error
    assert caught.value is error
    assert only_run().status == status


def test_a_track_inside_a_live_run_joins_it_as_a_span_with_a_stage_of_its_own() -> None:
    given = {"split": "test"}
    with joulegram.track("outer", stage="train") as outer:
        with (
            outer.span("epoch", index=0) as epoch,
            joulegram.track("inner", stage="evaluate", attributes=given) as inner,
        ):
            work()
        seen = []
        thread = threading.Thread(target=lambda: seen.append(joulegram.start("elsewhere")))
        thread.start()
        thread.join()
        seen[0].close()
    assert inner.id == outer.id == seen[0].id
    spans = {span.name: span for span in only_run().spans("track")}
    assert spans["inner"].parent == epoch.id
    assert spans["inner"].attributes == {"stage": "evaluate", "split": "test", "status": "finished"}
    assert value(inner.footprint().energy_j) == pytest.approx(value(spans["inner"].footprint.energy_j), rel=1e-9)


def test_a_separate_run_holds_the_run_that_encloses_it() -> None:
    with joulegram.track("outer") as outer, joulegram.track("apart", separate=True) as apart:
        work()
    kept = {run.name: run for run in joulegram.open_ledger().runs()}
    assert apart.id != outer.id
    assert (kept["apart"].enclosing_run, kept["outer"].enclosing_run) == (outer.id, None)
    assert kept["outer"].spans() == []


def test_the_environment_is_as_before_after_a_run() -> None:
    before = dict(os.environ)
    with joulegram.track("env") as run:
        assert os.environ["JOULEGRAM_RUN"].startswith(run.id)
    assert dict(os.environ) == before


def test_laps_add_up_to_the_run() -> None:
    with joulegram.track("laps") as run:
        laps = []
        for index in range(4):
            with run.span("epoch", index=index):
                work()
            laps.append(run.lap())
    laps.append(run.lap())
    for name in (*FIGURES, "duration_s"):
        figure = getattr(run.footprint(), name)
        total = sum(lap.get(name, 0.0) for lap in laps)
        assert total == pytest.approx(figure if isinstance(figure, float) else figure.value, rel=1e-9)


def test_a_first_lap_may_wait_for_there_to_be_figures() -> None:
    with joulegram.track("short") as run:
        assert run.lap(patience_s=60)["carbon_g"] > 0
        assert "duration_s" in run.lap(patience_s=60)


def test_a_resumed_run_names_its_parent_and_carries_the_totals_on() -> None:
    with joulegram.track("first") as first:
        work()
    state = first.state_dict()
    assert all(isinstance(entry, str | float) for entry in state.values())
    with joulegram.track("second") as second:
        second.resume(state)
        work()
    carried = second.state_dict()
    own = value(second.footprint().energy_j)
    assert carried["energy_j"] == pytest.approx(state["energy_j"] + own, rel=1e-9)
    assert joulegram.open_ledger().run(second.id).parent == first.id == second.parent


def test_disabled_everything_is_inert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEGRAM_DISABLED", "1")
    with joulegram.track("nothing") as run, run.span("epoch", index=0) as span:
        run.phase("forward")
    assert run.footprint().energy_j.method == "missing"
    assert "disabled" in run.footprint().energy_j.how
    assert span.footprint().energy_j.value is None
    assert run.lap() == {"duration_s": 0.0}
    assert list(joulegram.open_ledger().runs()) == []


def test_what_is_misspelt_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="zoen"):
        joulegram.track("x", zoen="DK")  # type: ignore[call-arg]
    with pytest.raises(joulegram.ConfigError, match=r"pue = 0.5.*from 1.0"), joulegram.track("x", pue=0.5):
        pass
    monkeypatch.setenv("JOULEGRAM_ZOEN", "DK")
    with pytest.raises(joulegram.ConfigError, match="did you mean JOULEGRAM_ZONE"), joulegram.track("x"):
        pass


def test_an_unknown_zone_is_priced_at_the_worlds_average_and_hints_at_the_right_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with joulegram.track("where", zone="Denmrak") as run:
        work()
    carbon = run.footprint().carbon_g
    assert carbon.method == "estimated"
    assert "WORLD" in carbon.how
    assert "Denmark" in caplog.text


def test_a_ledger_that_cannot_be_written_is_told_once_and_the_figures_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with joulegram.track("nowhere", ledger=tmp_path / "file" / "ledger") as run:
        work()
    assert value(run.footprint().energy_j) > 0
    assert caplog.text.count("the journal cannot be written") == 1


def test_a_full_disk_loses_nothing_once_there_is_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, full = os.fsync, threading.Event()
    tried = threading.Event()

    def failing(file: int) -> None:
        if full.is_set():
            tried.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    monkeypatch.setattr(os, "fsync", failing)
    with joulegram.track("full") as run:
        full.set()
        with run.span("epoch", index=0):
            work()
        assert tried.wait(30)
        full.clear()
        with run.span("epoch", index=1):
            work()
    kept = only_run()
    assert kept.status == "finished"
    assert [span.index for span in kept.spans("epoch")] == [0, 1]
    assert kept.footprint().energy_j == run.footprint().energy_j


def test_a_later_price_is_kept_beside_the_first_and_the_newest_is_shown() -> None:
    with joulegram.track("priced", zone="DK") as run:
        work()
    before = only_run()
    point = joulegram.IntensityPoint(1000.0, 900.0, 1100.0, "ZZ", "a test", "measured", basis="lifecycle")
    after = before.reprice(reason="what if", intensity=(point,), pue=2.0)
    joules = value(run.footprint().energy_j)
    assert value(after.footprint().carbon_g) == pytest.approx(joules * 2 / 3.6e6 * 1000, rel=1e-9)
    assert value(only_run().footprint().carbon_g) == value(after.footprint().carbon_g)
    assert only_run().document()["price"]["reason"] == "what if"
    first = joulegram.open_ledger().run(run.id).stored.root.content.book
    assert first is not None
    assert first.intensity[0].zone == "DK"
    again = after.reprice(reason="back again", zone="DK", pue=1.0)
    assert value(again.footprint().carbon_g) == pytest.approx(value(run.footprint().carbon_g), rel=1e-9)
    assert len(list(again.stored.folder.glob("price-*.json"))) == 2


def test_another_price_can_be_looked_at_without_being_kept() -> None:
    with joulegram.track("priced", zone="DK") as run:
        work()
    kept = only_run()
    elsewhere = kept.priced(reason="elsewhere", zone="PL")
    assert value(elsewhere.footprint().carbon_g) > 3 * value(kept.footprint().carbon_g)
    assert elsewhere.footprint().energy_j == kept.footprint().energy_j == run.footprint().energy_j
    assert value(only_run().footprint().carbon_g) == value(run.footprint().carbon_g)
    assert not list(kept.stored.folder.glob("price-*.json"))


def test_the_last_value_of_each_metric_is_kept_with_the_run_also_from_a_part_that_joined_it() -> None:
    with joulegram.track("outer") as run:
        run.log(loss=2.0, accuracy=0.5)
        with joulegram.track("inner") as inner:
            inner.log(loss=1)
    assert only_run().attributes["metrics"] == {"loss": 1.0, "accuracy": 0.5}


def test_a_metric_that_is_no_number_is_told() -> None:
    with joulegram.track("run") as run, pytest.raises(ValueError, match="loss = 'low': a number is needed"):
        run.log(loss="low")


def test_a_run_id_from_outside_cannot_leave_the_ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JOULEGRAM_RUN", "../../escaped")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with joulegram.track("sly"):
            work()
    assert not (tmp_path.parent / "escaped").exists()
    assert not (tmp_path / "escaped").exists()
    assert len(joulegram.open_ledger().summaries()) == 1


def test_power_is_not_shown_over_less_than_its_meter_resolves() -> None:
    with joulegram.track("edges") as run:
        for index in range(20):
            with run.span("epoch", index=index):
                work()
    document = joulegram.open_ledger().run(run.id).document()
    for power in document["power"]:
        steps_s = [after - before for before, after in pairwise(power["time_s"])]
        assert len(steps_s) == 1 or min(steps_s) >= 0.05
        joules = sum(watts * seconds for watts, seconds in zip(power["node_power_w"], steps_s, strict=True))
        assert joules == pytest.approx(document["footprint"]["node_energy_j"]["value"], rel=0.05, abs=0.05)


def test_what_is_told_last_comes_after_the_last_counter_and_before_the_journal_ends(tmp_path: Path) -> None:
    run = joulegram.start("served")
    recorder = run.recorder
    assert recorder is not None
    intervals = recorder.settled(tuple)
    told: list[int] = []

    def last() -> None:
        told.append(len(intervals))
        recorder.tell(ServedHour("books", 0, "s", "/a", requests=7))

    run.close(last=last)
    assert run.recorder is None
    assert told[0] > 0
    (stored,) = [read_run(folder, Clock()) for folder in (tmp_path / "ledger").iterdir()]
    assert stored is not None
    assert [hour.requests for hour in stored.served()] == [7]
