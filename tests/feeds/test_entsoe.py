"""Europe's intensities from a server that speaks the documented format of ENTSO-E's transparency platform."""

import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from feed_faults import FAULTS, NOW_S, SECRET, assert_survives, source
from hosts import Host

from joulegram.feeds import NotAllowed, NotServed, Unavailable
from joulegram.feeds.entsoe import EntsoeFeed

NAMESPACE = "urn:iec62325.351:tc57wg16:451-6:generationloaddocument:3:0"
HOUR = "PT60M"


def series(
    production: str,
    *values: float | None,
    start_s: float = NOW_S - 7200,
    resolution: str = HOUR,
    curve: str = "A01",
    zone: str = "inBiddingZone_Domain.mRID",
) -> bytes:
    """A time series; None is a point that is not written."""
    length_s = 60.0 * int(resolution[2:-1])
    start, end = (
        datetime.fromtimestamp(s, UTC).strftime("%Y-%m-%dT%H:%MZ") for s in (start_s, start_s + length_s * len(values))
    )
    points = "".join(
        f"<Point><position>{position}</position><quantity>{value}</quantity></Point>"
        for position, value in enumerate(values, 1)
        if value is not None
    )
    return (
        f"<TimeSeries><mRID>1</mRID><businessType>A01</businessType><objectAggregation>A08</objectAggregation>"
        f"<{zone} codingScheme='A01'>10YDK-1--------W</{zone}>"
        f"<quantity_Measure_Unit.name>MAW</quantity_Measure_Unit.name><curveType>{curve}</curveType>"
        f"<MktPSRType><psrType>{production}</psrType></MktPSRType>"
        f"<Period><timeInterval><start>{start}</start><end>{end}</end></timeInterval>"
        f"<resolution>{resolution}</resolution>{points}</Period></TimeSeries>"
    ).encode()


def document(*time_series: bytes) -> bytes:
    head = f'<?xml version="1.0" encoding="UTF-8"?><GL_MarketDocument xmlns="{NAMESPACE}"><type>A75</type>'
    return head.encode() + b"".join(time_series) + b"</GL_MarketDocument>"


def acknowledgement(text: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Acknowledgement_MarketDocument>'
        f"<Reason><code>999</code><text>{text}</text></Reason></Acknowledgement_MarketDocument>"
    ).encode()


@pytest.fixture
def platform() -> Iterator[Host]:
    pytest.importorskip("entsoe")
    with source() as made:
        made.body = document(series("B04", 100, 100), series("B19", 100, 300))
        yield made


def feed(at: Host, now_s: float = NOW_S) -> EntsoeFeed:
    return EntsoeFeed({"entsoe": {"base_url": at.url, "key": SECRET}}, None, lambda: now_s)


def history(at: Host, hours: int = 2, zone: str = "DK-DK1") -> list[Any]:
    return feed(at).history(zone, NOW_S - 3600 * hours, NOW_S)


def test_hours_are_priced_by_their_mix(platform: Host) -> None:
    points = history(platform)
    assert [(p.g_per_kwh, p.start_s, p.length_s) for p in points] == [
        (pytest.approx((490 + 11) / 2), NOW_S - 7200, 3600),
        (pytest.approx((100 * 490 + 300 * 11) / 400), NOW_S - 3600, 3600),
    ]
    assert {(p.zone, p.kind, p.signal, p.basis, p.scope, p.settled) for p in points} == {
        ("DK-DK1", "estimated", "average", "lifecycle", "generation", False)
    }


def test_the_question_goes_to_the_address_that_is_given_and_names_the_domain(platform: Host) -> None:
    history(platform)
    ((path, query, headers),) = platform.asked
    assert path == "/"
    assert query == {
        "documentType": ["A75"],
        "processType": ["A16"],
        "in_Domain": ["10YDK-1--------W"],
        "securityToken": [SECRET],
        "periodStart": ["202606240800"],
        "periodEnd": ["202606241000"],
    }
    assert SECRET not in str(headers)


