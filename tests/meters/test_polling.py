"""Meters behind a network keep nobody waiting, and are missing for exactly as long as they do not answer."""

import logging
import threading
from collections.abc import Iterator, Mapping
from math import isnan, nan

import pytest
from hosts import Host, host
from worlds import Kept, OwnedClock, channel, recorder, until

from joulegram.config import ConfigError
from joulegram.meters import Denied
from joulegram.meters.polling import JsonSource, PolledMeter, Poller
from joulegram.records import Gap, Knots
from joulegram.web import Unanswered

NEVER_S = 3600.0
"""A period in which the poller's own thread asks nothing: the test asks."""


@pytest.fixture
def plug() -> Iterator[Host]:
    with host() as made:
        yield made


class Source:
    """Answers what the test says."""

    def __init__(self, figure: float) -> None:
        self.figure = figure
        self.error: Exception | None = None

    def __call__(self) -> Mapping[str, float]:
        if self.error is not None:
            raise self.error
        return {"plug": self.figure}


def gaps(sink: Kept) -> list[tuple[float, float, str, bool]]:
    """Start and end (s after 100 s), reason and whether its energy is known, of each gap."""
    return [(g.start_ns / 1e9 - 100, g.end_ns / 1e9 - 100, g.why, g.energy_known) for g in sink.of(Gap)]


def node_j(sink: Kept) -> float:
    """The last value of the node's curve."""
    tips = [value for knots in sink.of(Knots) for name, (_, value) in knots.tips.items() if name == "node node:plug"]
    return float(tips[-1])


# -- the poller -----------------------------------------------------------------------------------------------------


def test_the_thread_asks_again_and_again_and_ends_with_close() -> None:
    asked, enough = [], threading.Event()

    def ask() -> Mapping[str, float]:
        asked.append(len(asked))
        if len(asked) >= 4:
            enough.set()
        return {"a": float(len(asked))}

    poller = Poller("test", ask, "J", period_s=0.001, lag_s=60)
    poller.begin()
    thread = next(t for t in threading.enumerate() if t.name == "joulegram-test")
    assert thread.daemon
    assert enough.wait(30)
    assert not isnan(*poller.latest())
    poller.close()
    thread.join(30)
    assert not thread.is_alive()


def test_reading_does_not_wait_for_a_question_that_hangs() -> None:
    hanging, release = threading.Event(), threading.Event()
    answers = iter([1.0, 2.0])

    def ask() -> Mapping[str, float]:
        if (answer := next(answers)) == 2.0:
            hanging.set()
            release.wait(30)
        return {"a": answer}

    poller = Poller("test", ask, "J", period_s=0.001, lag_s=60)
    poller.begin()
    assert hanging.wait(30)
    assert list(poller.latest()) == [1.0]
    poller.close()
    release.set()


def test_an_answer_that_has_grown_too_old_is_none() -> None:
    clock, source = OwnedClock(), Source(5.0)
    poller = Poller("test", source, "J", NEVER_S, lag_s=3, now_ns=clock.monotonic_ns)
    poller.begin()
    poller.close()
    clock.advance(3)
    assert list(poller.latest()) == [5.0]
    clock.advance(0.1)
    assert isnan(*poller.latest())


def test_without_names_the_first_answer_says_which_series_there_are() -> None:
    poller = Poller("test", lambda: {"b": 2.0, "a": 1.0}, "J", NEVER_S, 60)
    poller.begin()
    poller.close()
    assert dict(zip(poller.names, poller.latest(), strict=True)) == {"a": 1.0, "b": 2.0}
    source = Source(1.0)
    source.error = Unanswered("silence")
    with pytest.raises(Unanswered):
        Poller("test", source, "J", NEVER_S, 60).begin()


def test_a_source_that_is_silent_is_asked_ever_more_rarely_and_said_to_be_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Source(1.0)
    source.error = Unanswered("plug is silent")
    poller = Poller("test", source, "J", 1.0, 60)
    with caplog.at_level(logging.WARNING, "joulegram"):
        poller.begin(["plug"])
        poller.close()
        pauses = []
        for _ in range(40):
            pauses.append(poller._pause_s())
            poller.poll()
    assert pauses[:5] == [1, 2, 4, 8, 15]
    assert pauses[-1] == 15
    assert [record.getMessage() for record in caplog.records] == [
        "meter test: plug is silent; what it counts is missing until it answers"
    ]


def test_an_error_that_nobody_thought_of_is_an_answer_that_did_not_come(caplog: pytest.LogCaptureFixture) -> None:
    source = Source(1.0)
    poller = Poller("test", source, "J", NEVER_S, 60)
    poller.begin(["plug"])
    poller.close()
    for error in (RecursionError(), Denied("no"), ConfigError("wrong")):
        source.error = error
        poller.poll()
        assert isnan(*poller.latest())
    source.error = None
    poller.poll()
    assert list(poller.latest()) == [1.0]


# -- through the recorder -------------------------------------------------------------------------------------------


def test_a_counter_is_missing_for_exactly_the_time_without_an_answer_and_loses_nothing() -> None:
    clock, sink, source = OwnedClock(), Kept(), Source(1000.0)
    poller = Poller("test", source, "J", NEVER_S, 1.5, clock.monotonic_ns)
    poller.begin(["plug"])
    poller.close()
    made = recorder(clock, sink, PolledMeter(poller, [channel("node:plug")]))
    for second in range(1, 11):
        clock.advance(1)
        source.figure += 50
        source.error = Unanswered("silence") if 4 <= second <= 6 else None
        poller.poll()
        made.sampler.tick(everything=True)
    made.stop()
    assert gaps(sink) == [(3, 7, "failed", True)]
    assert node_j(sink) == 500


