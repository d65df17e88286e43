"""Joules out of a Prometheus server that speaks its documented format, errors included."""

import sys
from collections.abc import Iterator
from math import isnan
from typing import Any

import pytest
from hosts import Host, host
from worlds import until

from joulegram.config import ConfigError, Settings
from joulegram.meters import Absent, Denied
from joulegram.meters.prometheus import PrometheusMeter
from joulegram.web import Unanswered

AT = 1_435_781_451.781


def vector(*series: tuple[dict[str, str], str], **more: Any) -> dict[str, Any]:
    result = [{"metric": labels, "value": [AT, figure]} for labels, figure in series]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **more}


def error(kind: str, text: str) -> dict[str, Any]:
    return {"status": "error", "errorType": kind, "error": text}


ONE = vector(({"__name__": "kepler_node_cpu_joules_total", "zone": "package"}, "1250.5"))
TWO = vector(({"path": "a", "zone": "package-0"}, "10"), ({"path": "b", "zone": "package-1"}, "20"))


@pytest.fixture
def server() -> Iterator[Host]:
    with host() as made:
        made.body = ONE
        yield made


def settings(url: str, **options: Any) -> Settings:
    given = {"url": url, "query": "joules_total", "unit": "joules", "period_s": 3600, "timeout_s": 5, **options}
    return Settings(meter_options={"prometheus": given})


def opened(url: str, **options: Any) -> PrometheusMeter:
    meter = PrometheusMeter.open(settings(url, **options))
    meter.close()
    return meter


def test_a_query_of_one_series_is_one_channel(server: Host) -> None:
    query = 'sum(kepler_vm_cpu_joules_total{vm_name="trainer", zone="package"})'
    meter = opened(f"{server.url}/", query=query)
    assert list(meter.read()) == [1250.5]
    (channel,) = meter.channels
    assert (channel.id, channel.kind, channel.share, channel.method) == (
        "cpu:prometheus", "cpu", "exclusive", "measured",
    )  # fmt: skip
    assert query in channel.how
    path, asked, _ = server.asked[0]
    assert (path, asked) == ("/api/v1/query", {"query": [query]})


def test_a_label_tells_series_apart(server: Host) -> None:
    server.body = TWO
    meter = opened(server.url, label="zone", kind="cpu")
    assert [channel.id for channel in meter.channels] == ["cpu:package-0", "cpu:package-1"]
    assert list(meter.read()) == [10, 20]


def test_a_series_that_goes_away_is_missing_and_the_others_are_not(server: Host) -> None:
    server.body = TWO
    meter = PrometheusMeter.open(settings(server.url, label="zone", period_s=0.005))
    server.body = vector(({"zone": "package-1"}, "21"), ({"zone": "new"}, "1"))
    readings = until(lambda: (found := list(meter.read()))[1] == 21 and found, "new reading")
    assert isnan(readings[0])
    meter.close()


def test_a_power_in_microwatts_is_summed_up(server: Host) -> None:
    server.body = vector(({"exe": "qemu"}, "25000000"))
    meter = PrometheusMeter.open(settings(server.url, unit="microwatts", period_s=0.01))
    assert until(lambda: next(iter(meter.read())) > 0, "joules")
    meter.close()


def test_a_scalar_is_a_series_without_labels(server: Host) -> None:
    server.body = {"status": "success", "data": {"resultType": "scalar", "result": [AT, "7"]}}
    assert list(opened(server.url).read()) == [7]


def test_warnings_come_with_an_answer(server: Host) -> None:
    server.body = {**ONE, "warnings": ["PromQL warning"], "infos": ["metric might not be a counter"]}
    assert list(opened(server.url).read()) == [1250.5]


def test_a_figure_may_be_as_old_as_the_last_scrape(server: Host) -> None:
    (channel,) = opened(server.url, period_s=5, timeout_s=2, scrape_s=15).channels
    assert (channel.resolution_s, channel.lag_s) == (15, 22)
    (channel,) = opened(server.url, period_s=5, timeout_s=2).channels
    assert channel.lag_s == 67


