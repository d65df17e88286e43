"""What ASGI passes around, and an answer in one piece."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import joulegram

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SERVICE = "joulegram.service"
"""Where the middleware leaves its service in a request's scope, for what is inside of it."""

NO_SERVICE = (
    "This application is outside of FootprintMiddleware, and was given no service. Mount it in the application that "
    "has the middleware, or give it the service that joulegram.serve() returned."
)


def service_of(scope: Scope, given: joulegram.Service | None) -> joulegram.Service | None:
    """The service that was given, else that of the middleware around; None for neither."""
    return given if given is not None else scope.get(SERVICE)


async def answer(scope: Scope, send: Send, status: int, content_type: str, text: str) -> None:
    """Answers a request, a HEAD request without the text. No cache keeps it: figures change."""
    body = text.encode()
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
