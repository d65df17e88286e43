"""A file of intensities, as a series and as a feed."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feed_faults import NOW_S
from hypothesis import given
from hypothesis import strategies as st

from joulegram.config import ConfigError
from joulegram.feeds import Unavailable
from joulegram.feeds.series import SeriesFeed, read_series

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "intensity"
HEADER = "time,g_co2e_per_kwh"


def written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "series.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def feed(path: Path | str, **options: Any) -> SeriesFeed:
    return SeriesFeed({"series": {"path": str(path), **options}}, None, lambda: NOW_S)


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "times",
    [
        ("2026-06-24T10:00:00Z", "2026-06-24T11:00:00Z"),
        ("2026-06-24T10:00", "2026-06-24T11:00"),
        ("2026-06-24 12:00+02:00", "2026-06-24 13:00+02:00"),
        ("20260624T100000Z", "20260624T110000Z"),
        ("1782295200", "1782298800.0"),
    ],
)
def test_times_are_iso_8601_or_seconds(tmp_path: Path, times: tuple[str, str]) -> None:
    series = read_series(written(tmp_path, f"{times[0]},100", f"{times[1]},200"))
    assert series.starts_s.tolist() == [NOW_S, NOW_S + 3600]
    assert series.ends_s.tolist() == [NOW_S + 3600, NOW_S + 7200]
    assert series.g_per_kwh.tolist() == [100, 200]


def test_a_night_with_an_hour_twice_has_25_hours_by_its_offsets(tmp_path: Path) -> None:
    rows = [
        "2026-10-25T01:00:00+02:00,1",
        "2026-10-25T02:00:00+02:00,2",
        "2026-10-25T02:00:00+01:00,3",
        "2026-10-25T03:00:00+01:00,4",
    ]
    series = read_series(written(tmp_path, *rows))
    assert series.starts_s.tolist() == [at("2026-10-24T23:00Z") + 3600 * i for i in range(4)]
    assert series.g_per_kwh.tolist() == [1, 2, 3, 4]


def test_a_night_without_an_hour_has_no_gap_by_its_offsets(tmp_path: Path) -> None:
    rows = ["2026-03-29T01:00:00+01:00,1", "2026-03-29T03:00:00+02:00,2", "2026-03-29T04:00:00+02:00,3"]
    series = read_series(written(tmp_path, *rows))
    assert np.diff(series.starts_s).tolist() == [3600, 3600]
    assert (series.ends_s - series.starts_s).tolist() == [3600, 3600, 3600]


def test_rows_come_in_any_order_and_of_those_with_one_time_the_last_counts(tmp_path: Path) -> None:
    rows = ["2026-06-24T11:00Z,2", "2026-06-24T10:00Z,9", "2026-06-24T12:00+02:00,1", "2026-06-24T12:00Z,3"]
    assert read_series(written(tmp_path, *rows)).g_per_kwh.tolist() == [1, 2, 3]


@pytest.mark.parametrize("nothing", ["", " ", "nan", "NaN"])
def test_a_row_without_a_value_is_a_gap(tmp_path: Path, nothing: str) -> None:
    rows = ["2026-06-24T10:00Z,1", f"2026-06-24T11:00Z,{nothing}", "2026-06-24T12:00Z,0"]
    series = read_series(written(tmp_path, *rows))
    assert series.at([NOW_S, NOW_S + 3600, NOW_S + 7200]).tolist() == pytest.approx([1, np.nan, 0], nan_ok=True)


def test_a_row_that_is_not_there_is_a_gap(tmp_path: Path) -> None:
    rows = ["2026-06-24T10:00Z,1", "2026-06-24T11:00Z,2", "2026-06-24T12:00Z,3", "2026-06-24T20:00Z,4"]
    series = read_series(written(tmp_path, *rows))
    assert series.at([NOW_S + 3 * 3600 - 1, NOW_S + 3 * 3600]).tolist() == pytest.approx([3, np.nan], nan_ok=True)


def test_other_columns_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    path.write_bytes(b"\xef\xbb\xbfzone,g_co2e_per_kwh,time\r\nDE,100,2026-06-24T10:00Z\r\n\r\n")
    series = read_series(path)
    assert (series.starts_s.tolist(), series.ends_s.tolist()) == ([NOW_S], [NOW_S + 3600])


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (["2026-06-24T10:00Z,1", "soon,2"], r"row 3: 'soon' is no time \(2026-06-24T10:00:00Z is one\)$"),
        (["2026-02-30T10:00Z,1"], r"row 2: '2026-02-30T10:00Z' is no time"),
        ([",1"], r"row 2: '' is no time"),
        (["2026-06-24T10:00Z,1", "2026-06-24T11:00Z,much"], r"row 3: 'much' is no intensity of a grid in gCO2e/kWh"),
        (["2026-06-24T10:00Z,-1"], r"row 2: '-1' is no intensity"),
        (["2026-06-24T10:00Z,10000"], r"row 2: '10000' is no intensity .* \(0 to 3000\)$"),
        (["2026-06-24T10:00Z,inf"], r"row 2: 'inf' is no intensity"),
        (["1782295200000,1"], r"row 2: '1782295200000' is no time in seconds since 1970$"),
        (["20260624,1"], r"row 2: '20260624' is no time in seconds since 1970$"),
        (["2026,1"], r"row 2: '2026' is no time in seconds since 1970$"),
        ([], "has no rows$"),
        (["2026-06-24T10:00Z,"], "has no row with a value$"),
    ],
)
def test_a_bad_row_is_told_in_one_line(tmp_path: Path, rows: list[str], why: str) -> None:
    path = written(tmp_path, *rows)
    with pytest.raises(ConfigError, match=why) as caught:
        read_series(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("", "has no column time and no column g_co2e_per_kwh"),
        ("time,intensity", r"has no column g_co2e_per_kwh \(it needs time and g_co2e_per_kwh\)$"),
        ("time;g_co2e_per_kwh", "has no column time"),
    ],
)
def test_a_missing_column_is_told_in_one_line(tmp_path: Path, header: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        read_series(written(tmp_path, "2026-06-24T10:00Z,1", header=header))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has no column"),
        (b"\xff\xfe\x00nonsense", "is not CSV in UTF-8"),
        (b'time,g_co2e_per_kwh\n"' + b"a" * 200_000, "is not CSV in UTF-8|is no time"),
    ],
)
def test_what_is_no_table_is_told_in_one_line(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "series.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=why) as caught:
        read_series(path)
    assert len(str(caught.value)) < 300


def test_a_file_that_is_not_there_and_a_folder_are_told_in_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path, tmp_path / "none.parquet"):
        with pytest.raises(ConfigError, match=r"No such file|Is a directory"):
            read_series(path)


def test_parquet_is_read_with_its_own_types(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    begin = datetime(2026, 6, 24, 10, tzinfo=UTC)
    hours = [begin + timedelta(hours=i) for i in range(4)]
    values = [100.0, None, float("nan"), 130.0]
    copenhagen = pa.array(hours, pa.timestamp("us", "Europe/Copenhagen"))
    naive = pa.array([hour.replace(tzinfo=None) for hour in hours], pa.timestamp("ms"))
    for times in (copenhagen, naive, [hour.timestamp() for hour in hours], [hour.isoformat() for hour in hours]):
        path = tmp_path / "series.parquet"
        write_table(pa.table({"time": times, "g_co2e_per_kwh": values}), path)
        series = read_series(path)
        assert series.starts_s.tolist() == [NOW_S, NOW_S + 3 * 3600]
        assert series.g_per_kwh.tolist() == [100, 130]


def test_parquet_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "series.parquet"
    path.write_bytes(b"time,g_co2e_per_kwh\n")
    with pytest.raises(ConfigError, match=r"cannot be read as Parquet$"):
        feed(path)


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"joulegram\[parquet\]"):
        feed(tmp_path / "series.parquet")


def test_parquet_without_a_column_is_told_in_one_line(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    write_table(pa.table({"time": [1.0]}), tmp_path / "series.parquet")
    with pytest.raises(ConfigError, match="has no column g_co2e_per_kwh"):
        read_series(tmp_path / "series.parquet")


@given(st.dictionaries(st.integers(0, 500), st.floats(0, 3000), min_size=1), st.randoms())
def test_what_is_written_is_read(tmp_path_factory: Any, figures: dict[int, float], random: Any) -> None:
    rows = [f"{NOW_S + 900 * slot},{g!r}" for slot, g in figures.items()]
    random.shuffle(rows)
    series = read_series(written(tmp_path_factory.mktemp("series"), *rows))
    slots = sorted(figures)
    assert series.starts_s.tolist() == [NOW_S + 900 * slot for slot in slots]
    assert series.at(series.starts_s).tolist() == [figures[slot] for slot in slots]


@pytest.mark.skipif(not DATA.is_dir(), reason="the real series are not here")
def test_west_denmark_s_years_have_the_means_that_are_known_of_them() -> None:
    series = read_series(DATA / "DK-DK1_2019-2024_declaration125.csv")
    means = []
    for year in range(2019, 2025):
        start_s, end_s = (datetime(y, 1, 1, tzinfo=UTC).timestamp() for y in (year, year + 1))
        means.append(np.nanmean(series.hourly(start_s, round((end_s - start_s) / 3600))))
    assert means == pytest.approx([146, 125, 145, 144, 100, 93], rel=0.005)


# -- as a feed --------------------------------------------------------------------------------------------------------


@pytest.fixture
def hours(tmp_path: Path) -> Path:
    return written(tmp_path, *(f"{NOW_S + 3600 * i},{100 + i}" for i in range(-3, 3)))


def test_the_rows_of_a_time_are_measured_and_settled(hours: Path) -> None:
    points = feed(hours).history("DE", NOW_S - 3601, NOW_S)
    assert [(p.g_per_kwh, p.start_s, p.length_s) for p in points] == [
        (98, NOW_S - 7200, 3600),
        (99, NOW_S - 3600, 3600),
    ]
    assert {(p.zone, p.kind, p.signal, p.basis, p.source, p.settled) for p in points} == {
        ("DE", "measured", "average", "unknown", "series.csv, as given", True)
    }


def test_the_latest_is_the_row_that_holds_now(hours: Path) -> None:
    latest = feed(hours).latest("DE")
    assert (latest.g_per_kwh, latest.low, latest.high, latest.start_s) == (100, 100, 100, NOW_S)


def test_what_is_to_come_is_in_the_same_file(hours: Path) -> None:
    points = feed(hours).forecast("DE", NOW_S, NOW_S + 86400)
    assert [(p.g_per_kwh, p.settled) for p in points] == [(100, True), (101, True), (102, True)]


def test_a_file_that_ended_long_ago_has_no_figure_for_now(tmp_path: Path) -> None:
    path = written(tmp_path, "2019-01-01T00:00Z,100")
    with pytest.raises(Unavailable, match=r"series\.csv has no figure for now$"):
        feed(path).latest("DE")
    assert feed(path).history("DE", NOW_S - 3600, NOW_S) == []


def test_basis_signal_and_zone_are_as_given(hours: Path) -> None:
    point = feed(hours, basis="lifecycle", signal="marginal", zone="DK-DK1").latest("DE")
    assert (point.basis, point.signal, point.zone) == ("lifecycle", "marginal", "DK-DK1")


def test_a_path_is_of_the_working_directory(hours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hours.parent)
    assert feed("series.csv").latest("DE").g_per_kwh == 100


@pytest.mark.parametrize("options", [{"path": "none.csv"}, {"path": 3}, {"path": "x.csv", "basis": "both"}])
def test_mistakes_are_told_in_one_line_before_anything_is_asked(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^[^\n]+$"):
        SeriesFeed({"series": options}, None, lambda: NOW_S)


def test_without_a_file_it_is_not_ready_and_has_no_answer(hours: Path) -> None:
    made = SeriesFeed({}, None, lambda: NOW_S)
    assert not made.ready
    assert feed(hours).ready
    assert made.serves("DE")
    with pytest.raises(Unavailable, match="series:PATH"):
        made.latest("DE")
