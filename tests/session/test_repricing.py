"""What a run is priced with while it lasts, and again afterwards, from a server that is there, gone, or wrong."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from feed_faults import FAULTS, SECRET, source
from grids import BOUNDARY_S, HALF_HOUR_S, integral_g, set_wall, teach
from hosts import Host
from worlds import until

import joulegram
from joulegram import config
from joulegram.cli import main
from joulegram.config import ConfigError
from joulegram.feeds.cache import Cache
from joulegram.records import IntensityPoint
from joulegram.session.books import with_points, yearly
from joulegram.session.recorded import RecordedRun
from joulegram.session.repricing import Repriced, reprice

BEFORE_S, AFTER_S = BOUNDARY_S - HALF_HOUR_S, BOUNDARY_S
REAL = {BEFORE_S: 100.0, AFTER_S: 400.0}


@pytest.fixture
def neso(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    with source() as made:
        monkeypatch.delenv("JOULEGRAM_INTENSITY")
        monkeypatch.setenv("JOULEGRAM_FEEDS_NESO_BASE_URL", made.url)
        monkeypatch.setenv("JOULEGRAM_ZONE", "GB")
        yield made


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch, neso: Host) -> Callable[[], float]:
    """A run that lasts half a second starts a quarter of a second before the half-hour changes."""
    now_s = set_wall(monkeypatch, BOUNDARY_S - 0.25)
    neso.now_s = now_s
    return now_s


def tracked(wall: Callable[[], float], until_s: float = BOUNDARY_S + 0.25) -> RecordedRun:
    """A run that has heard of its feed, or that it does not answer."""
    with joulegram.track("job", pue=1.2) as run:
        until(lambda: heard(run), "an answer, or none")
        until(lambda: wall() > until_s, "end of the job")
    return joulegram.open_ledger().run(run.id)


def heard(run: joulegram.Run) -> bool:
    prices = run._prices
    timed = prices is not None and prices.book is not None and any(p.start_s is not None for p in prices.book.intensity)
    return timed or (prices is not None and bool(prices._noted))


def again(run: RecordedRun, now_s: float, **given: Any) -> Repriced:
    clock = [now_s]

    def wait(seconds: float) -> bool:
        clock[0] += seconds
        return True

    return reprice(run, config.load(), wait, now_s=lambda: clock[0], **given)


def test_a_run_that_started_offline_is_estimated_and_exact_once_the_server_is_back(
    neso: Host, wall: Callable[[], float]
) -> None:
    neso.status = 503
    with joulegram.track("job", pue=1.2) as live:
        until(lambda: live._prices and live._prices._noted, "an outage that is noted")
        until(lambda: wall() > BOUNDARY_S + 0.25, "end of the job")
    run = joulegram.open_ledger().run(live.id)
    assert run.book.basis == "lifecycle"
    assert run.footprint().carbon_g.method == "estimated"
    assert run.hours().yearly_s == pytest.approx(run.duration_s)
    assert any("HTTP 503" in note["text"] for note in run.notes())
    neso.status = 200
    teach(neso, REAL)
    done = again(run, BOUNDARY_S + 2 * 86400)
    grams = done.after.footprint().carbon_g
    assert done.changed
    assert grams.value == pytest.approx(integral_g(run, REAL), rel=1e-9)
    assert 100 < (grams.value or 0) / (run.footprint().facility_energy_j.value or 1) * 3.6e6 < 400
    assert (done.after.book.basis, grams.method) == ("direct", "modelled")
    assert done.after.hours().settled_s == pytest.approx(run.duration_s)


def test_a_report_names_the_feed_that_would_tell_the_hours(neso: Host, wall: Callable[[], float]) -> None:
    neso.status = 503
    run = tracked(wall)
    price = run.document()["price"]
    assert price["hours"]["yearly_s"] == pytest.approx(run.duration_s)
    assert price["feeds"] == ["NESO Carbon Intensity API (CC BY 4.0)"]


def test_both_prices_and_the_reason_stay_in_the_ledger(neso: Host, wall: Callable[[], float]) -> None:
    neso.status = 503
    run = tracked(wall)
    before = run.footprint().carbon_g
    neso.status = 200
    teach(neso, REAL)
    again(run, BOUNDARY_S + 2 * 86400).after.keep_price()
    kept = joulegram.open_ledger().run(run.id)
    assert kept.footprint().carbon_g.value == pytest.approx(integral_g(run, REAL), rel=1e-9)
    assert {"kind": "price", "text": f"priced again: {kept.book.reason}"} in kept.notes()
    assert "NESO" in kept.book.reason
    first = kept.stored.root.content.book
    assert first is not None
    assert kept.under(first).footprint().carbon_g.value == before.value
    (listed,) = joulegram.open_ledger().summaries()
    assert listed.footprint["carbon_g"]["value"] == pytest.approx(integral_g(run, REAL), rel=1e-9)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_a_server_takes_away_what_was_known(
    neso: Host, wall: Callable[[], float], monkeypatch: pytest.MonkeyPatch, tmp_path: Any, fault: str
) -> None:
    neso.status = 503
    run = tracked(wall)
    neso.status = 200
    teach(neso, REAL)
    known = again(run, BOUNDARY_S + 2 * 86400).after
    monkeypatch.setattr("joulegram.feeds.cache.cache_path", lambda: tmp_path / "another-machine.sqlite")
    FAULTS[fault](neso)
    done = again(known, BOUNDARY_S + 3 * 86400)
    assert not done.changed
    assert done.after.footprint().carbon_g.value == pytest.approx(integral_g(run, REAL), rel=1e-9)
    assert done.outages


def test_a_hole_that_another_basis_fills_does_not_change_the_basis(
    neso: Host, wall: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOULEGRAM_FEEDS_ELECTRICITYMAPS_KEY", SECRET)
    monkeypatch.setenv("JOULEGRAM_FEEDS_ELECTRICITYMAPS_BASE_URL", neso.url)
    neso.status = 503
    run = tracked(wall)
    neso.status = 200
    teach(neso, {AFTER_S: 400.0})
    hour = {"carbonIntensity": 90, "datetime": "2026-06-24T09:00:00.000Z", "isEstimated": False}
    neso.paths["/v4/carbon-intensity"] = {"zone": "GB", "data": [hour]}
    after = again(run, BOUNDARY_S + 2 * 86400).after
    assert after.book.basis == "direct"
    assert {p.basis for p in after.book.intensity if p.start_s is not None} == {"direct", "lifecycle"}
    assert after.footprint().carbon_g.value == pytest.approx(integral_g(run, {AFTER_S: 400.0}), rel=1e-9)
    assert "hours priced on the lifecycle basis" in after.footprint().carbon_g.missing


def test_options_of_a_feed_that_there_is_not_are_noted(
    neso: Host, wall: Callable[[], float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOULEGRAM_FEEDS_NESSO_REGION", "5")
    teach(neso, REAL)
    run = tracked(wall)
    assert any("did you mean neso?" in note["text"] for note in run.notes())
    assert main(["reprice"]) == 0
    assert "did you mean neso?" in " ".join(capsys.readouterr().out.split())


def test_a_feed_that_corrects_itself_changes_the_price_once(neso: Host, wall: Callable[[], float]) -> None:
    teach(neso, {BEFORE_S: None, AFTER_S: None}, forecast=250.0)
    run = tracked(wall)
    teach(neso, REAL)
    first = again(run, BOUNDARY_S + 2 * 86400)
    assert first.changed
    first.after.keep_price()
    second = again(joulegram.open_ledger().run(run.id), BOUNDARY_S + 3 * 86400)
    assert not second.changed


def test_while_the_feed_answers_a_run_is_priced_as_it_goes(neso: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {BEFORE_S: 100.0, AFTER_S: 400.0}
    teach(neso, known)
    neso.now_s = set_wall(monkeypatch, BOUNDARY_S - HALF_HOUR_S / 2)
    with joulegram.track("job", pue=1.2) as live:
        until(lambda: len(live.footprint().carbon) > 1, "an answer")
    run = joulegram.open_ledger().run(live.id)
    assert run.book.basis == "direct"
    assert run.footprint().carbon_g.value == pytest.approx(integral_g(run, known), rel=1e-9)
    assert run.hours().sources == ("NESO Carbon Intensity API (CC BY 4.0)",)


def test_what_the_run_knew_is_what_the_ledger_knows(neso: Host, wall: Callable[[], float]) -> None:
    teach(neso, {BEFORE_S: 100.0})
    with joulegram.track("job", pue=1.2) as run:
        until(lambda: len(run.footprint().carbon) > 1, "an answer")
        until(lambda: wall() > BOUNDARY_S + 0.1, "end of the job")
    live, recorded = run.footprint(), joulegram.open_ledger().run(run.id).footprint()
    assert live.carbon_g.value == pytest.approx(recorded.carbon_g.value, rel=1e-9)
    assert "held on to" in recorded.carbon_g.how


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_a_server_reaches_a_run(neso: Host, wall: Callable[[], float], fault: str) -> None:
    teach(neso, REAL)
    FAULTS[fault](neso)
    with joulegram.track("job", pue=1.2) as run:
        until(lambda: run.footprint().carbon_g.value, "grams")
    recorded = joulegram.open_ledger().run(run.id)
    assert (recorded.status, recorded.book.basis) == ("finished", "lifecycle")
    done = again(recorded, BOUNDARY_S + 60)
    assert not done.changed
    assert [outage.why for outage in done.outages]


@pytest.mark.parametrize("fault", ["503 in HTML", "404", "nobody there"])
def test_what_a_run_knew_of_its_hours_is_not_lost_where_its_feed_does_not_answer(
    neso: Host, wall: Callable[[], float], fault: str
) -> None:
    teach(neso, REAL)
    run = tracked(wall)
    assert run.book.basis == "direct"
    FAULTS[fault](neso)
    done = again(run, BOUNDARY_S + 2 * 86400, cache=Cache(None))
    assert not done.changed
    assert done.after.footprint().carbon_g.value == run.footprint().carbon_g.value
    assert done.outages
    yearly = reprice(run, replace(config.load(), intensity="annual"), lambda _: False)
    assert (yearly.changed, yearly.after.book.basis) == (True, "lifecycle")


def test_a_feed_that_was_named_then_is_not_replaced_by_those_of_the_zone(neso: Host, wall: Callable[[], float]) -> None:
    teach(neso, REAL)
    with joulegram.track("job", intensity="fixed:420", basis="lifecycle") as run:
        until(lambda: wall() > BOUNDARY_S, "end of the job")
    recorded = joulegram.open_ledger().run(run.id)
    assert not again(recorded, BOUNDARY_S + 2 * 86400).changed
    named = reprice(recorded, replace(config.load(), intensity="neso"), lambda _: False, basis="direct")
    assert named.after.hours().sources == ("NESO Carbon Intensity API (CC BY 4.0)",)


def test_a_number_of_the_users_own_prices_even_a_run_of_a_moment(neso: Host) -> None:
    for _ in range(3):
        with joulegram.track("job", intensity="fixed:420", basis="direct") as run:
            pass
        assert joulegram.open_ledger().run(run.id).hours().sources == ("fixed number, as given",)


def test_that_a_marginal_intensity_prices_no_average_is_said(
    neso: Host, wall: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOULEGRAM_FEEDS_FIXED_SIGNAL", "marginal")
    with joulegram.track("job", intensity="fixed:420") as run:
        until(lambda: wall() > BOUNDARY_S - 0.1, "end of the job")
    recorded = joulegram.open_ledger().run(run.id)
    assert {figure.signal for figure in recorded.footprint().carbon} == {"average", "marginal"}
    assert recorded.hours().yearly_s == pytest.approx(recorded.duration_s)
    assert any("is marginal: it prices a figure of its own" in note["text"] for note in recorded.notes())


def test_the_end_of_a_run_waits_for_no_cache(
    neso: Host, wall: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    within, ended = threading.Event(), threading.Event()

    def slow(*_: Any) -> list[IntensityPoint]:
        within.set()
        assert ended.wait(60)
        return []

    monkeypatch.setattr(Cache, "points", slow)
    with joulegram.track("job"):
        assert within.wait(60)
    ended.set()


def test_an_answer_that_comes_after_the_end_is_in_no_figure_of_the_run(neso: Host, wall: Callable[[], float]) -> None:
    teach(neso, REAL)
    neso.silent.set()
    with joulegram.track("job", pue=1.2) as run:
        until(lambda: neso.asked, "a question")
    prices = run._prices
    assert prices is not None
    neso.free()
    until(lambda: all(thread.name != "joulegram-price" for thread in threading.enumerate()), "its answer")
    assert prices.book is not None
    assert prices.book.basis == "lifecycle"
    live, recorded = run.footprint(), joulegram.open_ledger().run(run.id).footprint()
    assert live.carbon_g.value == pytest.approx(recorded.carbon_g.value, rel=1e-9)


def test_the_feed_that_goes_first_says_which_basis_carbon_is_on() -> None:
    later, first = (
        IntensityPoint(100.0, 100.0, 100.0, "DK-DK1", basis, "measured", basis=basis, start_s=0.0, length_s=3600.0)
        for basis in ("lifecycle", "direct")
    )
    book = with_points(yearly("DK-DK1", None, None, 0.0), [later, first], None)
    assert book.basis == "direct"
    assert with_points(book, [replace(later, start_s=3600.0)], None).basis == "direct"


def test_a_correction_takes_the_place_of_what_a_book_held() -> None:
    point = IntensityPoint(100.0, 100.0, 100.0, "GB", "a feed", "forecast", start_s=0.0, length_s=3600.0)
    book = yearly("GB", None, None, 0.0)
    for g_per_kwh in (1.0, 2.0, 3.0):
        book = with_points(book, [replace(point, g_per_kwh=g_per_kwh)], None)
    assert [p.g_per_kwh for p in book.intensity if p.start_s is not None] == [3.0]


def test_a_basis_that_is_asked_for_is_kept_to(neso: Host, wall: Callable[[], float]) -> None:
    teach(neso, REAL)
    run = tracked(wall)
    done = again(run, BOUNDARY_S + 2 * 86400, basis="lifecycle")
    assert done.after.book.basis == "lifecycle"
    assert done.after.hours().yearly_s == pytest.approx(run.duration_s)


def test_another_zone_is_priced_by_its_own_feed(neso: Host, wall: Callable[[], float]) -> None:
    neso.status = 503
    run = tracked(wall)
    done = again(run, BOUNDARY_S + 60, zone="PL", basis="lifecycle")
    assert (done.after.zone, {p.zone for p in done.after.book.intensity}) == ("PL", {"PL"})


def test_hours_that_only_another_basis_prices_split_the_total(neso: Host, wall: Callable[[], float]) -> None:
    teach(neso, {AFTER_S: 400.0})
    neso.status = 503
    run = tracked(wall)
    neso.status = 200
    done = again(run, BOUNDARY_S + 2 * 86400)
    grams = done.after.footprint().carbon_g
    assert grams.value == pytest.approx(integral_g(run, {AFTER_S: 400.0}), rel=1e-9)
    assert (grams.high, grams.missing) == (None, (*grams.missing[:-1], "hours priced on the lifecycle basis"))


def test_keys_are_in_no_ledger_log_or_cache(
    neso: Host, wall: Callable[[], float], monkeypatch: pytest.MonkeyPatch, tmp_path: Any, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("JOULEGRAM_INTENSITY", "electricitymaps")
    monkeypatch.setenv("JOULEGRAM_FEEDS_ELECTRICITYMAPS_KEY", SECRET)
    monkeypatch.setenv("JOULEGRAM_FEEDS_ELECTRICITYMAPS_BASE_URL", neso.url)
    neso.status, neso.body = 401, {"error": "Invalid auth-token", "message": f"{SECRET} is no key"}
    run = tracked(wall, BOUNDARY_S - 0.1)
    again(run, BOUNDARY_S + 60)
    assert any(SECRET in value for _, _, headers in neso.asked for value in headers.values())
    assert SECRET not in caplog.text
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert all(SECRET.encode() not in content for content in written)


@pytest.mark.parametrize(
    ("intensity", "words"),
    [
        ("electricitymaps", r"key.* JOULEGRAM_FEEDS_ELECTRICITYMAPS_KEY"),
        ("fixed", "g_per_kwh"),
        ("series:no/such.csv", "No such file"),
        ("series:no\0path", r"cannot be made of its options \(ValueError\)"),
        ("neso:x", "takes nothing after its name"),
        ("energidataservice", "does not serve the zone GB"),
        ("nesso", "there is none of that name"),
    ],
)
def test_a_feed_that_cannot_be_asked_is_said_before_anything_starts(neso: Host, intensity: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        joulegram.start("job", intensity=intensity)
    assert "\n" not in str(caught.value)


# -- the command ------------------------------------------------------------------------------------------------------


def test_no_runs_in_a_time_are_one_line(
    neso: Host, wall: Callable[[], float], capsys: pytest.CaptureFixture[str]
) -> None:
    tracked(wall, 0)
    assert main(["reprice", "--since", "2999-01-01"]) == 0
    assert capsys.readouterr().out == "No runs since then.\n"


def test_a_run_that_named_its_feed_is_priced_by_it_again(
    neso: Host, wall: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOULEGRAM_INTENSITY", "fixed:420")
    run = tracked(wall, 0)
    monkeypatch.delenv("JOULEGRAM_INTENSITY")
    teach(neso, REAL)
    assert main(["reprice"]) == 0
    assert neso.asked == []
    assert "420 gCO2e/kWh" in joulegram.open_ledger().run(run.id).footprint().carbon_g.how
    assert main(["reprice", "--intensity", "neso"]) == 0
    assert neso.asked != []
    assert "420 gCO2e/kWh" not in joulegram.open_ledger().run(run.id).footprint().carbon_g.how


def test_a_run_whose_feed_cannot_be_asked_any_more_does_not_keep_others_from_being_priced(
    neso: Host, wall: Callable[[], float], tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    teach(neso, REAL)
    hours = tmp_path / "hours.csv"
    hours.write_text("time,g_co2e_per_kwh\n2026-06-24T09:00Z,100\n2026-06-24T10:00Z,100\n")
    tracked(wall, 0)
    with joulegram.track("by a file", intensity=f"series:{hours}"):
        pass
    hours.unlink()
    assert main(["reprice", "--since", "1999-01-01", "--json"]) == 0
    by_file, other = json.loads(capsys.readouterr().out)["runs"]
    assert "No such file" in by_file["why"]
    assert "hours" in other


def test_a_command_that_is_run_for_yearly_means_asks_nobody(neso: Host) -> None:
    teach(neso, REAL)
    assert main(["run", "--intensity", "annual", "--", "true"]) == 0
    run = joulegram.open_ledger().latest()
    assert run.hours().yearly_s == pytest.approx(run.duration_s)
    assert neso.asked == []


def test_the_command_prices_the_latest_run_again_and_keeps_that(
    neso: Host, wall: Callable[[], float], capsys: pytest.CaptureFixture[str]
) -> None:
    neso.status = 503
    run = tracked(wall)
    neso.status = 200
    teach(neso, REAL)
    assert main(["reprice", "--json", "--dry-run"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert row["changed"]
    assert joulegram.open_ledger().run(run.id).book.basis == "lifecycle"
    assert main(["reprice"]) == 0
    shown = capsys.readouterr().out
    assert "direct" in shown
    assert "settled" in shown or "corrected" in shown
    assert joulegram.open_ledger().run(run.id).book.basis == "direct"
    assert main(["reprice", run.id]) == 0
    assert "nothing is known that was not" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reprice", "nope"], "nope"),
        (["reprice", "--since", "yesterday"], "a time ago"),
        (["reprice", "a", "--since", "7d"], "not both"),
        (["reprice", "--basis", "both"], "lifecycle or direct"),
        (["reprice", "--zone", "XX"], "no zone 'XX' is known"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    neso: Host, wall: Callable[[], float], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    tracked(wall, 0)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
