"""Electricity Maps' intensity from a server that speaks its documented formats, v3 and v4."""

from collections.abc import Iterator
from typing import Any

import pytest
from feed_faults import FAULTS, HTML, NOW_S, SECRET, assert_survives, source
from hosts import Host

from joulegram.config import ConfigError
from joulegram.feeds import NotAllowed, NotServed, Unavailable
from joulegram.feeds.electricitymaps import ElectricityMapsFeed
from joulegram.records import Basis

HOUR_S = 3600
NOT_IN_PLAN = {
    "error": "Request unauthorized for zoneKey=DE,requestType=past-range,dataType=carbon-intensity.",
    "message": "You do not have access to this specific endpoint for this specific zone.",
}


def row(time: str, value: Any, estimated: bool | None = False, **more: Any) -> dict[str, Any]:
    """A row as both versions give it; the newer fields are in `more`."""
    return {
        "zone": "DE",
        "carbonIntensity": value,
        "datetime": f"2026-06-24T{time}:00.000Z",
        "updatedAt": "2026-06-24T10:40:00.000Z",
        "createdAt": "2026-06-21T00:29:40.000Z",
        "emissionFactorType": "lifecycle",
        "isEstimated": estimated,
        "estimationMethod": "FORECASTS_HIERARCHY" if estimated else None,
        **more,
    }


PAST = row("08:00", 322)
LAST = row("09:00", 310.5, True)
RUNNING = row("10:00", 300, False, flowTraced=True, temporalGranularity="hourly")


def rows(*given: Any, at: str = "history", **more: Any) -> dict[str, Any]:
    return {"zone": "DE", at: list(given), "temporalGranularity": "hourly", **more}


@pytest.fixture
def maps() -> Iterator[Host]:
    with source() as made:
        ahead = [{"carbonIntensity": 300 - n, "datetime": f"2026-06-24T{10 + n}:00:00.000Z"} for n in range(3)]
        for api in ("v3", "v4"):
            made.paths[f"/{api}/carbon-intensity/latest"] = RUNNING
            made.paths[f"/{api}/carbon-intensity/history"] = rows(PAST, LAST, RUNNING)
            made.paths[f"/{api}/carbon-intensity/past-range"] = rows(PAST, LAST, at="data")
            made.paths[f"/{api}/carbon-intensity/forecast"] = rows(*ahead, at="forecast", updatedAt="2026-06-24T10:00Z")
        yield made


def feed(at: Host, basis: Basis | None = None, **options: Any) -> ElectricityMapsFeed:
    given = {"base_url": at.url, "key": SECRET, **options}
    return ElectricityMapsFeed({"electricitymaps": given}, basis, lambda: NOW_S)


@pytest.mark.parametrize("api", ["v3", "v4"])
def test_an_hour_is_measured_unless_it_is_marked_as_estimated_or_still_running(maps: Host, api: str) -> None:
    points = feed(maps, api=api).history("DE", NOW_S - 2 * HOUR_S, NOW_S + 1)
    assert [(p.g_per_kwh, p.kind, p.start_s, p.length_s) for p in points] == [
        (322, "measured", NOW_S - 2 * HOUR_S, HOUR_S),
        (310.5, "estimated", NOW_S - HOUR_S, HOUR_S),
        (300, "estimated", NOW_S, HOUR_S),
    ]
    assert {(p.zone, p.signal, p.basis, p.scope, p.fetched_s, p.settled) for p in points} == {
        ("DE", "average", "lifecycle", "consumption", NOW_S, False)
    }
    assert points[0].low == points[0].high
    assert points[1].low < 310.5 < points[1].high
    assert maps.asked[-1][0] == f"/{api}/carbon-intensity/history"


def test_every_question_names_the_zone_and_the_basis_and_is_not_answered_for_where_the_caller_is(maps: Host) -> None:
    made = feed(maps)
    made.latest("DE")
    made.history("DE", NOW_S - HOUR_S, NOW_S)
    made.history("DE", NOW_S - 30 * HOUR_S, NOW_S)
    made.forecast("DE", NOW_S, NOW_S + HOUR_S)
    assert [path.rpartition("/")[2] for path, _, _ in maps.asked] == ["latest", "history", "past-range", "forecast"]
    for _, asked, headers in maps.asked:
        assert (asked["zone"], asked["emissionFactorType"], asked["disableCallerLookup"]) == (
            ["DE"], ["lifecycle"], ["true"],
        )  # fmt: skip
        assert headers["auth-token"] == SECRET
        assert SECRET not in str(asked)


def test_the_latest_is_the_row_that_is_the_answer(maps: Host) -> None:
    latest = feed(maps).latest("DE")
    assert (latest.g_per_kwh, latest.kind, latest.start_s) == (300, "estimated", NOW_S)


