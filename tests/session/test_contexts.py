"""Who is inside what: threads, tasks, generators, forks and environments, and what users keep with their spans."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from worlds import until

import joulegram
from joulegram.session import live, surroundings


def kept(name: str | None = None) -> Any:
    """The ledger's one run, or the one of that name."""
    (run,) = [run for run in joulegram.open_ledger().runs() if name in (None, run.name)]
    return run


def parents(run: Any) -> dict[str, str | None]:
    """Names of spans with the names of what they lie in."""
    names = {span.id: span.name for span in run.spans()}
    return {span.name: names.get(span.parent) for span in run.spans()}


# -- nesting ----------------------------------------------------------------------------------------------------------


def test_spans_that_overlap_leave_no_closed_one_behind_as_parent() -> None:
    with joulegram.track("run") as run:
        first = run.span("a", "first").open()
        second = run.span("a", "second").open()
        first.close()
        with run.span("a", "in second"):
            pass
        second.close()
        with run.span("a", "on its own"):
            pass
    assert parents(kept()) == {"first": None, "second": "first", "in second": "second", "on its own": None}


def test_a_span_closed_by_another_thread_is_no_parent_any_more() -> None:
    with joulegram.track("run") as run:
        outer = run.span("a", "outer").open()
        inner = run.span("a", "inner").open()
        closer = threading.Thread(target=inner.close)
        closer.start()
        closer.join()
        with run.span("a", "after"):
            pass
        outer.close()
    assert parents(kept()) == {"outer": None, "inner": "outer", "after": "outer"}


def test_a_span_is_one_interval() -> None:
    with joulegram.track("run") as run:
        span = run.span("a")
        for _ in range(3):
            with span:
                sum(range(1000))
        start_ns, end_ns = span.start_ns, span.end_ns
        assert span.open() is span
        assert (span.start_ns, span.end_ns) == (start_ns, end_ns)
    (only,) = kept().spans()
    assert only.duration_s > 0


def test_a_span_that_was_never_opened_costs_nothing() -> None:
    with joulegram.track("run") as run:
        sum(range(500_000))
        unopened = run.span("a")
        unopened.close()
        assert unopened.footprint().energy_j.how == "the span was not opened while its run was live"
    assert kept().spans() == []


def test_a_failing_span_says_so_and_the_error_passes_through() -> None:
    error = ValueError("mine")
    with joulegram.track("run") as run:
        with pytest.raises(ValueError, match="mine") as caught, run.span("a", "fails", status_of="x"):
            raise error
        with pytest.raises(KeyboardInterrupt), run.span("a", "stops"):
            raise KeyboardInterrupt
    assert caught.value is error
    assert [span.attributes for span in kept().spans()] == [
        {"status_of": "x", "status": "failed"},
        {"status": "interrupted"},
    ]
    assert kept().status == "finished"


def test_threads_have_spans_of_their_own() -> None:
    with joulegram.track("run") as run:

        def work(number: int) -> None:
            with run.span("outer", f"outer {number}"), run.span("inner", f"inner {number}"):
                sum(range(1000))

        with run.span("main"), ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(20)))
    found = parents(kept())
    assert len(found) == 41
    assert all(found[f"inner {n}"] == f"outer {n}" and found[f"outer {n}"] is None for n in range(20))


def test_tasks_that_take_turns_keep_their_own_spans() -> None:
    async def work(run: joulegram.Run, number: int) -> None:
        with run.span("task", f"task {number}"):
            await asyncio.sleep(0)
            with run.span("step", f"step {number}"):
                await asyncio.sleep(0)

    async def together(run: joulegram.Run) -> None:
        with run.span("all"):
            await asyncio.gather(*(work(run, n) for n in range(10)))
        with run.span("after"):
            pass

    with joulegram.track("run") as run:
        asyncio.run(together(run))
    found = parents(kept())
    assert all(found[f"task {n}"] == "all" and found[f"step {n}"] == f"task {n}" for n in range(10))
    assert found["after"] is None


def test_a_span_may_end_in_another_task_than_it_began_in() -> None:
    async def main(run: joulegram.Run) -> None:
        span = run.span("request").open()

        async def end() -> None:
            span.close()

        await asyncio.create_task(end())
        with run.span("next"):
            pass

    with joulegram.track("run") as run:
        asyncio.run(main(run))
    assert parents(kept()) == {"request": None, "next": None}


def test_every_joined_track_has_an_id_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.os, "urandom", bytes)  # as unlucky as can be
    with joulegram.track("run") as run:
        for number in range(5):
            with joulegram.track(f"part {number}") as part, part.span("a", f"inner {number}"):
                pass
    found = kept().spans()
    assert len({span.id for span in found}) == 10
    assert parents(kept())["inner 3"] == "part 3"
    assert run.status == "finished"


