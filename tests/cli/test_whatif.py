"""``joulegram whatif``, from a recorded run and files of one's own to what is printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import whatifs
import worlds

import joulegram
from joulegram.cli import main
from joulegram.cli.whatif import answer
from joulegram.curves.series import HOUR_S, Series
from joulegram.records import PriceBook

STARTED_S = whatifs.FIRST_S + 30.5 * HOUR_S
POWER_W = 500.0


@pytest.fixture
def series() -> Series:
    return whatifs.year_of_hours()


def recorded(run: str, series: Series | None = None, *, hours: float = 3.25, over: bool = True, **meter: Any) -> None:
    """A run of a power that changes once, priced with a series or at a flat 360 g/kWh."""
    clock = worlds.OwnedClock(wall_s=STARTED_S)
    counters = [] if meter.get("missing") else [worlds.Counter(clock, POWER_W)]
    recorder = worlds.recorder(clock, worlds.journal(joulegram.open_ledger().path, clock, run), *counters, run=run)
    recorder.say(
        worlds.price()
        if series is None
        else PriceBook(worlds.MEASURED, tuple(whatifs.points(series)[:60]), "lifecycle")
    )
    epoch = recorder.begin("epoch-0")
    recorder.run_for(HOUR_S, 60)
    for counter in counters:
        counter.draw(POWER_W / 4)
    recorder.run_for((hours - 1) * HOUR_S, 60)
    recorder.finish(epoch)
    if over:
        recorder.stop()
    else:
        recorder.flush()


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["whatif", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_at_its_own_start_and_intensity_a_run_costs_what_it_did(
    tmp_path: Path, series: Series, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded("known", series)
    whatifs.write(tmp_path / "FR.csv", series)
    found = asked(capsys, "known", "--intensity", f"series:{tmp_path}")
    own = joulegram.open_ledger().run("known").footprint().carbon_g.value
    (row,) = found["rows"]
    assert own is not None
    assert own > 0
    assert row["own"]["by"] == "start"
    assert row["own"]["carbon_g"] == pytest.approx(own, rel=1e-6)
    assert found["run"]["carbon_g"] == own


def test_a_run_laid_over_another_hour_is_priced_as_one_that_began_then(
    tmp_path: Path, series: Series, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded("known")
    whatifs.write(tmp_path / "FR.csv", series)
    arguments = ["known", "--intensity", f"series:{tmp_path / 'FR.csv'}", "--start", "2021-01-05T06:00Z"]
    (start,) = asked(capsys, *arguments)["rows"][0]["starts"]
    g = series.g_per_kwh[4 * 24 + 6 :]
    quarter = POWER_W / 4 / 1000
    wanted = POWER_W / 1000 * g[0] + quarter * (g[1] + g[2] + g[3] / 4)
    assert start["carbon_g"] == pytest.approx(wanted, rel=1e-3)  # a change of power falls between two samples
    assert start["start"] == "2021-01-05T06:00:00Z"


def test_times_without_an_offset_are_utc_and_others_are_converted(capsys: pytest.CaptureFixture[str]) -> None:
    recorded("known")
    starts = ["--start", "2021-01-05", "--start", "2021-01-05T02:00+02:00", "--start", "2021-01-05T00:00Z"]
    (row,) = asked(capsys, "known", "--zone", "FR", *starts)["rows"]
    assert {start["start"] for start in row["starts"]} == {"2021-01-05T00:00:00Z"}


def test_now_is_the_clock_on_the_wall(series: Series) -> None:
    recorded("known")
    run = joulegram.open_ledger().run("known")
    known = whatifs.points(series, "a feed")
    now_s = whatifs.FIRST_S + 1000 * HOUR_S
    found = answer(run, ["FR"], ["now"], ["realtime"], points_of=lambda *_: known, now_s=lambda: now_s)
    assert found["rows"][0]["starts"][0]["start_s"] == now_s
    assert found["rows"][0]["basis"] == "lifecycle"


def test_the_basis_of_files_is_what_the_configuration_says(
    tmp_path: Path, series: Series, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded("known")
    whatifs.write(tmp_path / "FR.csv", series)
    arguments = ["known", "--intensity", f"series:{tmp_path}"]
    assert asked(capsys, *arguments)["rows"][0]["basis"] == "unknown"
    monkeypatch.setenv("JOULEGRAM_FEEDS_SERIES_BASIS", "lifecycle")
    found = asked(capsys, *arguments)
    assert found["rows"][0]["basis"] == "lifecycle"
    assert not any("do not compare" in sentence for sentence in found["sentences"])


def test_the_latest_run_is_meant_where_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    recorded("known")
    assert asked(capsys, "--zone", "FR")["run"]["id"] == "known"


def test_the_runs_own_zone_is_meant_where_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with joulegram.track("a", zone="denmark"):
        sum(range(300_000))
    assert [row["zone"] for row in asked(capsys)["rows"]] == ["DK"]


def test_the_table_fits_and_the_page_is_written(
    tmp_path: Path, series: Series, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded("known")
    whatifs.write(tmp_path / "US-CAL-CISO_2021.csv", series)
    arguments = ["whatif", "known", "--intensity", f"series:{tmp_path}", "--intensity", "annual"]
    assert main([*arguments, "--start", "2021-02-02"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "At the same energy, US-CAL-CISO in 2021 ranges from" in re.sub(r"\s+", " ", shown)
    page = tmp_path / "page.html"
    assert main([*arguments, "--html", str(page)]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    assert "At the same energy, US-CAL-CISO in 2021 ranges from" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "there is no run 'nosuch' in"),
        (["known"], "the run's own zone is not known: which --zone?"),
        (["known", "--zone", "atlantis"], "no zone 'atlantis' is known"),
        (["known", "--zone", "FR", "--intensity", "weekly"], "no intensity 'weekly' is known"),
        (["known", "--zone", "FR", "--start", "soon"], "--start 'soon' is no time (2026-06-24T10:00Z is one, or now)"),
        (["known", "--zone", "FR", "--start", "9999-12-31T23:59-12:00"], "a start lies between 1970 and 2100"),
        (["known", "--zone", "FR", "--start", "0001-01-01T00:00+12:00"], "a start lies between 1970 and 2100"),
        (["known", "--intensity", "series:HERE/nosuch.csv"], "HERE/nosuch.csv: No such file or directory"),
        (["known", "--intensity", "series:HERE/empty.csv"], "HERE/empty.csv has no rows"),
        (["known", "--intensity", "series:HERE/FR.csv", "--start", "2035-01-01"], "needs hours that are not known"),
        (["unmetered", "--zone", "FR"], "net (unmetered) has no energy to lay elsewhere: "),
    ],
    ids=" ".join,
)
def test_a_mistake_is_told_in_one_line(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], series: Series
) -> None:
    recorded("known", hours=1)
    recorded("unmetered", hours=1, missing=True)
    whatifs.write(tmp_path / "FR.csv", series)
    (tmp_path / "empty.csv").write_text("time,g_co2e_per_kwh\n")
    assert main(["whatif", *(text.replace("HERE", str(tmp_path)) for text in arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line.replace(str(tmp_path), "HERE")


def test_a_run_that_goes_on_is_laid_as_far_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    recorded("open", hours=1, over=False)
    found = asked(capsys, "open", "--zone", "FR")
    assert found["run"]["facility_energy_j"] == pytest.approx(POWER_W * HOUR_S, rel=2 / 60)  # but for its last sample
    assert np.isfinite(found["rows"][0]["at_mean_g"])