def test_a_power_is_missing_for_exactly_the_time_without_an_answer_and_nothing_is_made_up_for_it() -> None:
    clock, sink, source = OwnedClock(), Kept(), Source(50.0)
    poller = Poller("test", source, "W", NEVER_S, 1.5, clock.monotonic_ns)
    poller.begin(["plug"])
    poller.close()
    made = recorder(clock, sink, PolledMeter(poller, [channel("node:plug")]))
    for second in range(1, 11):
        clock.advance(1)
        source.figure = nan if 4 <= second <= 6 else 50.0
        poller.poll()
        made.sampler.tick(everything=True)
    made.stop()
    assert [(start, end, known) for start, end, _, known in gaps(sink)] == [(3, 7, False)]
    assert node_j(sink) == 300


@pytest.mark.parametrize("standing", [False, True])
def test_a_source_that_is_scraped_now_and_then_is_covered_all_the_time(standing: bool) -> None:
    clock, sink, source = OwnedClock(), Kept(), Source(1000.0)
    poller = Poller("test", source, "J", NEVER_S, 18, clock.monotonic_ns)
    poller.begin(["plug"])
    poller.close()
    made = recorder(clock, sink, PolledMeter(poller, [channel("node:plug", lag_s=18.0, resolution_s=15.0)]))
    for second in range(1, 301):
        clock.advance(1)
        if second % 15 == 7 and not standing:
            source.figure = 1000 + 50 * second
        poller.poll()
        made.sampler.tick(everything=True)
    made.stop()
    assert [why for *_, why, _ in gaps(sink) if why != "start"] == []
    assert node_j(sink) == (0 if standing else 50 * 292)


def test_a_thread_that_hangs_makes_its_meter_missing_and_delays_no_other() -> None:
    clock, sink, source = OwnedClock(), Kept(), Source(1000.0)
    poller = Poller("test", source, "J", NEVER_S, 1.5, clock.monotonic_ns)
    poller.begin(["plug"])
    poller.close()
    made = recorder(clock, sink, PolledMeter(poller, [channel("node:plug")]))
    for second in range(1, 6):
        clock.advance(1)
        if second != 3:
            source.figure += 50
            poller.poll()
        made.sampler.tick(everything=True)
    clock.advance(1)
    made.sampler.tick(everything=True)
    clock.advance(2)
    made.stop()
    assert gaps(sink)[-1] == (6, 8, "failed", False)


# -- asking over the network ----------------------------------------------------------------------------------------


def test_an_answer_is_its_status_and_its_body(plug: Host) -> None:
    plug.body = {"power": 12}
    assert JsonSource(f"{plug.url}/status?id=0", 5).get(parameters={"query": "up"}).json() == {"power": 12}
    path, asked, _ = plug.asked[0]
    assert (path, asked) == ("/status", {"id": ["0"], "query": ["up"]})


def test_a_key_goes_along_and_is_in_no_message(plug: Host) -> None:
    source = JsonSource(f"{plug.url}/?apikey=hidden", 5, {"X-Plug": "1"}, token="secret")
    source.get()
    _, _, headers = plug.asked[0]
    assert (headers["Authorization"], headers["X-Plug"]) == ("Bearer secret", "1")
    plug.vanish()
    with pytest.raises(Unanswered) as silence:
        source.get()
    assert str(silence.value) == "127.0.0.1 could not be asked (ConnectionError)"


def test_a_key_does_not_follow_a_redirect(plug: Host) -> None:
    with host() as thief:
        plug.status, plug.headers = 302, {"Location": f"{thief.url}/catch"}
        with pytest.raises(Unanswered, match="sends us elsewhere"):
            JsonSource(plug.url, 5, token="secret").get()
        assert thief.asked == []


def test_a_key_of_netrc_does_not_take_the_place_of_the_one_given(
    plug: Host, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    JsonSource(plug.url, 5, token="secret").get()
    JsonSource(plug.url, 5, login=("me", "mine")).get()
    assert [headers["Authorization"].split()[0] for _, _, headers in plug.asked] == ["Bearer", "Basic"]
    assert plug.asked[0][2]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("status", [401, 403])
def test_a_closed_door_is_denied(plug: Host, status: int) -> None:
    plug.status = status
    with pytest.raises(Denied, match=f"wants a key, or another one .HTTP {status}."):
        JsonSource(plug.url, 5).get()


def test_silence_ends_with_the_timeout(plug: Host) -> None:
    plug.silent.set()
    with pytest.raises(Unanswered, match=r"did not answer within 0.05 s"):
        JsonSource(plug.url, 0.05).get()


def test_a_body_without_an_end_is_no_answer(plug: Host) -> None:
    plug.body = b" " * (1 << 20) + b" 1"
    with pytest.raises(Unanswered, match="did not come to an end"):
        JsonSource(plug.url, 5).get()


@pytest.mark.parametrize("body", [b"<html>login</html>", b"", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_no_answer(plug: Host, body: bytes) -> None:
    plug.body = body
    with pytest.raises(Unanswered, match="did not answer in JSON"):
        JsonSource(plug.url, 5).get().json()


def test_an_error_is_no_answer(plug: Host) -> None:
    plug.status, plug.body = 500, {"power": 12}
    with pytest.raises(Unanswered, match="HTTP 500"):
        JsonSource(plug.url, 5).get().json()


def test_after_an_outage_the_same_source_answers_again(plug: Host) -> None:
    source = JsonSource(plug.url, 5)
    plug.body = 1
    assert source.get().json() == 1
    plug.vanish()
    with pytest.raises(Unanswered):
        source.get()
    plug.listen()
    assert until(lambda: source.get().json() == 1, "answer")
