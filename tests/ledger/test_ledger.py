"""Runs on disk: torn, cut off, sealed twice, many, and how each of them stands."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

import joulegram
from joulegram.extras import MissingExtra
from joulegram.host.clock import Clock
from joulegram.ledger import sealed as sealing
from joulegram.ledger.journal import read_journal
from joulegram.ledger.sealed import read_sealed, same_content, seal_journal
from joulegram.records import Anchor, Header, Heartbeat, from_line
from joulegram.session.recorded import RecordedRun, summarise
from joulegram.units import NS_PER_S


def record(name: str = "run", **given: Any) -> joulegram.Run:
    """A run that is over."""
    with joulegram.track(name, **given) as run, run.span("epoch", index=0):
        sum(range(300_000))
    return run


def journal_of(run: joulegram.Run) -> Path:
    """A run's one journal."""
    assert run.ledger is not None
    (path,) = (run.ledger / run.id).glob("*.journal")
    return path


def heartbeat_only(ledger: Path, run_id: str, *, host: str, heard_s: float) -> None:
    """A run of another host that was last heard of at a wall time."""
    anchor = Anchor(1, 1, int(heard_s * NS_PER_S))
    header = Header(run_id, "far", None, "train", None, host, "boot", 1, "1", 0, 1, anchor)
    (ledger / run_id).mkdir(parents=True)
    (ledger / run_id / f"{host}-0-1.journal").write_text(f"{header.to_line()}\n{Heartbeat(anchor).to_line()}\n")


def test_a_journal_torn_at_any_byte_of_its_last_lines_reads_up_to_the_line_before(tmp_path: Path) -> None:
    whole = journal_of(record()).read_bytes()
    lines = whole.splitlines(keepends=True)
    start = len(whole) - len(lines[-1]) - len(lines[-2])
    torn = tmp_path / "torn.journal"
    for size in range(start, len(whole)):
        torn.write_bytes(whole[:size])
        content = read_journal(torn)
        assert content is not None
        assert content.header.name == "run"
        complete = sum(from_line(line) is not None for line in whole[:size].splitlines())
        assert (content.end is not None) == (complete == len(lines))


def test_a_journal_without_even_a_header_is_no_run_and_hides_no_other() -> None:
    run = record()
    assert run.ledger is not None
    (run.ledger / "empty").mkdir()
    (run.ledger / "torn").mkdir()
    (run.ledger / "torn" / "vm-0-1.journal").write_text('{"is":"hea')
    ledger = joulegram.open_ledger()
    assert [kept.id for kept in ledger.runs()] == [run.id]
    with pytest.raises(joulegram.UnknownRun, match="cut off"):
        ledger.run("torn")


def test_runs_come_newest_first_and_are_found_by_the_beginning_of_their_id() -> None:
    first, second = record("first", project="a"), record("second", project="b")
    ledger = joulegram.open_ledger()
    assert [run.name for run in ledger.runs()] == ["second", "first"]
    assert [run.name for run in ledger.runs(project="a")] == ["first"]
    assert ledger.run(first.id[:-2]).id == first.id
    assert ledger.latest().id == second.id
    with pytest.raises(joulegram.UnknownRun, match="2 runs begin"):
        ledger.run(first.id[:4])
    with pytest.raises(joulegram.UnknownRun, match="no run 'nosuch'"):
        ledger.run("nosuch")


def test_an_empty_ledger_says_so(tmp_path: Path) -> None:
    ledger = joulegram.open_ledger(tmp_path / "never-made")
    assert list(ledger.runs()) == []
    with pytest.raises(joulegram.UnknownRun, match="no runs yet"):
        ledger.latest()


def test_a_listings_summary_equals_the_full_reading() -> None:
    run = record(zone="DK")
    ledger = joulegram.open_ledger()
    (quick,) = ledger.summaries()
    full = summarise(ledger.run(run.id).stored)
    assert quick.footprint == full.footprint
    assert {key: full.run[key] for key in quick.run} == dict(quick.run)


def test_a_kept_summary_is_made_again_when_the_runs_files_change() -> None:
    run = record(zone="DK")
    ledger = joulegram.open_ledger()
    kept = ledger.run(run.id)
    kept.reprice(reason="a second look", zone="FR")
    (repriced,) = ledger.summaries()
    (again,) = ledger.summaries()
    assert (ledger.path / run.id / "summary.json").exists()
    grams = ledger.run(run.id).footprint().carbon_g.value
    assert repriced.footprint["carbon_g"]["value"] == again.footprint["carbon_g"]["value"] == grams
    ledger.run(run.id).reprice(reason="a third", zone="PL")
    (third,) = ledger.summaries()
    assert third.footprint["carbon_g"]["value"] > 3 * again.footprint["carbon_g"]["value"]