def test_the_token_is_sent_and_written_nowhere(server: Host) -> None:
    meter = opened(server.url, token="secret")
    assert server.asked[0][2]["Authorization"] == "Bearer secret"
    assert "secret" not in repr(meter.channels)


FAULTS: dict[str, dict[str, Any]] = {
    "nothing found": {"body": vector()},
    "NaN": {"body": vector(({}, "NaN"))},
    "infinity": {"body": vector(({}, "+Inf"))},
    "less than nothing": {"body": vector(({}, "-Inf"))},
    "a histogram": {"body": {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}}]}}},
    "a timeout": {"status": 503, "body": error("timeout", "query timed out in expression evaluation")},
    "no execution": {"status": 422, "body": error("execution", "multiple matches for labels")},
    "a bad query": {"status": 400, "body": error("bad_data", "parse error")},
    "a proxy's page": {"status": 502, "body": b"<html>Bad Gateway</html>"},
    "another service": {"body": {"hello": "world"}},
    "a list": {"body": []},
    "no data": {"body": {"status": "success"}},
    "more series": {"body": TWO},
    "a matrix": {"body": {"status": "success", "data": {"resultType": "matrix", "result": []}}},
    "a lapsed token": {"status": 401, "body": b"Unauthorized"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_missing_until_the_server_answers_again(server: Host, fault: str) -> None:
    meter = PrometheusMeter.open(settings(server.url, period_s=0.005))
    assert list(meter.read()) == [1250.5]
    for name, value in FAULTS[fault].items():
        setattr(server, name, value)
    assert until(lambda: isnan(*meter.read()), "missing reading")
    server.status, server.body = 200, vector(({}, "1300"))
    assert until(lambda: list(meter.read()) == [1300], "answer")
    meter.close()


def test_a_server_that_does_not_answer_at_first_is_waited_for(server: Host) -> None:
    server.vanish()
    meter = PrometheusMeter.open(settings(server.url, period_s=0.005))
    assert isnan(*meter.read())
    server.listen()
    assert until(lambda: list(meter.read()) == [1250.5], "answer")
    meter.close()


def test_where_only_the_server_knows_the_series_it_has_to_answer(server: Host) -> None:
    server.vanish()
    with pytest.raises(Unanswered):
        PrometheusMeter.open(settings(server.url, label="zone"))


def test_without_an_address_there_is_nothing_and_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(Absent, match=r"meter option prometheus\.url"):
        PrometheusMeter.open(Settings())


@pytest.mark.parametrize("status", [401, 403])
def test_without_the_right_token_it_is_denied(server: Host, status: int) -> None:
    server.status = status
    with pytest.raises(Denied, match="wants a key"):
        PrometheusMeter.open(settings(server.url, token="old"))


def test_a_query_that_the_server_cannot_read_is_the_users_to_mend(server: Host) -> None:
    server.status, server.body = 400, error("bad_data", "1:5: parse error: unclosed left parenthesis")
    with pytest.raises(ConfigError, match=r"prometheus\.query: 127.0.0.1 says bad_data: 1:5: parse error"):
        PrometheusMeter.open(settings(server.url, query="sum("))


@pytest.mark.parametrize("options", [{}, {"label": "path_of_nowhere"}])
def test_series_that_nothing_tells_apart_are_the_users_to_mend(server: Host, options: dict[str, str]) -> None:
    server.body = TWO
    with pytest.raises(ConfigError, match=r"prometheus\.label: 2 series are not told apart"):
        PrometheusMeter.open(settings(server.url, **options))


def test_a_query_is_needed(server: Host) -> None:
    with pytest.raises(ConfigError, match=r"prometheus\.query: a PromQL query is needed"):
        PrometheusMeter.open(settings(server.url, query=" "))
