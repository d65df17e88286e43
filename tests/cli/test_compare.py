"""``joulegram compare``, from recorded runs to what is printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import worlds

import joulegram
from joulegram.cli import main
from joulegram.records import FLOPS_IN


def recorded(
    run: str,
    power_w: float,
    seconds: float,
    flops: float,
    intensity: float = 360.0,
    basis: str = "lifecycle",
    over: bool = True,
    **attributes: Any,
) -> None:
    """A run of known power, time and compute in the ledger, of two epochs."""
    clock = worlds.OwnedClock()
    journal = worlds.journal(joulegram.open_ledger().path, clock, run)
    recorder = worlds.recorder(clock, journal, worlds.Counter(clock, power_w), run=run, attributes=attributes)
    recorder.say(worlds.price(intensity, basis))
    for index in range(2):
        epoch = recorder.begin(f"epoch-{index}")
        recorder.tally({f"{FLOPS_IN}forward": flops / 2})
        recorder.run_for(seconds / 2)
        recorder.finish(epoch)
    if over:
        recorder.stop()
    else:
        recorder.flush()


def two_that_flip() -> None:
    recorded("big", 100, 10, 1e12, parameters=1000, metrics={"acc": 0.9})
    recorded("small", 100, 12, 8e11, intensity=120, parameters=800, metrics={"acc": 0.8})


def compared(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["compare", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_recorded_runs_are_compared_by_what_was_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    two_that_flip()
    found = compared(capsys, "big", "small")
    a, b = found["points"]
    assert (a["energy_j"], b["energy_j"]) == pytest.approx((1000, 1200), rel=1e-3)
    assert (a["flops"], b["flops"], a["parameters"]) == pytest.approx((1e12, 8e11, 1000))
    assert (a["carbon_g"], b["carbon_g"]) == pytest.approx((0.1, 0.04), rel=1e-3)
    agreements = {(pair["x"], pair["y"]): pair for pair in found["agreements"]}
    assert agreements["flops", "energy_j"]["flips"] == [["A", "B"]]
    assert agreements["energy_j", "carbon_g"]["flipped"] == 1
    assert agreements["energy_j", "carbon_equal_g"]["flipped"] == 0
    assert found["quality"]["fronts"]["parameters"] == ["A", "B"]
    assert found["quality"]["fronts"]["energy_j"] == ["A"]


def test_carbon_is_compared_at_the_zone_asked_for_and_else_at_the_worlds_mean(
    capsys: pytest.CaptureFixture[str],
) -> None:
    two_that_flip()
    for arguments, zone in ([], "WORLD"), (["--zone", "DK"], "DK"):
        found = compared(capsys, "big", "small", *arguments)
        equal = found["equal_intensity"]
        assert equal["zone"] == zone
        for point in found["points"]:
            assert point["carbon_equal_g"] == pytest.approx(point["energy_j"] / 3.6e6 * equal["g_per_kwh"], rel=1e-6)


def test_runs_of_one_zone_are_compared_at_its_mean(capsys: pytest.CaptureFixture[str]) -> None:
    ids = []
    for name in ("a", "b"):
        with joulegram.track(name, zone="FR", project="p") as run:
            sum(range(300_000))
        ids.append(run.id)
    assert compared(capsys, *ids)["equal_intensity"]["zone"] == "FR"


def test_epochs_are_compared_by_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    two_that_flip()
    found = compared(capsys, "big", "small", "--by", "epoch")
    assert [point["energy_j"] for point in found["points"]] == pytest.approx([500, 500, 600, 600], rel=1e-2)


def test_a_projects_finished_runs_are_compared_the_oldest_first(capsys: pytest.CaptureFixture[str]) -> None:
    for name, stage in (("first", "train"), ("second", "train"), ("test", "evaluate"), ("other", "train")):
        with joulegram.track(name, project="q" if name == "other" else "p", stage=stage):
            sum(range(300_000))
    found = compared(capsys, "--project", "p")
    assert [point["name"] for point in found["points"]] == ["first", "second"]


def test_repeats_in_the_project_tell_the_noise_of_two_runs(capsys: pytest.CaptureFixture[str]) -> None:
    ids = []
    for name in ("a", "a", "a", "b"):
        with joulegram.track(name, project="p") as run:
            sum(range(300_000))
        ids.append(run.id)
    measures = {measure["field"]: measure for measure in compared(capsys, ids[0], ids[3])["measures"]}
    assert "3 repeats of 1 set-up" in measures["duration_s"]["noise_how"]


def test_the_table_fits_and_the_page_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_that_flip()
    assert main(["compare", "big", "small"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    said = re.sub(r"\s+", " ", shown)
    assert "B needs 20 % fewer FLOPs than A and 20 % more energy: it takes 20 % longer" in said
    page = tmp_path / "page.html"
    assert main(["compare", "big", "small", "--html", str(page)]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    assert "B needs 20 % fewer FLOPs" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["big"], "two runs that are over are needed: net (big) is only one"),
        (["big", "big"], "two runs that are over are needed"),
        ([], "name two runs, or a --project"),
        (["big", "nosuch"], "there is no run 'nosuch' in"),
        (["big", "open"], "net (open) is still open"),
        (["big", "--project", "p"], "not both"),
        (["--project", "nosuch"], "no run of project 'nosuch' has finished"),
        (["--project", "tests"], "project 'tests' has no train run; --stage takes evaluate"),
        (["big", "small", "--zone", "atlantis"], "no zone 'atlantis' is known"),
        (["big", "small", "--metric", "f1"], "no run has a metric 'f1'; they have acc"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_told_in_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    two_that_flip()
    recorded("open", 100, 1, 1e9, over=False)
    with joulegram.track("test", project="tests", stage="evaluate"):
        pass
    assert main(["compare", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_mixed_bases_are_told_and_their_carbon_is_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    recorded("one", 100, 10, 1e12, parameters=10)
    recorded("two", 100, 12, 1e12, parameters=20, basis="direct")
    found = compared(capsys, "one", "two")
    assert [point["ranks"]["carbon_g"] for point in found["points"]] == [None, None]
    assert any("basis" in note for note in found["notes"])
    assert [point["ranks"]["carbon_equal_g"] for point in found["points"]] == [1, 2]
