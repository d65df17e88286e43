"""Intensity from a server that speaks the Carbon Aware SDK WebApi's documented format, old shapes and new."""

from collections.abc import Iterator
from typing import Any

import pytest
from feed_faults import FAULTS, NOW_S, assert_survives, source
from hosts import Host

from joulegram.config import ConfigError
from joulegram.feeds import NotAllowed, NotServed, Unavailable
from joulegram.feeds.carbonaware import CarbonAwareFeed


def row(time: str, rating: Any, duration: Any = "00:05:00") -> dict[str, Any]:
    return {"location": "IE", "time": time, "rating": rating, "duration": duration}


def ahead(time: str, value: Any, duration: Any = 5) -> dict[str, Any]:
    return {"location": "IE", "timestamp": f"2026-06-24T{time}:00+00:00", "duration": duration, "value": value}


def forecast(*rows: Any, **best: Any) -> list[dict[str, Any]]:
    return [
        {
            "generatedAt": "2026-06-24T09:55:00+00:00",
            "requestedAt": "2026-06-24T10:00:00+00:00",
            "location": "northeurope",
            "dataStartAt": "2026-06-24T10:00:00+00:00",
            "dataEndAt": "2026-06-24T10:10:00+00:00",
            "windowSize": 5,
            **best,
            "forecastData": list(rows),
        }
    ]


FIRST = row("2026-06-24T09:45:11.5092741+00:00", 70)
LAST = row("2026-06-24T09:50:11.5092741+00:00", 72.5)
AHEAD = (ahead("10:00", 80), ahead("10:05", 60))


@pytest.fixture
def sdk() -> Iterator[Host]:
    with source() as made:
        made.paths = {
            "/emissions/bylocation": [FIRST, LAST],
            "/emissions/forecasts/current": forecast(*AHEAD, optimalDataPoints=[AHEAD[1]]),
        }
        yield made


def feed(at: Host, **options: Any) -> CarbonAwareFeed:
    given = {"base_url": at.url, "signal": "marginal", "location": "northeurope", **options}
    return CarbonAwareFeed({"carbonaware": given}, None, lambda: NOW_S)


def test_the_past_is_estimated_and_of_what_the_user_says_that_it_is(sdk: Host) -> None:
    points = feed(sdk, basis="direct").history("IE", NOW_S - 3600, NOW_S)
    assert [(p.g_per_kwh, p.kind, p.start_s, p.length_s) for p in points] == [
        (70, "estimated", pytest.approx(NOW_S - 888.491), 300),
        (72.5, "estimated", pytest.approx(NOW_S - 588.491), 300),
    ]
    assert {(p.zone, p.signal, p.basis, p.scope) for p in points} == {("IE", "marginal", "direct", "unknown")}
    assert sdk.asked[-1][:2] == (
        "/emissions/bylocation",
        {"location": ["northeurope"], "time": ["2026-06-24T09:00:00Z"], "toTime": ["2026-06-24T10:00:00Z"]},
    )


def test_the_latest_is_the_newest_that_is_not_in_the_future(sdk: Host) -> None:
    sdk.paths["/emissions/bylocation"] = [LAST, FIRST, row("2026-06-24T10:05:00+00:00", 1)]
    assert feed(sdk).latest("IE").g_per_kwh == 72.5


@pytest.mark.parametrize("best", [{"optimalDataPoints": [AHEAD[1]]}, {"optimalDataPoint": AHEAD[1]}], ids=str)
def test_a_forecast_is_all_of_it_and_not_its_best_moment(sdk: Host, best: dict[str, Any]) -> None:
    sdk.paths["/emissions/forecasts/current"] = forecast(*AHEAD, **best)
    points = feed(sdk).forecast("IE", NOW_S, NOW_S + 86400)
    assert [(p.g_per_kwh, p.kind, p.start_s, p.length_s) for p in points] == [
        (80, "forecast", NOW_S, 300),
        (60, "forecast", NOW_S + 300, 300),
    ]
    assert sdk.asked[-1][:2] == ("/emissions/forecasts/current", {"location": ["northeurope"]})


