"""What a response and the look-up tell of a request, and what they do not."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgi_driver import Answer, get
from hypothesis import given
from hypothesis import strategies as st
from servers import Host

from joulegram_serve import FootprintFilter, FootprintMiddleware, footprint_app
from joulegram_serve.headers import decimal

KNOWN = [(b"content-length", b"4")]
LAST: dict[str, Any] = {"type": "http.response.body", "body": b"done"}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def answering(host: Host) -> Callable[..., Any]:
    """An application that works for a second before it answers, at 100 W and 360 g/kWh."""
    service = host.serve()
    host.go_on(3.0)
    with service.begin("/before"):
        host.go_on(3.0)  # so that a rate is known

    def make(sent: Any, on_start: Callable[[], Any] = lambda: None, **options: Any) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            host.go_on(1.0)
            on_start()
            await send({"type": "http.response.start", "status": 200, "headers": sent})
            await send(LAST)

        return FootprintMiddleware(app, service=service, **{"headers": True, **options})

    return make


def test_an_answer_of_known_length_tells_what_it_has_cost_so_far(answering: Callable[..., Any]) -> None:
    headers = get(answering(KNOWN), "/").headers
    assert headers["energy-joules"] == "100;est"
    assert headers["carbon-grams"] == "0.01;est"


def test_headers_may_come_from_anything_that_gives_pairs(answering: Callable[..., Any]) -> None:
    answer = get(answering(iter([(b"Content-Length", b"4"), (b"x", b"y")])), "/")
    assert list(answer.headers) == ["content-length", "x", "footprint-id", "energy-joules", "carbon-grams"]


def test_a_stream_tells_its_id_alone(answering: Callable[..., Any]) -> None:
    assert list(get(answering([]), "/").headers) == ["footprint-id"]


def test_nothing_is_told_unasked(answering: Callable[..., Any]) -> None:
    assert get(answering(KNOWN, headers=False), "/").start["headers"] == KNOWN


def test_what_is_not_counted_tells_nothing(answering: Callable[..., Any]) -> None:
    assert list(get(answering(KNOWN), "/health").headers) == ["content-length"]


def test_unknown_energy_is_left_out_and_not_zero(host: Host) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": KNOWN})
        await send(LAST)

    answer = get(FootprintMiddleware(app, service=host.serve(), headers=True), "/")
    assert list(answer.headers) == ["content-length", "footprint-id"]


@given(st.floats(min_value=0, max_value=1e15, allow_subnormal=False))
def test_decimals_have_no_exponent_and_four_digits_that_count(value: float) -> None:
    told = decimal(value)
    assert set(told) <= set("0123456789.")
    assert float(told) == pytest.approx(value, rel=5e-4)


# -- looking up -----------------------------------------------------------------------------------------------------


def asks(app: Any, path: str, **more: Any) -> tuple[int, Any]:
    answer: Answer = get(app, path, **more)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    return answer.status, json.loads(answer.text) if answer.text else None


def test_a_request_is_looked_up_once_it_is_settled(host: Host, answering: Callable[..., Any]) -> None:
    app = answering(KNOWN)
    request = get(app, "/").headers["footprint-id"]
    look_up = footprint_app(app.service)
    status, told = asks(look_up, f"/footprint/{request}")
    assert (status, "settled" in told["error"]) == (404, True)
    host.go_on(1.0)
    status, told = asks(look_up, f"/footprint/{request}/")
    assert status == 200
    assert told["settled"] is True
    assert (told["id"], told["route"], told["status"]) == (request, "unmatched", 200)
    assert told["energy_j"] == pytest.approx(100.0, rel=1e-9)
    assert told["carbon_g"] == pytest.approx(0.01, rel=1e-9)
    assert asks(look_up, f"/footprint/{request}", method="HEAD") == (200, None)


@pytest.mark.parametrize("kind", ["mounted", "routed"])
def test_inside_of_the_middleware_the_look_up_finds_its_service(host: Host, kind: str) -> None:
    fastapi = pytest.importorskip("fastapi")
    app, service = fastapi.FastAPI(), host.serve()

    @app.get("/answer")
    async def answer() -> str:
        return "here"

    if kind == "mounted":
        app.mount("/footprint", footprint_app())
    else:
        app.add_route("/footprint/{request_id}", footprint_app())
    app.add_middleware(FootprintMiddleware, service=service, headers=True)
    request = get(app, "/answer").headers["footprint-id"]
    host.go_on(1.0)
    assert asks(app, f"/footprint/{request}")[1]["route"] == "/answer"


def test_outside_of_a_middleware_it_says_what_it_lacks() -> None:
    status, told = asks(footprint_app(), "/footprint/00000001-1")
    assert status == 503
    assert "FootprintMiddleware" in told["error"]


@pytest.mark.parametrize(
    "path",
    ["/", "", "/footprint/", "/footprint/x-1", "/footprint/\x00", "/footprint/-", "/footprint/" + "1" * 65_536,
     "/footprint/00000001-", "/footprint/ffffffff-ffffffffffffffffff", "/footprint/0000000\u0661-1"],
)  # fmt: skip
def test_what_is_no_id_is_unknown(host: Host, path: str) -> None:
    service = host.serve()
    host.go_on(1.0)
    assert asks(footprint_app(service), path)[0] == 404


# -- the log --------------------------------------------------------------------------------------------------------


def test_records_of_a_request_hold_what_it_has_cost(
    host: Host, answering: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    access = logging.getLogger("tests.access")
    access.setLevel(logging.INFO)
    footprint = FootprintFilter()
    access.addFilter(footprint)
    try:
        access.info("before")
        answer = get(answering(KNOWN, lambda: access.info("within")), "/")
        access.info("after")
    finally:
        access.removeFilter(footprint)
    told: list[Any] = [(r.footprint_id, r.energy_j, r.carbon_g, r.tokens) for r in caplog.records]  # type: ignore[attr-defined]
    nothing = (None, None, None, None)
    assert told == [
        nothing,
        (answer.headers["footprint-id"], pytest.approx(100.0, rel=1e-3), pytest.approx(0.01, rel=1e-3), 0.0),
        nothing,
    ]
