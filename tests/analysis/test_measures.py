"""Which intensities a run is laid over."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import whatifs
from hypothesis import given
from hypothesis import strategies as st

from joulegram.analysis.measures import Unanswerable, measures, monthly
from joulegram.curves.series import HOUR_S, Series
from joulegram.feeds import Unavailable, annual
from joulegram.records import IntensityPoint

EVER = (0.0, 1e10)


def files(folder: Path, *names: str) -> Path:
    for name in names:
        whatifs.write(folder / name, whatifs.year_of_hours(len(name), hours=48))
    return folder


def test_a_folder_gives_every_zone_that_it_has_a_file_of(tmp_path: Path) -> None:
    where = files(tmp_path, "DK-DK1_2019-2024.csv", "FR.csv", "notes.txt")
    found = measures([f"series:{where}"], [], None, EVER)
    assert [(m.zone, m.source, m.basis) for m in found] == [
        ("DK-DK1", "DK-DK1_2019-2024.csv", "unknown"),
        ("FR", "FR.csv", "unknown"),
    ]


def test_a_folder_may_be_called_anything(tmp_path: Path) -> None:
    where = files(tmp_path / "[a]*(b){zone}", "FR.csv")
    assert [m.zone for m in measures([f"series:{where}"], [], None, EVER)] == ["FR"]


def test_the_zones_asked_for_are_given_in_their_order_whatever_their_case(tmp_path: Path) -> None:
    where = files(tmp_path, "DK-DK1_x.csv", "FR.csv", "GB.csv")
    assert [m.zone for m in measures([f"series:{where}"], ["france", "dk-dk1"], None, EVER)] == ["FR", "DK-DK1"]


def test_files_count_what_their_user_says_they_do(tmp_path: Path) -> None:
    where = files(tmp_path, "FR.csv")
    (measure,) = measures([f"series:{where}"], [], None, EVER, files_count=("direct", "marginal"))
    assert (measure.basis, measure.signal) == ("direct", "marginal")


@pytest.mark.parametrize("pattern", ["{zone}.csv", "{zone}/2021.csv", "of_{zone}_*.csv", "{zone}/{zone}.csv"])
def test_a_pattern_says_where_the_zone_is_in_a_name(tmp_path: Path, pattern: str) -> None:
    files(tmp_path, *(pattern.replace("{zone}", zone).replace("*", "1") for zone in ("FR", "US-CAL-CISO")))
    found = measures([f"series:{tmp_path}/{pattern}"], [], None, EVER)
    assert [m.zone for m in found] == ["FR", "US-CAL-CISO"]


def test_several_files_of_a_zone_are_one_series(tmp_path: Path) -> None:
    whole = whatifs.year_of_hours(hours=100)
    for name, hours in ("FR_1.csv", slice(0, 60)), ("FR_2.csv", slice(60, 100)):
        whatifs.write(tmp_path / name, Series(whole.starts_s[hours], whole.ends_s[hours], whole.g_per_kwh[hours]))
    (measure,) = measures([f"series:{tmp_path}"], [], None, EVER)
    assert measure.series is not None
    assert measure.series.g_per_kwh.tolist() == whole.g_per_kwh.tolist()
    assert measure.source == "FR_1.csv, FR_2.csv"


def test_a_single_file_is_of_the_zone_asked_for_and_else_of_what_its_name_says(tmp_path: Path) -> None:
    path = files(tmp_path, "FR_2021.csv") / "FR_2021.csv"
    assert [m.zone for m in measures([f"series:{path}"], [], "DK", EVER)] == ["FR"]
    assert [m.zone for m in measures([f"series:{path}"], ["PL"], "DK", EVER)] == ["PL"]


def test_the_yearly_mean_has_each_basis_apart() -> None:
    found = measures(["annual"], ["US-CA"], None, EVER)
    assert [m.basis for m in found] == [point.basis for point in annual.points("US-CA")] == ["lifecycle", "direct"]


def test_without_a_zone_it_is_the_runs_own() -> None:
    assert [m.zone for m in measures(["annual"], [], "denmark", EVER)] == ["DK"]


def test_a_feed_is_asked_once_for_each_zone_and_monthly_means_are_of_the_same() -> None:
    asked = []

    def points_of(zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        asked.append((zone, start_s, end_s))
        return whatifs.points(whatifs.year_of_hours(hours=48), "a feed", "direct")

    found = measures(["monthly", "realtime"], ["fr", "DE"], None, (1.0, 2.0), points_of)
    assert asked == [("FR", 1.0, 2.0), ("DE", 1.0, 2.0)]
    assert [(m.zone, m.name, m.basis) for m in found] == [
        (zone, name, "direct") for zone in ("FR", "DE") for name in ("realtime", "monthly")
    ]
    assert len(measures(["monthly"], ["FR"], None, (1.0, 2.0), points_of)) == 1


def test_monthly_means_of_files_ask_no_feed(tmp_path: Path) -> None:
    found = measures(["monthly", f"series:{files(tmp_path, 'FR.csv')}"], [], None, EVER)
    assert [m.name for m in found] == ["series", "monthly"]


@given(st.integers(0, 24 * 400), st.integers(1, 24 * 70), st.sets(st.integers(0, 24 * 70)))
def test_a_months_mean_is_that_of_its_known_hours(first: int, hours: int, unknown: set[int]) -> None:
    starts = whatifs.FIRST_S + HOUR_S * (first + np.array([h for h in range(hours) if h not in unknown], float))
    values = np.arange(len(starts)) % 37.0
    found = monthly(Series.of(starts, HOUR_S, values))
    by_month: dict[tuple[int, int], list[float]] = {}
    for start_s, value in zip(starts, values, strict=True):
        moment = datetime.fromtimestamp(start_s, UTC)
        by_month.setdefault((moment.year, moment.month), []).append(value)
    assert found.g_per_kwh == pytest.approx([np.mean(of) for of in by_month.values()])
    assert [
        (moment.year, moment.month, moment.day) for moment in (datetime.fromtimestamp(s, UTC) for s in found.starts_s)
    ] == [(*month, 1) for month in by_month]


@pytest.mark.parametrize(
    ("asked", "zones", "said"),
    [
        (["weekly"], ["FR"], "no intensity 'weekly' is known: realtime, monthly, annual or series:PATH"),
        (["series:"], ["FR"], "no intensity 'series:' is known"),
        (["annual"], ["atlantis"], "no zone 'atlantis' is known"),
        (["annual"], [], "which --zone?"),
        (["realtime"], ["FR"], "no feed of FR is configured"),
        (["monthly"], ["FR"], "no feed of FR is configured"),
        (["series:HERE"], ["PL"], "no file of PL is at HERE; there are DK-DK1, FR"),
        (["series:HERE/empty"], [], "no file of a zone is at HERE/empty"),
        (["series:HERE/FR.csv"], ["FR", "DE"], "HERE/FR.csv is one zone's"),
    ],
)
def test_what_is_not_known_is_told_in_a_line(tmp_path: Path, asked: list[str], zones: list[str], said: str) -> None:
    files(tmp_path, "FR.csv", "DK-DK1.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unanswerable) as raised:
        measures([word.replace("HERE", str(tmp_path)) for word in asked], zones, None, EVER)
    assert said in str(raised.value).replace(str(tmp_path), "HERE")


def test_a_feed_that_knows_nothing_is_told_in_a_line() -> None:
    with pytest.raises(Unanswerable, match="the feed of FR knows no hours of that time"):
        measures(["realtime"], ["FR"], None, EVER, lambda *_: annual.points("FR"))


def test_points_of_different_kinds_are_measures_of_their_own() -> None:
    first, second = whatifs.year_of_hours(1, hours=48), whatifs.year_of_hours(2, hours=24)
    known = [*whatifs.points(first, "one", "direct"), *whatifs.points(second, "other", "direct", signal="marginal")]
    average, marginal = measures(["realtime"], ["FR"], None, EVER, lambda *_: known)
    assert (average.signal, marginal.signal) == ("average", "marginal")
    assert (average.source, marginal.source) == ("one", "other")
    for measure, series in (average, first), (marginal, second):
        assert measure.series is not None
        assert measure.series.g_per_kwh.tolist() == series.g_per_kwh.tolist()


def test_a_zone_whose_feed_does_not_answer_is_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    known = [IntensityPoint(1, 1, 1, "FR", "a feed", "measured", basis="direct", start_s=0.0, length_s=3600.0)]

    def points_of(zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        if zone == "DE":
            raise Unavailable("it is asleep")
        return known

    assert [measure.zone for measure in measures(["realtime"], ["DE", "FR"], None, (0.0, 1.0), points_of)] == ["FR"]
    assert "it is asleep" in caplog.text
    with pytest.raises(Unanswerable, match="asleep"):
        measures(["realtime"], ["DE"], None, (0.0, 1.0), points_of)
