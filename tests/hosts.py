"""A host behind the network that answers as the test says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Host:
    """A web server on this machine.

    Attributes:
        body: what it answers: bytes as they are, anything else as JSON.
        paths: what it answers at a path instead, where it begins with one of these.
        now_s: what its clock shows (s since 1970).
        cut: bytes of the answer that never come, although they are promised.
        status: its status code.
        headers: sent along.
        silent: while set, it accepts questions and does not answer.
        asked: path, query and headers of each question.
    """

    def __init__(self) -> None:
        self.body: Any = {}
        self.paths: dict[str, Any] = {}
        self.now_s: Callable[[], float] = time.time
        self.cut = 0
        self.status = 200
        self.headers: dict[str, str] = {}
        self.silent = threading.Event()
        self.asked: list[tuple[str, dict[str, list[str]], Mapping[str, str]]] = []
        self._freed = threading.Event()
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def listen(self) -> None:
        """Starts to listen, where it listened before."""
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host.answer(self)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(host.now_s())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        address = urlsplit(request.path)
        self.asked.append((address.path, parse_qs(address.query), dict(request.headers)))
        if self.silent.is_set():
            self._freed.wait(30)
        said = next((self.paths[start] for start in self.paths if address.path.startswith(start)), self.body)
        if callable(said):
            said = said(parse_qs(address.query))
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        try:
            request.send_response(self.status)
            for name, value in {**self.headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(body[: len(body) - self.cut])
        except OSError:  # the asker did not wait
            pass

    def free(self) -> None:
        """Answers what it was silent about, and what comes."""
        self.silent.clear()
        self._freed.set()

    def vanish(self) -> None:
        """Nobody listens any more: connections are refused."""
        assert self._server is not None
        self._freed.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def host() -> Iterator[Host]:
    """A host for the length of a test."""
    made = Host()
    try:
        yield made
    finally:
        made.vanish()
