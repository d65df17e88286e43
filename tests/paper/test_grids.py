"""The paper's figures of grids: hours of real ones, and runs laid over them."""

from __future__ import annotations

import csv
import math
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.paper import __main__ as command
from benchmarks.paper import ecnas, figure1d, figure2
from benchmarks.paper.ecnas import FIVE, FOUR, Runs
from benchmarks.paper.grids import FOLDER, ORIGINS, TOLERANCE, Grid, KnownMean, grids, known_means
from benchmarks.paper.starts import Jobs, jobs, laid, mean_from, ratios, yearly_mean
from joulegram.curves.series import HOUR_S, Series

here = pytest.mark.skipif(not (ecnas.DATA / FOLDER).is_dir(), reason=f"{ecnas.DATA / FOLDER} is not here")
measured = pytest.mark.skipif(not ecnas.present(ecnas.DATA), reason=f"{ecnas.DATA / ecnas.FOLDER} is not here")

DECLARED = ORIGINS["declaration125"]
START_2023_S = datetime(2023, 1, 1, tzinfo=UTC).timestamp()

intensities = st.one_of(st.floats(1.0, 900.0), st.just(math.nan))
durations_h = st.one_of(st.floats(0.01, 9.0), st.integers(1, 9).map(float))


@pytest.fixture(scope="module")
def real() -> list[Grid]:
    return grids(ecnas.DATA)


@pytest.fixture(scope="module")
def few() -> list[Runs]:
    """Every two hundredth measured run."""
    spaces = [ecnas.runs(ecnas.DATA, space) for space in (FOUR, FIVE)]
    return [Runs({column: values[::200] for column, values in runs.values.items()}) for runs in spaces]


def grid_of(hours: npt.ArrayLike) -> Grid:
    """A grid from 2023 on; hours of NaN are gaps."""
    values = np.asarray(hours, float)
    known = ~np.isnan(values)
    starts_s = START_2023_S + HOUR_S * np.flatnonzero(known)
    return Grid("DK-DK1", DECLARED, Series.of(starts_s, HOUR_S, values[known]))


# -- a run over all starts ------------------------------------------------------------------------------------------


@given(st.lists(intensities, min_size=1, max_size=30), durations_h)
def test_a_run_meets_the_integral_of_the_hours_that_it_touches(hourly: list[float], duration_h: float) -> None:
    found = mean_from(np.array(hourly), duration_h)
    known = ~np.isnan(hourly)
    series = Series.of(HOUR_S * np.flatnonzero(known), HOUR_S, np.array(hourly)[known])
    expected = [series.means([HOUR_S * start, HOUR_S * (start + duration_h)])[0] for start in range(len(hourly))]
    assert found == pytest.approx(expected, rel=1e-7, nan_ok=True)


@given(st.floats(1.0, 900.0), durations_h)
def test_on_a_grid_that_never_changes_no_start_is_better_than_another(g_per_kwh: float, duration_h: float) -> None:
    found = mean_from(np.full(24, g_per_kwh), duration_h)
    whole = 24 - math.ceil(duration_h) + 1
    assert found[:whole] == pytest.approx(np.full(whole, g_per_kwh))
    assert np.isnan(found[whole:]).all()


def test_a_part_of_an_hour_weighs_as_much_as_it_lasts() -> None:
    assert mean_from(np.array([100.0, 200.0, 400.0]), 1.5).tolist() == pytest.approx(
        [(100 + 0.5 * 200) / 1.5, (200 + 0.5 * 400) / 1.5, math.nan], nan_ok=True
    )


def test_emissions_of_a_steady_year_are_those_at_its_average() -> None:
    grid = grid_of(np.full(8760 + 4, 80.0))
    runs = Jobs(4, np.array([0.5, 1.5]), np.array([0.1, 3.5]))
    found = laid(grid, 2023, runs, ratios(grid, 2023, runs))
    assert (found.runs, found.starts) == (2, 8760)
    assert (found.ratio_min, found.ratio_median, found.ratio_max, found.far_part) == (1.0, 1.0, 1.0, 0.0)
    assert (found.yearly_g, found.realtime_g) == pytest.approx((80.0, 80.0))