def test_hours_of_more_than_a_day_ago_are_asked_for_as_a_range_of_whole_hours(maps: Host) -> None:
    points = feed(maps).history("DE", NOW_S - 30 * HOUR_S - 600, NOW_S - HOUR_S - 600)
    asked = maps.asked[-1][1]
    assert (asked["start"], asked["end"]) == (["2026-06-23T03:00:00Z"], ["2026-06-24T09:00:00Z"])
    assert [p.g_per_kwh for p in points] == [322]


def test_a_plan_without_older_hours_still_has_those_of_the_last_day(maps: Host) -> None:
    def refuse(_: Any) -> Any:
        maps.status = 401
        return NOT_IN_PLAN

    def answer(_: Any) -> Any:
        maps.status = 200
        return rows(PAST, LAST)

    maps.paths.update({"/v4/carbon-intensity/past-range": refuse, "/v4/carbon-intensity/history": answer})
    made = feed(maps)
    assert len(made.history("DE", NOW_S - 30 * HOUR_S, NOW_S)) == 2
    with pytest.raises(NotAllowed, match="plan"):
        made.history("DE", NOW_S - 30 * HOUR_S, NOW_S - 24 * HOUR_S)


def test_a_measured_hour_settles_while_every_key_can_ask_for_it(maps: Host) -> None:
    later = ElectricityMapsFeed({"electricitymaps": {"base_url": maps.url, "key": SECRET}}, None, lambda: NOW_S + 46800)
    assert [p.settled for p in later.history("DE", NOW_S - 2 * HOUR_S, NOW_S)] == [True, False]


@pytest.mark.parametrize("at", ["history", "data"])
def test_the_last_day_is_read_wherever_its_rows_lie(maps: Host, at: str) -> None:
    maps.paths["/v4/carbon-intensity/history"] = rows(PAST, at=at)
    assert [p.g_per_kwh for p in feed(maps).history("DE", NOW_S - 2 * HOUR_S, NOW_S)] == [322]


@pytest.mark.parametrize(("ahead_h", "horizon"), [(1, "24"), (24, "24"), (25, "48"), (60, "72"), (100, "72")])
def test_a_forecast_is_asked_for_as_far_ahead_as_it_is_wanted(maps: Host, ahead_h: int, horizon: str) -> None:
    points = feed(maps).forecast("DE", NOW_S, NOW_S + ahead_h * HOUR_S)
    assert maps.asked[-1][1]["horizonHours"] == [horizon]
    assert [(p.g_per_kwh, p.kind) for p in points] == [(300 - n, "forecast") for n in range(min(ahead_h, 3))]


def test_direct_emissions_are_asked_for_where_they_are_wanted(maps: Host) -> None:
    maps.paths["/v4/carbon-intensity/latest"] = {**RUNNING, "carbonIntensity": 20, "emissionFactorType": "direct"}
    latest = feed(maps, "direct").latest("DE")
    assert (latest.g_per_kwh, latest.basis) == (20, "direct")
    assert maps.asked[-1][1]["emissionFactorType"] == ["direct"]


@pytest.mark.parametrize("field", ["zone", "emissionFactorType"])
@pytest.mark.parametrize("deep", [True, False], ids=["of a row", "of the whole"])
def test_an_answer_to_another_question_is_refused(maps: Host, field: str, deep: bool) -> None:
    other = {"zone": "FR", "emissionFactorType": "direct"}[field]
    bare = {key: value for key, value in PAST.items() if key != field}
    maps.paths["/v4/carbon-intensity/history"] = rows({**PAST, field: other}) if deep else rows(bare, **{field: other})
    with pytest.raises(Unavailable, match=f"answered for '{other}' where"):
        feed(maps).history("DE", NOW_S - 3 * HOUR_S, NOW_S)


@pytest.mark.parametrize(("granularity", "length_s"), [("15_minutes", 900), ("5_minutes", 300)])
def test_the_answer_says_how_long_its_rows_hold(maps: Host, granularity: str, length_s: int) -> None:
    maps.paths["/v4/carbon-intensity/history"] = rows(PAST, temporalGranularity=granularity)
    made = feed(maps, granularity=granularity)
    (point,) = made.history("DE", NOW_S - 2 * HOUR_S, NOW_S)
    assert (point.length_s, made.reach.step_s) == (length_s, length_s)
    assert maps.asked[-1][1]["temporalGranularity"] == [granularity]


def test_rows_of_days_are_not_taken_for_hours(maps: Host) -> None:
    maps.paths["/v4/carbon-intensity/history"] = rows(PAST, temporalGranularity="daily")
    with pytest.raises(Unavailable, match="neither hours nor minutes"):
        feed(maps).history("DE", NOW_S - 3 * HOUR_S, NOW_S)