@pytest.mark.parametrize(
    ("duration", "length_s"),
    [
        ("00:05:00", 300),
        ("01:00:00", 3600),
        ("1.00:00:00", 86400),
        ("00:00:30.5000000", 30.5),
        (5, 300),
        (60.0, 3600),
        ("30", 1800),
    ],
)
def test_durations_are_spans_or_minutes(sdk: Host, duration: Any, length_s: float) -> None:
    sdk.paths["/emissions/bylocation"] = [row("2026-06-24T09:50:00Z", 70, duration)]
    sdk.paths["/emissions/forecasts/current"] = forecast(ahead("10:00", 80, duration))
    made = feed(sdk)
    assert made.latest("IE").length_s == length_s
    assert [p.length_s for p in made.forecast("IE", NOW_S, NOW_S + 1)] == [length_s]


@pytest.mark.parametrize(
    "duration", [None, "", "PT5M", "5 min", 0, -5, "00:00:00", "2.00:00:00", True, [], "9" * 999, 10**400]
)
def test_what_is_no_duration_is_refused(sdk: Host, duration: Any) -> None:
    sdk.paths["/emissions/bylocation"] = [row("2026-06-24T09:50:00Z", 70, duration)]
    with pytest.raises(Unavailable, match="is no duration"):
        feed(sdk).latest("IE")


def test_no_content_is_nothing(sdk: Host) -> None:
    sdk.status, sdk.paths = 204, {}
    sdk.body = b""
    assert feed(sdk).history("IE", NOW_S - 3600, NOW_S) == []
    with pytest.raises(Unavailable, match="no figure for now"):
        feed(sdk).latest("IE")


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (400, {"title": "Bad Request", "status": 400, "detail": "no location x"}, NotServed, "Request: no location x"),
        (400, {"title": "One or more validation errors", "errors": {"location": ["needed"]}}, NotServed, "validation"),
        (500, {"title": "Internal Server Error", "status": 500}, Unavailable, "Internal Server Error"),
        (501, {"title": "Not Implemented", "detail": "no forecasts"}, NotServed, "no forecasts"),
        (404, b"", NotServed, "HTTP 404"),
        (401, b"", NotAllowed, "key"),
        (429, b"", Unavailable, "too often"),
        (502, b"<html>", Unavailable, "HTTP 502"),
    ],
)
def test_problem_details_are_told(sdk: Host, status: int, body: Any, kind: type[Unavailable], said: str) -> None:
    sdk.status, sdk.body, sdk.paths = status, body, {}
    with pytest.raises(Unavailable, match=said) as caught:
        feed(sdk).forecast("IE", NOW_S, NOW_S + 3600)
    assert type(caught.value) is kind


def test_words_of_many_lines_become_one_that_is_short(sdk: Host) -> None:
    sdk.status, sdk.body, sdk.paths = 500, {"title": "Error", "detail": "at line\n" * 1000}, {}
    with pytest.raises(Unavailable, match="Error: at line at line") as caught:
        feed(sdk).latest("IE")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("figure", [-1, 10_000, "much", None])
def test_figures_that_no_grid_has_are_left_out(sdk: Host, figure: Any) -> None:
    sdk.paths["/emissions/bylocation"] = [row("2026-06-24T09:30:00Z", figure), LAST]
    assert [p.g_per_kwh for p in feed(sdk).history("IE", NOW_S - 3600, NOW_S)] == [72.5]


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(sdk: Host, fault: str) -> None:
    assert_survives(fault, sdk, feed(sdk), "IE")


def test_without_a_location_the_zone_is_asked(sdk: Host) -> None:
    made = feed(sdk, location="")
    assert made.serves("westeurope")
    made.latest("IE")
    assert sdk.asked[-1][1]["location"] == ["IE"]


def test_there_is_no_address_but_the_users(sdk: Host) -> None:
    assert feed(sdk).ready
    assert not CarbonAwareFeed({}, None, lambda: NOW_S).ready


@pytest.mark.parametrize("options", [{"signal": ""}, {"signal": "co2_moer"}, {"basis": "full"}])
def test_signal_and_basis_are_words_that_the_user_has_to_know(sdk: Host, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"^feed option carbonaware\.{next(iter(options))}: one of .* is needed$"):
        feed(sdk, **options)
