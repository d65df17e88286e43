"""``joulegram levers``, from recorded runs to what is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lives import record

from joulegram.cli import main


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["levers", "p", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return {row["lever"]: row for row in found["rows"]}


def test_what_waits_and_what_the_known_hours_would_give_are_read_from_the_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    record("a", phases={"data": 4.0, "forward": 6.0}, hours=(360, 180, 720))
    found = rows(capsys)
    (waiting,) = found["hardware"]["development"]["items"]
    assert (waiting["duration_s"], waiting["energy_j"]) == pytest.approx((4, 400), rel=0.05)
    (start,) = found["scheduling"]["development"]["items"]
    figures = [start[name] for name in ("own_g", "best_g", "worst_g", "carbon_g")]
    assert figures == pytest.approx([0.1, 0.05, 0.2, 0.05], rel=1e-3)


def test_hours_of_a_file_may_be_chosen_from(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    record("a", zone="DK")
    assert rows(capsys)["scheduling"]["development"]["items"] == []
    file = tmp_path / "DK.csv"
    file.write_text(
        "time,g_co2e_per_kwh\n2026-01-01T00:00Z,100\n2026-01-01T01:00Z,50\n2026-01-01T02:00Z,400\n", encoding="utf-8"
    )
    (start,) = rows(capsys, "--intensity", f"series:{tmp_path}")["scheduling"]["development"]["items"]
    assert start["own_g"] is None
    assert start["worst_g"] / start["best_g"] == pytest.approx(8)


def test_the_table_fits_a_terminal_and_has_a_reason_for_each_dash(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record("a")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["levers", "p"]) == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    for told in ("Levers of p", "Model selection", "– no run of stage serve"):
        assert told in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["q"], "project 'q' has no run"), (["p", "--intensity", "tomorrow"], "no intensity 'tomorrow' is known")],
)
def test_a_mistake_is_told_in_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    record("a", zone="DK")
    assert main(["levers", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