# -- runs in runs -----------------------------------------------------------------------------------------------------


def test_what_starts_inside_a_separate_run_is_the_separate_runs() -> None:
    with joulegram.track("outer") as outer, outer.span("epoch"):
        with joulegram.track("apart", separate=True) as apart, joulegram.track("inner") as inner:
            assert inner.id == apart.id
            with outer.span("a", "outer's"):
                pass
        with joulegram.track("back") as back:
            assert back.id == outer.id
    assert parents(kept("outer")) == {"epoch": None, "outer's": "epoch", "back": "epoch"}
    assert parents(kept("apart")) == {"inner": None}


def test_a_thread_of_its_own_joins_the_run_around_the_process_not_anothers_separate_one() -> None:
    ids: list[str] = []

    def elsewhere() -> None:
        with joulegram.track("elsewhere") as run:
            ids.append(run.id)

    with joulegram.track("outer") as outer, joulegram.track("apart", separate=True):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert ids == [outer.id]


def test_separate_runs_in_many_threads_all_name_the_run_around_them() -> None:
    def apart(number: int) -> None:
        with joulegram.track(f"apart {number}", separate=True):
            sum(range(1000))

    with joulegram.track("outer") as outer, ThreadPoolExecutor(4) as pool:
        list(pool.map(apart, range(4)))
    runs = list(joulegram.open_ledger().runs())
    assert {run.enclosing_run for run in runs if run.name != "outer"} == {outer.id}
    assert len(runs) == 5


def test_runs_that_end_in_any_order_leave_the_environment_as_it_was() -> None:
    before = dict(os.environ)
    first, second = joulegram.start("first"), joulegram.start("second", separate=True)
    assert os.environ["JOULEGRAM_RUN"].startswith(second.id)
    first.close()
    assert os.environ["JOULEGRAM_RUN"].startswith(second.id)
    second.close()
    assert dict(os.environ) == before
    with joulegram.track("third") as third:
        assert third.id not in (first.id, second.id)
        assert not third.joined


def test_a_part_that_outlives_its_run_ends_with_it() -> None:
    run = joulegram.start("outer")
    part = joulegram.start("part")
    sum(range(300_000))
    run.close()
    total = part.footprint()
    sum(range(300_000))
    part.close()
    assert part.footprint() == total
    (span,) = kept().spans()
    assert span.start_s + span.duration_s == pytest.approx(kept().duration_s)


def test_a_span_left_open_ends_with_its_run() -> None:
    with joulegram.track("outer") as run:
        run.span("open", index=7).open()
        sum(range(300_000))
    (span,) = kept().spans()
    assert span.start_s + span.duration_s == pytest.approx(kept().duration_s)
    assert span.footprint.energy_j.value > 0


def test_what_is_learnt_while_a_part_runs_is_kept_with_it() -> None:
    with joulegram.track("outer") as outer, joulegram.track("part", attributes={"stage": "odd", "name": "x"}) as part:
        part.attributes["accuracy"] = 0.9
        outer.attributes["seed"] = 3
    (span,) = kept().spans()
    assert span.attributes == {"stage": "odd", "name": "x", "accuracy": 0.9, "status": "finished"}
    assert kept().attributes == {"seed": 3}


# -- decorated functions ----------------------------------------------------------------------------------------------


def test_a_decorated_generator_is_tracked_from_first_to_last_and_takes_what_is_sent() -> None:
    seen = []

    @joulegram.track("numbers")
    def numbers() -> Iterator[Any]:
        try:
            while True:
                seen.append((yield len(seen)))
        finally:
            seen.append("closed")

    stream = numbers()
    assert list(joulegram.open_ledger().runs()) == []  # not begun yet
    assert next(stream) == 0
    assert stream.send("a") == 1  # type: ignore[attr-defined]
    stream.close()  # type: ignore[attr-defined]
    assert seen == ["a", "closed"]
    assert kept().status == "finished"


def test_a_decorated_asynchronous_generator_takes_what_is_sent_and_thrown() -> None:
    seen: list[Any] = []

    @joulegram.track("stream")
    async def stream() -> AsyncIterator[Any]:
        while True:
            try:
                seen.append((yield len(seen)))
            except ValueError as error:
                seen.append(error)

    async def use() -> None:
        made: Any = stream()
        assert await anext(made) == 0
        assert await made.asend("a") == 1
        assert await made.athrow(ValueError("thrown")) == 2
        assert os.environ["JOULEGRAM_RUN"]
        await made.aclose()

    asyncio.run(use())
    assert seen[0] == "a"
    assert isinstance(seen[1], ValueError)
    assert kept().status == "finished"


