"""Wall meters and smart plugs: each documented answer, each way to fail."""

import logging
import threading
from collections.abc import Iterator
from math import isnan
from typing import Any

import pytest
from hosts import Host, host
from worlds import until

from joulegram.config import ConfigError, Settings, load
from joulegram.meters import Absent, Denied
from joulegram.meters.http_meter import HttpMeter, found, steps_of

SHELLY_GEN1 = {
    "relays": [{"ison": True, "overpower": False}],
    "meters": [{"power": 41.25, "is_valid": True, "counters": [40.1, 39.9, 41.0], "total": 439237}],
    "uptime": 18961214,
}
SHELLY_EM = {"emeters": [{"power": 10.66, "pf": 1.0, "voltage": 232.06, "is_valid": True, "total": 5.3}]}
SHELLY_GEN2 = {
    "id": 0,
    "output": True,
    "apower": 73.5,
    "voltage": 230.1,
    "aenergy": {"total": 9492.468, "minute_ts": 1},
}
SHELLY_GEN2_ALL = {"switch:0": SHELLY_GEN2, "sys": {"uptime": 10}}
TASMOTA = {"StatusSNS": {"Time": "2026-01-02T03:04:05", "ENERGY": {"Total": 12.345, "Power": 81, "Factor": 0.94}}}


@pytest.fixture
def plug() -> Iterator[Host]:
    with host() as made:
        yield made


def settings(url: str, **options: Any) -> Settings:
    """Options under which the meter asks once, and then no more."""
    given = {"url": url, "path": "power", "unit": "J", "period_s": 3600, "timeout_s": 5, **options}
    return Settings(meter_options={"http": given})


def opened(url: str, **options: Any) -> HttpMeter:
    meter = HttpMeter.open(settings(url, **options))
    meter.close()  # the thread ends; what was heard stays
    return meter


@pytest.mark.parametrize(
    ("body", "path", "unit", "joules"),
    [
        (SHELLY_GEN1, "meters[0].total", "Wmin", 439237 * 60),
        (SHELLY_GEN1, "meters[0].power", "W", 0),
        (SHELLY_EM, "emeters[0].total", "Wh", 5.3 * 3600),
        (SHELLY_GEN2, "aenergy.total", "Wh", 9492.468 * 3600),
        (SHELLY_GEN2_ALL, "switch:0.aenergy.total", "Wh", 9492.468 * 3600),
        (TASMOTA, "StatusSNS.ENERGY.Total", "kWh", 12.345 * 3.6e6),
        (TASMOTA, "StatusSNS.ENERGY.Power", "W", 0),
        ({"total": "17.5"}, "total", "kJ", 17500),
        ([[3]], "[0][0]", "J", 3),
    ],
)
def test_the_documented_answers_are_understood(plug: Host, body: Any, path: str, unit: str, joules: float) -> None:
    plug.body = body
    meter = opened(f"{plug.url}/status", path=path, unit=unit)
    assert list(meter.read()) == [pytest.approx(joules)]
    (channel,) = meter.channels
    assert (channel.id, channel.kind, channel.share) == ("node:127.0.0.1", "node", "exclusive")
    assert path in channel.how


def test_a_counter_is_measured_and_a_power_summed_up_is_modelled_with_wider_bounds(plug: Host) -> None:
    plug.body = SHELLY_GEN2
    (counter,) = opened(plug.url, path="aenergy.total", unit="Wh", accuracy=0.01).channels
    (power,) = opened(plug.url, path="apower", unit="W", accuracy=0.01).channels
    assert (counter.method, power.method) == ("measured", "modelled")
    assert "summed up" in power.how
    assert power.gain_low < counter.gain_low < 1 < counter.gain_high < power.gain_high


