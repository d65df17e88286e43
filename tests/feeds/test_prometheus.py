"""Intensity out of a Prometheus server that speaks its documented format, errors included."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from feed_faults import FAULTS, NOW_S, SECRET, assert_survives, source
from hosts import Host

from joulegram.config import ConfigError
from joulegram.feeds import NotAllowed, NotServed, Unavailable
from joulegram.feeds.prometheus import PrometheusFeed

LABELS = {"__name__": "grid_intensity_carbon_average", "provider": "Ember", "location": "GBR", "units": "gCO2e per kWh"}
QUERY = 'grid_intensity_carbon_average{location="GBR"}'


def answer(kind: str, *series: Any, **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": list(series)}, **more}


def vector(value: Any, at_s: float = NOW_S + 12.5, **labels: str) -> dict[str, Any]:
    return {"metric": {**LABELS, **labels}, "value": [at_s, value]}


def matrix(*values: Any, **labels: str) -> dict[str, Any]:
    return {"metric": {**LABELS, **labels}, "values": list(values)}


PAST = ([NOW_S - 600, "201"], [NOW_S - 300, "199.5"], [NOW_S, "1"])


@pytest.fixture
def server() -> Iterator[Host]:
    with source() as made:
        made.paths = {  # the longer path first: that of an instant query begins it
            "/api/v1/query_range": answer("matrix", matrix(*PAST)),
            "/api/v1/query": answer("vector", vector("201")),
        }
        yield made


def feed(at: Host, **options: Any) -> PrometheusFeed:
    given = {"base_url": at.url, "query": QUERY, **options}
    return PrometheusFeed({"prometheus": given}, None, lambda: NOW_S + 20)


def test_now_is_what_the_query_finds(server: Host) -> None:
    latest = feed(server).latest("GB")
    assert (latest.g_per_kwh, latest.kind, latest.start_s, latest.length_s) == (201, "measured", NOW_S, 300)
    assert (latest.zone, latest.signal, latest.basis, latest.scope) == ("GB", "average", "unknown", "unknown")
    assert server.asked[-1][:2] == ("/api/v1/query", {"query": [QUERY]})


def test_the_past_is_asked_for_in_steps(server: Host) -> None:
    points = feed(server).history("GB", NOW_S - 500, NOW_S)
    assert [(p.g_per_kwh, p.start_s) for p in points] == [(201, NOW_S - 600), (199.5, NOW_S - 300)]
    path, asked, _ = server.asked[-1]
    assert path == "/api/v1/query_range"
    assert {name: float(value) for name, (value,) in asked.items() if name != "query"} == {
        "start": NOW_S - 600,
        "end": NOW_S,
        "step": 300,
    }


def test_a_step_of_another_length(server: Host) -> None:
    made = feed(server, step_s=900)
    assert (made.latest("GB").start_s, made.latest("GB").length_s) == (NOW_S, 900)
    assert (made.reach.step_s, made.reach.history_s) == (900, 9_000_000)


def test_what_it_counts_is_what_its_user_says(server: Host) -> None:
    latest = feed(server, signal="marginal", basis="direct", scope="generation", zone="GB").latest("IE")
    assert (latest.signal, latest.basis, latest.scope, latest.zone) == ("marginal", "direct", "generation", "GB")


@pytest.mark.parametrize(("label", "kind"), [("true", "estimated"), ("false", "measured"), ("", "measured")])
def test_the_label_of_an_exporter_says_what_is_estimated(server: Host, label: str, kind: str) -> None:
    server.paths["/api/v1/query"] = answer("vector", vector("201", is_estimated=label))
    server.paths["/api/v1/query_range"] = answer("matrix", matrix(*PAST, is_estimated=label))
    made = feed(server)
    assert made.latest("GB").kind == kind
    assert {p.kind for p in made.history("GB", NOW_S - 600, NOW_S)} == {kind}


def test_the_zone_is_put_into_the_query(server: Host) -> None:
    made = feed(server, query='intensity{zone="{zone}", a!="{b}"}')
    made.latest("DK-DK1")
    assert server.asked[-1][1]["query"] == ['intensity{zone="DK-DK1", a!="{b}"}']
    with pytest.raises(NotServed, match="cannot be put into a PromQL query"):
        made.latest('DK"} or up{x="')
    assert len(server.asked) == 1


def test_a_scalar_is_one_series(server: Host) -> None:
    server.paths["/api/v1/query"] = {"status": "success", "data": {"resultType": "scalar", "result": [NOW_S, "42"]}}
    assert feed(server).latest("GB").g_per_kwh == 42


def test_warnings_come_with_an_answer(server: Host) -> None:
    server.paths["/api/v1/query"] = answer("vector", vector("201"), warnings=["slow"], infos=["no counter"])
    assert feed(server).latest("GB").g_per_kwh == 201


def test_a_servers_clock_that_is_ahead_makes_no_future(server: Host) -> None:
    server.paths["/api/v1/query"] = answer("vector", vector("201", at_s=NOW_S + 7200))
    assert feed(server).latest("GB").start_s == NOW_S


def test_several_series_are_refused(server: Host) -> None:
    server.paths["/api/v1/query"] = answer("vector", vector("201"), vector("12", location="FRA"))
    with pytest.raises(NotServed, match=r"finds 2 series: narrow it down to one, or avg\(\) them"):
        feed(server).latest("GB")


def test_no_series_is_nothing(server: Host) -> None:
    server.paths.update({"/api/v1/query": answer("vector"), "/api/v1/query_range": answer("matrix")})
    made = feed(server)
    assert made.history("GB", NOW_S - 600, NOW_S) == []
    with pytest.raises(Unavailable, match="no figure for now"):
        made.latest("GB")


@pytest.mark.parametrize("figure", ["NaN", "+Inf", "-Inf", "-1", "10000", "much", None])
def test_figures_that_no_grid_has_are_left_out(server: Host, figure: Any) -> None:
    server.paths["/api/v1/query_range"] = answer("matrix", matrix([NOW_S - 600, figure], [NOW_S - 300, "0"]))
    assert [p.g_per_kwh for p in feed(server).history("GB", NOW_S - 600, NOW_S)] == [0]


@pytest.mark.parametrize("series", [{"metric": {}}, {"metric": None, "values": None}, {"values": [None, [1], 7]}, 3])
def test_series_without_samples_have_no_points(server: Host, series: Any) -> None:
    server.paths["/api/v1/query_range"] = answer("matrix", series)
    assert feed(server).history("GB", NOW_S - 600, NOW_S) == []


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (
            400,
            {"status": "error", "errorType": "bad_data", "error": "parse\nerror"},
            NotServed,
            "query: .* parse error",
        ),
        (422, {"status": "error", "errorType": "execution", "error": "many matches"}, Unavailable, "many matches"),
        (503, {"status": "error", "errorType": "timeout", "error": "timed out"}, Unavailable, "timeout: timed out"),
        (200, answer("string"), NotServed, "not of a string"),
        (200, {"status": "success"}, Unavailable, "without a result"),
        (401, b"Unauthorized", NotAllowed, "key"),
        (404, b"not found", NotServed, "HTTP 404"),
        (502, b"<html>", Unavailable, "HTTP 502"),
    ],
)
@pytest.mark.parametrize("past", [True, False], ids=["a range", "now"])
def test_errors_are_told_apart(
    server: Host, status: int, body: Any, kind: type[Unavailable], said: str, past: bool
) -> None:
    server.status, server.body, server.paths = status, body, {}
    made = feed(server)
    with pytest.raises(Unavailable, match=said) as caught:
        _ = made.history("GB", NOW_S - 600, NOW_S) if past else made.latest("GB")
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_a_token_or_a_password_is_sent(server: Host) -> None:
    feed(server, token=SECRET).latest("GB")
    assert server.asked[-1][2]["Authorization"] == f"Bearer {SECRET}"
    feed(server, user="ada", password=SECRET).latest("GB")
    assert base64.b64decode(server.asked[-1][2]["Authorization"].removeprefix("Basic ")).decode() == f"ada:{SECRET}"


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(server: Host, fault: str) -> None:
    assert_survives(fault, server, feed(server, token=SECRET), "GB")


def test_what_its_answers_are_kept_under_depends_on_the_query_and_on_no_key(server: Host) -> None:
    assert feed(server).source == feed(server, token=SECRET).source == feed(server, password=SECRET).source
    assert feed(server).source != feed(server, query="other").source


def test_it_makes_no_forecasts(server: Host) -> None:
    with pytest.raises(NotServed, match="makes no forecasts"):
        feed(server).forecast("GB", NOW_S, NOW_S + 3600)


def test_there_is_no_address_but_the_users(server: Host) -> None:
    assert feed(server).ready
    assert feed(server).serves("GB")
    assert not PrometheusFeed({}, None, lambda: NOW_S).ready


@pytest.mark.parametrize(
    "options", [{"query": " "}, {"signal": "co2_moer"}, {"basis": "full"}, {"scope": "all"}, {"step_s": -1}]
)
def test_an_option_that_is_wrong_is_told_in_one_line(server: Host, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"^feed option prometheus\.{next(iter(options))}: .* needed$"):
        feed(server, **options)