def test_the_longest_history_is_one_question(platform: Host) -> None:
    made = feed(platform)
    made.history("DE", NOW_S - made.reach.history_s - 1, NOW_S - 1)
    assert len(platform.asked) == 1


def test_the_latest_is_the_newest_hour(platform: Host) -> None:
    assert feed(platform).latest("DK-DK1").start_s == NOW_S - 3600


@pytest.mark.parametrize(("resolution", "points"), [("PT15M", 4), ("PT30M", 2), ("PT60M", 1)])
def test_shorter_intervals_are_averaged_to_hours(platform: Host, resolution: str, points: int) -> None:
    gas = series("B04", *[100 + i for i in range(points)], *[50] * points, resolution=resolution)
    wind = series("B19", *[100 + i for i in range(points)], *[150] * points, resolution=resolution)
    platform.body = document(gas, wind)
    expected = [(490 + 11) / 2, (50 * 490 + 150 * 11) / 200]
    assert [p.g_per_kwh for p in history(platform)] == pytest.approx(expected)


def test_types_of_different_resolutions_go_together(platform: Host) -> None:
    platform.body = document(series("B04", 100, 100), series("B19", *[100] * 8, resolution="PT15M"))
    assert [p.g_per_kwh for p in history(platform)] == pytest.approx([(490 + 11) / 2] * 2)


def test_in_a_curve_of_changes_what_is_not_written_is_as_before(platform: Host) -> None:
    gas = series("B04", 100, None, None, 400, start_s=NOW_S - 4 * 3600, curve="A03")
    platform.body = document(gas, series("B19", *[100] * 4, start_s=NOW_S - 4 * 3600))
    assert [p.g_per_kwh for p in history(platform, 4)] == pytest.approx([250.5, 250.5, 250.5, (4 * 490 + 11) / 5])


def test_what_pumps_take_and_give_does_not_count(platform: Host) -> None:
    pumping = series("B10", 500, 500, zone="outBiddingZone_Domain.mRID")
    platform.body = document(series("B04", 100, 100), series("B10", 300, 300), pumping)
    assert [p.g_per_kwh for p in history(platform)] == [490, 490]


@pytest.mark.parametrize(
    ("production", "g_per_kwh"),
    {
        **{"B01": 230, "B02": 820, "B03": 490, "B04": 490, "B05": 820, "B06": 650, "B07": 820, "B08": 820, "B09": 38},
        **{"B11": 24, "B12": 24, "B13": 17, "B14": 12, "B15": 38, "B16": 45, "B17": 700, "B18": 12, "B19": 11},
        "B20": 700,
    }.items(),
)
def test_every_production_type_has_its_factor(platform: Host, production: str, g_per_kwh: float) -> None:
    platform.body = document(series(production, 5, 5), series("B25", 90, 90))
    assert [p.g_per_kwh for p in history(platform)] == pytest.approx([g_per_kwh] * 2)


def test_the_newest_hour_is_left_out_while_a_large_type_has_not_reported(platform: Host) -> None:
    platform.body = document(series("B04", 100, 100), series("B19", 100))
    assert [p.start_s for p in history(platform)] == [NOW_S - 7200]


def test_a_night_with_an_hour_twice_in_local_time_has_all_its_hours(platform: Host) -> None:
    night_s = 1_792_879_200.0  # 2026-10-24T22:00Z
    values = range(1, 6)
    platform.body = document(*(series(p, *values, start_s=night_s) for p in ("B04", "B19")))
    points = feed(platform, night_s + 86400).history("DE", night_s, night_s + 5 * 3600)
    assert [p.start_s for p in points] == [night_s + 3600 * i for i in range(5)]


def test_a_series_that_comes_in_parts_and_twice_is_one(platform: Host) -> None:
    parts: Sequence[bytes] = [series("B04", 100), series("B04", 100, start_s=NOW_S - 3600), series("B04", 100)]
    platform.body = document(*parts)
    assert [p.g_per_kwh for p in history(platform)] == [490, 490]


def test_a_week_later_a_figure_is_settled(platform: Host) -> None:
    points = feed(platform, NOW_S + 8 * 86400).history("DK-DK1", NOW_S - 7200, NOW_S)
    assert [(p.kind, p.settled) for p in points] == [("estimated", True)] * 2