def test_emissions_of_a_year_of_two_kinds_of_hours_are_either_or_between() -> None:
    """Hours of 50 and 150 g/kWh by turns: runs of an hour meet one kind, runs of two both."""
    grid = grid_of(np.tile([50.0, 150.0], 4380))
    runs = Jobs(108, np.array([1.0, 1.0, 1.0]), np.array([0.5, 1.0, 2.0]))
    each = ratios(grid, 2023, runs)
    assert each[0, :4].tolist() == each[1, :4].tolist() == [0.5, 1.5, 0.5, 1.5]
    assert each[2, :4].tolist() == [1.0] * 4
    found = laid(grid, 2023, runs, each)
    assert found.starts == 8759, "the last run of two hours would end in a year that is not known"
    assert (found.ratio_min, found.ratio_median, found.ratio_max) == (0.5, 1.0, 1.5)
    assert found.far_part == pytest.approx(2 / 3)


@settings(max_examples=10)
@given(st.lists(st.floats(1.0, 900.0), min_size=50, max_size=50), st.floats(0.1, 5.0))
def test_ratios_do_not_know_the_unit_of_intensity(hours: list[float], duration_h: float) -> None:
    runs = Jobs(4, np.array([1.0]), np.array([duration_h]))
    one, twice = (ratios(grid_of(factor * np.array(hours)), 2023, runs) for factor in (1.0, 2.0))
    assert one == pytest.approx(twice, nan_ok=True)


@here
@measured
def test_runs_laid_over_a_real_year_meet_what_its_series_says(real: list[Grid], few: list[Runs]) -> None:
    grid = next(grid for grid in real if grid.zone == "DK-DK2")
    runs = jobs(few, 108)
    assert 1.0 < runs.duration_h.max() < 4.0
    found = ratios(grid, 2020, runs)
    assert found.shape == (len(runs.duration_h), 366 * 24)
    start_s, mean = datetime(2020, 1, 1, tzinfo=UTC).timestamp(), yearly_mean(grid, 2020)
    for run, hour in ((0, 0), (3, 17), (5, 59 * 24 + 2), (8, 4000), (13, 366 * 24 - 1)):
        begin_s = start_s + HOUR_S * hour
        (met,) = grid.series.means([begin_s, begin_s + HOUR_S * runs.duration_h[run]])
        assert found[run, hour] == pytest.approx(met / mean, rel=1e-5, nan_ok=True)
    assert np.isnan(found[:, 59 * 24 + 2]).all(), "the source has no 29 February"


@measured
def test_runs_are_stretched_in_proportion_and_without_pue(few: list[Runs]) -> None:
    short, long = jobs(few, 4), jobs(few, 108)
    joules = np.concatenate([runs["gpu_energy_j"] + runs["cpu_energy_j"] for runs in few])
    assert short.energy_kwh * 3.6e6 == pytest.approx(joules, rel=5e-4)
    assert long.energy_kwh == pytest.approx(27 * short.energy_kwh)
    assert long.duration_h == pytest.approx(27 * short.duration_h)


# -- grids ----------------------------------------------------------------------------------------------------------


@here
def test_yearly_means_of_western_denmark_are_as_known(real: list[Grid]) -> None:
    found = known_means(real)
    assert [(mean.year, mean.known) for mean in found] == [
        (2019, 146),
        (2020, 125),
        (2021, 145),
        (2022, 144),
        (2023, 100),
        (2024, 93),
    ]
    assert [mean for mean in found if not abs(mean.found / mean.known - 1) <= TOLERANCE] == []
    assert all(mean.agrees for mean in found)


@pytest.mark.parametrize(("found", "agrees"), [(100.49, True), (100.51, False), (99.49, False), (math.nan, False)])
def test_a_mean_agrees_within_half_a_percent(found: float, agrees: bool) -> None:
    assert KnownMean("DK-DK1", 2023, 100.0, found).agrees is agrees