def test_a_plug_whose_accuracy_nobody_gave_is_not_taken_for_exact(plug: Host) -> None:
    plug.body = {"power": 1}
    (unknown,) = opened(plug.url).channels
    assert (unknown.gain_low, unknown.gain_high) == (0.95, 1.05)
    assert "accuracy unknown, taken as ±5%" in unknown.how
    (given,) = opened(plug.url, accuracy=0.01).channels
    assert (given.gain_low, given.gain_high) == (0.99, 1.01)
    assert "unknown" not in given.how


@pytest.mark.parametrize(
    ("body", "path", "unit", "step_j"),
    [
        (SHELLY_GEN1, "meters[0].total", "Wmin", 60),
        (SHELLY_GEN2, "aenergy.total", "Wh", 3.6),
        (TASMOTA, "StatusSNS.ENERGY.Total", "kWh", 3600),
        ({"total": "17.50"}, "total", "Wh", 36),
        ({"total": 9492}, "total", "Wh", 3600),
        (TASMOTA, "StatusSNS.ENERGY.Power", "W", 0),
    ],
)
def test_a_counters_step_is_the_last_decimal_that_it_shows(
    plug: Host, body: Any, path: str, unit: str, step_j: float
) -> None:
    plug.body = body
    (channel,) = opened(plug.url, path=path, unit=unit).channels
    assert channel.quantum_j == pytest.approx(step_j)


def test_a_power_grows_into_joules_by_itself(plug: Host) -> None:
    plug.body = SHELLY_GEN2
    meter = HttpMeter.open(settings(plug.url, path="apower", unit="W", period_s=0.01))
    first = until(lambda: next(iter(meter.read())), "joules")
    assert until(lambda: next(iter(meter.read())) > first, "more joules")
    meter.close()


def test_what_the_options_say_is_on_the_channel(plug: Host) -> None:
    plug.body = {"power": 1}
    (channel,) = opened(
        plug.url, kind="dram", share="cpu", unit="Wh", wraps_at=1000, max_w=500, accuracy=0.02, period_s=60, timeout_s=5
    ).channels
    assert (channel.id, channel.share, channel.wraps_at_j, channel.max_w) == ("dram:127.0.0.1", "cpu", 3.6e6, 500)
    assert (channel.gain_low, channel.gain_high) == (0.98, 1.02)
    assert (channel.resolution_s, channel.lag_s) == (60, 65)


