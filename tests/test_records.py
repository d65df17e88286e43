from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.records import (
    FORMAT_VERSION,
    Anchor,
    Channel,
    End,
    Gap,
    Hardware,
    Header,
    Heartbeat,
    IntensityPoint,
    Knots,
    Lineage,
    MorePoints,
    Note,
    PhaseMoments,
    PriceBook,
    Pue,
    Record,
    ServedHour,
    ServedRequest,
    SpanRecord,
    StepCount,
    from_line,
    from_plain,
)

ANCHOR = Anchor(123_456_789_012_345_678, 123_456_789_012_345_679, 1_750_000_000_123_456_789)
HEADER = Header(
    "r1", "ablation · ½", "resnets", "train", "DK-DK1", "host", "boot", 17, "4711", 2, 5, ANCHOR,
    "enclosing", 16, {"seed": 3, "nested": {"lr": 1e-3}, "list": [1, None, True]},
)  # fmt: skip
POINT = IntensityPoint(
    120.5, 100.0, 140.0, "DK", "a feed", "forecast", "marginal", "direct", "market", "consumption",
    1.75e9, 3600.0, 1.74e9, "note",
)  # fmt: skip
RECORDS: list[Record] = [
    HEADER,
    Header("r", "run", None, "train", None, "host", "boot", 1, "0", 0, 0, Anchor(0, None, 0)),
    Channel(
        "gpu:A", "gpu", "measured", "a counter", "exclusive", 0.95, 1.05, 700.0, None, 65536.0, 0.1, 0.1, 0.0, 1e-3
    ),
    Channel("gpu:B", "gpu", "measured", "a counter", product="NVIDIA H200"),
    Hardware("host", "server", "PowerEdge R740", "Xeon", 2, 96, 404.5, True),
    Hardware("host"),
    ANCHOR,
    Knots(10**15, {"node gpu:A": ([0, 5], [0.0, 0.1]), "empty": ([], [])}, {"node gpu:A": (7, 0.30000000000000004)}),
    Knots(0, {}),
    Gap("gpu:A", 1, 2, "failed", False),
    Gap("", 1, 2, "suspend", True, 10**12),
    SpanRecord("s-1", None, "epoch", "epoch", 0, 5, None, {"loss": 0.5}),
    SpanRecord("s-2", "s-1", "track", "line\nbreak", None, 5, 6),
    PriceBook(Pue(1.2, 1.1, 1.3, "measured", "as given"), (POINT, POINT), "direct", "corrected", 1.75e9),
    PriceBook(Pue(1.0, 1.0, 2.0, "estimated", "not given"), (), "lifecycle"),
    MorePoints((POINT,)),
    StepCount(
        "fit", "8×3 float32", 1 << 60, "counted", {"mine::op": 2}, "float32", "cpu", 2, 9, 0.5, [{"path": "Net"}]
    ),
    StepCount("fit", "no arrays", None, "its shapes depend on values", layers=[]),
    PhaseMoments("cpu:0", 5, 9, ["data"], [0.5], [0.0], [1.25], [2.5], [[7.0], [3.5, 0.1]]),
    ServedHour("books-1", 3600, "s", "/a", 5, 1, 30.0, 1e12, 2.0, {"gpu:A": (9.0, 2.0)}),
    ServedHour("books-1", 3600, "", None, unattributed_j={"gpu:A": 6.0}),
    ServedRequest("0000002a-7", "s", "/a", 9, 0.5, 200, 30.0, 1e12, 2.0, {"gpu:A": (9.0, 2.0)}),
    Lineage("r0", 1.5, 0.25, 60.0),
    Note(5, "meter", "gone"),
    Heartbeat(ANCHOR),
    End(9, "failed", ANCHOR, "ValueError: no", 0.5, 100, {"energy_j": {"value": None}}, {"status": "failed"}),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_reads_back_as_it_was_written(record: Record) -> None:
    line = record.to_line()
    assert "\n" not in line
    assert from_line(line) == record
    assert from_line(line.encode() + b"\n") == record


def test_there_is_an_example_of_every_kind_of_journal_line() -> None:
    nested = {"intensity", "pue"}  # only ever inside a price
    kinds = {kind.tag for kind in Record.__subclasses__()} - nested
    assert {record.tag for record in RECORDS} == kinds


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=4,
    )
)
def test_attributes_of_plain_types_read_back_as_they_were(attributes: dict[str, Any]) -> None:
    span = SpanRecord("s", None, "epoch", "epoch", 0, 0, 1, attributes)
    assert from_line(span.to_line()) == span


