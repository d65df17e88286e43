"""The command among other programs: exit codes, signals, pipes, broken input and broken ledgers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from worlds import until

import joulegram
from joulegram.cli import main

JOULEGRAM = (sys.executable, "-m", "joulegram")


def command(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """The command as a user calls it."""
    return subprocess.run([*JOULEGRAM, *arguments], capture_output=True, text=True, timeout=120, check=False, **more)


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """A line of shell, in which `joulegram` is the command."""
    line = line.replace("joulegram", " ".join(JOULEGRAM))
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, check=False)


def record(name: str = "net", **attributes: Any) -> joulegram.Run:
    """A run that is over."""
    with joulegram.track(name, attributes=attributes) as run, run.span("epoch", index=0):
        sum(range(300_000))
    return run


def kept(name: str | None = None) -> Any:
    (run,) = [run for run in joulegram.open_ledger().runs() if name in (None, run.name)]
    return run


# -- running commands -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["no permission", "a folder", "no program"])
def test_what_cannot_be_run_is_told_as_a_shell_does(tmp_path: Path, kind: str) -> None:
    program = tmp_path / "program"
    if kind == "a folder":
        program.mkdir()
    else:
        program.write_text("no interpreter is named here")
        program.chmod(0o755 if kind == "no program" else 0o644)
    done = command("run", "--", str(program))
    assert done.returncode == 126
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"joulegram: {program}: ")
    assert kept().status == "failed"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGSEGV], ids=lambda number: number.name)
def test_a_command_that_a_signal_ended_gives_its_code(number: signal.Signals) -> None:
    done = command("run", "--name", "victim", "--", "bash", "-c", f"kill -{number.value} $$")
    assert done.returncode == 128 + number
    assert kept().status == ("interrupted" if number == signal.SIGINT else "failed")
    assert kept().attributes["exit_code"] == 128 + number


def test_control_c_reaches_the_command_and_the_run_is_kept() -> None:
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: (print('cleaned up', flush=True), sys.exit(7)))\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(0.05)\n"
    )
    process = subprocess.Popen(
        [*JOULEGRAM, "run", "--", sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said, noted = process.communicate(timeout=60)
    assert (process.returncode, said) == (7, "cleaned up\n")
    assert "Traceback" not in noted
    assert kept().attributes["exit_code"] == 7


def test_input_and_output_pass_through_untouched() -> None:
    done = command("run", "--", "cat", input="a\nb\n")
    assert (done.returncode, done.stdout) == (0, "a\nb\n")
    assert len(done.stderr.splitlines()) == 1


def test_the_commands_own_options_are_its_own() -> None:
    show = (sys.executable, "-c", "import sys; print(sys.argv)")
    done = command("run", "--name", "n", "--", *show, "--name", "--", "-h")
    assert done.stdout.strip() == "['-c', '--name', '--', '-h']"
    assert kept().name == "n"
    again = command("run", *show, "--json")
    assert again.stdout.strip() == "['-c', '--json']"


def test_disabled_the_command_runs_and_nothing_is_said_or_kept() -> None:
    done = command("run", "--", "bash", "-c", "echo hi; exit 4", env={**os.environ, "JOULEGRAM_DISABLED": "1"})
    assert (done.returncode, done.stdout, done.stderr) == (4, "hi\n", "")
    assert list(joulegram.open_ledger().runs()) == []


def test_a_command_inside_a_command_is_one_run() -> None:
    done = shell("joulegram run --name outer -- joulegram run --name inner -- bash -c 'exit 5'")
    assert done.returncode == 5
    run = kept()
    assert (run.name, run.status) == ("outer", "failed")
    (part,) = run.spans("track")
    assert (part.name, part.attributes["exit_code"], part.attributes["status"]) == ("inner", 5, "failed")


def test_a_wrapped_script_that_tracks_itself_is_not_counted_twice(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import time, joulegram\n"
        "def burn(seconds):\n"
        "    end = time.process_time() + seconds\n"
        "    while time.process_time() < end: sum(range(1000))\n"
        "for part in range(2):\n"
        "    with joulegram.track(f'part {part}', project='own') as run:\n"
        "        burn(0.7)\n"
    )
    done = command("run", "--name", "wrapped", "--", sys.executable, str(script))
    assert done.returncode == 0, done.stderr
    run = kept()
    assert (run.name, run.project, run.ranks) == ("wrapped", None, 1)
    assert {span.name for span in run.spans("track")} == {"part 0", "part 1"}
    own = [float(recording.content.curves["own_s"].total) for recording in run.stored.recordings]
    assert len(own) == 3
    assert own[0] < 1.2  # imports and the like, and neither part's 0.7 s
    assert all(seconds >= 0.6 for seconds in own[1:])
    footprint = run.footprint()
    assert footprint.energy_j.value <= footprint.node_energy_j.value * (1 + 1e-9)


def test_a_ledger_that_cannot_be_written_costs_the_command_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = command("run", "--ledger", str(tmp_path / "file" / "ledger"), "--", "bash", "-c", "echo hi; exit 6")
    assert (done.returncode, done.stdout) == (6, "hi\n")
    assert "the journal cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["runs", "--nonsense"],
        ["runs", "-n", "many"],
        ["runs", "-n", "-1"],
        ["report", "one", "two"],
        ["merge"],
        ["run", "--bogus", "--", "true"],
        ["run", "--name"],
        ["seal", "nosuch"],
        ["report", "../../etc"],
        ["doctor", "--ledger", "http://example.com/x"],
        ["run", "--ledger", "s3://b", "--", "true"],
    ],
    ids=" ".join,
)
def test_a_mistake_is_told_in_one_line_without_a_traceback(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(arguments)
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert shown.err.startswith("joulegram: ")


def test_a_broken_configuration_file_is_told_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.toml").write_text("zone = [")
    monkeypatch.setenv("JOULEGRAM_CONFIG", str(tmp_path / "config.toml"))
    assert main(["runs"]) == 2
    assert str(tmp_path / "config.toml") in capsys.readouterr().err


def test_help_and_version_are_no_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--version"], ["--help"], ["run", "--help"]):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 0
    assert joulegram.__version__ in capsys.readouterr().out


# -- broken ledgers ---------------------------------------------------------------------------------------------------


@pytest.fixture
def damaged() -> str:
    """A ledger with one good run and one that cannot be read; the id of the latter."""
    good, bad = record("good"), record("bad")
    ledger = joulegram.open_ledger()
    ledger.seal(bad.id)
    for path in (ledger.path / bad.id).iterdir():
        if path.suffix == ".parquet":
            path.write_bytes(b"PAR1 rubbish PAR1")
    assert good.id != bad.id
    return bad.id


def test_a_run_that_cannot_be_read_is_listed_as_such_and_hides_none(
    damaged: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs"]) == 0
    table = capsys.readouterr().out
    assert "unreadable" in table
    assert "good" in table
    assert main(["runs", "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [entry["run"]["status"] for entry in runs] == ["finished", "unreadable"]
    assert runs[0]["run"].keys() <= runs[1]["run"].keys() | {"parent", "enclosing_run"}
    assert "damaged" in runs[1]["run"]["error"]
    assert main(["report"]) == 0
    assert "good" in capsys.readouterr().out


def test_a_report_of_a_run_that_cannot_be_read_says_why(damaged: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", damaged]) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1
    assert "is damaged" in shown.err


def test_sealing_all_runs_goes_on_past_a_bad_one(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [record(name) for name in ("one", "two", "three")]
    folder = joulegram.open_ledger().path / runs[1].id
    (path,) = folder.glob("*.journal")
    path.with_suffix(".parquet").mkdir()  # nobody can put a file there
    assert main(["seal"]) in (0, 2)
    capsys.readouterr()
    sealed = [list((folder.parent / run.id).glob("*.journal")) == [] for run in runs]
    assert sealed == [True, False, True]


def test_what_is_no_number_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    run = record("diverged", loss=float("nan"), best=float("-inf"))
    assert main(["report", run.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"]["attributes"] == {"loss": "nan", "best": "-inf"}
    assert main(["report", run.id]) == 0
    assert main(["runs", "--json"]) == 0


def test_runs_do_not_read_again_what_is_sealed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record()
    assert main(["runs"]) == 0
    first = capsys.readouterr().out
    assert not list(joulegram.open_ledger().path.glob("*/*.journal"))

    def unneeded(path: Path) -> Any:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("joulegram.ledger.stored.read_sealed", unneeded)
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == first


# -- pipes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["runs --json", "runs", "report", "report --json", "doctor", "zones"])
def test_a_reader_that_has_seen_enough_is_no_error(verb: str) -> None:
    record()
    done = shell(f"set -o pipefail; joulegram {verb} | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}")
    assert done.stdout.strip() in ("0", "1", "141")
    assert done.stderr == ""


def test_the_page_goes_where_it_is_told_and_a_bad_place_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record()
    page = tmp_path / "new" / "folder" / "page.html"
    assert main(["report", "--html", str(page)]) == 0
    assert page.stat().st_size > 1000
    capsys.readouterr()
    assert main(["report", "--html", str(page / "below" / "page.html")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_run_is_shown_while_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with joulegram.track("live") as run:
        run.span("epoch", index=0).open()
        run._live().flush_soon()  # type: ignore[union-attr]
        until(joulegram.open_ledger().files.run_ids, "first write")
        assert main(["report"]) == 0
        assert "running" in capsys.readouterr().out
        assert main(["runs", "--status", "running", "--json"]) == 0
        (listed,) = json.loads(capsys.readouterr().out)["runs"]
        assert listed["run"]["id"] == run.id
        assert main(["seal"]) == 0
        assert capsys.readouterr().out == "0 journals sealed\n"
