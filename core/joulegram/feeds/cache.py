"""What feeds have answered on this host, and when each may be asked again: one file for all processes of a user.

SQLite locks it, so that ranks and workers ask a source once and not each by itself. It is opened for every use: nothing
is held over a fork, and none of it is missed where it cannot be written.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path

from joulegram.records import IntensityPoint, from_plain

BUSY_S = 2.0
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
        self._path = path
        self._memory = None if path else self._made(sqlite3.connect(":memory:", check_same_thread=False))

    @classmethod
    def of_user(cls) -> Cache:
        """The user's, or one in memory where that cannot be written."""
        path = cache_path()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            cache = cls(path)
            try:
                cache._try()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:  # it is damaged, or no such file; all that is in it can be asked again
                path.unlink()
                cache._try()
            return cache
        except (OSError, sqlite3.Error):
            return cls(None)

    def _try(self) -> None:
        """Raises what reading and writing would raise."""
        with self._opened() as database:
            database.execute("PRAGMA quick_check(1)")
            database.execute("BEGIN IMMEDIATE")

    def points(self, source: str, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """What is known of a time (s since 1970), in order."""
        columns = ", ".join(f"points.{name}" for name in _TIMED)
        question = (
            f"SELECT {columns}, descriptions.text FROM points JOIN descriptions ON descriptions.id = description "
            "WHERE source = ? AND zone = ? AND start_s < ? AND start_s + length_s > ? ORDER BY start_s"
        )
        with self._opened() as database:
            rows = database.execute(question, (source, zone, end_s, start_s)).fetchall()
        return [_point(row) for row in rows]

    def keep(self, source: str, zone: str, points: Sequence[IntensityPoint]) -> None:
        """Takes in what was answered, in the place of what was known of the same times."""
        with self._opened() as database:
            for point in points:
                text = json.dumps({name: getattr(point, name) for name in _DESCRIBED}, sort_keys=True)
                database.execute("INSERT OR IGNORE INTO descriptions (text) VALUES (?)", (text,))
                values = (source, zone, *(getattr(point, name) for name in _TIMED), text)
                database.execute(
                    f"INSERT OR REPLACE INTO points (source, zone, {', '.join(_TIMED)}, description) "
                    f"SELECT {', '.join('?' * (2 + len(_TIMED)))}, id FROM descriptions WHERE text = ?",
                    values,
                )

    def turn(self, host: str, now_s: float, spacing_s: float) -> float:
        """Takes the turn to ask a host; how long (s) to wait for it, 0 where it is taken.

        Args:
            host: whom to ask.
            now_s: wall clock (s since 1970).
            spacing_s: how long after this nobody else asks (s).
        """
        with self._opened() as database:
            database.execute("BEGIN IMMEDIATE")
            row = database.execute("SELECT free_s FROM turns WHERE host = ?", (host,)).fetchone()
            wait_s = float(row[0]) - now_s if row else 0.0
            if 0 < wait_s <= LONGEST_REST_S:
                return wait_s
            database.execute("INSERT OR REPLACE INTO turns VALUES (?, ?)", (host, now_s + spacing_s))
        return 0.0

    def rest(self, host: str, until_s: float) -> None:
        """Has nobody ask a host until then (s since 1970)."""
        with self._opened() as database:
            database.execute("INSERT OR REPLACE INTO turns VALUES (?, ?)", (host, until_s))

    def asked_s(self, source: str, zone: str, what: str) -> float:
        """When a source was last asked a kind of question (s since 1970), with or without success; 0 for never."""
        with self._opened() as database:
            row = database.execute(
                "SELECT at_s FROM asked WHERE source = ? AND zone = ? AND what = ?", (source, zone, what)
            ).fetchone()
        return float(row[0]) if row else 0.0

    def asks(self, source: str, zone: str, what: str, now_s: float) -> None:
        """Keeps that a source is being asked now."""
        with self._opened() as database:
            database.execute("INSERT OR REPLACE INTO asked VALUES (?, ?, ?, ?)", (source, zone, what, now_s))

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The database within one transaction."""
        if self._memory is not None:
            with self._memory:
                yield self._memory
            return
        assert self._path is not None
        with closing(self._made(sqlite3.connect(self._path, timeout=BUSY_S))) as database, database:
            yield database

    @staticmethod
    def _made(database: sqlite3.Connection) -> sqlite3.Connection:
        database.executescript(_TABLES)
        return database


def _point(row: Sequence[object]) -> IntensityPoint:
    *timed, text = row
    values = dict(zip(_TIMED, timed, strict=True))
    return from_plain(IntensityPoint, {**json.loads(str(text)), **values, "settled": bool(values["settled"])})
