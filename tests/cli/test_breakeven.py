"""``joulegram breakeven``, from runs of a ledger and amounts to what is printed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import worlds
from served_runs import Hour, intensity, served_run

import joulegram
from joulegram.cli import main


def serving(run: str, j_per_request: float, **more: Any) -> None:
    """A server with two routes; the second one's requests cost ten times as much."""
    hours = [
        Hour(n, 100, {"gpu:A": (cost * 100 * j_per_request, 0.0)}, route=route)
        for n in range(6)
        for route, cost in (("/small", 1), ("/large", 10))
    ]
    served_run(joulegram.open_ledger().path, hours, intensity(360.0), run=run, **more)


def training(run: str, kilojoules: float) -> None:
    clock = worlds.OwnedClock()
    recorder = worlds.recorder(
        clock, worlds.journal(joulegram.open_ledger().path, clock, run), worlds.Counter(clock, 1000.0), run=run
    )
    recorder.say(worlds.price())
    recorder.run_for(kilojoules)
    recorder.stop()


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["breakeven", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_runs_are_named_by_the_beginnings_of_their_ids(capsys: pytest.CaptureFixture[str]) -> None:
    serving("old-1", 4.0)
    serving("new-1", 2.0)
    training("distil-1", 11.0)
    found = asked(
        capsys, "--before", "old", "--after", "new", "--development", "distil", "1kJ", "--development", "10kJ"
    )
    assert found["requests"]["value"] == pytest.approx(22_000 / 11.0, rel=1e-3)  # both routes: 5.5 times 2 J saved
    assert found["development"] == ["net (distil-1)", "1kJ", "10kJ"]
    small = asked(capsys, "--before", "old", "--after", "new", "--development", "20kJ", "--route", "/small")
    assert small["requests"]["value"] == pytest.approx(10_000)


def test_each_side_may_name_a_route_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    serving("one", 2.0)
    found = asked(capsys, "--before", "one/large", "--after", "one/small", "--development", "18kJ")
    assert found["requests"]["value"] == pytest.approx(1000.0, rel=1e-3)


def test_a_routes_rate_counts_the_hours_in_which_only_others_were_served(capsys: pytest.CaptureFixture[str]) -> None:
    hours = [Hour(0, 100, {"gpu:A": (100.0, 0.0)}, route="/a"), Hour(3, 100, {"gpu:A": (900.0, 0.0)}, route="/b")]
    served_run(joulegram.open_ledger().path, hours, intensity(360.0), run="one")
    found = asked(capsys, "--before", "2J", "--after", "one", "--development", "1kJ", "--route", "/a")
    assert found["after"]["energy_j"]["value"] == pytest.approx(1.0)
    assert found["rate"]["per_day"] == pytest.approx(100 / 2 * 24)


def test_the_table_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    serving("old-1", 4.0)
    serving("new-1", 2.0)
    training("distil-1", 11.0)
    arguments = ["--before", "old", "--after", "new", "--development", "distil", "--rate", "1000"]
    assert main(["breakeven", *arguments, "--retrain-every", "30d"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "By energy it pays back after 1,000 requests" in shown
    assert "By carbon it pays back after" in shown
    assert "Trained again every 30 days it pays" in shown


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--before", "nothing", "--after", "1J", "--development", "1kJ"), "there is no run 'nothing'"),
        (("--before", "5mj", "--after", "1J", "--development", "1kJ"), "it may be one of: mJ, MJ"),
        (
            ("--before", "old", "--after", "1J", "--development", "1kJ", "--route", "/x"),
            "its routes are: /large, /small",
        ),
        (("--before", "distil", "--after", "1J", "--development", "1kJ"), "does not say how many items"),
        (("--before", "2J", "--after", "1J", "--development", "1kJ", "--retrain-every", "1d"), "--rate says it"),
    ],
)
def test_a_mistake_is_told_in_a_line(arguments: tuple[str, ...], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    serving("old-1", 4.0)
    training("distil-1", 1.0)
    assert main(["breakeven", *arguments]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_rate_is_above_zero(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["breakeven", "--before", "2J", "--after", "1J", "--development", "1kJ", "--rate", value])
    assert "a number above zero is needed" in capsys.readouterr().err
