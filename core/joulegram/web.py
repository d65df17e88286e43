"""Asking a host over HTTP: it can neither hang us, nor fill the memory, nor get a key that is not meant for it."""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from joulegram.host.forking import importing

if TYPE_CHECKING:
    import requests

MOST_BYTES = 1 << 20
_TELLING = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")
"""Loggers of urllib3 that are told whole addresses: of any question, or of one whose answer is odd."""
Parameter = str | Sequence[str]
"""A query parameter: one value, or several under the same name."""


class Unanswered(Exception):
    """No figure came; the message says what came instead, and never a key or the address's path and query."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered, whatever its status code.

    Args:
        host: its name.
        status: HTTP status code.
        body: as sent.
        retry_s: for how long (s) it asked to be left alone; None where it did not.
        clock_s: what its own clock showed (s since 1970); None where it did not say.
    """

    host: str
    status: int
    body: bytes
    retry_s: float | None = None
    clock_s: float | None = None

    def json(self) -> Any:
        """The body of an answer that is fine.

        Raises:
            Unanswered: it is an error, or no JSON.
        """
        if self.status != 200:
            raise Unanswered(f"{self.host} answered with HTTP {self.status}")
        return self.parsed()

    def parsed(self) -> Any:
        """The body of any answer.

        Raises:
            Unanswered: it is no JSON.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise Unanswered(f"{self.host} did not answer in JSON (HTTP {self.status})") from None


_asking = threading.local()


def _not_asking(_: logging.LogRecord) -> bool:
    return not getattr(_asking, "now", False)


@contextmanager
def unlogged(*loggers: str) -> Iterator[None]:
    """What this thread tells these loggers meanwhile is not logged: libraries log whole addresses, keys included."""
    for logger in loggers:
        logging.getLogger(logger).addFilter(_not_asking)  # once: a filter that is there is not added again
    before, _asking.now = getattr(_asking, "now", False), True
    try:
        yield
    finally:
        _asking.now = before


class Site:
    """GET requests to one address, or below it.

    Redirects are not followed: a key must not travel to where it was not meant to go. Neither the key nor the address's
    path and query, which may hold one, is in any message or log.

    Args:
        url: where to ask.
        timeout_s: how long an answer may take (s).
        headers: sent along.
        token: a bearer token.
        login: user and password.
        most_bytes: how long an answer may be.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        token: str = "",
        login: tuple[str, str] | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.host = urlsplit(url).hostname or "the address"
        self._url, self._timeout_s, self._most_bytes = url, timeout_s, most_bytes
        self._headers, self._token, self._login = headers or {}, token, login

    @cached_property
    def _session(self) -> requests.Session:
        """Made with the first question: loading requests takes a tenth of a second."""
        import requests

        session = requests.Session()
        session.headers.update(self._headers)
        # Given as `auth`, even where there is none, a key is not replaced by one that ~/.netrc may have for this host.
        session.auth = self._login or self._authorised
        return session

    def get(
        self,
        path: str = "",
        parameters: Mapping[str, Parameter] | None = None,
        token: str = "",
        login: tuple[str, str] | None = None,
    ) -> Answer:
        """Asks once.

        Args:
            path: below the address.
            parameters: of the query.
            token: a bearer token for this question, instead of the site's.
            login: user and password for this question, instead of the site's.

        Raises:
            Unanswered: there was no answer in time, or it sends us elsewhere.
        """
        asked: Any = {"auth": login} if login else {"auth": _Bearer(token)} if token else {}
        answers: queue.SimpleQueue[Answer | Unanswered] = queue.SimpleQueue()
        # On a thread of its own: a time-out of requests begins anew with every byte that trickles in.
        threading.Thread(
            target=lambda: answers.put(self._answer(path, parameters, asked)), name="joulegram-ask", daemon=True
        ).start()
        try:
            answer = answers.get(timeout=self._timeout_s)
        except queue.Empty:
            self.__dict__.pop("_session", None)  # the thread may hold on to it
            raise self._late() from None
        if isinstance(answer, Unanswered):
            raise answer
        return answer

    def _answer(self, path: str, parameters: Mapping[str, Parameter] | None, asked: Any) -> Answer | Unanswered:
        with importing():
            import requests

        deadline_s = time.monotonic() + self._timeout_s
        try:
            with (
                unlogged(*_TELLING),
                self._session.get(
                    self._url + path,
                    params=parameters,
                    timeout=self._timeout_s,
                    allow_redirects=False,
                    stream=True,
                    **asked,
                ) as response,
            ):
                if response.is_redirect:
                    return Unanswered(f"{self.host} sends us elsewhere; give the address that it names")
                body = self._body(response, deadline_s)
                clock_s, headers = _clock_s(response.headers.get("Date")), response.headers
                retry_s = _retry_s(headers.get("Retry-After"), clock_s)
                return Answer(self.host, response.status_code, body, retry_s, clock_s)
        except Unanswered as error:
            return error
        except requests.Timeout:
            return self._late()
        except Exception as error:  # its text holds the address
            return Unanswered(f"{self.host} could not be asked ({type(error).__name__})")

    def _late(self) -> Unanswered:
        return Unanswered(f"{self.host} did not answer within {self._timeout_s:g} s")

    def _authorised(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return _Bearer(self._token)(request) if self._token else request

    def _body(self, response: requests.Response, deadline_s: float) -> bytes:
        body = bytearray()
        for piece in response.iter_content(1 << 14):
            body += piece
            if len(body) > self._most_bytes or time.monotonic() > deadline_s:
                raise Unanswered(f"the answer of {self.host} did not come to an end")
        return bytes(body)


class _Bearer:
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _clock_s(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except ValueError:
        return None


def _retry_s(text: str | None, clock_s: float | None) -> float | None:
    """Seconds of a Retry-After header: it holds seconds, or a date by the host's own clock."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    until_s = _clock_s(text)
    if until_s is None:
        return None
    return max(0.0, until_s - (datetime.now(UTC).timestamp() if clock_s is None else clock_s))
