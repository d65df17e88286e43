"""What goes wrong with any source on the network: each of these leaves a feed without an answer, and nothing worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hosts import Host, host

from joulegram.feeds import Feed, Unavailable

SECRET = "s3cr3t-key"
NOW_S = 1_782_295_200.0
"""2026-06-24T10:00:00Z."""

HTML = b"<!DOCTYPE html><html><title>Access denied</title></html>"


def _status(status: int, body: Any = b"") -> Callable[[Host], None]:
    def break_it(source: Host) -> None:
        source.status, source.body, source.paths = status, body, {}

    return break_it


def _body(body: Any) -> Callable[[Host], None]:
    return _status(200, body)


def _redirected(source: Host) -> None:
    source.status, source.headers = 302, {"Location": "https://elsewhere.example/steal"}


def _truncated(source: Host) -> None:
    source.cut = 5


FAULTS: dict[str, Callable[[Host], None]] = {
    "400": _status(400, {"error": {"code": "400 Bad Request", "message": "no"}}),
    "401": _status(401, {"error": "Invalid auth-token"}),
    "403 in HTML": _status(403, HTML),
    "404": _status(404, {"error": "No recent data"}),
    "429": _status(429, b"slow down"),
    "500": _status(500, {"error": {"code": "500 Internal Server Error", "message": "Requested resource not found."}}),
    "503 in HTML": _status(503, HTML),
    "HTML": _body(HTML),
    "empty": _body(b""),
    "truncated": _truncated,
    "null": _body(None),
    "a list": _body([]),
    "a number": _body(42),
    "a text": _body("no"),
    "no rows": _body({}),
    "rows that are none": _body({"data": None, "records": None, "results": None, "history": None}),
    "too deep": _body(b"[" * 100_000),
    "redirected": _redirected,
    "nobody there": Host.vanish,
}


@contextmanager
def source() -> Iterator[Host]:
    """A source for the length of a test, which its test has yet to teach."""
    with host() as made:
        made.now_s = lambda: NOW_S
        yield made


def assert_survives(fault: str, source: Host, feed: Feed, zone: str) -> None:
    """A feed that answered before the fault gives no answer with it, says so in a line, and tells no secret."""
    assert feed.latest(zone).g_per_kwh >= 0
    FAULTS[fault](source)
    questions: list[Callable[[], Any]] = [
        lambda: feed.latest(zone),
        lambda: feed.history(zone, NOW_S - 7200, NOW_S),
        lambda: feed.forecast(zone, NOW_S, NOW_S + 7200),
    ]
    for question in questions:
        with pytest.raises(Unavailable) as caught:
            question()
        assert SECRET not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300