@pytest.mark.parametrize("status", [200, 400])
def test_no_matching_data_are_no_hours(platform: Host, status: int) -> None:
    platform.status, platform.body = status, acknowledgement("No matching data found for Data item …")
    assert history(platform) == []
    with pytest.raises(Unavailable, match="no figure for now"):
        feed(platform).latest("DK-DK1")


@pytest.mark.parametrize(
    "text",
    [
        "The amount of requested data exceeds allowed limit. Allowed: 100 documents. Requested: 200 documents",
        "Unexpected error",
    ],
)
def test_other_acknowledgements_are_no_answer(platform: Host, text: str) -> None:
    platform.status, platform.body = 400, acknowledgement(text)
    with pytest.raises(Unavailable, match=r"answered with HTTP 400$|PaginationError"):
        history(platform)


def test_an_acknowledgement_that_is_no_error_is_no_answer_either(platform: Host) -> None:
    platform.body = acknowledgement("Unexpected error")
    with pytest.raises(Unavailable, match="did not answer with a document of generation"):
        history(platform)


def test_what_the_platform_has_not_is_not_served(platform: Host) -> None:
    platform.status, platform.body = 400, acknowledgement("Please check you request against dependency tables")
    with pytest.raises(NotServed, match=r"has no generation of DK-DK1$"):
        history(platform)


def test_a_wrong_token_is_told_apart(platform: Host) -> None:
    platform.status, platform.body = 401, acknowledgement(f"Unauthorized. Missing or invalid security token {SECRET}")
    with pytest.raises(NotAllowed, match="wants a key, or another one") as caught:
        history(platform)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [series("B04", 1).replace(b"PT60M", b"PT7M"), series("B99", 1), b"<TimeSeries></TimeSeries>"]
)
def test_a_document_of_another_shape_is_no_answer(platform: Host, wrong: bytes) -> None:
    platform.body = document(wrong)
    with pytest.raises(Unavailable, match=r"did not answer with generation \(\w+\)$"):
        history(platform)


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(platform: Host, fault: str) -> None:
    assert_survives(fault, platform, feed(platform), "DK-DK1")


def test_the_token_is_in_no_log(platform: Host, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        feed(platform).latest("DK-DK1")
    assert SECRET not in caplog.text


@pytest.mark.parametrize("fault", ["400", "500", "HTML", "redirected", "nobody there"])
def test_the_token_is_in_no_log_and_no_traceback_of_a_failure(
    platform: Host, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    FAULTS[fault](platform)
    with caplog.at_level(logging.DEBUG), pytest.raises(Unavailable) as caught:
        feed(platform).latest("DK-DK1")
    assert SECRET not in caplog.text
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_without_the_library_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "entsoe", None)
    with pytest.raises(NotAllowed, match=r"joulegram\[entsoe\]"):
        EntsoeFeed({"entsoe": {"key": SECRET}}, None, lambda: NOW_S).latest("DE")


def test_it_serves_countries_and_bidding_zones_with_a_key() -> None:
    made = EntsoeFeed({"entsoe": {"key": SECRET}}, None, lambda: NOW_S)
    assert made.ready
    assert not EntsoeFeed({}, None, lambda: NOW_S).ready
    served = ("DE", "DK", "DK-DK1", "SE-SE4", "NO-NO5", "IT-NO", "IT-SAR")
    assert [zone for zone in served if not made.serves(zone)] == []
    assert [
        zone for zone in ("GB", "US", "US-CA", "DK-DK3", "DK-SE1", "FR-COR", "DE-BY", "") if made.serves(zone)
    ] == []
    with pytest.raises(NotServed, match="no figures for GB"):
        made.latest("GB")


@pytest.mark.parametrize("zone", ["DE", "DK-DK2", "SE-SE1", "NO-NO5", "IT-NO", "IT-CNO", "IT-CSO", "IT-SO", "IT-SIC"])
def test_zones_are_known_to_the_library(platform: Host, zone: str) -> None:
    assert len(history(platform, zone=zone)) == 2
