"""A cloud's machine: its firmware, and the metadata server of each cloud, which is strict about how it is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from joulegram.place import Sources

TOKEN = "AQAAAJ-secret-token-of-this-instance=="
SIGNS: dict[str, dict[str, str]] = {
    "aws": {"sys_vendor": "Amazon EC2", "product_name": "p4d.24xlarge"},
    "gcp": {"sys_vendor": "Google", "product_name": "Google Compute Engine"},
    "azure": {"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77"},
}
AWS_PATH = "/latest/meta-data/placement/region"
GCP_PATH = "/computeMetadata/v1/instance/zone"
AZURE_PATH = "/metadata/instance/compute/location?api-version=2021-02-01&format=text"


class MetadataHost:
    """A metadata server on this machine.

    Attributes:
        answers: path → what it answers, if it is asked as its cloud wants it.
        token: what it gives to who asks for a token.
        status: instead of 200, of what is not a token.
        token_status: instead of 200, of a token.
        headers: sent along.
        silent: while set, it takes questions and does not answer, as where an answer's hops are used up.
        drips: its answer comes a byte at a time, without an end, each when the test says so.
        asked: method, path and headers of each question.
    """

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.token = TOKEN.encode()
        self.status = self.token_status = 200
        self.headers: dict[str, str] = {}
        self.silent = threading.Event()
        self.drips = threading.Event()
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []
        self._freed = threading.Event()
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host.answer(self)

            def do_PUT(self) -> None:
                host.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append((request.command, request.path, dict(request.headers)))
        if self.silent.is_set():
            self._freed.wait(30)
        with suppress(OSError):  # the asker does not wait for ever
            if self.drips.is_set():
                while not self._freed.wait(0.02):
                    request.wfile.write(b"x")
                return
            status, body = self._said(request.command, request.path, request.headers)
            request.send_response(status)
            for name, value in {**self.headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(body)

    def _said(self, method: str, path: str, headers: Any) -> tuple[int, bytes]:
        if headers["X-Forwarded-For"]:
            return 403, b"<html>a proxy</html>"
        if path == "/latest/api/token":
            lifetime = headers["X-aws-ec2-metadata-token-ttl-seconds"] or ""
            fine = method == "PUT" and lifetime.isdecimal() and 1 <= int(lifetime) <= 21600
            return (self.token_status, self.token) if fine else (400, b"")
        allowed = {
            AWS_PATH: headers["X-aws-ec2-metadata-token"] == TOKEN,
            GCP_PATH: headers["Metadata-Flavor"] == "Google",
            AZURE_PATH: headers["Metadata"] == "true",
        }
        if method != "GET" or path not in self.answers:
            return 404, b"<html>404</html>"
        if not allowed[path]:
            return 401 if path == AWS_PATH else 403, b"<html>not like this</html>"
        return self.status, self.answers[path]

    def vanish(self) -> None:
        """Nobody listens any more."""
        self._freed.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def metadata_host() -> Iterator[MetadataHost]:
    """A metadata server for the length of a test."""
    made = MetadataHost()
    try:
        yield made
    finally:
        made.vanish()


def firmware(folder: Path, signs: Mapping[str, str]) -> Path:
    """A DMI folder in which these files are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in signs.items():
        (folder / name).write_text(f"{text}\n")
    return folder


def sources(folder: Path, cloud: str | None, host: MetadataHost | None = None, **more: Any) -> Sources:
    """What a machine of a cloud, or of none, can be asked; nobody listens where no host is given."""
    given = {
        "dmi": firmware(folder / "dmi", SIGNS[cloud] if cloud else {"sys_vendor": "LENOVO", "product_name": "20XW"}),
        "environment": {},
        "metadata_url": host.url if host else "http://127.0.0.1:1",
        "ip_url": "http://127.0.0.1:1",
        **more,
    }
    return Sources(**given)
