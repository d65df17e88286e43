"""Balancing authorities' intensities from a server that speaks EIA's documented format."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from feed_faults import FAULTS, NOW_S, SECRET, assert_survives, source
from hosts import Host

from joulegram.feeds import NotAllowed, NotServed, Unavailable
from joulegram.feeds.eia import EiaFeed


def row(period: str, fuel: str, value: Any) -> dict[str, Any]:
    return {
        "period": period,
        "respondent": "CISO",
        "respondent-name": "California Independent System Operator",
        "fueltype": fuel,
        "type-name": fuel,
        "value": value,
        "value-units": "megawatthours",
    }


def answer(*rows: dict[str, Any]) -> dict[str, Any]:
    response = {"total": len(rows), "dateFormat": 'YYYY-MM-DD"T"HH24', "frequency": "hourly", "data": list(rows)}
    return {"response": response, "request": {}, "apiVersion": "2.0.3"}


@pytest.fixture
def eia() -> Iterator[Host]:
    with source() as made:
        made.body = answer(
            row("2026-06-24T10", "NG", 100), row("2026-06-24T10", "SUN", 300), row("2026-06-24T09", "NG", 100)
        )
        yield made


def feed(at: Host, now_s: float = NOW_S) -> EiaFeed:
    return EiaFeed({"eia": {"base_url": at.url, "key": SECRET}}, None, lambda: now_s)


def test_an_hour_is_named_by_its_end_and_priced_by_its_mix(eia: Host) -> None:
    points = feed(eia).history("US-CAL-CISO", NOW_S - 7200, NOW_S)
    assert [(p.g_per_kwh, p.start_s, p.length_s) for p in points] == [
        (490, NOW_S - 7200, 3600),
        (pytest.approx((100 * 490 + 300 * 45) / 400), NOW_S - 3600, 3600),
    ]
    assert {(p.zone, p.kind, p.signal, p.basis, p.scope, p.settled) for p in points} == {
        ("US-CAL-CISO", "estimated", "average", "lifecycle", "generation", False)
    }
    assert all(p.low < p.g_per_kwh < p.high for p in points)


def test_the_question_names_the_authority_and_the_hours_by_their_ends(eia: Host) -> None:
    feed(eia).history("US-TEX-ERCO", NOW_S - 7200, NOW_S)
    path, query, headers = eia.asked[-1]
    assert path == "/v2/electricity/rto/fuel-type-data/data/"
    assert query["facets[respondent][]"] == ["ERCO"]
    assert (query["start"], query["end"]) == (["2026-06-24T09"], ["2026-06-24T10"])
    assert (query["frequency"], query["data[]"], query["length"]) == (["hourly"], ["value"], ["5000"])
    assert query["api_key"] == [SECRET]
    assert SECRET not in str(headers)


def test_the_latest_is_the_newest_hour(eia: Host) -> None:
    assert feed(eia).latest("US-CAL-CISO").start_s == NOW_S - 3600


def test_values_may_be_texts_or_null(eia: Host) -> None:
    eia.body = answer(row("2026-06-24T10", "COL", "10"), row("2026-06-24T10", "NG", None))
    assert [p.g_per_kwh for p in feed(eia).history("US-CAL-CISO", NOW_S - 3600, NOW_S)] == [820]


@pytest.mark.parametrize(
    ("fuel", "g_per_kwh"),
    {
        "COL": 820,
        "NG": 490,
        "NUC": 12,
        "OIL": 650,
        "OTH": 700,
        "SUN": 45,
        "WAT": 24,
        "WND": 11,
        "WIND": 11,
        "GEO": 38,
        "SNB": 45,
        "WNB": 11,
        "UNK": 700,
        "NEW": 700,
    }.items(),
)
def test_every_fuel_has_its_factor(eia: Host, fuel: str, g_per_kwh: float) -> None:
    eia.body = answer(row("2026-06-24T10", fuel, 5), row("2026-06-24T10", "BAT", 50), row("2026-06-24T10", "PS", -7))
    assert [p.g_per_kwh for p in feed(eia).history("US-CAL-CISO", NOW_S - 3600, NOW_S)] == [g_per_kwh]


def test_fuels_of_one_technology_add_up(eia: Host) -> None:
    eia.body = answer(row("2026-06-24T10", "WND", 1), row("2026-06-24T10", "WNB", 2), row("2026-06-24T10", "NG", 3))
    assert [p.g_per_kwh for p in feed(eia).history("US-CAL-CISO", NOW_S - 3600, NOW_S)] == [(11 + 490) / 2]


def test_an_hour_that_lacks_a_large_fuel_is_left_out(eia: Host) -> None:
    eia.body["response"]["data"] = [
        row("2026-06-24T10", "NG", 100),
        *(row("2026-06-24T09", f, 90) for f in ("NG", "WND")),
    ]
    assert [p.start_s for p in feed(eia).history("US-CAL-CISO", NOW_S - 7200, NOW_S)] == [NOW_S - 7200]


def test_a_week_later_a_figure_is_settled(eia: Host) -> None:
    later = feed(eia, NOW_S + 8 * 86400).history("US-CAL-CISO", NOW_S - 7200, NOW_S)
    assert [(p.kind, p.settled) for p in later] == [("estimated", True), ("estimated", True)]


def test_a_history_fits_into_an_answer_and_one_that_is_cut_off_is_none(eia: Host) -> None:
    assert feed(eia).reach.history_s / 3600 * 20 < 5000
    eia.body = answer(*[row("2026-06-24T10", "NG", 1)] * 5000)
    with pytest.raises(Unavailable, match="more rows than fit"):
        feed(eia).history("US-CAL-CISO", NOW_S - 7200, NOW_S)


@pytest.mark.parametrize("status", [200, 403])
def test_a_wrong_key_is_told_apart(eia: Host, status: int) -> None:
    eia.status, eia.body = status, {"error": {"code": "API_KEY_INVALID", "message": f"no such key: {SECRET}"}}
    with pytest.raises(NotAllowed, match="wants a key, or another one") as caught:
        feed(eia).latest("US-CAL-CISO")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "error", [{"code": "OVER_RATE_LIMIT", "message": SECRET}, SECRET, {"code": SECRET}, {"code": 400}, ["x"]]
)
def test_other_errors_are_told_without_their_words(eia: Host, error: Any) -> None:
    eia.body = {"error": error}
    with pytest.raises(Unavailable, match=r"EIA answers with (OVER_RATE_LIMIT|an error)$") as caught:
        feed(eia).latest("US-CAL-CISO")
    assert not isinstance(caught.value, NotAllowed)


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(eia: Host, fault: str) -> None:
    assert_survives(fault, eia, feed(eia), "US-CAL-CISO")


@pytest.mark.parametrize("fault", [None, "500", "truncated", "redirected", "nobody there"])
def test_the_key_is_in_no_log(eia: Host, fault: str | None, caplog: pytest.LogCaptureFixture) -> None:
    if fault:
        FAULTS[fault](eia)
    with caplog.at_level(logging.DEBUG):
        try:
            feed(eia).latest("US-CAL-CISO")
        except Unavailable:
            assert fault
        logging.getLogger("urllib3.connectionpool").debug("what others ask")
    assert SECRET not in caplog.text
    assert "what others ask" in caplog.text


@pytest.mark.parametrize("period", [None, "now", 7.5])
def test_a_row_whose_time_is_none_leaves_no_answer(eia: Host, period: Any) -> None:
    eia.body = answer({**row("2026-06-24T10", "NG", 1), "period": period})
    with pytest.raises(Unavailable, match="is no time"):
        feed(eia).latest("US-CAL-CISO")


def test_it_serves_balancing_authorities_with_a_key(eia: Host) -> None:
    made = feed(eia)
    assert made.ready
    assert not EiaFeed({}, None, lambda: NOW_S).ready
    zones = ("US-CAL-CISO", "US-TEX-ERCO", "US", "US-CA", "US-EGRID-CAMX", "DK-DK1", "")
    assert [made.serves(zone) for zone in zones] == [True, True, False, False, False, False, False]
    with pytest.raises(NotServed, match="no figures for US-CA"):
        made.latest("US-CA")
    with pytest.raises(NotServed, match="makes no forecasts"):
        made.forecast("US-CAL-CISO", NOW_S, NOW_S + 3600)
    assert eia.asked == []


def test_an_answer_with_a_header_that_is_none_brings_no_key_into_a_log(
    eia: Host, caplog: pytest.LogCaptureFixture
) -> None:
    eia.headers = {"X-Odd": "a\r\nthis is no header"}  # its address, key included, is what urllib3 warns with
    with caplog.at_level(logging.DEBUG), suppress(Unavailable):
        feed(eia).latest("US-CAL-CISO")
    assert any(SECRET in str(query) for _, query, _ in eia.asked)
    assert SECRET not in caplog.text
