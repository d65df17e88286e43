"""Asking the metadata server of a cloud: a machine's own host, at an address that all clouds share.

Nothing stands between the two: `http.client` knows no proxy, follows no redirect and sends no login of ~/.netrc, and
the address is a number, since looking up a name has no time limit. All questions share one deadline, which also holds
for an answer of which a byte comes now and then.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from joulegram.host.forking import importing
from joulegram.web import Unanswered

URL = "http://169.254.169.254"
BUDGET_S = 0.5
MOST_BYTES = 1024


class OutOfReach(Unanswered):
    """There was no answer in time."""


class MetadataServer:
    """One machine's metadata server; its time runs from when this is made.

    Args:
        url: where it is, with a number for a name.
        now_s: monotonic clock (s).
    """

    def __init__(self, url: str, now_s: Callable[[], float]) -> None:
        self._url = urlsplit(url)
        self._now_s, self._deadline_s = now_s, now_s() + BUDGET_S

    def ask(self, path: str, headers: Mapping[str, str], method: str = "GET") -> str:
        """The text that it answers with.

        Raises:
            OutOfReach: it does not answer in time.
            Unanswered: it answers with an error, or with what is no short text; nothing that was sent or received is
                in the message.
        """
        try:
            status, body = self._asked(method, path, headers)
        except TimeoutError:
            raise OutOfReach(f"no answer within {BUDGET_S:g} s") from None
        except Exception as error:  # what http.client raises has what was said in its text
            raise Unanswered(f"could not be asked ({type(error).__name__})") from None
        if 300 <= status < 400:
            raise Unanswered(f"sends us elsewhere (HTTP {status}), where nobody is asked")
        if status != 200:
            raise Unanswered(f"answered with HTTP {status}")
        if len(body) > MOST_BYTES or not body.isascii():
            raise Unanswered("answered with something else than a short text")
        return body.decode("ascii").strip()

    def _asked(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        with importing():
            from http.client import HTTPConnection

        host, port = self._url.hostname or "", self._url.port or 80
        with _Patient(self._left_s) as reached:
            reached.connect((host, port))
            connection = HTTPConnection(host, port)
            connection.sock = reached
            connection.request(method, path, headers=dict(headers))
            with connection.getresponse() as answer:
                return answer.status, answer.read(MOST_BYTES + 1)

    def _left_s(self) -> float:
        """Time that is left (s).

        Raises:
            TimeoutError: none is.
        """
        left_s = self._deadline_s - self._now_s()
        if left_s <= 0:
            raise TimeoutError
        return left_s


class _Patient(socket.socket):
    """A socket all of whose waits together have one end.

    Args:
        left_s: how long (s) it may still wait.
    """

    def __init__(self, left_s: Callable[[], float]) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self._left_s = left_s

    def connect(self, address: Any) -> None:
        self.settimeout(self._left_s())
        super().connect(address)

    def sendall(self, *arguments: Any) -> None:
        self.settimeout(self._left_s())
        super().sendall(*arguments)

    def recv_into(self, *arguments: Any) -> int:
        self.settimeout(self._left_s())
        return super().recv_into(*arguments)
