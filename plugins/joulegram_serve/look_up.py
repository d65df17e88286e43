"""What one request cost, for who knows its id."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import joulegram
from joulegram_serve.asgi import NO_SERVICE, Receive, Scope, Send, answer, service_of

JSON = "application/json"
UNKNOWN = (
    "No settled request has this id. A request settles about a second after its end, and the last 4,000 or so of this "
    "host are kept."
)


def footprint_app(service: joulegram.Service | None = None) -> FootprintApp:
    """An ASGI application that tells what a request cost, once it is settled, as JSON.

    Anyone who reaches it may ask: who may not know what others computed should not reach it.

    Example::

        app.mount("/footprint", footprint_app())

    Args:
        service: that of the middleware around it by default.
    """
    return FootprintApp(service)


class FootprintApp:
    """Made by `footprint_app`. The last part of the path is the id."""

    def __init__(self, service: joulegram.Service | None) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        service = service_of(scope, self._service)
        if service is None:
            await answer(scope, send, 503, JSON, json.dumps({"error": NO_SERVICE}))
            return
        result = service.result(scope["path"].rstrip("/").rpartition("/")[2])
        if result is None:
            await answer(scope, send, 404, JSON, json.dumps({"error": UNKNOWN}))
        else:
            await answer(scope, send, 200, JSON, json.dumps(document(result)))


def document(result: joulegram.Result) -> dict[str, Any]:
    """A result as plain data."""
    return asdict(result)
