"""A run's energy under other intensities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from whatifs import FIRST_S, KnownRun, at, points, year_of_hours

import joulegram
from joulegram.analysis.measures import Unanswerable
from joulegram.analysis.whatif import percentile, rolling, what_if
from joulegram.curves.series import HOUR_S, Series
from joulegram.feeds import annual
from joulegram.records import IntensityPoint

Json = dict[str, Any]


def asked(run: KnownRun, series: Mapping[str, Series], basis: Any = "lifecycle", **more: Any) -> Json:
    """A what-if over a feed that knows these series."""
    intensity = more.pop("intensity", ["realtime"])
    return what_if(
        run,
        intensity=intensity,
        zones=list(series),
        points_of=lambda zone, *_: points(series[zone], basis=basis, signal=more.get("signal", "average")),
        now_s=lambda: FIRST_S,
        **{key: value for key, value in more.items() if key != "signal"},
    )


def told(found: Json) -> str:
    return " ".join(found["sentences"])


def test_the_distribution_is_that_of_all_start_hours_of_the_year() -> None:
    series = year_of_hours()
    (row,) = asked(KnownRun(), {"DK-DK1": series})["rows"]
    grams = np.array([series.g_per_kwh[h] + 2 * series.g_per_kwh[h + 1] for h in range(8760)])
    spread = row["by_start"]
    shares = {"min_g": 0, "p5_g": 5, "p25_g": 25, "median_g": 50, "p75_g": 75, "p95_g": 95, "max_g": 100}
    for field, share in shares.items():
        assert spread[field] == pytest.approx(np.percentile(grams, share), rel=1e-9)
    assert (spread["starts"], spread["gaps"], spread["mean_g"]) == (8760, 0, pytest.approx(grams.mean()))
    assert at(spread["best"][:-1]) == FIRST_S + HOUR_S * grams.argmin()
    assert at(spread["worst"][:-1]) == FIRST_S + HOUR_S * grams.argmax()
    assert row["at_mean_g"] == pytest.approx(3 * series.g_per_kwh[:8760].mean())
    assert spread["max_over_mean"] == pytest.approx(grams.max() / row["at_mean_g"])
    assert row["period"]["name"] == "2021"


def test_starts_that_need_an_unknown_hour_are_left_out_and_counted() -> None:
    series = year_of_hours()
    kept = np.arange(len(series)) != 100
    (row,) = asked(KnownRun(), {"FR": Series(series.starts_s[kept], series.ends_s[kept], series.g_per_kwh[kept])})[
        "rows"
    ]
    assert (row["by_start"]["starts"], row["by_start"]["gaps"]) == (8758, 2)
    assert row["by_start"]["min_g"] > 0


def test_a_run_stands_where_its_own_start_puts_it() -> None:
    series = year_of_hours()
    run = KnownRun(started_s=FIRST_S + 500 * HOUR_S)
    (row,) = asked(run, {"DK-DK1": series})["rows"]
    grams = np.array([series.g_per_kwh[h] + 2 * series.g_per_kwh[h + 1] for h in range(8760)])
    assert row["own"]["by"] == "start"
    assert row["own"]["carbon_g"] == pytest.approx(grams[500])
    assert row["own"]["percentile"] == pytest.approx(100 * ((grams < grams[500]).sum() + 0.5) / 8760)


def test_a_run_of_another_year_stands_where_its_own_figure_puts_it() -> None:
    run = KnownRun(started_s=at("2025-01-01"), carbon_g=600.0)
    (row,) = asked(run, {"DK-DK1": year_of_hours()})["rows"]
    assert (row["own"]["by"], row["own"]["carbon_g"]) == ("figure", 600.0)
    assert 0 < row["own"]["percentile"] < 100


@pytest.mark.parametrize(("more", "carbon_g"), [({"basis": "direct"}, 1.0), ({"signal": "marginal"}, 1.0), ({}, None)])
def test_a_figure_that_counts_something_else_has_no_place_among_them(more: Json, carbon_g: float | None) -> None:
    run = KnownRun(started_s=at("2025-01-01"), carbon_g=carbon_g)
    (row,) = asked(run, {"DK-DK1": year_of_hours()}, **more)["rows"]
    assert row["own"] is None


def test_starts_asked_for_are_exact_off_the_hour_too() -> None:
    series = year_of_hours()
    start_s = FIRST_S + 10.25 * HOUR_S
    (row,) = asked(KnownRun(), {"FR": series}, starts_s=[start_s])["rows"]
    g = series.g_per_kwh[10:13]
    wanted = 0.75 * g[0] + 0.25 * g[1] + 2 * (0.75 * g[1] + 0.25 * g[2])
    (start,) = row["starts"]
    assert (start["start"], start["start_s"]) == ("2021-01-01T10:15:00Z", start_s)
    assert start["carbon_g"] == pytest.approx(wanted)
    grams = series.g_per_kwh[:8760] + 2 * series.g_per_kwh[1:8761]
    assert start["percentile"] == pytest.approx(100 * (grams < wanted).mean())


def test_a_start_that_one_zone_knows_is_not_known_in_the_other() -> None:
    later = year_of_hours(hours=3 * 8760)
    found = asked(KnownRun(), {"FR": year_of_hours(), "DE": later}, starts_s=[at("2022-06-01")])
    assert [row["starts"][0]["carbon_g"] is None for row in found["rows"]] == [True, False]


def test_a_yearly_mean_costs_the_same_from_every_start() -> None:
    found = what_if(KnownRun(), zones=["DK"], starts_s=[0.0, 1e9], now_s=lambda: FIRST_S)
    (row,) = found["rows"]
    (point,) = annual.points("DK")
    assert [start["carbon_g"] for start in row["starts"]] == [pytest.approx(3 * point.g_per_kwh)] * 2
    assert (row["low_g"], row["high_g"]) == (pytest.approx(3 * point.low), pytest.approx(3 * point.high))
    assert (row["by_start"], row["basis"], found["over_year"]) == (None, "lifecycle", None)


def test_monthly_means_vary_less_than_the_hours_they_are_of() -> None:
    hourly, monthly = asked(KnownRun(), {"FR": year_of_hours()}, intensity=["realtime", "monthly"])["rows"]
    assert hourly["by_start"]["min_g"] < monthly["by_start"]["min_g"]
    assert hourly["by_start"]["max_g"] > monthly["by_start"]["max_g"]
    assert monthly["at_mean_g"] == pytest.approx(hourly["at_mean_g"], rel=0.01)


def test_the_feed_is_asked_about_a_year_and_the_starts_beyond_it() -> None:
    spans = []

    def points_of(zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        spans.append((start_s, end_s))
        return points(year_of_hours())

    now_s = FIRST_S + 9000 * HOUR_S
    what_if(KnownRun(), intensity=["realtime"], zones=["FR"], points_of=points_of, now_s=lambda: now_s)
    what_if(
        KnownRun(), intensity=["realtime"], zones=["FR"], starts_s=[FIRST_S], points_of=points_of, now_s=lambda: now_s
    )
    assert spans == [(now_s - 366 * 24 * HOUR_S, now_s), (FIRST_S, now_s)]


def test_over_the_year_is_of_the_runs_own_zone_and_its_rolling_mean_is_of_thirty_days() -> None:
    series = {"FR": year_of_hours(1), "DK-DK1": year_of_hours(2)}
    found = asked(KnownRun(), series)
    year = found["over_year"]
    assert (year["zone"], len(year["carbon_g"]), len(year["rolling_g"])) == ("DK-DK1", 8760, 8760)
    g = series["DK-DK1"].g_per_kwh
    assert year["rolling_g"][4000] == pytest.approx(3 * g[4000 - 360 : 4000 + 360].mean())
    assert year["rolling_g"][0] == pytest.approx(3 * g[:360].mean())


@given(st.lists(st.floats(0, 1e3) | st.just(float("nan")), min_size=12, max_size=40), st.integers(1, 10))
def test_a_rolling_mean_is_of_the_known_where_at_least_half_are(values: list[float], width: int) -> None:
    found = rolling(np.array(values), width)
    assert len(found) == len(values) - width
    for place, mean in enumerate(found):
        known = [v for v in values[place : place + width] if np.isfinite(v)]
        wanted = np.mean(known) if len(known) >= width / 2 else np.nan
        assert mean == pytest.approx(wanted, abs=1e-9, nan_ok=True)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=50), st.integers(0, 20))
def test_a_percentile_counts_ties_by_half(values: list[int], grams: int) -> None:
    known = np.sort(np.array(values, float))
    wanted = 100 * (sum(v < grams for v in values) + sum(v == grams for v in values) / 2) / len(values)
    assert percentile(known, float(grams)) == pytest.approx(wanted)


def test_the_result_is_plain_data() -> None:
    found = asked(KnownRun(), {"FR": year_of_hours()}, intensity=["realtime", "annual"], starts_s=[FIRST_S])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


# -- words --------------------------------------------------------------------------------------------------------


def test_what_the_average_hides_is_told() -> None:
    found = asked(KnownRun(), {"FR": year_of_hours()})
    spread = found["rows"][0]["by_start"]
    assert "At the same energy, FR in 2021 ranges from " in told(found)
    assert f"hides a factor of {spread['max_g'] / spread['min_g']:.1f}" in told(found)
    assert "do not say by how much its emissions would change if the run were moved" in told(found)


def test_places_are_compared_at_their_means() -> None:
    found = asked(KnownRun(), {"FR": year_of_hours(1, 50), "PL": year_of_hours(2, 500)})
    low, high = (row["at_mean_g"] for row in found["rows"])
    assert f"in FR to 1.50 kg in PL, {high / low:.1f} times as much" in told(found)


def test_different_bases_are_warned_of() -> None:
    assert "do not compare" not in told(asked(KnownRun(), {"FR": year_of_hours()}))
    found = asked(KnownRun(), {"FR": year_of_hours()}, basis="direct", intensity=["realtime", "annual"])
    assert (
        "Figures that count different emissions do not compare: the run’s own figure and FR annual (lifecycle basis); "
        "FR realtime (direct basis)."
    ) in told(found)


def test_a_place_on_one_basis_is_not_compared_with_another_on_the_other() -> None:
    series = {"FR": year_of_hours(1, 50), "PL": year_of_hours(2, 500)}
    bases = {"FR": "direct", "PL": "lifecycle"}
    found = what_if(
        KnownRun(),
        intensity=["realtime"],
        zones=list(series),
        points_of=lambda zone, *_: points(series[zone], basis=bases[zone]),
    )
    assert "By place alone" not in told(found)
    assert "do not compare" in told(found)


def test_a_marginal_signal_is_told_from_an_average() -> None:
    found = asked(KnownRun(), {"FR": year_of_hours()}, signal="marginal")
    assert "FR realtime (marginal lifecycle basis)" in told(found)
    assert "These are average intensities" not in told(found)


def test_years_that_differ_are_told() -> None:
    later = year_of_hours(1)
    shifted = Series(later.starts_s + 8760 * HOUR_S, later.ends_s + 8760 * HOUR_S, later.g_per_kwh)
    assert "different times (2021 and 2022)" in told(asked(KnownRun(), {"FR": year_of_hours(), "DE": shifted}))


def test_a_run_that_goes_on_or_lacks_a_part_says_so() -> None:
    found = asked(KnownRun(status="running", missing=("alpha/dram:0: not read",)), {"FR": year_of_hours()})
    assert "still going on" in told(found)
    assert "lower bounds: the run’s energy lacks alpha/dram:0: not read" in told(found)


# -- mistakes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "more", "said"),
    [
        (KnownRun(hours_j=()), {}, "no energy to lay elsewhere: no meter found a channel to count"),
        (KnownRun(hours_j=(0.0,)), {}, "no energy to lay elsewhere: it used none"),
        (
            KnownRun(),
            {"starts_s": [at("2023-01-01")]},
            r"2023-01-01T00:00:00Z needs hours that are not known \(known: FR from 2021-01-01 to 2022-01-05\)",
        ),
        (KnownRun(hours_j=(1.0,) * 10_000), {}, "no stretch without a gap that is as long as the run"),
    ],
)
def test_what_cannot_be_answered_is_told_in_a_line(run: KnownRun, more: Json, said: str) -> None:
    with pytest.raises(Unanswerable, match=said):
        asked(run, {"FR": year_of_hours()}, **more)


def test_it_is_one_of_the_public_names() -> None:
    assert joulegram.what_if is what_if