def test_a_year_is_told_of_if_it_is_whole() -> None:
    """A year that lacks a day, then one of which there is half."""
    grid = grid_of(np.where(np.arange(8760 + 4000) // 24 == 58, np.nan, 70.0))
    ((year, hours),) = grid.years()
    assert (year, len(hours)) == (2023, 8736)
    assert np.isnan(grid.year(2023)).sum() == 24
    assert len(grid.year(2024)) == 366 * 24


@here
def test_boxes_are_of_all_zones_and_name_what_cannot_be_compared(real: list[Grid]) -> None:
    found = figure1d.boxes(real)
    assert {box.zone for box in found} == {
        *("DK-DK1", "DK-DK2", "DE", "PL", "SE", "ES", "NL", "US-CAL-CISO", "US-TEX-ERCO", "FR", "GB")
    }
    assert len(found) == 35
    for box in found:
        assert box.min < box.p5 < box.p25 < box.median < box.p75 < box.p95 < box.max
        assert box.p5 < box.mean < box.p95
        assert box.n > 8700
        assert box.basis == ("direct" if box.zone.startswith("DK") else "lifecycle")
    assert figure1d.missing(real) == ["London", "Edinburgh"]


def test_a_box_holds_percentiles_of_its_hours() -> None:
    (box,) = figure1d.boxes([grid_of(np.arange(8760.0) / 87.59)])
    assert (box.p5, box.p25, box.median, box.p75, box.p95, box.mean) == pytest.approx((5, 25, 50, 75, 95, 50))


def test_a_rolling_mean_is_of_the_thirty_days_around_noon() -> None:
    hours = np.random.default_rng(5).uniform(10, 300, 8760)
    hours[3000:3024] = np.nan
    found = list(figure2.days(grid_of(hours), years=[2023]))
    day = found[100]
    assert day.day == "2023-04-11"
    around = hours[100 * 24 + 12 - 360 : 100 * 24 + 12 + 360]
    assert day.mean_30d == pytest.approx(around.mean())
    assert (day.mean, day.min) == pytest.approx((hours[2400:2424].mean(), hours[2400:2424].min()))
    assert math.isnan(found[5].mean_30d), "a third of its days is not known"
    assert [one.day for one in found if one.day.startswith("2023-05-0")][-4:] == [f"2023-05-0{n}" for n in (5, 7, 8, 9)]


# -- what is made of them -------------------------------------------------------------------------------------------


@here
@measured
def test_pictures_and_the_numbers_behind_them_are_written(real: list[Grid], few: list[Runs], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    boxes = figure1d.boxes(real)
    figure1d.write(boxes, tmp_path / "figure1d.csv")
    figure1d.draw(boxes, figure1d.missing(real), tmp_path / "figure1d.png")
    table = figure2.table(real, few)
    figure2.write(table, real, tmp_path)
    figure2.draw(real, few, tmp_path / "figure2.png")
    for name in ("figure1d.png", "figure2.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    rows = {}
    for name in ("figure1d.csv", "figure2.csv", "figure2-intensity.csv"):
        with (tmp_path / name).open(encoding="utf-8", newline="") as lines:
            rows[name] = list(csv.DictReader(lines))
    assert [len(found) for found in rows.values()] == [35, 20, 2 * 1826 - 1], "eastern Denmark has no 29 February"
    assert float(rows["figure1d.csv"][0]["mean"]) == pytest.approx(146.28, abs=0.005)
    for row in rows["figure2.csv"]:
        assert float(row["ratio_mean"]) == pytest.approx(1, abs=0.001)
        assert float(row["realtime_g"]) == pytest.approx(float(row["yearly_g"]), rel=0.001)
    assert max(map(len, figure2.text(table).splitlines())) <= 80


def test_data_without_denmark_s_hours_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ecnas.FOLDER).mkdir()
    (tmp_path / ecnas.FOLDER / "measurements_4v5v.csv").touch()
    monkeypatch.setattr(sys, "argv", ["paper", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        command.main()
    assert "lacks hourly intensities of DK-DK1 or DK-DK2 in 2019 to 2023 (intensity/)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