@given(st.lists(st.floats(0, allow_nan=False, allow_infinity=False), max_size=20))
def test_joules_read_back_to_the_last_bit(values: list[float]) -> None:
    knots = Knots(0, {"node gpu:A": (list(range(len(values))), values)})
    assert from_line(knots.to_line()) == knots


class Awkward:
    def __repr__(self) -> str:
        raise RuntimeError("no name")


def _itself() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.array(0.25), 0.25),
        (np.array([1, 2]), "[1 2]"),
        (np.datetime64("2025-06-15T15:06"), "2025-06-15 15:06:00"),
        (1 + 2j, "(1+2j)"),
        ({"b"}, ["b"]),
        ((1, 2), [1, 2]),
        (b"raw", "b'raw'"),
        (ValueError("no"), "no"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
    ids=repr,
)
def test_an_attribute_that_json_does_not_know_is_kept_in_words(value: Any, kept: Any) -> None:
    span = SpanRecord("s", None, "epoch", "epoch", 0, 0, 1, {"odd": value, "plain": 1})
    read = from_line(span.to_line())
    assert isinstance(read, SpanRecord)
    assert read.attributes == {"odd": kept, "plain": 1}


@pytest.mark.parametrize("value", [Awkward(), _itself(), np.longdouble(1) / 3], ids=["no repr", "a loop", "long"])
@pytest.mark.parametrize("name", ["odd", ("not", "a", "text")])
def test_no_attribute_however_odd_costs_the_record_its_line(value: Any, name: Any) -> None:
    record = SpanRecord("s", None, "epoch", "epoch", 0, 0, 1, {name: value, "plain": 1})
    read = from_line(record.to_line())
    assert isinstance(read, SpanRecord)
    assert read.attributes["plain"] == 1
    assert str(name) in read.attributes


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_keys_that_a_later_version_adds_are_ignored(record: Record) -> None:
    values = json.loads(record.to_line())
    for holder in (values, *(value for value in values.values() if isinstance(value, dict) and "mono_ns" in value)):
        holder["added later"] = {"deep": [1]}
    if isinstance(record, PriceBook):
        values["pue"]["added later"] = 1
        for point in values["intensity"]:
            point["added later"] = 1
    assert from_line(json.dumps(values)) == record


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_keys_with_a_default_may_be_missing(record: Record) -> None:
    optional = {f.name for f in fields(record) if f.default is not MISSING or f.default_factory is not MISSING}
    values = {name: value for name, value in json.loads(record.to_line()).items() if name not in optional}
    assert type(from_line(json.dumps(values))) is type(record)


def test_a_line_without_a_required_key_or_of_an_unknown_kind_is_no_record() -> None:
    assert from_line('{"is":"gap","channel":"gpu:A"}') is None
    assert from_line('{"is":"flops","of":"a later version"}') is None
    assert from_line('{"channel":"gpu:A"}') is None


@pytest.mark.parametrize("line", ["", "\n", "null", "7", "[]", '"gap"', '{"is":{}}', '{"is":null}', b"\xff\xfe", "{"])
def test_what_is_no_record_is_ignored(line: str | bytes) -> None:
    assert from_line(line) is None


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_line_torn_at_any_byte_is_no_record(record: Record) -> None:
    line = record.to_line().encode()
    assert all(from_line(line[:end]) is None for end in range(len(line)))


def test_a_price_is_read_from_plain_types() -> None:
    book = next(record for record in RECORDS if isinstance(record, PriceBook))
    assert from_plain(PriceBook, json.loads(book.to_line())) == book


def test_a_header_says_which_version_of_the_format_it_is() -> None:
    assert json.loads(HEADER.to_line())["version"] == FORMAT_VERSION


def test_hours_of_a_server_add_up_and_subtract_channel_by_channel() -> None:
    early = ServedHour("b", 3600, "s", "/a", 2, 1, 10.0, 0.0, 0.0, {"gpu:A": (5.0, 1.0)}, {"gpu:A": 4.0})
    late = ServedHour(
        "b", 3600, "s", "/a", 5, 1, 30.0, 0.0, 0.0, {"gpu:A": (9.0, 2.0), "gpu:B": (1.0, 0.0)}, {"gpu:A": 6.0}
    )
    added = late.since(early)
    assert (added.requests, added.failed, added.tokens) == (3, 0, 20.0)
    assert added.energy_j == {"gpu:A": (4.0, 1.0), "gpu:B": (1.0, 0.0)}
    assert added.plus(early) == late
    assert late.since(None) is late
    assert late.on_host("alpha").energy_j["alpha/gpu:B"] == (1.0, 0.0)
    assert from_line(late.to_line()) == late