def test_the_environment_is_enough(plug: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    plug.body = {"power": 3}
    options = {"URL": plug.url, "PATH": "power", "UNIT": "J", "PERIOD_S": "3600", "HEADERS": "X-Plug: 1\nX-More: 2"}
    for name, value in {**options, "USER": "me", "PASSWORD": "mine"}.items():
        monkeypatch.setenv(f"JOULEGRAM_METER_OPTIONS_HTTP_{name}", value)
    meter = HttpMeter.open(load())
    meter.close()
    assert list(meter.read()) == [3]
    _, _, headers = plug.asked[0]
    assert (headers["X-Plug"], headers["X-More"], headers["Authorization"].split()[0]) == ("1", "2", "Basic")


FAULTS: dict[str, dict[str, Any]] = {
    "an error": {"status": 500},
    "a login page": {"body": b"<html>who are you?</html>"},
    "another answer": {"body": {"voltage": 230}},
    "a list": {"body": [1, 2]},
    "null": {"body": {"power": None}},
    "a word": {"body": {"power": "unknown"}},
    "a truth": {"body": {"power": True}},
    "no number": {"body": b'{"power": NaN}'},
    "a redirect": {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}},
    "a closed door": {"status": 401},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_missing_until_the_plug_answers_again(plug: Host, fault: str) -> None:
    plug.body = {"power": 5}
    meter = HttpMeter.open(settings(plug.url, period_s=0.005))
    assert list(meter.read()) == [5]
    for name, value in FAULTS[fault].items():
        setattr(plug, name, value)
    assert until(lambda: isnan(*meter.read()), "missing reading")
    plug.status, plug.body = 200, {"power": 6}
    assert until(lambda: list(meter.read()) == [6], "answer")
    meter.close()


def test_a_plug_that_is_pulled_is_missing_until_it_is_back(plug: Host) -> None:
    plug.body = {"power": 5}
    meter = HttpMeter.open(settings(plug.url, period_s=0.005))
    plug.vanish()
    assert until(lambda: isnan(*meter.read()), "missing reading")
    plug.listen()
    assert until(lambda: list(meter.read()) == [5], "answer")
    meter.close()


def test_a_plug_that_is_silent_is_missing_until_it_speaks(plug: Host) -> None:
    plug.body = {"power": 5}
    meter = HttpMeter.open(settings(plug.url, period_s=0.005, timeout_s=0.05))
    plug.silent.set()
    assert until(lambda: isnan(*meter.read()), "missing reading")
    plug.silent.clear()
    assert until(lambda: list(meter.read()) == [5], "answer")
    meter.close()


def test_a_plug_that_does_not_answer_at_first_is_waited_for_and_said_to_be_missing(
    plug: Host, caplog: pytest.LogCaptureFixture
) -> None:
    plug.vanish()
    with caplog.at_level(logging.WARNING, "joulegram"):
        meter = HttpMeter.open(settings(plug.url, period_s=0.005))
    assert isnan(*meter.read())
    assert "127.0.0.1 could not be asked (ConnectionError)" in caplog.text
    plug.body = {"power": 5}
    plug.listen()
    assert until(lambda: list(meter.read()) == [5], "answer")
    meter.close()


def test_the_thread_ends_with_the_meter(plug: Host) -> None:
    plug.body = {"power": 5}
    meter = HttpMeter.open(settings(plug.url))
    meter.close()
    assert until(lambda: not [t for t in threading.enumerate() if t.name == "joulegram-http"], "end of the thread")


def test_without_an_address_there_is_nothing() -> None:
    with pytest.raises(Absent, match=r"meter option http\.url"):
        HttpMeter.open(Settings())


def test_a_closed_door_is_denied_at_once(plug: Host) -> None:
    plug.status = 401
    with pytest.raises(Denied):
        HttpMeter.open(settings(plug.url, password="secret"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "192.0.2.7/status"}, r"http\.url: an address that begins with http"),
        ({"unit": "V"}, r"http\.unit: one of J, mJ"),
        ({"unit": ""}, r"http\.unit: one of"),
        ({"path": ""}, r"http\.path: a path such as"),
        ({"path": "a..b"}, r"http\.path: a path such as"),
        ({"path": "a[b]"}, r"http\.path: a path such as"),
        ({"period_s": "soon"}, r"http\.period_s: a number above 0"),
        ({"period_s": 0}, r"http\.period_s: a number above 0"),
        ({"timeout_s": True}, r"http\.timeout_s: a number above 0"),
        ({"accuracy": 2}, r"http\.accuracy: a part"),
        ({"share": "half"}, r"http\.share: one of exclusive, cpu"),
        ({"unit": "W", "wraps_at": 5}, r"http\.wraps_at: a power does not wrap"),
        ({"headers": 3}, r"http\.headers: a table"),
        ({"token": 3, "url": "http://x"}, r"http\.token: there is no such option"),
        ({"perod_s": 3}, r"http\.perod_s: there is no such option; known are period_s"),
        ({"password": 12345}, r"http\.password: a text is needed$"),
    ],
)
def test_a_wrong_option_is_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HttpMeter.open(settings(**{"url": "http://127.0.0.1:1", **options}))


def test_a_path_is_keys_and_places() -> None:
    assert steps_of("StatusSNS.ENERGY.Power") == ["StatusSNS", "ENERGY", "Power"]
    assert steps_of('emeters[0]["a.b"].total') == ["emeters", 0, "a.b", "total"]
    assert found({"a": [{"b": 1}]}, ["a", 0, "b"]) == 1
    for nowhere in (["x"], ["a", 7], ["a", "b"], ["a", 0, "b", "c"]):
        assert found({"a": [{"b": 1}]}, nowhere) is None
