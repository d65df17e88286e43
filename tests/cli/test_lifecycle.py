"""``joulegram lifecycle``, from recorded runs to what is printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from lives import record

import joulegram
from joulegram.cli import main
from joulegram.records import ServedHour

HOURS = (
    ServedHour("b", 3600, "s", "/a", 7, energy_j={"gpu:A": (300.0, 100.0)}),
    ServedHour("b", 3600, "", None, unattributed_j={"gpu:A": 600.0}),
)


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["lifecycle", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def story() -> None:
    """2,500 J of development, 500 J of them the final training, and 1,000 J of serving."""
    record("data", stage="data", day=0, seconds=5)
    for number in range(2):
        attributes = {"sweep": "optuna:s", "trial": str(number)}
        record(f"trial-{number}", stage="search", day=1 + number, seconds=5, attributes=attributes)
    record("crash", status="failed", day=3)
    record("final", day=4, seconds=5, model="m")
    record("serving", stage="serve", status="interrupted", day=5, served=HOURS, model="m")
    record("elsewhere", project="q")


def energies(life: Any) -> dict[str, float]:
    return {part["part"]: part["energy_j"]["value"] for phase in life["phases"] for part in phase["parts"]}


def test_recorded_runs_are_added_up_by_stage_and_serving_by_what_its_books_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    story()
    life = found(capsys, "p")
    expected = {"data": 500, "search": 1000, "failed": 1000, "final": 500, "requests": 400, "idle": 600}
    assert energies(life) == pytest.approx(expected, rel=1e-3)
    assert life["multiplier"]["energy_j"]["value"] == pytest.approx(6, rel=1e-3)
    assert life["phases"][1]["requests"] == 7
    assert (life["final"]["runs"], life["sweeps"][0]["trials"]) == (["final"], 2)
    assert life["total"]["carbon_g"]["value"] == pytest.approx(0.4, rel=1e-3)
    assert energies(found(capsys, "p", "--model", "m")) == pytest.approx(
        {"final": 500, "requests": 400, "idle": 600}, rel=1e-3
    )
    assert found(capsys, "p", "--final", "trial-0")["final"]["runs"] == ["trial-0"]


def test_a_run_that_is_priced_on_another_basis_too_is_added_on_the_common_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    record("a")
    record("b", seconds=5, basis="direct", day=1)
    life = found(capsys, "p")
    assert (life["basis"], life["other_basis"]) == ("lifecycle", 1)
    assert life["total"]["carbon_g"]["missing"] == ["1 of 2 runs without a figure"]
    joulegram.open_ledger().run("b").reprice(reason="alike", zone="DK", basis="direct")
    life = found(capsys, "p")
    assert (life["other_basis"], life["total"]["carbon_g"]["missing"]) == (0, [])


def test_a_run_that_goes_on_is_counted_so_far(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr("joulegram.ledger.stored._lives", lambda *_: True)
    record("a")
    record("b", status=None, day=1)
    life = found(capsys, "p")
    assert [run["id"] for run in life["open"]] == ["b"]
    assert life["total"]["energy_j"]["value"] == pytest.approx(2000, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["q"], "project 'q' has no run"),
        (["p", "--model", "x"], "no run of project 'p' names model 'x'; its models are: m"),
        (["p", "--final", "nowhere"], "there is no run 'nowhere'"),
        (["p", "--final", "other"], "run other is none of project 'p'"),
    ],
)
def test_a_mistake_is_told_in_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    record("a", model="m")
    record("other", project="z")
    assert main(["lifecycle", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_the_table_fits_a_terminal_and_the_page_holds_the_same_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story()
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["lifecycle", "p"]) == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    for told in ("Life cycle of p", "Failed or aborted", "Final training", "optuna:s", "6 times"):
        assert told in out
    life = found(capsys, "p")
    page = tmp_path / "life.html"
    assert main(["lifecycle", "p", "--html", str(page)]) == 0
    text = page.read_text()
    shown = [float(value) for value in re.findall(r'data-field="energy_j" data-value="([^"]+)"', text)]
    assert set(energies(life).values()) <= set(shown)
    assert '"type": "sankey"' in text


def test_names_that_mean_something_to_a_terminal_or_a_page_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hostile = "<script>[red]\x1b[31m"
    record("a", project=hostile, name=hostile, model=hostile, attributes={"sweep": hostile, "trial": "0"})
    assert main(["lifecycle", hostile]) == 0
    assert "\x1b" not in capsys.readouterr().out
    page = tmp_path / "life.html"
    assert main(["lifecycle", hostile, "--html", str(page)]) == 0
    body = page.read_text().partition("<script type")[0]
    assert "<script>" not in body
