"""``joulegram budget``, from recorded runs to its exit code."""

from __future__ import annotations

import json
from typing import Any

import pytest
import worlds

import joulegram
from joulegram.analysis.budgets import Month
from joulegram.cli import main
from joulegram.cli.budget import answer, exit_code

MONTH = Month.of("2026-10")
"""Over, whenever this is run."""


def record(run: str, start_s: float, seconds: float = 100.0, power_w: float = 100.0, project: str = "p") -> None:
    """A run of a constant power; at 360 g/kWh 10 kJ are a gram."""
    clock = worlds.OwnedClock(wall_s=start_s)
    sink = worlds.journal(joulegram.open_ledger().path, clock, run)
    recorder = worlds.recorder(clock, sink, worlds.Counter(clock, power_w), run=run, project=project)
    recorder.say(worlds.price())
    recorder.run_for(seconds, 5)
    recorder.stop()


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = main(["budget", *arguments, "--month", MONTH.name, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_exit_code_tells_whether_a_project_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    record("one", MONTH.start_s + 10)
    record("two", MONTH.start_s + 1000)
    record("other", MONTH.start_s + 1000, project="q")
    code, found = asked(capsys, "p", "--energy", "30kJ", "--carbon", "3g")
    assert (code, found["level"], found["runs"]) == (0, "within", 2)
    assert found["budgets"][0]["measure"] == "carbon_g"
    assert found["budgets"][0]["spent"]["value"] == pytest.approx(2.0, rel=0.01)
    assert asked(capsys, "p", "--energy", "30kJ", "--carbon", "1g")[0] == 1
    assert asked(capsys, "p", "--energy", "21kJ")[0] == 0
    assert asked(capsys, "p", "--energy", "21kJ", "--strict")[0] == 1


def test_a_run_over_the_months_edge_counts_by_its_part(capsys: pytest.CaptureFixture[str]) -> None:
    record("before", MONTH.start_s - 75)
    record("after", MONTH.end_s - 50)
    record("long-ago", MONTH.start_s - 5000)
    _, found = asked(capsys, "p", "--energy", "1kWh")
    assert found["runs"] == 2
    assert found["budgets"][0]["spent"]["value"] == pytest.approx(2500 + 5000, rel=0.01)


def test_this_month_is_meant_by_default_and_leads_somewhere() -> None:
    record("one", MONTH.start_s)
    found = answer(joulegram.open_ledger(), "p", None, "20kJ", None, now_s=lambda: MONTH.start_s + 10 * 86_400)
    (row,) = found["budgets"]
    assert found["month"] == MONTH.name
    assert row["forecast"] == pytest.approx(31_000, rel=0.01)
    assert (row["level"], exit_code(found, False), exit_code(found, True)) == ("at risk", 0, 1)


def test_a_budget_may_be_configured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    record("one", MONTH.start_s + 10)
    monkeypatch.setenv("JOULEGRAM_BUDGETS_P_ENERGY", "5kJ")
    monkeypatch.setenv("JOULEGRAM_BUDGETS_P_CARBON", "5kg")
    code, found = asked(capsys, "p")
    assert code == 1
    assert {row["measure"]: row["limit"] for row in found["budgets"]} == {"energy_j": 5000.0, "carbon_g": 5000.0}
    assert [row["measure"] for row in asked(capsys, "p", "--energy", "20kJ")[1]["budgets"]] == ["energy_j"]


def test_the_table_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    record("one", MONTH.start_s + 10)
    assert main(["budget", "p", "--energy", "30kJ", "--carbon", "3g", "--month", MONTH.name]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "p, 2026-10  within" in shown


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("p",), "what is the budget of p?"),
        (("nobody", "--carbon", "1kg"), "project 'nobody' has no run"),
        (("p", "--carbon", "1kWh"), "is no amount of carbon, such as 50kg"),
        (("p", "--energy", "5"), "a number and a unit are needed"),
        (("p", "--energy", "0J"), "above zero"),
        (("p", "--energy", "1J", "--month", "soon"), "'soon' is no month"),
        (("p", "--energy", "1J", "--month", "2999-01"), "has not begun"),
    ],
)
def test_a_mistake_is_told_in_a_line(arguments: tuple[str, ...], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    record("one", MONTH.start_s + 10)
    assert main(["budget", *arguments]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("name", "value"), [("ENERGY", "5kg"), ("MONEY", "5kg"), ("CARBON", "0g")])
def test_a_configured_budget_that_makes_no_sense_is_told(
    name: str, value: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record("one", MONTH.start_s + 10)
    monkeypatch.setenv(f"JOULEGRAM_BUDGETS_P_{name}", value)
    assert main(["budget", "p"]) == 2
    assert "environment: budgets" in capsys.readouterr().err
