"""Denmark's intensity from a server that speaks the documented format of Energi Data Service."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from feed_faults import FAULTS, NOW_S, assert_survives, source
from hosts import Host

from joulegram.feeds import NotServed, Unavailable
from joulegram.feeds.energidataservice import EnergiDataServiceFeed


def row(minutes: str, figure: Any, area: str = "DK1") -> dict[str, Any]:
    local = minutes.replace("T09", "T11")
    return {"Minutes5UTC": minutes, "Minutes5DK": local, "PriceArea": area, "CO2Emission": figure}


def answer(dataset: str, *rows: dict[str, Any]) -> dict[str, Any]:
    filters = '{"PriceArea":["DK1"]}'
    return {"total": 1903306, "filters": filters, "limit": 100, "dataset": dataset, "records": list(rows)}


@pytest.fixture
def energinet() -> Iterator[Host]:
    with source() as made:
        made.paths = {
            "/dataset/CO2EmisProg": answer("CO2EmisProg", row("2026-06-24T10:00:00", 91.0)),
            "/dataset/CO2Emis": answer(  # newest first, as it comes
                "CO2Emis", row("2026-06-24T09:55:00", 100.0), row("2026-06-24T09:50:00", 120.0)
            ),
        }
        yield made


def feed(at: Host, now_s: float = NOW_S) -> EnergiDataServiceFeed:
    return EnergiDataServiceFeed({"energidataservice": {"base_url": at.url}}, None, lambda: now_s)


def test_five_minutes_are_measured_direct_and_of_consumption(energinet: Host) -> None:
    points = feed(energinet).history("DK-DK1", NOW_S - 600, NOW_S)
    assert [(p.g_per_kwh, p.start_s, p.length_s) for p in points] == [(120, NOW_S - 600, 300), (100, NOW_S - 300, 300)]
    assert {(p.zone, p.kind, p.signal, p.basis, p.scope, p.settled) for p in points} == {
        ("DK-DK1", "measured", "average", "direct", "consumption", False)
    }


def test_the_question_is_in_utc_names_the_price_area_and_wants_all_rows(energinet: Host) -> None:
    feed(energinet).history("DK-DK2", NOW_S - 3601, NOW_S - 1)
    path, query, _ = energinet.asked[-1]
    assert path == "/dataset/CO2Emis"
    assert json.loads(query.pop("filter")[0]) == {"PriceArea": ["DK2"]}
    assert query == {
        "start": ["2026-06-24T08:55"],
        "end": ["2026-06-24T10:00"],
        "timezone": ["UTC"],
        "limit": ["0"],
    }


def test_the_latest_is_the_newest_row(energinet: Host) -> None:
    latest = feed(energinet).latest("DK-DK1")
    assert (latest.g_per_kwh, latest.low, latest.high, latest.start_s) == (100, 100, 100, NOW_S - 300)


def test_what_is_expected_is_another_dataset_and_a_forecast(energinet: Host) -> None:
    (point,) = feed(energinet).forecast("DK-DK1", NOW_S, NOW_S + 7200)
    assert (point.g_per_kwh, point.kind, point.start_s) == (91, "forecast", NOW_S)
    assert point.low < 91 < point.high
    assert energinet.asked[-1][0] == "/dataset/CO2EmisProg"


def test_a_day_later_a_figure_is_settled(energinet: Host) -> None:
    later = feed(energinet, NOW_S + 86400)
    assert [p.settled for p in later.history("DK-DK1", NOW_S - 600, NOW_S)] == [True, True]


def test_a_night_with_an_hour_twice_in_danish_time_has_all_its_hours(energinet: Host) -> None:
    rows = [row("2026-10-25T00:30:00", 80.0), row("2026-10-25T01:30:00", 90.0)]
    for each in rows:
        each["Minutes5DK"] = "2026-10-25T02:30:00"
    energinet.paths["/dataset/CO2Emis"] = answer("CO2Emis", *rows)
    night_s = 1_792_886_400.0  # 2026-10-25T00:00Z
    points = feed(energinet).history("DK-DK1", night_s, night_s + 7200)
    assert [(p.g_per_kwh, p.start_s) for p in points] == [(80, night_s + 1800), (90, night_s + 5400)]


def test_rows_of_the_other_price_area_are_left_out(energinet: Host) -> None:
    energinet.paths["/dataset/CO2Emis"] = answer("CO2Emis", row("2026-06-24T09:55:00", 50.0, "DK2"))
    assert feed(energinet).history("DK-DK1", NOW_S - 600, NOW_S) == []
    with pytest.raises(Unavailable, match="no figure for now"):
        feed(energinet).latest("DK-DK1")


@pytest.mark.parametrize("figure", [-1, 10_000, "much", None])
def test_figures_that_no_grid_has_are_left_out(energinet: Host, figure: Any) -> None:
    rows = row("2026-06-24T09:50:00", figure), row("2026-06-24T09:55:00", 0)
    energinet.paths["/dataset/CO2Emis"] = answer("CO2Emis", *rows)
    assert [p.g_per_kwh for p in feed(energinet).history("DK-DK1", NOW_S - 600, NOW_S)] == [0]


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "197"}], ids=["by words", "by words and header"])
def test_asked_too_often_it_says_for_how_long(energinet: Host, headers: dict[str, str]) -> None:
    energinet.status, energinet.headers, energinet.paths = 429, headers, {}
    energinet.body = {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 197 seconds."}
    with pytest.raises(Unavailable) as caught:
        feed(energinet).latest("DK-DK1")
    assert caught.value.retry_s == 197


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(energinet: Host, fault: str) -> None:
    assert_survives(fault, energinet, feed(energinet), "DK-DK1")


@pytest.mark.parametrize("minutes", [None, 0, "yesterday"])
def test_a_row_whose_time_is_none_leaves_no_answer(energinet: Host, minutes: Any) -> None:
    energinet.paths["/dataset/CO2Emis"] = answer("CO2Emis", {**row("2026-06-24T09:55:00", 1), "Minutes5UTC": minutes})
    with pytest.raises(Unavailable, match="is no time"):
        feed(energinet).latest("DK-DK1")


def test_it_serves_the_two_price_areas_and_not_the_country(energinet: Host) -> None:
    made = feed(energinet)
    assert made.ready
    assert [made.serves(zone) for zone in ("DK-DK1", "DK-DK2", "DK", "DE")] == [True, True, False, False]
    with pytest.raises(NotServed, match="DK-DK1 and DK-DK2, not for DK"):
        made.latest("DK")
    assert energinet.asked == []