def test_two_sealers_at_once_leave_one_sealed_file_and_no_other_trace() -> None:
    run = record()
    path = journal_of(run)
    before = read_journal(path)
    assert before is not None
    ready = threading.Barrier(2)

    def seal() -> None:
        ready.wait()
        seal_journal(path)

    threads = [threading.Thread(target=seal) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.suffix for entry in path.parent.iterdir() if entry.name != "summary.json"] == [".parquet"]
    assert same_content(before, read_sealed(path.with_suffix(".parquet")))


def test_a_crash_between_renaming_and_removing_counts_nothing_twice() -> None:
    run = record()
    path = journal_of(run)
    copy = path.read_bytes()
    seal_journal(path)
    path.write_bytes(copy)
    kept = joulegram.open_ledger().run(run.id)
    assert len(kept.stored.recordings) == 1
    assert kept.footprint().energy_j == run.footprint().energy_j


def test_a_seal_that_does_not_read_back_keeps_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    path = journal_of(record())
    monkeypatch.setattr(sealing, "same_content", lambda *_: False)
    with pytest.raises(OSError, match="the journal is kept"):
        seal_journal(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_without_pyarrow_a_sealed_run_names_the_extra_and_others_are_still_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sealed, other = record("sealed"), record("other")
    ledger = joulegram.open_ledger()
    ledger.seal(sealed.id)

    def absent() -> Any:
        raise MissingExtra('sealed runs need pyarrow: pip install "joulegram[parquet]"')

    monkeypatch.setattr(sealing, "_pyarrow", absent)
    with pytest.raises(MissingExtra, match=r"joulegram\[parquet\]"):
        ledger.run(sealed.id)
    assert {summary.run["name"] for summary in ledger.summaries()} == {"sealed", "other"}
    assert ledger.run(other.id).status == "finished"


def test_a_run_still_recording_is_not_sealed() -> None:
    with joulegram.track("live") as run:
        run.span("epoch", index=0).open().close()
        recorder = run._live()
        assert recorder is not None
        ledger = joulegram.open_ledger()
        deadline = threading.Event()
        for _ in range(600):
            if ledger.files.run_ids():
                break
            deadline.wait(0.05)
        assert ledger.run(run.id).status == "running"
        assert ledger.seal(run.id) == 0
    assert ledger.run(run.id).status == "finished"


@pytest.mark.parametrize(("silence_s", "status"), [(5, "running"), (61, "lost")])
def test_a_run_of_another_host_lives_as_long_as_it_is_heard_of(tmp_path: Path, silence_s: float, status: str) -> None:
    now_s = Clock().anchor().wall_ns / NS_PER_S
    heartbeat_only(tmp_path / "ledger", "far-run", host="elsewhere", heard_s=now_s - silence_s)
    (run,) = joulegram.open_ledger().runs()
    assert (run.status, run.hosts) == (status, ["elsewhere"])
    assert run.footprint().energy_j.method == "missing"


def test_one_rank_that_failed_makes_the_run_a_failed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEGRAM_RUN", "job")
    for rank, error in enumerate((None, RuntimeError("mine"))):
        monkeypatch.setenv("RANK", str(rank))
        run = joulegram.start("ranks")
        run.close("finished" if error is None else "failed", error)
    (kept,) = joulegram.open_ledger().runs()
    assert (kept.status, kept.ranks) == ("failed", 2)


def test_a_copied_journal_counts_its_device_once(tmp_path: Path) -> None:
    run = record()
    path = journal_of(run)
    text = path.read_text().replace('"rank":0', '"rank":1', 1)
    path.with_name("vm-1-99999.journal").write_text(text)
    (kept,) = joulegram.open_ledger().runs()
    node = kept.footprint().node_energy_j.value
    assert node == pytest.approx(run.footprint().node_energy_j.value, rel=1e-9)
    assert kept.footprint().energy_j.value <= node * (1 + 1e-9)


def test_merge_takes_the_longer_of_two_journals_and_removes_nothing(tmp_path: Path) -> None:
    run = record()
    assert run.ledger is not None
    other = tmp_path / "other"
    shutil.copytree(run.ledger, other)
    path = journal_of(run)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    ledger = joulegram.open_ledger()
    assert ledger.merge(other / run.id) == [run.id]
    assert path.read_bytes() == whole
    assert isinstance(ledger.run(run.id), RecordedRun)
    assert (other / run.id / path.name).read_bytes() == whole


def test_a_document_is_plain_json_with_the_agreed_keys() -> None:
    document = joulegram.open_ledger().run(record(zone="DK").id).document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["schema_version"] == 1
    assert {"id", "name", "project", "stage", "status", "zone", "started", "duration_s", "hosts", "ranks"} <= set(
        document["run"]
    )
    assert {"value", "low", "high", "method"} <= set(document["footprint"]["energy_j"])
    assert {"flops", "node_energy_j", "facility_energy_j", "carbon_g", "carbon", "coverage"} <= set(
        document["footprint"]
    )
    assert {"id", "kind", "method", "energy_j", "node_energy_j"} <= set(document["channels"][0])
    assert {"id", "parent", "kind", "name", "index", "start_s", "duration_s", "attributes", "footprint"} <= set(
        document["spans"][0]
    )
