"""The command: what it prints, its exit codes, and how a user's mistake is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import joulegram
from joulegram.cli import main
from joulegram.config import learned_file
from joulegram.host.cpu import cpus_of
from joulegram.host.profile import Profile, keep
from joulegram.testing.powercap import PowercapTree


def record(name: str = "net", **given: str) -> joulegram.Run:
    """A run that is over."""
    with joulegram.track(name, **given) as run, run.span("epoch", index=0):  # type: ignore[arg-type]
        sum(range(300_000))
    return run


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a user calls it."""
    whole = [sys.executable, "-m", "joulegram", *arguments]
    return subprocess.run(whole, env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(("code", "status"), [(0, "finished"), (3, "failed")])
def test_run_keeps_the_commands_exit_code_and_its_output(code: int, status: str) -> None:
    done = command("run", "--name", "job", "--zone", "DK", "--", sys.executable, "-c", f"print('hi'); exit({code})")
    assert (done.returncode, done.stdout) == (code, "hi\n")
    (run,) = joulegram.open_ledger().runs()
    assert (run.name, run.status, run.attributes["exit_code"]) == ("job", status, code)
    assert run.id in done.stderr


def test_run_tells_a_command_that_is_not_there_as_a_shell_does() -> None:
    done = command("run", "--", "no-such-command")
    assert done.returncode == 127
    assert done.stderr.strip() == "joulegram: no-such-command: No such file or directory"


def test_run_without_a_command_says_what_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == 2
    assert "joulegram run -- COMMAND" in capsys.readouterr().err


def test_run_passes_a_signal_on_and_keeps_its_code() -> None:
    program = "import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)"
    done = command("run", "--", sys.executable, "-c", program)
    assert done.returncode == 128 + signal.SIGTERM
    (run,) = joulegram.open_ledger().runs()
    assert run.status == "interrupted"


def test_runs_and_report_fit_eighty_columns() -> None:
    record("a-rather-long-name-of-an-experiment-that-goes-on", project="projects-have-long-names-too", zone="DK-DK1")
    for arguments in (["runs"], ["report"], ["doctor"]):
        done = command(*arguments)
        assert done.returncode == 0, done.stderr
        assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_of_runs_report_and_doctor_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    run = record(project="p")
    documents = {}
    for verb in ("runs", "report", "doctor"):
        assert main([verb, "--json"]) == 0
        documents[verb] = json.loads(capsys.readouterr().out)
        assert documents[verb]["schema_version"] == 1
    assert [entry["run"]["id"] for entry in documents["runs"]["runs"]] == [run.id]
    assert documents["report"]["run"]["id"] == run.id
    assert documents["report"]["footprint"]["energy_j"]["value"] == run.footprint().energy_j.value
    assert "cpu_model" in [meter["name"] for meter in documents["doctor"]["meters"] if meter["state"] == "works"]


def test_doctor_tells_what_is_used_and_what_only_stands_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = PowercapTree(tmp_path, "server", 60.0)
    monkeypatch.setenv("JOULEGRAM_METERS", "rapl,cpu_model,dram_model")
    monkeypatch.setenv("JOULEGRAM_METER_OPTIONS_RAPL_ROOT", str(tree.root))
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {meter["name"]: meter["used"] for meter in found["meters"]} == {
        "rapl": True, "cpu_model": False, "dram_model": False,
    }  # fmt: skip
    assert all(meter["read_us"] > 0 for meter in found["meters"])
    assert found["sampling"]["late_ms"]["median"] >= 0
    assert main(["doctor"]) == 0
    assert "spare" in capsys.readouterr().out


def test_doctor_tells_what_is_known_of_the_cpus_and_where_runs_keep_what_they_learn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOULEGRAM_HOST", "alpha")
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["profile"] == {"learned_in": str(learned_file()), "own": None}
    cpus = cpus_of()
    keep(Profile("alpha", cpus.name, cpus.threads, 12, 55, "learned from a run", "2026-01-01", (0.0, 0.6)))
    assert main(["doctor"]) == 0
    assert "12 to 55 W (learned from a run)" in " ".join(capsys.readouterr().out.split())


def test_doctor_names_the_users_own_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.toml"
    monkeypatch.setenv("JOULEGRAM_CONFIG", str(own))
    assert main(["doctor"]) == 0
    assert "(not there yet)" in " ".join(capsys.readouterr().out.split())
    own.write_text('zone = "DK"\n')
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["configuration"] == {"file": str(own), "exists": True}


def test_doctor_fails_where_nothing_would_be_recorded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOULEGRAM_METERS", "http")
    assert main(["doctor"]) == 1
    assert "no address is configured" in capsys.readouterr().out


def test_runs_are_filtered_and_cut(capsys: pytest.CaptureFixture[str]) -> None:
    record("one", project="a")
    record("two", project="b")
    record("three", project="b")
    assert main(["runs", "--project", "b", "-n", "1", "--json"]) == 0
    names = [entry["run"]["name"] for entry in json.loads(capsys.readouterr().out)["runs"]]
    assert names == ["three"]


def test_report_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record()
    page = tmp_path / "page.html"
    assert main(["report", "--html", str(page)]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    assert page.read_text().startswith("<!doctype html>") or "<html" in page.read_text()[:500]


def test_a_reported_run_is_sealed_and_reported_alike(capsys: pytest.CaptureFixture[str]) -> None:
    run = record()
    assert main(["report", run.id, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert run.ledger is not None
    assert [path.suffix for path in (run.ledger / run.id).iterdir() if path.name != "summary.json"] == [".parquet"]
    assert main(["report", run.id[:-1], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == first


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report"], "there are no runs yet in"),
        (["report", "nosuch"], "there is no run 'nosuch' in"),
        (["runs", "--ledger", "s3://bucket"], "a ledger is a folder"),
        (["merge", "/no/such/folder"], "joulegram: /no/such/folder: No such file or directory"),
        (["run", "--pue", "half", "--", "true"], "pue"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_in_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("joulegram: ")
    assert said in lines[0]


def test_a_misspelt_variable_is_told_with_the_right_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOULEGRAM_PEU", "1.2")
    assert main(["doctor"]) == 2
    assert "did you mean JOULEGRAM_PUE?" in capsys.readouterr().err


def test_zones_finds_by_code_and_name_and_says_what_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zones", "denm"]) == 0
    assert "DK" in capsys.readouterr().out
    assert main(["zones", "atlantis"]) == 1
    assert "no zone matches 'atlantis'" in capsys.readouterr().err


def test_seal_and_merge_say_what_they_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record()
    assert main(["seal"]) == 0
    assert capsys.readouterr().out == "1 journal sealed\n"
    ledger = str(joulegram.open_ledger().path)
    assert main(["merge", ledger, "--ledger", str(tmp_path / "other")]) == 0
    assert capsys.readouterr().out == f"{ledger}: 1 run joined\n"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    for _ in range(3):
        record()
    whole = [sys.executable, "-m", "joulegram", "runs", "--json"]
    process = subprocess.Popen(whole, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    _, said = process.communicate(timeout=60) if process.stdout is None else ("", process.stderr.read())  # type: ignore[union-attr]
    assert "Traceback" not in said
