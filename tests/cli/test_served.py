"""``joulegram serve-report``, from what servers recorded to what is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import worlds
from served_runs import Hour, intensity, served_run

import joulegram
from joulegram.cli import main


def ledger() -> Path:
    return joulegram.open_ledger().path


def served(run: str, requests: int, **more: Any) -> None:
    served_run(ledger(), [Hour(0, requests, {"gpu:A": (600.0, 0.0)})], intensity(360.0), run=run, **more)


def trained(run: str) -> None:
    clock = worlds.OwnedClock(wall_s=1.9e9)
    recorder = worlds.recorder(clock, worlds.journal(ledger(), clock, run), worlds.Counter(clock), run=run)
    recorder.say(worlds.price())
    recorder.run_for(5.0)
    recorder.stop()


def test_the_latest_run_that_served_is_told_of_whatever_ran_later(capsys: pytest.CaptureFixture[str]) -> None:
    served("served-1", 6)
    trained("trained-1")
    assert main(["serve-report"]) == 0
    shown = capsys.readouterr().out
    assert "6 requests, 600 J and 60.0 mg CO₂e" in shown
    assert "Run served-1" in shown


def test_json_and_a_page_hold_the_same(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    served("served-1", 6)
    assert main(["serve-report", "served", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema_version"] == 1
    assert found["runs"][0]["served"]["total"]["j_per_request"]["value"] == 100.0
    page = tmp_path / "served.html"
    assert main(["serve-report", "--html", str(page)]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    assert found["sentences"][0] in page.read_text(encoding="utf-8")


def test_hosts_are_asked_for_by_project_or_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    served("served-1", 6)
    served("served-2", 4, host="beta")
    for asked in (["--project", "p"], ["served-1", "served-2"]):
        assert main(["serve-report", *asked]) == 0
        assert "2 runs together: 10 requests" in capsys.readouterr().out
    assert main(["serve-report", "served-1", "served-1"]) == 0
    assert "together" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([], "no run has served yet in"),
        (["--project", "other"], "no run of project other has served yet in"),
        (
            ["trained-1"],
            "run trained-1 is of stage train and served nothing (joulegram runs --stage serve lists others)",
        ),
        (["nothing-1"], "nothing-1"),
        (["trained-1", "--project", "p"], "name runs, or say --project, not both"),
    ],
)
def test_a_mistake_is_told_in_one_line(asked: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    trained("trained-1")
    assert main(["serve-report", *asked]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
