"""What feeds have answered on this host, and when each may be asked again: one file for all processes of a user.

SQLite locks it, so that ranks and workers ask a source once and not each by itself. It is opened for every use, while
forks wait: a lock within SQLite that is held at a fork would stay held in the child, for all that uses SQLite there. A
process that cannot use it, at the start or later, knows what it asks by itself.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from joulegram.host.forking import importing
from joulegram.records import IntensityPoint, from_plain

T = TypeVar("T")

BUSY_S = 2.0
MOST_BYTES = 1 << 28
"""A file that has grown beyond this is begun anew: some ten years of five minutes of two zones."""
LONGEST_REST_S = 86400.0
"""No source is left alone for longer than this, whatever it, or a clock that was set, says."""

_TIMED = ("start_s", "length_s", "g_per_kwh", "low", "high", "kind", "settled", "fetched_s")
_DESCRIBED = tuple(entry.name for entry in fields(IntensityPoint) if entry.name not in _TIMED)

_TABLES = """
    CREATE TABLE IF NOT EXISTS descriptions (id INTEGER PRIMARY KEY, text TEXT UNIQUE);
    CREATE TABLE IF NOT EXISTS points (
        source TEXT, zone TEXT, start_s REAL, length_s REAL, g_per_kwh REAL, low REAL, high REAL, kind TEXT,
        settled INTEGER, fetched_s REAL, description INTEGER, PRIMARY KEY (source, zone, start_s)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS turns (host TEXT PRIMARY KEY, free_s REAL);
    CREATE TABLE IF NOT EXISTS asked (source TEXT, zone TEXT, what TEXT, at_s REAL, PRIMARY KEY (source, zone, what));
"""


def cache_path() -> Path:
    """The file in the user's cache folder."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("joulegram", appauthor=False)) / "intensity.sqlite"


class Cache:
    """Points by source and zone, turns by host.

    A source is named by `Feed.source`: the same feed with other options is another one.

    Args:
        path: its file; None for one in this process's memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path or Path()
        self._memory = None if path else self._in_memory()

    @classmethod
    def of_user(cls) -> Cache:
        """The user's, or one in memory where that cannot be written."""
        path = cache_path()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size > MOST_BYTES:
                path.unlink()
        except OSError:
            return cls(None)
        return cls(path)

    def points(self, source: str, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """What is known of a time (s since 1970), in order."""
        columns = ", ".join(f"points.{name}" for name in _TIMED)
        question = (
            f"SELECT {columns}, descriptions.text FROM points JOIN descriptions ON descriptions.id = description "
            "WHERE source = ? AND zone = ? AND start_s < ? AND start_s + length_s > ? ORDER BY start_s"
        )
        rows = self._do(lambda database: database.execute(question, (source, zone, end_s, start_s)).fetchall())
        described = {text: json.loads(text) for text in {row[-1] for row in rows}}
        return [_point(row, described[row[-1]]) for row in rows]

    def keep(self, source: str, zone: str, points: Sequence[IntensityPoint]) -> None:
        """Takes in what was answered, in the place of what was known of the same times."""

        def work(database: sqlite3.Connection) -> None:
            for point in points:
                text = json.dumps({name: getattr(point, name) for name in _DESCRIBED}, sort_keys=True)
                database.execute("INSERT OR IGNORE INTO descriptions (text) VALUES (?)", (text,))
                values = (source, zone, *(getattr(point, name) for name in _TIMED), text)
                database.execute(
                    f"INSERT OR REPLACE INTO points (source, zone, {', '.join(_TIMED)}, description) "
                    f"SELECT {', '.join('?' * (2 + len(_TIMED)))}, id FROM descriptions WHERE text = ?",
                    values,
                )

        self._do(work)

    def turn(self, host: str, now_s: float, spacing_s: float) -> float:
        """Takes the turn to ask a host; how long (s) to wait for it, 0 where it is taken.

        Args:
            host: whom to ask.
            now_s: wall clock (s since 1970).
            spacing_s: how long after this nobody else asks (s).
        """

        def work(database: sqlite3.Connection) -> float:
            database.execute("BEGIN IMMEDIATE")
            row = database.execute("SELECT free_s FROM turns WHERE host = ?", (host,)).fetchone()
            wait_s = float(row[0]) - now_s if row else 0.0
            if 0 < wait_s <= LONGEST_REST_S:
                return wait_s
            database.execute("INSERT OR REPLACE INTO turns VALUES (?, ?)", (host, now_s + spacing_s))
            return 0.0

        return self._do(work)

    def rest(self, host: str, until_s: float) -> None:
        """Has nobody ask a host until then (s since 1970)."""
        self._do(lambda database: database.execute("INSERT OR REPLACE INTO turns VALUES (?, ?)", (host, until_s)))

    def asked_s(self, source: str, zone: str, what: str) -> float:
        """When a source was last asked a kind of question (s since 1970), with or without success; 0 for never."""
        question = "SELECT at_s FROM asked WHERE source = ? AND zone = ? AND what = ?"
        row = self._do(lambda database: database.execute(question, (source, zone, what)).fetchone())
        return float(row[0]) if row else 0.0

    def asks(self, source: str, zone: str, what: str, now_s: float) -> None:
        """Keeps that a source is being asked now."""
        row = (source, zone, what, now_s)
        self._do(lambda database: database.execute("INSERT OR REPLACE INTO asked VALUES (?, ?, ?, ?)", row))

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Within one transaction; in memory from then on where the file is locked for long, or its disk is full."""
        if self._memory is None:
            try:
                return self._in_file(work)
            except sqlite3.OperationalError:
                pass
            except sqlite3.DatabaseError:  # it is damaged, or no such file; all that is in it can be asked again
                with suppress(OSError, sqlite3.Error):
                    self._path.unlink()
                    return self._in_file(work)
            self._memory = self._in_memory()
        with importing(), self._memory:
            return work(self._memory)

    def _in_file(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with importing(), closing(self._made(sqlite3.connect(self._path, timeout=BUSY_S))) as database, database:
            return work(database)

    @classmethod
    def _in_memory(cls) -> sqlite3.Connection:
        return cls._made(sqlite3.connect(":memory:", check_same_thread=False))

    @staticmethod
    def _made(database: sqlite3.Connection) -> sqlite3.Connection:
        database.executescript(_TABLES)
        return database


def _point(row: Sequence[object], described: Mapping[str, object]) -> IntensityPoint:
    values = dict(zip(_TIMED, row, strict=False))  # the last one of a row is its description
    return from_plain(IntensityPoint, {**described, **values, "settled": bool(values["settled"])})
