"""Europe's intensities from a server that speaks the documented format of Energy-Charts."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from feed_faults import FAULTS, NOW_S, assert_survives, source
from hosts import Host

from joulegram.feeds import NotServed, Unavailable
from joulegram.feeds.energycharts import EnergyChartsFeed

QUARTER_S = 900.0


def answer(starts_s: Sequence[Any], co2eq: Sequence[Any], forecast: Sequence[Any]) -> dict[str, Any]:
    return {
        "unix_seconds": list(starts_s),
        "co2eq": list(co2eq),
        "co2eq_forecast": list(forecast),
        "deprecated": False,
    }


STARTS_S = [int(NOW_S) + 900 * i for i in range(-3, 3)]


@pytest.fixture
def charts() -> Iterator[Host]:
    with source() as made:
        made.body = answer(STARTS_S, [491.5, 497.4, None, None, None, None], [None, 480.0, 505.0, 506.0, 507.0, None])
        yield made


def feed(at: Host) -> EnergyChartsFeed:
    return EnergyChartsFeed({"energycharts": {"base_url": at.url}}, None, lambda: NOW_S)


def test_figures_that_are_not_there_yet_are_forecast(charts: Host) -> None:
    points = feed(charts).history("DE", NOW_S - 3 * QUARTER_S, NOW_S)
    assert [(p.g_per_kwh, p.kind, p.start_s, p.length_s) for p in points] == [
        (491.5, "measured", NOW_S - 2700, 900),
        (497.4, "measured", NOW_S - 1800, 900),
        (505.0, "forecast", NOW_S - 900, 900),
    ]
    assert {(p.zone, p.signal, p.basis, p.scope, p.settled) for p in points} == {
        ("DE", "average", "unknown", "unknown", False)
    }


def test_the_question_is_in_seconds_with_an_hour_more_on_either_side(charts: Host) -> None:
    feed(charts).history("AT", NOW_S - 3600, NOW_S)
    path, query, _ = charts.asked[-1]
    assert (path, query["country"]) == ("/co2eq", ["at"])
    assert (query["start"], query["end"]) == ([f"{NOW_S - 7200:.0f}"], [f"{NOW_S + 3600:.0f}"])


def test_the_latest_is_the_slot_that_is_running(charts: Host) -> None:
    latest = feed(charts).latest("DE")
    assert (latest.g_per_kwh, latest.kind, latest.start_s) == (506, "forecast", NOW_S)
    assert latest.low < 506 < latest.high


def test_what_is_to_come_is_in_the_same_answer(charts: Host) -> None:
    points = feed(charts).forecast("DE", NOW_S, NOW_S + 3600)
    assert [(p.g_per_kwh, p.kind) for p in points] == [(506, "forecast"), (507, "forecast")]


def test_other_countries_have_hours_and_one_that_is_missing_is_a_gap(charts: Host) -> None:
    starts_s = [NOW_S - 4 * 3600, NOW_S - 3 * 3600, NOW_S - 3600]
    charts.body = answer(starts_s, [10.0, 20.0, 30.0], [None, None, None])
    points = feed(charts).history("FR", NOW_S - 4 * 3600, NOW_S)
    assert [(p.start_s, p.length_s) for p in points] == [(s, 3600) for s in starts_s]


@pytest.mark.parametrize(("zone", "length_s"), [("DE", 900), ("AT", 3600)])
def test_a_single_figure_holds_as_long_as_its_country_s_do(charts: Host, zone: str, length_s: float) -> None:
    charts.body = answer([NOW_S - 900], [7.0], [None])
    assert [p.length_s for p in feed(charts).history(zone, NOW_S - 900, NOW_S)] == [length_s]


def test_a_stamp_twice_counts_once_and_the_last_is_right(charts: Host) -> None:
    charts.body = answer([NOW_S - 900, NOW_S - 900, NOW_S], [1.0, 2.0, 3.0], [None] * 3)
    points = feed(charts).history("DE", NOW_S - 900, NOW_S)
    assert [(p.g_per_kwh, p.length_s) for p in points] == [(2, 900)]


def test_a_week_later_what_was_measured_is_settled(charts: Host) -> None:
    later = EnergyChartsFeed({"energycharts": {"base_url": charts.url}}, None, lambda: NOW_S + 8 * 86400)
    assert [p.settled for p in later.history("DE", NOW_S - 2700, NOW_S)] == [True, True, False]


@pytest.mark.parametrize("figure", [-1, 10_000, "much", None, True])
def test_figures_that_no_grid_has_are_left_out(charts: Host, figure: Any) -> None:
    charts.body = answer(STARTS_S[:3], [figure, 0, 5], [None, None, None])
    assert [p.g_per_kwh for p in feed(charts).history("DE", NOW_S - 2700, NOW_S)] == [0, 5]


@pytest.mark.parametrize("wrong", [{"co2eq": [1.0]}, {"co2eq_forecast": None}, {"unix_seconds": {}}])
def test_lists_that_do_not_fit_together_are_no_answer(charts: Host, wrong: dict[str, Any]) -> None:
    charts.body = {**charts.body, **wrong}
    with pytest.raises(Unavailable, match="has no list"):
        feed(charts).latest("DE")


def test_stamps_that_are_none_are_left_out(charts: Host) -> None:
    charts.body = answer([None, "no", NOW_S - 900, NOW_S], [1.0, 2.0, 3.0, 4.0], [None] * 4)
    assert [p.g_per_kwh for p in feed(charts).history("DE", NOW_S - 900, NOW_S)] == [3]


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(charts: Host, fault: str) -> None:
    assert_survives(fault, charts, feed(charts), "DE")


def test_it_serves_countries_of_europe_and_no_parts_of_them(charts: Host) -> None:
    made = feed(charts)
    assert made.ready
    zones = ("DE", "AT", "DK", "DK-DK1", "US", "US-CA", "WORLD")
    assert [made.serves(zone) for zone in zones] == [True, True, True, False, False, False, False]
    with pytest.raises(NotServed, match="not for DK-DK1"):
        made.history("DK-DK1", NOW_S - 60, NOW_S)
    assert charts.asked == []
