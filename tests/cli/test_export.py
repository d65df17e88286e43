"""``joulegram export``, from recorded runs to a file."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
import worlds

import joulegram
from joulegram.cli import main


def recorded(run: str, *, over: bool = True, basis: Any = "lifecycle", **header: Any) -> None:
    """A run of 100 W at 360 g/kWh: 3,600 J and 0.36 g in 36 s."""
    clock = worlds.OwnedClock(wall_s=time.time())  # who was heard of just now is alive
    journal = worlds.journal(joulegram.open_ledger().path, clock, run)
    recorder = worlds.recorder(clock, journal, worlds.Counter(clock, 100.0), run=run, **header)
    recorder.say(worlds.price(360.0, basis))
    recorder.run_for(36.0)
    if over:
        recorder.stop()
    else:
        recorder.flush()


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, code: int = 0) -> tuple[str, str]:
        assert main(["export", *arguments]) == code
        found = capsys.readouterr()
        return found.out, found.err

    return run


def test_a_recorded_run_is_exported(told: Any) -> None:
    recorded("run-a")
    out, err = told("run-a", "--format", "codecarbon")
    (row,) = csv.DictReader(io.StringIO(out))
    assert float(row["energy_consumed"]) == pytest.approx(0.001, rel=1e-3)
    assert float(row["emissions"]) == pytest.approx(0.00036, rel=1e-3)
    assert err == ""


def test_the_latest_run_is_exported_by_default(told: Any) -> None:
    recorded("run-a")
    told_json, _ = told(
        "--format", "boamps", "--set", "task_family=a", "--set", "data_type=text", "--set", "infra_type=other"
    )
    assert json.loads(told_json)["header"]["reportId"] == "run-a"


def test_it_goes_to_a_file(told: Any, tmp_path: Path) -> None:
    recorded("run-a")
    path = tmp_path / "card.md"
    out, _ = told("run-a", "--format", "model-card", "--out", str(path))
    assert out == f"{path}\n"
    assert path.read_text(encoding="utf-8").startswith("---\nco2_eq_emissions:\n")


def test_a_run_that_is_not_over_is_exported_and_said(told: Any) -> None:
    recorded("run-a", over=False)
    out, err = told("run-a", "--format", "methods")
    assert "Not in these figures: the rest of net, which is still running" in out
    assert err == "joulegram: run run-a is still running: its figures are so far\n"


def test_several_runs_are_one_sum(told: Any) -> None:
    recorded("run-a")
    recorded("run-b")
    out, _ = told("run-a", "run-b", "run-a", "--format", "sci", "--set", "unit=model", "--set", "units=2")
    ledger = joulegram.open_ledger()
    footprints = [ledger.run(run).document()["footprint"] for run in ("run-a", "run-b")]
    emitted_g = sum(footprint[part]["value"] for footprint in footprints for part in ("carbon_g", "embodied_g"))
    assert f"{emitted_g / 2:.4g} gCO2e per model" in out


def test_a_project_is_all_its_runs(told: Any) -> None:
    recorded("run-a", project="p")
    recorded("run-b", project="p", stage="search")
    recorded("run-c", project="another")
    out, err = told("--project", "p", "--format", "codecarbon")
    assert {row["run_id"] for row in csv.DictReader(io.StringIO(out))} == {"run-a", "run-b"}
    assert err == ""
    out, _ = told("--project", "p", "--stage", "search", "--format", "codecarbon")
    assert [row["run_id"] for row in csv.DictReader(io.StringIO(out))] == ["run-b"]


def test_runs_that_cannot_be_read_are_said(told: Any) -> None:
    recorded("run-a", project="p")
    (joulegram.open_ledger().path / "run-b").write_text("no folder")
    broken = joulegram.open_ledger().path / "run-c"
    broken.mkdir()
    (broken / "alpha-0-1.parquet").write_bytes(b"damaged")
    out, err = told("--project", "p", "--format", "codecarbon")
    assert len(out.splitlines()) == 2
    assert "1 of the ledger's runs cannot be read and may be of this project" in err


def test_mixed_bases_are_refused_in_one_line(told: Any) -> None:
    recorded("run-a")
    recorded("run-b", basis="direct")
    out, err = told("run-a", "run-b", "--format", "codecarbon", code=2)
    assert out == ""
    assert err.startswith("joulegram: carbon on different bases")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "which --format? There are boamps, codecarbon, eu-ai-act"),
        (["--format", "xml"], "no format 'xml'"),
        (["--format", "sci"], "SCI is a rate"),
        (["--format", "sci", "--set", "unit"], "--set takes NAME=VALUE"),
        (["--format", "sci", "--set", "unit=a", "--set", "unit=b"], "given twice"),
        (["--format", "methods", "--set", "colour=red"], "no option 'colour'"),
        (["--format", "methods", "--project", "nothing"], "project 'nothing' has no run"),
        (["--format", "methods", "--project", "p", "--stage", "serve"], "has no run of stage 'serve'"),
        (["run-a", "--format", "methods", "--project", "p"], "not both"),
        (["run-a", "--format", "methods", "--stage", "train"], "--stage chooses among"),
        (["nobody", "--format", "methods"], "nobody"),
        (["run-a", "--format", "methods", "--out", "/nowhere/at/all.txt"], "No such file"),
    ],
)
def test_a_mistake_is_one_line(told: Any, arguments: list[str], why: str) -> None:
    recorded("run-a")
    out, err = told(*arguments, code=2)
    assert why in err
    assert err.startswith("joulegram: ")
    assert err.count("\n") == 1
    assert out == ""


def test_an_empty_ledger_is_told(told: Any) -> None:
    _, err = told("--format", "methods", code=2)
    assert "no runs yet" in err
