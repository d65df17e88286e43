"""What one process tells all others is read whole or not at all, whoever is killed in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from joulegram.host import shared_memory
from joulegram.host.shared_memory import Board, Cells, mapped, memory_folder

SIZE = 1 << 16


def test_a_board_tells_what_was_written_last(tmp_path: Path) -> None:
    board, other = Board(tmp_path / "board", SIZE), Board(tmp_path / "board", SIZE)
    assert other.read() is None
    for content in (b"one", b"", b"three" * 1000):
        assert board.write(content)
        assert other.read() == content
    assert not board.write(bytes(SIZE))
    assert other.read() == b"three" * 1000


def test_a_reader_never_meets_half_of_what_another_process_writes(tmp_path: Path) -> None:
    text = f"""
import sys, threading
from pathlib import Path
from joulegram.host.shared_memory import Board
board, ended = Board(Path({str(tmp_path / "board")!r}), {SIZE}), threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set())).start()
number = 0
while not ended.is_set():
    number += 1
    board.write(bytes([number % 251]) * (number * 7919 % ({SIZE} - 100)))
    if number == 10:
        print("ready", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    board = Board(tmp_path / "board", SIZE)
    met = set()
    for _ in range(3_000):
        content = board.read()
        assert content is not None
        assert len(set(content)) <= 1
        met.add(content[:1])
    process.kill()
    process.communicate()
    assert len(met) > 20
    assert len(set(board.read() or b"no")) <= 1  # whatever the writer was at when it was killed


@pytest.mark.parametrize("torn_at", [0, 8, 20, 23])
def test_a_writer_that_was_killed_in_the_middle_leaves_what_it_had_written_before(tmp_path: Path, torn_at: int) -> None:
    board = Board(tmp_path / "board", SIZE)
    board.write(b"before")
    board.write(b"being written")
    memory = mapped(tmp_path / "board", 2 * SIZE)  # the second content lies in the first cell
    memory[torn_at] ^= 0xFF
    assert Board(tmp_path / "board", SIZE).read() == b"before"
    board.write(b"after")
    assert Board(tmp_path / "board", SIZE).read() == b"after"


def test_answers_are_found_by_their_number_until_others_take_their_place(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "cells", 64, 128)
    for number in range(1, 1001):
        assert cells.write(number, str(number).encode())
    found = [number for number in range(1, 1001) if cells.read(number) is not None]
    assert all(cells.read(number) == str(number).encode() for number in found)
    assert len(found) == 64  # numbers in a row do not meet
    assert found[-1] == 1000
    assert not cells.write(5, bytes(128))


def test_shared_memory_is_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = memory_folder("serving")
    assert folder == tmp_path / "runtime" / "serving"
    assert folder.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(os, "getuid", lambda: 12_345_678)
    with pytest.raises(PermissionError, match="set JOULEGRAM_RUNTIME_DIR"):
        memory_folder("serving")


def test_without_a_folder_of_its_own_it_lies_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOULEGRAM_RUNTIME_DIR")
    monkeypatch.setattr(shared_memory, "_SHM", tmp_path)
    assert memory_folder("serving").parent.parent == tmp_path