def test_a_decorated_asynchronous_generator_ends_when_its_items_do() -> None:
    @joulegram.track("stream")
    async def stream(items: int) -> AsyncIterator[int]:
        for item in range(items):
            yield item
        if items > 2:
            raise OSError("broken pipe")

    async def take(items: int) -> list[int]:
        return [item async for item in stream(items)]

    assert asyncio.run(take(2)) == [0, 1]
    with pytest.raises(OSError, match="broken pipe"):
        asyncio.run(take(3))
    assert [run.status for run in joulegram.open_ledger().runs()] == ["failed", "finished"]


def test_a_cancelled_task_was_interrupted() -> None:
    @joulegram.track("slow")
    async def slow() -> None:
        await asyncio.sleep(60)

    async def cancel() -> None:
        task = asyncio.create_task(slow())
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
    assert kept().status == "interrupted"


def test_anything_callable_can_be_tracked_and_called_again_from_within() -> None:
    @joulegram.track("countdown")
    def countdown(number: int) -> int:
        return number if number == 0 else countdown(number - 1)

    assert countdown(3) == 0
    assert joulegram.track()(functools.partial(int, "7"))() == 7
    runs = {run.name: run for run in joulegram.open_ledger().runs()}
    assert set(runs) == {"countdown", "function"}
    assert len(runs["countdown"].spans("track")) == 3


def test_a_tracker_can_be_used_again() -> None:
    tracker = joulegram.track("again")
    for _ in range(2):
        with tracker as run:
            assert run.status == "running"
    assert len(list(joulegram.open_ledger().runs())) == 2


# -- what users keep --------------------------------------------------------------------------------------------------


