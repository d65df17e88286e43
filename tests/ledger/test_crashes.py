"""What a crash, a full disk or another writer leaves behind: nothing recorded earlier is lost, nothing counts twice."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds import Counter, OwnedClock, StillRecorder, journal, price, recorder, until

import joulegram
from joulegram.ledger import ledger as ledgers
from joulegram.ledger import sealed as sealing
from joulegram.ledger import stored as storing
from joulegram.ledger.journal import read_journal
from joulegram.ledger.ledger import Ledger
from joulegram.ledger.sealed import read_sealed, same_content, seal_journal
from joulegram.ledger.stored import write_price
from joulegram.ledger.writer import JournalWriter, free_path
from joulegram.records import Heartbeat, SpanRecord, Status
from joulegram.session.recorded import RecordedRun, summarise

DAY_S = 86_400.0


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "ledger"


def record(
    place: Path, clock: OwnedClock, seconds: float = 10.0, power_w: float = 100.0, stop: bool = True, **who: Any
) -> StillRecorder:
    """A recording with two epochs and phases."""
    whose = {name: who[name] for name in ("run", "rank", "pid") if name in who}
    channel = who.pop("channel", "gpu:A")
    made = recorder(clock, journal(place, clock, **whose), Counter(clock, power_w, (channel,)), **who)
    made.say(price())
    for name in ("first", "second"):
        made.phase(clock.monotonic_ns(), "forward")
        span = made.begin(name)
        made.run_for(seconds / 2)
        made.finish(span)
        made.phase(clock.monotonic_ns(), "other")
        made.flush()
    if stop:
        made.stop()
    return made


def read(place: Path, clock: OwnedClock, run: str = "run-1") -> RecordedRun:
    """A run, read on a host of the world."""
    return RecordedRun(Ledger(place, clock).read(run))


def joules(run: RecordedRun) -> float:
    value = run.footprint().energy_j.value
    assert value is not None
    return value


def files(place: Path, run: str = "run-1") -> list[str]:
    return sorted(path.name for path in (place / run).iterdir() if path.name != "summary.json")


# -- torn and cut off -------------------------------------------------------------------------------------------------


def test_whatever_is_torn_off_the_end_all_before_it_is_whole(place: Path) -> None:
    clock = OwnedClock()
    record(place, clock)
    path = place / "run-1" / "alpha-0-1.journal"
    whole = path.read_bytes()
    complete = read_journal(path)
    assert complete is not None
    last_lines = b"".join(whole.splitlines(keepends=True)[-4:])
    energies = set()
    for cut in range(len(whole) - len(last_lines), len(whole)):
        path.write_bytes(whole[:cut])
        content = read_journal(path)
        assert content is not None
        for name, curve in content.curves.items():
            part = complete.curves[name]
            inside = curve.times_ns[curve.times_ns <= part.end_ns]
            assert np.allclose(curve.at(inside), part.at(inside), rtol=0, atol=10.1)  # ε: 0.1 s at 100 W
        if cut % 7:
            continue
        run = read(place, clock)
        energies.add(round(joules(run), 6))
        assert run.status == ("lost" if content.end is None else "finished")
    assert max(energies) == pytest.approx(1000)
    assert min(energies) >= 490


@pytest.mark.parametrize("rubbish", [b"\0" * 4096, b"\xff\xfe\n", b'{"is":"span"}\n', b'{"is":"knots","base_ns":0}\n'])
def test_rubbish_at_the_end_of_a_journal_is_no_record(place: Path, rubbish: bytes) -> None:
    clock = OwnedClock()
    record(place, clock)
    path = place / "run-1" / "alpha-0-1.journal"
    before = read_journal(path)
    path.write_bytes(path.read_bytes() + rubbish)
    after = read_journal(path)
    assert before is not None
    assert same_content(before, after)


def test_a_killed_process_is_lost_and_its_open_span_ends_with_its_last_sign_of_life(place: Path) -> None:
    clock = OwnedClock()
    made = record(place, clock, stop=False, pid=2**22 - 1)
    made.begin("open")
    made.run_for(3)
    made.flush()
    made.run_for(100)  # never written
    run = read(place, clock)
    assert run.status == "lost"
    assert run.duration_s == pytest.approx(13)
    assert joules(run) == pytest.approx(1300, rel=0.02)
    third = run.spans()[-1]
    assert (third.name, third.duration_s) == ("open", pytest.approx(3))
    assert third.footprint.energy_j.value == pytest.approx(300, rel=0.05)


def test_a_killed_program_leaves_all_that_was_flushed() -> None:
    program = (
        "import joulegram, itertools\n"
        "run = joulegram.start('victim', zone='DK')\n"
        "for index in itertools.count():\n"
        "    with run.span('epoch', index=index): sum(range(200_000))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    ledger = joulegram.open_ledger()
    seen = until(lambda: [run for run in ledger.runs() if len(run.spans("epoch")) > 5], "flushed epochs")[0]
    before = [(span.index, span.duration_s) for span in seen.spans("epoch") if span.attributes == {}][:5]
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = ledger.latest()
    assert run.status == "lost"
    assert [(span.index, span.duration_s) for span in run.spans("epoch")][:5] == before
    (listed,) = ledger.summaries()
    assert listed.run["status"] == "lost"


# -- writing ----------------------------------------------------------------------------------------------------------


def span(name: str) -> SpanRecord:
    return SpanRecord(name, None, "epoch", name, None, 0, 1)


def names(path: Path) -> list[str]:
    return [json.loads(line)["name"] for line in path.read_text().splitlines() if line]


@pytest.mark.parametrize("failing", ["write", "fsync"])
def test_a_batch_that_a_full_disk_took_half_of_is_taken_back(
    tmp_path: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path / "run" / "a.journal")
    writer.write([span("one")])
    real_write = os.write

    def half(file: int, data: Any) -> int:
        if len(data) < 60:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(file, bytes(data)[: len(data) // 2])

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, half if failing == "write" else full)
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            writer.write([span("two"), span("three")])
    assert names(writer.path) == ["one"]
    monkeypatch.undo()
    writer.write([span("two"), span("three")])
    writer.close()
    assert names(writer.path) == ["one", "two", "three"]


def test_a_disk_that_comes_back_is_written_to_by_a_fresh_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path / "run" / "a.journal")
    writer.write([span("one")])
    monkeypatch.setattr(os, "fsync", stale)
    with pytest.raises(OSError, match="Stale"):
        writer.write([span("two")])
    monkeypatch.undo()
    opened: list[Any] = []
    real_open = os.open
    monkeypatch.setattr(os, "open", lambda *given, **more: opened.append(given[0]) or real_open(*given, **more))
    assert not writer.removed()
    writer.write([span("two")])
    writer.write([span("three")])
    assert opened == [writer.path]
    assert names(writer.path) == ["one", "two", "three"]


def stale(file: int) -> None:
    raise OSError(errno.ESTALE, "Stale file handle")


def test_a_torn_end_of_an_earlier_writer_costs_no_line_after_it(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_text('{"is":"span","na')
    writer = JournalWriter(path)
    writer.write([span("one")])
    assert path.read_text().splitlines()[1:] == [span("one").to_line()]


def test_a_writer_knows_that_its_file_was_removed(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "run" / "a.journal")
    assert not writer.removed()
    writer.write([span("one")])
    assert not writer.removed()
    writer.path.unlink()
    assert writer.removed()
    writer.write([span("two")])
    assert not writer.removed()
    assert names(writer.path) == ["two"]
    writer.close()
    writer.path.unlink()
    assert writer.removed()


def test_no_journal_takes_the_name_of_another_sealed_or_not(tmp_path: Path) -> None:
    assert free_path(tmp_path / "new", "h-0-1").name == "h-0-1.journal"
    (tmp_path / "h-0-1.parquet").touch()
    (tmp_path / "h-0-1.1.journal").touch()
    assert free_path(tmp_path, "h-0-1").name == "h-0-1.2.journal"


def test_a_reader_sees_whole_lines_while_another_process_writes(place: Path) -> None:
    clock, done = OwnedClock(), threading.Event()
    made = recorder(clock, journal(place, clock), Counter(clock))
    made.flush()
    failures: list[Any] = []

    def keep_reading() -> None:
        while not done.is_set():
            try:
                read(place, clock).footprint()
            except Exception as error:
                failures.append(error)

    reader = threading.Thread(target=keep_reading)
    reader.start()
    for number in range(60):
        made.finish(made.begin(f"epoch {number}"))
        made.run_for(0.5)
        made.flush()
    done.set()
    reader.join()
    assert failures == []


# -- several recorders ------------------------------------------------------------------------------------------------


def test_two_processes_in_one_ledger_keep_out_of_each_others_way() -> None:
    program = "import joulegram\nwith joulegram.track('one') as run, run.span('epoch'): sum(range(500_000))"
    processes = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4
    runs = list(joulegram.open_ledger().runs())
    assert len({run.id for run in runs}) == 4
    assert [run.status for run in runs] == ["finished"] * 4


def test_hosts_boots_and_ranks_of_one_run_are_put_on_one_clock(place: Path) -> None:
    alpha, beta = OwnedClock("alpha", mono_s=100), OwnedClock("beta", mono_s=90_000)
    record(place, alpha, power_w=100)
    record(place, beta, power_w=50, rank=1)
    alpha_again = OwnedClock("alpha", boot="second-boot", mono_s=5, wall_s=1.8e9 + 60)
    record(place, alpha_again, power_w=200, pid=2)
    run = read(place, alpha_again)
    assert (run.hosts, run.ranks, run.status) == (["alpha", "beta"], 2, "finished")
    assert joules(run) == pytest.approx(1000 + 500 + 2000, rel=1e-9)
    assert run.duration_s == pytest.approx(70)
    assert {channel.id: channel.energy_j.value for channel in run.footprint().channels} == {
        "alpha/gpu:A": pytest.approx(3000),
        "beta/gpu:A": pytest.approx(500),
    }
    assert [(s.name, s.start_s) for s in run.spans()] == [
        ("first", 0),
        ("second", 5),
        ("first", pytest.approx(60)),
        ("second", pytest.approx(65)),
    ]
    # An epoch of rank 0 counts what rank 1 used meanwhile.
    assert run.spans()[0].footprint.energy_j.value == pytest.approx(500 + 250)
    assert run.spans()[2].footprint.energy_j.value == pytest.approx(1000)


def test_a_device_that_two_ranks_recorded_counts_once(place: Path) -> None:
    clock = OwnedClock()
    first = recorder(clock, journal(place, clock), Counter(clock, 100))
    second = recorder(clock, journal(place, clock, rank=1, pid=2), Counter(clock, 100), rank=1, pid=2)
    for _ in range(100):
        first.run_for(0.05)
        second.sampler.tick(everything=True)
    second.stop()
    first.run_for(5)
    first.stop()
    run = read(place, clock)
    assert joules(run) == pytest.approx(1000, rel=1e-9)
    assert len(run.footprint().channels) == 1


def test_a_childs_span_costs_what_its_own_process_recorded(place: Path) -> None:
    clock = OwnedClock()
    parent = recorder(clock, journal(place, clock), Counter(clock, 100, ("gpu:A",)))
    child = recorder(clock, journal(place, clock, pid=2), Counter(clock, 30, ("gpu:B",)), pid=2, joined_pid=1)
    grandchild = recorder(clock, journal(place, clock, pid=3), Counter(clock, 7, ("gpu:C",)), pid=3, joined_pid=2)
    inner = child.begin("inner")
    for _ in range(200):
        clock.advance(0.05)
        for made in (parent, child, grandchild):
            made.sampler.tick(everything=True)
    child.finish(inner)
    for made in (grandchild, child, parent):
        made.stop()
    run = read(place, clock)
    assert joules(run) == pytest.approx(1370)
    (span_read,) = run.spans()
    assert span_read.footprint.energy_j.value == pytest.approx(370)
    assert run.status == "finished"


@pytest.mark.parametrize(
    ("endings", "status"),
    [
        (("finished", "finished"), "finished"),
        (("finished", "failed"), "failed"),
        (("interrupted", "finished"), "interrupted"),
        (("failed", "interrupted"), "failed"),
        (("finished", None), "lost"),
        (("failed", None), "failed"),
    ],
    ids=str,
)
def test_a_run_stands_as_the_gravest_of_its_ranks(
    place: Path, endings: tuple[Status | None, ...], status: Status
) -> None:
    clock = OwnedClock()
    for rank, ending in enumerate(endings):
        made = recorder(clock, journal(place, clock, rank=rank, pid=2**22 - 9 + rank), rank=rank, pid=2**22 - 9 + rank)
        made.flush()
        if ending is not None:
            made.stop(ending)
    assert read(place, clock).status == status


def test_a_child_that_was_killed_does_not_make_its_run_a_lost_one(place: Path) -> None:
    clock = OwnedClock()
    record(place, clock)
    child = recorder(clock, journal(place, clock, pid=2), pid=2**22 - 1, joined_pid=1)
    child.flush()
    assert read(place, clock).status == "finished"


@pytest.mark.parametrize(("silent_s", "status"), [(30, "running"), (59, "running"), (61, "lost"), (DAY_S, "lost")])
def test_another_hosts_run_is_lost_when_it_is_not_heard_of_for_a_minute(
    place: Path, silent_s: float, status: str
) -> None:
    there, here = OwnedClock("there"), OwnedClock("here", mono_s=7)
    made = recorder(there, journal(place, there))
    made.run_for(10)
    made.flush()
    here.advance(10 + silent_s)
    assert read(place, here).status == status


def test_after_a_reboot_a_run_is_lost_though_another_process_has_its_number(place: Path) -> None:
    before, after = OwnedClock(boot="one"), OwnedClock(boot="two", mono_s=3, wall_s=1.8e9 + 600)
    made = recorder(before, journal(place, before, pid=os.getpid()), pid=os.getpid())
    made.flush()
    assert read(place, after).status == "lost"


# -- sealing ----------------------------------------------------------------------------------------------------------


def test_a_sealed_run_reads_as_the_journal_did(place: Path) -> None:
    clock = OwnedClock()
    made = record(place, clock, stop=False)
    clock.suspend(30)
    made.run_for(3)
    clock.set_wall(-3600)
    made.run_for(3)
    made.note("warning", "look: é, 漢, \U0001f331")
    made.stop("failed")
    before = read(place, clock).document()
    ledger = Ledger(place, clock)
    assert ledger.seal("run-1", summarise) == 1
    assert files(place) == ["alpha-0-1.parquet"]
    after = read(place, clock).document()
    assert json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    assert ledger.seal("run-1", summarise) == 0


def test_a_run_without_any_channel_can_be_sealed(place: Path) -> None:
    clock = OwnedClock()
    made = recorder(clock, journal(place, clock))
    made.say(price())
    made.stop()
    before = read(place, clock).document()
    assert Ledger(place, clock).seal("run-1", summarise) == 1
    assert read(place, clock).document() == before


def test_sealing_finishes_what_a_sealer_that_was_cut_off_began(place: Path) -> None:
    clock = OwnedClock()
    record(place, clock)
    path = place / "run-1" / "alpha-0-1.journal"
    copy = path.read_bytes()
    seal_journal(path)
    path.write_bytes(copy)
    (path.parent / ".alpha-0-1.parquet.99-abc").write_bytes(b"half")
    before = joules(read(place, clock))
    Ledger(place, clock).seal("run-1", summarise)
    assert [name for name in files(place) if not name.startswith(".")] == ["alpha-0-1.parquet"]
    assert joules(read(place, clock)) == before


def test_a_journal_is_never_sealed_over_something_else(place: Path) -> None:
    clock = OwnedClock()
    record(place, clock)
    path = place / "run-1" / "alpha-0-1.journal"
    copy = path.read_text()
    sealed = seal_journal(path)
    assert sealed is not None
    path.write_text(copy.replace('"first"', '"other"'))
    with pytest.raises(OSError, match="something else"):
        seal_journal(path)
    assert path.exists()
    content = read_sealed(sealed)
    assert content is not None
    assert content.spans[0].name == "first"


@pytest.mark.parametrize("moment", ["write", "verify", "rename"])
def test_a_sealer_that_fails_at_any_moment_leaves_the_journal(
    place: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = OwnedClock()
    record(place, clock)
    whole = (place / "run-1" / "alpha-0-1.journal").read_bytes()

    def fail(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    if moment == "rename":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(sealing, {"write": "_write", "verify": "read_sealed"}[moment], fail)
    with pytest.raises(OSError, match="No space left"):
        seal_journal(place / "run-1" / "alpha-0-1.journal")
    monkeypatch.undo()
    assert files(place) == ["alpha-0-1.journal"]
    assert (place / "run-1" / "alpha-0-1.journal").read_bytes() == whole


def test_sealers_in_several_processes_leave_one_file(place: Path) -> None:
    clock = OwnedClock()
    record(place, clock, seconds=60)
    before = read(place, clock).document()
    program = (
        "import sys, pathlib\n"
        "from joulegram.ledger.sealed import seal_journal\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"seal_journal(pathlib.Path({str(place / 'run-1' / 'alpha-0-1.journal')!r}))\n"
    )
    sealers = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for sealer in sealers:
        assert sealer.stdout is not None
        assert sealer.stdout.readline() == "ready\n"
    for sealer in sealers:
        assert sealer.stdin is not None
        sealer.stdin.write("go\n")
        sealer.stdin.flush()
    for sealer in sealers:
        sealer.communicate(timeout=120)
    assert [sealer.returncode for sealer in sealers] == [0, 0, 0]
    assert files(place) == ["alpha-0-1.parquet"]
    assert read(place, clock).document() == before


def test_a_reader_is_not_troubled_by_a_sealer(place: Path) -> None:
    clock = OwnedClock()
    for pid in range(1, 9):
        record(place, clock, pid=pid, channel=f"gpu:{pid}")
    before = read(place, clock).document()
    failures: list[Any] = []
    done = threading.Event()

    def keep_reading() -> None:
        while not done.is_set():
            try:
                if read(place, clock).document() != before:
                    failures.append("another document")
                failures.extend(s.run for s in Ledger(place, clock).summaries(summarise) if s.run.get("error"))
            except Exception as error:
                failures.append(error)

    reader = threading.Thread(target=keep_reading)
    reader.start()
    assert Ledger(place, clock).seal("run-1", summarise) == 8
    done.set()
    reader.join()
    assert failures == []


def test_a_journal_that_is_sealed_after_its_folder_was_listed_is_read(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = OwnedClock()
    for pid in range(1, 9):
        record(place, clock, pid=pid, channel=f"gpu:{pid}")
    before = read(place, clock).document()

    def seal_first(path: Path) -> Any:
        seal_journal(path)
        return read_journal(path)

    monkeypatch.setattr(storing, "read_journal", seal_first)
    assert read(place, clock).document() == before
    assert not [name for name in files(place) if name.endswith(".journal")]


@pytest.mark.parametrize(
    ("host", "silent_s", "sealed"), [("alpha", 2 * DAY_S, 1), ("alpha", 3600, 0), ("beta", 2 * DAY_S, 0)]
)
def test_only_what_will_never_go_on_is_sealed(place: Path, host: str, silent_s: float, sealed: int) -> None:
    clock = OwnedClock()
    record(place, clock, stop=False, pid=2**22 - 1)
    reader = OwnedClock(host, mono_s=9)
    reader.advance(10 + silent_s)
    before = joules(read(place, reader))
    assert Ledger(place, reader).seal("run-1", summarise) == sealed
    assert joules(read(place, reader)) == before
    assert read(place, reader).status == "lost"


def test_a_damaged_sealed_file_hides_no_other_run(place: Path) -> None:
    clock = OwnedClock()
    record(place, clock)
    record(place, clock, run="run-2")
    ledger = Ledger(place, clock)
    ledger.seal("run-1", summarise)
    (place / "run-1" / "alpha-0-1.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(OSError, match="is damaged"):
        ledger.read("run-1")
    found = {summary.run["id"]: summary.run["status"] for summary in ledger.summaries(summarise)}
    assert found == {"run-1": "unreadable", "run-2": "finished"}


# -- listings ---------------------------------------------------------------------------------------------------------


def test_a_damaged_summary_is_made_again(place: Path) -> None:
    clock = OwnedClock()
    record(place, clock)
    ledger = Ledger(place, clock)
    (first,) = ledger.summaries(summarise)
    path = place / "run-1" / "summary.json"
    for damage in (b"", b"{}", b"[1]", path.read_bytes()[:-9]):
        path.write_bytes(damage)
        assert ledger.summaries(summarise) == [first]
    assert json.loads(path.read_bytes())["run"]["id"] == "run-1"


def test_a_summary_is_made_once_and_again_when_a_file_is_added(place: Path) -> None:
    clock = OwnedClock()
    record(place, clock)
    made = []

    def counting(stored: Any) -> Any:
        made.append(stored)
        return summarise(stored)

    ledger = Ledger(place, clock)
    for _ in range(3):
        (first,) = ledger.summaries(counting)
    assert len(made) == 1
    record(place, clock, rank=1, pid=2, channel="gpu:B")
    (second,) = ledger.summaries(counting)
    assert len(made) == 2
    assert second.footprint["energy_j"]["value"] == pytest.approx(2 * first.footprint["energy_j"]["value"])
    assert second.run["ranks"] == 2
    ledger.seal("run-1", counting)
    assert len(made) == 3
    assert ledger.summaries(counting) == [second]
    assert len(made) == 3


def test_a_file_that_comes_while_a_run_is_sealed_is_not_left_out_of_its_summary(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = OwnedClock()
    record(place, clock)
    ledger = Ledger(place, clock)

    def late(path: Path) -> Path | None:
        record(place, clock, rank=1, pid=2, channel="gpu:B")
        return seal_journal(path)

    monkeypatch.setattr(ledgers, "seal_journal", late)
    ledger.seal("run-1", summarise)
    (listed,) = ledger.summaries(summarise)
    assert listed.footprint["energy_j"]["value"] == pytest.approx(2000)


def test_a_running_run_is_summarised_afresh_each_time(place: Path) -> None:
    clock = OwnedClock("there")
    made = record(place, clock, stop=False)
    ledger = Ledger(place, OwnedClock("here", wall_s=1.8e9 + 20))
    (before,) = ledger.summaries(summarise)
    made.run_for(5)
    made.flush()
    (after,) = ledger.summaries(summarise)
    assert before.run["status"] == after.run["status"] == "running"
    assert after.footprint["energy_j"]["value"] > before.footprint["energy_j"]["value"]
    assert not (place / "run-1" / "summary.json").exists()


def test_a_lost_run_that_is_heard_of_again_runs(place: Path) -> None:
    clock = OwnedClock("there")
    made = record(place, clock, stop=False)
    here = OwnedClock("here", wall_s=1.8e9 + 600)
    ledger = Ledger(place, here)
    assert [summary.run["status"] for summary in ledger.summaries(summarise)] == ["lost"]
    made.run_for(595, step_s=5)
    made.flush()
    assert [summary.run["status"] for summary in ledger.summaries(summarise)] == ["running"]


@pytest.mark.parametrize("sealed", [False, True])
def test_the_quick_summary_equals_the_full_one(sealed: bool) -> None:
    with joulegram.track("quick", zone="DK", attributes={"seed": 1}) as run, run.span("epoch", index=0):
        run.phase("forward")
        sum(range(300_000))
    ledger = joulegram.open_ledger()
    if sealed:
        ledger.seal(run.id)
    (quick,) = ledger.summaries()
    full = summarise(ledger.run(run.id).stored)
    assert json.loads(json.dumps([full.run, full.footprint])) == json.loads(json.dumps([quick.run, quick.footprint]))


def test_a_ledger_that_may_only_be_read_is_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = OwnedClock()
    record(place, clock)
    record(place, clock, rank=1, pid=2, channel="gpu:B")

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("write_text", "write_bytes", "replace", "mkdir", "unlink"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr(sealing, "_write", refuse)
    ledger = Ledger(place, clock)
    (listed,) = ledger.summaries(summarise)
    assert listed.run["status"] == "finished"
    assert joules(read(place, clock)) == pytest.approx(2000)
    with pytest.raises(OSError, match="Read-only"):
        ledger.seal("run-1", summarise)
    assert files(place) == ["alpha-0-1.journal", "alpha-1-2.journal"]


def test_a_ledger_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        Ledger(tmp_path / "file").summaries(summarise)


# -- merging ----------------------------------------------------------------------------------------------------------


def test_another_recording_that_happens_to_have_the_same_name_is_kept_beside_ours(place: Path, tmp_path: Path) -> None:
    """Containers that are called alike and count their processes from one."""
    here, there = OwnedClock("node", boot="a"), OwnedClock("node", boot="b", mono_s=7)
    record(place, here, channel="gpu:A")
    record(tmp_path / "there", there, channel="gpu:B", power_w=50)
    ledger = Ledger(place, here)
    for gained in (["run-1"], [], []):
        assert ledger.merge(tmp_path / "there") == gained
    assert files(place) == ["node-0-1.1.journal", "node-0-1.journal"]
    assert joules(read(place, here)) == pytest.approx(1500)


def test_merging_again_brings_what_was_added_meanwhile(place: Path, tmp_path: Path) -> None:
    here, there = OwnedClock("here"), OwnedClock("there")
    record(place, here)
    other = tmp_path / "other"
    made = record(other, there, stop=False, rank=1, pid=2)
    ledger = Ledger(place, here)
    assert ledger.merge(other) == ["run-1"]
    assert joules(read(place, here)) == pytest.approx(2000, rel=0.01)
    made.run_for(10)
    made.stop()
    assert ledger.merge(other) == ["run-1"]
    assert joules(read(place, here)) == pytest.approx(3000, rel=1e-9)
    Ledger(other, there).seal("run-1", summarise)
    whole = read(place, here).footprint()
    ledger.merge(other)
    assert read(place, here).footprint() == whole
    assert ledger.merge(other) == []
    assert ledger.merge(place) == []


def test_a_merge_brings_later_prices_too(place: Path, tmp_path: Path) -> None:
    clock = OwnedClock()
    record(place, clock)
    other = tmp_path / "other"
    record(other, OwnedClock())
    write_price(other / "run-1", replace(price(720), reason="corrected"))
    assert Ledger(place, clock).merge(other) == ["run-1"]
    assert read(place, clock).footprint().carbon_g.value == pytest.approx(0.2)


# -- prices -----------------------------------------------------------------------------------------------------------


def test_the_last_price_given_is_shown_although_the_clock_was_set_back(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = OwnedClock()
    record(place, clock)
    times = iter([2_000, 1_000, 1_000])
    monkeypatch.setattr(storing.time, "time_ns", lambda: next(times))
    paths = [write_price(place / "run-1", replace(price(float(n)), reason=f"number {n}")) for n in (1, 2, 3)]
    assert sorted(paths) == paths
    assert read(place, clock).book.reason == "number 3"
    assert all(path.exists() for path in paths)


def test_a_price_that_was_cut_off_does_not_hide_the_one_before(place: Path) -> None:
    clock = OwnedClock()
    record(place, clock)
    write_price(place / "run-1", replace(price(720), reason="good"))
    torn = write_price(place / "run-1", replace(price(1440), reason="torn"))
    for damage in (torn.read_bytes()[:-40], b"", b"{}", b"[]"):
        torn.write_bytes(damage)
        assert read(place, clock).book.reason == "good"


def test_a_price_is_written_whole_or_not_at_all(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = OwnedClock()
    record(place, clock)

    def fail(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_price(place / "run-1", price(720))
    monkeypatch.undo()
    assert read(place, clock).footprint().carbon_g.value == pytest.approx(0.1)


def test_heartbeats_alone_keep_a_run_alive(place: Path) -> None:
    clock = OwnedClock("there")
    writer = journal(place, clock)
    made = recorder(clock, writer)
    made.flush()
    clock.advance(300)
    writer.write([Heartbeat(clock.anchor())])
    here = OwnedClock("here", wall_s=1.8e9 + 320)
    assert read(place, here).status == "running"
    assert read(place, here).duration_s == pytest.approx(300)
