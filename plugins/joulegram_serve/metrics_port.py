"""A port that answers Prometheus, from a thread of the server's process."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import joulegram
from joulegram_serve.metrics import exposition

SLOW_S = 30.0
"""A scraper that takes longer to ask or to listen is hung up on; Prometheus itself waits for 10 s by default."""


class MetricsPort:
    """Made by `serve_metrics`.

    Attributes:
        port: where it listens.
    """

    def __init__(self, port: int, service: joulegram.Service, address: str) -> None:
        class Answer(_Answer):
            footprints = service

        try:
            self._server = _Server((address, port), Answer)
        except (OSError, OverflowError, TypeError) as problem:
            raise joulegram.ConfigError(
                f"metrics cannot be served on port {port!r} of {address!r}: {problem}; name another port or address"
            ) from None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="joulegram-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listens no more. Again is harmless."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """A thread for each scraper, of which none waits for another."""

    allow_reuse_port = True  # each worker listens, and the kernel asks one of them
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A scraper that hung up is nobody's problem."""


class _Answer(BaseHTTPRequestHandler):
    """Answers a scraper, whatever path it asks for."""

    timeout = SLOW_S
    footprints: joulegram.Service

    def do_GET(self) -> None:
        headers, body = exposition(
            self.footprints, self.headers.get("accept", ""), self.headers.get("accept-encoding", "")
        )
        self.send_response(200)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: a scrape every few seconds is no news."""