class Awkward:
    """What nobody can print."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


def test_whatever_is_kept_with_a_span_costs_no_other_record_its_line() -> None:
    round_about: list[Any] = []
    round_about.append(round_about)
    with joulegram.track("run", attributes={"path": Path("/x")}) as run:
        with run.span("a", "odd", loss=float("nan"), keys={(1, 2): 3}, itself=round_about, thing=Awkward()):
            pass
        with run.span("a", "plain", seen={1, 2}):
            pass
    assert [span.name for span in kept().spans()] == ["odd", "plain"]
    document = kept().document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["run"]["attributes"] == {"path": "/x"}
    assert document["spans"][0]["attributes"]["loss"] == "nan"


def test_a_number_that_is_none_does_not_stop_a_run_from_being_sealed() -> None:
    with joulegram.track("run", attributes={"loss": float("inf")}) as run, run.span("a", loss=float("nan")):
        pass
    ledger = joulegram.open_ledger()
    assert ledger.seal(run.id) == 1
    assert ledger.run(run.id).document()["run"]["attributes"] == {"loss": "inf"}


# -- other processes --------------------------------------------------------------------------------------------------


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program's run to its end."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_process_that_ends_with_runs_open_closes_them_all() -> None:
    done = python(
        "import joulegram\n"
        "outer = joulegram.start('outer')\n"
        "joulegram.start('apart', separate=True)\n"
        "outer.span('epoch', index=0).open()\n"
    )
    assert done.returncode == 0, done.stderr
    runs = {run.name: run for run in joulegram.open_ledger().runs()}
    assert {name: run.status for name, run in runs.items()} == {"outer": "failed", "apart": "failed"}
    assert "still open" in runs["outer"].error


@pytest.mark.parametrize("way", ["spawn", "fork", "forkserver"])
def test_a_worker_process_joins_however_it_was_started(way: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing, sys, joulegram\n"
        "def work(number):\n"
        "    with joulegram.track(f'worker {number}', stage='data') as run:\n"
        "        sum(range(300_000))\n"
        "        return run.id, run.joined\n"
        "if __name__ == '__main__':\n"
        "    with joulegram.track('parent') as run:\n"
        f"        with multiprocessing.get_context({way!r}).Pool(2) as pool:\n"
        "            assert set(pool.map(work, range(4), 1)) == {(run.id, True)}\n"
        "            pool.close(); pool.join()\n"
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    run = kept()
    assert (run.name, run.status, run.ranks) == ("parent", "finished", 1)
    assert {span.name for span in run.spans("track")} == {f"worker {number}" for number in range(4)}
    footprint = run.footprint()
    assert footprint.energy_j.value <= footprint.node_energy_j.value * (1 + 1e-9)


def test_a_part_of_a_run_is_kept_where_the_run_is(tmp_path: Path) -> None:
    program = "import joulegram\nwith joulegram.track('child', ledger={!r}) as run: print(run.id)"
    with joulegram.track("parent") as run:
        done = python(program.format(str(tmp_path / "elsewhere")))
    assert done.stdout.strip() == run.id
    assert not (tmp_path / "elsewhere").exists()
    assert [span.name for span in kept().spans()] == ["child"]


def test_a_run_that_has_ended_is_joined_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = python("import joulegram, os\nwith joulegram.track('gone'): print(os.environ['JOULEGRAM_RUN'])")
    monkeypatch.setenv("JOULEGRAM_RUN", gone.stdout.strip())
    with joulegram.track("next") as run:
        assert not run.joined
    assert len(list(joulegram.open_ledger().runs())) == 2


@pytest.mark.parametrize("given", ["../../escaped", "/etc/joulegram", "..", ".", "a/b", "x" * 400, ".hidden", "ö ü"])
def test_a_run_id_of_any_origin_stays_in_the_ledger(
    given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    by_argument = joulegram.start("argument", run_id=given)
    by_argument.close()
    monkeypatch.setenv("JOULEGRAM_RUN", given)
    with joulegram.track("variable") as by_variable:
        pass
    ledger = joulegram.open_ledger()
    for run in (by_argument, by_variable):
        assert (ledger.path / run.id).parent == ledger.path
        assert ledger.run(run.id).status == "finished"
    assert {entry.name for entry in tmp_path.iterdir()} <= {"ledger", "runtime"}


def test_two_parts_that_one_process_records_are_both_read_though_the_first_is_sealed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JOULEGRAM_RUN", "job")
    ledger = joulegram.open_ledger()
    joules = []
    for name in ("first", "second", "third"):
        with joulegram.track(name) as run, run.span("epoch"):
            sum(range(300_000))
        joules.append(run.footprint().energy_j.value)
        assert ledger.seal("job") == 1
    run = kept()
    assert len(run.stored.recordings) == 3
    assert len(run.spans("epoch")) == 3
    assert run.footprint().energy_j.value == pytest.approx(sum(joules), rel=1e-9)


def test_the_working_folder_may_vanish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import os, pathlib, joulegram\n"
        "os.rmdir(pathlib.Path.cwd())\n"
        "with joulegram.track('homeless') as run: print(run.id)"
    )
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    done = python(program)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    assert kept().id == done.stdout.strip()


def test_disabled_a_broken_configuration_is_nobodys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEGRAM_DISABLED", "1")
    monkeypatch.setenv("JOULEGRAM_ZOEN", "DK")
    with joulegram.track("nothing", project="p", stage="data", zone="DK") as run:
        assert (run.project, run.stage, run.zone, run.ledger) == ("p", "data", "DK", None)
        assert run.lap() == {"duration_s": 0.0}
        assert run.state_dict()["run"] == ""
    assert "JOULEGRAM_RUN" not in os.environ
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("joulegram")]


def test_a_folder_that_vanishes_during_a_run_is_made_again_and_no_joule_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with joulegram.track("stubborn") as run:
        assert run.ledger is not None
        folder = run.ledger / run.id
        with run.span("epoch", index=0):
            sum(range(500_000))
        until(lambda: list(folder.glob("*.journal")), "first write")
        until(lambda: subprocess.run(["rm", "-r", str(folder)], check=False).returncode == 0, "removal")
        with run.span("epoch", index=1):
            sum(range(500_000))
    (epoch,) = kept().spans("epoch")
    assert epoch.index == 1
    assert kept().footprint().energy_j == run.footprint().energy_j
    assert "removed" in caplog.text


def test_sigterm_without_a_handler_leaves_what_was_flushed() -> None:
    program = (
        "import joulegram, sys\n"
        "run = joulegram.start('cut off')\n"
        "with run.span('epoch', index=0): sum(range(500_000))\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    until(lambda: [run for run in joulegram.open_ledger().runs() if run.spans("epoch")], "flushed epoch")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert (kept().status, len(kept().spans("epoch"))) == ("lost", 1)


def test_the_public_names_are_all_there() -> None:
    for name in joulegram.__all__:
        assert getattr(joulegram, name) is not None
    assert set(dir(joulegram)) == set(joulegram.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = joulegram.nonsense


def test_a_run_tells_its_children_where_it_is() -> None:
    with joulegram.track("run") as run:
        clock = run._recorder.clock  # type: ignore[union-attr]
        assert os.environ["JOULEGRAM_RUN"] == surroundings.announce(run.id, clock)
        assert os.environ["JOULEGRAM_LEDGER"] == str(run.ledger)
        assert surroundings.surrounding_run(clock) is None  # this very process knows its own


def test_a_run_leaves_no_thread_behind() -> None:
    with joulegram.track("run"):
        sum(range(300_000))
    until(
        lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("joulegram")],
        "end of every thread of ours",
    )