def test_without_tracing_of_flows_it_is_what_was_generated(maps: Host) -> None:
    maps.paths["/v4/carbon-intensity/latest"] = {**RUNNING, "flowTraced": False}
    assert feed(maps).latest("DE").scope == "generation"


def test_a_row_that_does_not_say_whether_it_is_estimated_is(maps: Host) -> None:
    maps.paths["/v4/carbon-intensity/history"] = rows(row("08:00", 322, None))
    (point,) = feed(maps).history("DE", NOW_S - 2 * HOUR_S, NOW_S)
    assert point.kind == "estimated"


@pytest.mark.parametrize(
    ("of_row", "of_all"),
    [
        ({"estimationMethod": "SANDBOX_MODE_DATA", "isEstimated": True}, {}),
        ({}, {"_disclaimer": "This data is in SANDBOX MODE: it is not real."}),
    ],
    ids=["row", "disclaimer"],
)
def test_made_up_figures_are_refused(maps: Host, of_row: dict[str, Any], of_all: dict[str, Any]) -> None:
    maps.paths["/v4/carbon-intensity/latest"] = {**RUNNING, **of_row, **of_all}
    with pytest.raises(NotAllowed, match="sandbox"):
        feed(maps).latest("DE")
    maps.paths["/v4/carbon-intensity/history"] = rows(PAST, {**LAST, **of_row}, **of_all)
    with pytest.raises(NotAllowed, match="sandbox"):
        feed(maps).history("DE", NOW_S - 3 * HOUR_S, NOW_S)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, {"error": "Invalid auth-token", "message": "Please provide a valid header"}, NotAllowed, "this key"),
        (401, b"", NotAllowed, "this key"),
        (401, NOT_IN_PLAN, NotAllowed, "plan"),
        (401, {"error": "Token unauthorized for zoneKey DE"}, NotAllowed, "plan"),
        (401, {"error": "Endpoint not available"}, NotAllowed, "plan"),
        (403, HTML, NotAllowed, "whatever the key"),
        (404, {"error": 'No recent data for zone "US-MIDW-MISO"'}, Unavailable, "No recent data for zone"),
        (404, {"status": "error", "message": "Zone not found"}, NotServed, "Zone not found"),
        (400, {"status": "error", "message": "start is no time"}, NotServed, "start is no time"),
        (429, b"slow down", Unavailable, "too often"),
        (500, b"", Unavailable, "HTTP 500"),
    ],
)
def test_what_the_source_says_is_told_apart(
    maps: Host, status: int, body: Any, kind: type[Unavailable], said: str
) -> None:
    maps.status, maps.body, maps.paths = status, body, {}
    with pytest.raises(Unavailable, match=said) as caught:
        feed(maps).history("DE", NOW_S - 48 * HOUR_S, NOW_S - 30 * HOUR_S)
    assert [isinstance(caught.value, each) for each in (NotAllowed, NotServed)] == [
        kind is NotAllowed, kind is NotServed,
    ]  # fmt: skip


def test_a_source_that_repeats_the_key_is_not_quoted(maps: Host) -> None:
    maps.status, maps.paths, maps.body = 400, {}, {"status": "error", "message": f"what is {SECRET}?"}
    with pytest.raises(NotServed, match="does not say why"):
        feed(maps).latest("DE")


@pytest.mark.parametrize("figure", [-1, 10_000, "much", None, 10**400])
def test_figures_that_no_grid_has_are_left_out(maps: Host, figure: Any) -> None:
    maps.paths["/v4/carbon-intensity/history"] = rows(row("08:00", figure), LAST)
    assert [p.g_per_kwh for p in feed(maps).history("DE", NOW_S - 3 * HOUR_S, NOW_S)] == [310.5]


def test_a_grid_may_emit_nothing(maps: Host) -> None:
    maps.paths["/v4/carbon-intensity/latest"] = {**RUNNING, "carbonIntensity": 0}
    assert feed(maps).latest("DE").g_per_kwh == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(maps: Host, fault: str) -> None:
    assert_survives(fault, maps, feed(maps), "DE")


def test_the_zone_that_the_user_names_is_asked_and_told(maps: Host) -> None:
    assert feed(maps, zone="DE").latest("DE-BY").zone == "DE"


def test_without_a_key_it_is_not_ready(maps: Host) -> None:
    assert feed(maps).ready
    assert not ElectricityMapsFeed({}, None, lambda: NOW_S).ready
    assert feed(maps).serves("DK-DK1")


@pytest.mark.parametrize(
    "options", [{"api": "v2"}, {"granularity": "daily"}, {"base_url": "https://example.org/v4/"}, {"zones": "DE"}]
)
def test_an_option_that_is_wrong_is_told_in_one_line(maps: Host, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"^feed option electricitymaps\.{next(iter(options))}: "):
        feed(maps, **options)
