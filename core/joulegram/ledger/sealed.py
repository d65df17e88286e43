"""Ended journals as Parquet: the knots of all curves as rows, every other record as a line in the file's metadata.

A sealed run reads exactly like the journal that it came from. Needs the extra ``parquet``.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np

from joulegram.curves.curve import Curve
from joulegram.extras import MissingExtra
from joulegram.ledger.journal import JournalContent, content_of, read_journal
from joulegram.ledger.writer import SEALED_SUFFIX, SUFFIX
from joulegram.records import Heartbeat, from_line

_METADATA = b"joulegram"


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra('sealed runs need pyarrow: pip install "joulegram[parquet]"') from None
    return pyarrow


def seal_journal(journal: Path) -> Path | None:
    """Turns an ended journal into Parquet: under a temporary name, verified, renamed, and only then is it removed.

    Any number of processes may seal the same journal at once: each makes the same file.

    Returns:
        The sealed file; None where another process was faster or the journal holds nothing.

    Raises:
        MissingExtra: pyarrow is not installed.
        OSError: the folder cannot be written, or something else is sealed under this name; the journal stays.
    """
    _pyarrow()
    try:
        content = read_journal(journal)
    except FileNotFoundError:
        return None
    if content is None:
        return None
    sealed = journal.with_name(journal.name.removesuffix(SUFFIX) + SEALED_SUFFIX)
    if sealed.exists() and not same_content(content, read_sealed(sealed)):
        raise OSError(f"{sealed} holds something else than {journal}; both are kept")
    temporary = sealed.with_name(f".{sealed.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        _write(temporary, content)
        if not same_content(content, read_sealed(temporary)):
            raise OSError(f"{temporary} does not read as {journal}; the journal is kept")
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(sealed)
    finally:
        temporary.unlink(missing_ok=True)
    journal.unlink(missing_ok=True)
    return sealed


def _write(path: Path, content: JournalContent) -> None:
    pa = _pyarrow()
    names = list(content.curves)
    lengths = [len(content.curves[name]) for name in names]
    empty = np.empty(0)
    table = pa.table(
        {
            "curve": pa.DictionaryArray.from_arrays(
                pa.array(np.repeat(np.arange(len(names), dtype=np.int32), lengths)), pa.array(names, pa.string())
            ),
            "time_ns": pa.array(
                np.concatenate([empty.astype(np.int64), *(content.curves[name].times_ns for name in names)])
            ),
            "value": pa.array(np.concatenate([empty, *(content.curves[name].values for name in names)])),
        }
    )
    records = [content.header, *content.records, *(Heartbeat(anchor) for anchor in content.anchors[1:])]
    lines = json.dumps({"lines": [record.to_line() for record in records], "curves": names})
    pa.parquet.write_table(table.replace_schema_metadata({_METADATA: lines}), path, compression="zstd")


def read_sealed(path: Path) -> JournalContent | None:
    """A sealed journal's content.

    Raises:
        MissingExtra: pyarrow is not installed.
        OSError: the file cannot be read, or is damaged.
    """
    pa = _pyarrow()
    try:
        return _content_of(pa.parquet.read_table(path))
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise OSError(f"{path} is damaged: {error}") from error


def _content_of(table: Any) -> JournalContent | None:
    kept = json.loads(table.schema.metadata[_METADATA])
    content = content_of(record for record in map(from_line, kept["lines"]) if record is not None)
    if content is None:
        return None
    column = table.column("curve").combine_chunks()
    labels = np.asarray(column.dictionary.to_pylist() if len(table) else [], dtype=object)
    indices = column.indices.to_numpy() if len(table) else np.empty(0, np.int32)
    times, values = table.column("time_ns").to_numpy(), table.column("value").to_numpy()
    names = labels[indices] if len(labels) else labels
    content.curves = {name: Curve.of(times[names == name], values[names == name]) for name in kept["curves"]}
    return content


def same_content(one: JournalContent, other: JournalContent | None) -> bool:
    """Whether two contents say the same, to the last bit."""
    return (
        other is not None
        and _lines(one) == _lines(other)
        and one.anchors == other.anchors
        and list(one.curves) == list(other.curves)
        and all(
            np.array_equal(curve.times_ns, other.curves[name].times_ns)
            and np.array_equal(curve.values, other.curves[name].values)
            for name, curve in one.curves.items()
        )
    )


def _lines(content: JournalContent) -> list[str]:
    """All but the curves as text, in which what is not a number equals itself."""
    return [record.to_line() for record in (content.header, *content.records)]
