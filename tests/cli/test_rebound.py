"""``joulegram rebound``, from runs of a ledger to what is printed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import worlds
from served_runs import Hour, intensity, served_run

import joulegram
from joulegram.cli import main
from joulegram.cli.rebound import Windows, answer
from joulegram.report.rebound_table import print_rebound

AT = "2027-01-15T03:00Z"
"""Three hours after the servers below began."""


def serving(run: str, costs_j: list[float], *, first: int = 0, per_hour: int = 100, **more: Any) -> None:
    hours = [
        Hour(first + n, per_hour, {"gpu:A": (per_hour * cost, 0.0)}, route=route)
        for n, each in enumerate(costs_j)
        for route, cost in (("/a", each), ("/b", 10 * each))
    ]
    served_run(joulegram.open_ledger().path, hours, intensity(360.0), run=run, **more)


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["rebound", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_two_runs_one_run_and_a_project_are_windows_alike(capsys: pytest.CaptureFixture[str]) -> None:
    serving("one-1", [4.0] * 3 + [2.0] * 3)
    serving("two-1", [4.0] * 3, host="beta")
    serving("two-2", [2.0] * 3, first=3, per_hour=150, host="beta")
    one = asked(capsys, "one", "--at", AT)
    assert (one["service"]["saving"], one["service"]["growth"]) == pytest.approx((0.5, 0.0))
    two = asked(capsys, "two-1", "two-2", "--exogenous-growth", "20%", "--route", "/a")
    assert two["word"] == "rebound"
    assert two["service"]["value"] == pytest.approx(0.3)
    assert two["before"]["j_per_unit"] == pytest.approx(4.0)
    both = asked(capsys, "--project", "p", "--at", AT)
    assert both["before"]["volume"] == one["before"]["volume"] + two["before"]["volume"] * 2  # of both routes
    assert both["development"]["why"]
    later = asked(capsys, "one", "--at", AT, "--since", "2027-01-15T02:00Z", "--until", "2027-01-15T04:00Z")
    assert (later["before"]["hours"], later["after"]["hours"]) == (1, 1)


def test_a_project_that_serves_nothing_is_looked_at_by_its_development(capsys: pytest.CaptureFixture[str]) -> None:
    for number, (day, watts) in enumerate([(0, 100.0), (1, 100.0), (3, 50.0), (4, 50.0), (4.5, 50.0)]):
        run, clock = f"r{number}", worlds.OwnedClock(wall_s=1.8e9 + day * 86_400)
        sink = worlds.journal(joulegram.open_ledger().path, clock, run)
        recorder = worlds.recorder(
            clock, sink, worlds.Counter(clock, watts), run=run, project="searched", stage="search"
        )
        recorder.say(worlds.price())
        recorder.run_for(10)
        recorder.stop()
    windows = Windows((), "searched", "2027-01-17T08:00Z")
    found = answer(joulegram.open_ledger(), windows, "requests", None, now_s=lambda: 1.8e9 + 4 * 86_400 + 43_201)
    assert found["service"] is None
    development = found["development"]
    assert (development["before"]["runs"], development["after"]["runs"]) == (2, 3)
    assert development["offset"]["saving"] == pytest.approx(0.5, rel=0.01)
    print_rebound(found)
    assert "runs a week" in capsys.readouterr().out
    assert main(["rebound", "--project", "none", "--at", "2027-01-17T08:00Z"]) == 2
    assert "no run of the project" in capsys.readouterr().err


def test_the_table_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    serving("one-1", [4.0] * 3 + [2.0] * 3)
    assert main(["rebound", "one", "--at", AT]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "The activity offset is 0 %" in shown
    assert "energy with nobody’s" in shown


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "name two runs that served"),
        (("one",), "when did it change?"),
        (("one", "one"), "both runs are the same one"),
        (("one", "--project", "p", "--at", AT), "not both"),
        (("one", "one", "--at", AT), "two runs are two windows"),
        (("one", "--at", "yesterday"), "'yesterday' is no time"),
        (("one", "--at", AT, "--since", "2027-02-01"), "--at lies outside"),
        (("one", "--at", AT, "--since", "2027-02-01", "--until", "2027-01-01"), "--until lies before --since"),
        (("trained", "--at", AT), "has told of no request: it is of stage train"),
        (("one", "--at", AT, "--route", "/x"), "its routes are: /a, /b"),
        (("one", "--at", "2027-01-15T00:30Z"), "no server has told of an hour before the change"),
    ],
)
def test_a_mistake_is_told_in_a_line(arguments: tuple[str, ...], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    serving("one-1", [4.0] * 6)
    clock = worlds.OwnedClock()
    recorder = worlds.recorder(
        clock, worlds.journal(joulegram.open_ledger().path, clock, "trained"), worlds.Counter(clock), run="trained"
    )
    recorder.run_for(1)
    recorder.stop()
    assert main(["rebound", *arguments]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1


def test_a_growth_is_a_share(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["rebound", "one", "--exogenous-growth", "lots"])
    assert "a growth such as 10% or 0.1 is needed" in capsys.readouterr().err
