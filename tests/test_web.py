"""Asking a host that is slow, hostile, or not what it says it is."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest
from hosts import Host, host

from joulegram.web import Answer, Site, Unanswered

SECRET = "s3cr3t"


@pytest.fixture
def server() -> Iterator[Host]:
    with host() as made:
        yield made


@contextmanager
def raw(answer: bytes, then: bytes = b"") -> Iterator[str]:
    """A host that sends these bytes to whoever connects, and then others, one by one, until nobody listens."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(answer)
                while then and not over.wait(0.02):
                    connection.sendall(then)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.close()


@pytest.mark.parametrize(
    ("answer", "then"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (b"", b" "),
    ],
    ids=["a header that never ends", "headers for ever", "a body in drops", "chunks for ever", "not even a status"],
)
def test_a_host_that_drips_is_given_up_in_time(answer: bytes, then: bytes) -> None:
    with raw(answer, then) as url, pytest.raises(Unanswered) as caught:
        Site(url, 0.3).get()
    assert "127.0.0.1" in str(caught.value)


def test_after_a_host_that_dripped_the_next_question_is_answered(server: Host) -> None:
    server.silent.set()
    site = Site(server.url, 0.2)
    with pytest.raises(Unanswered, match="did not answer within"):
        site.get()
    server.silent.clear()
    assert site.get().json() == {}


@pytest.mark.parametrize(
    "answer",
    [b"", b"no HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n", b"\x00" * 100_000],
    ids=["nothing", "no HTTP", "a wrong length", "zeros"],
)
def test_whatever_comes_instead_of_an_answer_is_one_kind_of_error(answer: bytes) -> None:
    with raw(answer) as url, pytest.raises(Unanswered) as caught:
        Site(url, 5).get().json()
    assert "\n" not in str(caught.value)


def test_a_host_that_cannot_prove_who_it_is_is_not_asked(server: Host) -> None:
    with pytest.raises(Unanswered, match=r"could not be asked \(SSLError\)"):
        Site(server.url.replace("http://", "https://"), 5, token=SECRET).get()
    assert not server.asked


def test_a_key_does_not_follow_a_redirect(server: Host) -> None:
    with host() as elsewhere:
        server.status, server.headers = 302, {"Location": f"{elsewhere.url}/steal"}
        with pytest.raises(Unanswered, match="sends us elsewhere"):
            Site(server.url, 5, {"auth-token": SECRET}, token=SECRET).get("/v1")
        assert not elsewhere.asked


def test_neither_key_nor_query_is_logged_at_any_level(server: Host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    Site(server.url, 5, {"auth-token": SECRET}).get("/v1", {"api_key": SECRET}, login=("me", SECRET))
    server.vanish()
    with pytest.raises(Unanswered) as caught:
        Site(server.url, 5).get("/v1", {"api_key": SECRET}, token=SECRET)
    assert SECRET not in caplog.text + str(caught.value) + repr(caught.value.__cause__)


def test_netrc_gives_no_host_a_password(server: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    Site(server.url, 5).get()
    assert all("Authorization" not in headers for _, _, headers in server.asked)


def test_an_answer_tells_how_long_to_wait_and_what_its_clock_shows(server: Host) -> None:
    server.now_s = lambda: 1_800_000_000.0
    server.headers = {"Retry-After": "197"}
    answer = Site(server.url, 5).get()
    assert (answer.retry_s, answer.clock_s) == (197, 1_800_000_000)
    server.headers = {"Retry-After": formatdate(1_800_000_060, usegmt=True)}
    assert Site(server.url, 5).get().retry_s == 60
    for nonsense in ("soon", "-5", ""):
        server.headers = {"Retry-After": nonsense}
        assert Site(server.url, 5).get().retry_s is None


def test_several_values_of_one_parameter_are_all_sent(server: Host) -> None:
    Site(server.url, 5).get("/data", {"column": ["a", "b"], "zone": "DK & co"})
    path, query, _ = server.asked[0]
    assert (path, query) == ("/data", {"column": ["a", "b"], "zone": ["DK & co"]})


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_is_no_answer(body: bytes) -> None:
    with pytest.raises(Unanswered, match="did not answer in JSON"):
        Answer("a.example", 200, body).json()


_UNGUARDED = """
import sys, threading
from joulegram.host import forking
from joulegram.web import Site

class Finder:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread() and not forking._imports.count:
            print(name)

sys.meta_path.insert(0, Finder())
Site(sys.argv[1], 5.0).get()
print("requests" in sys.modules)
"""


def test_what_is_imported_for_a_question_is_imported_while_forks_wait() -> None:
    with host() as asked:
        command = [sys.executable, "-c", _UNGUARDED, asked.url]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"
