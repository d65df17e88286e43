"""What the middlewares of all protocols share: which requests count, on which route, and that problems stay ours."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import joulegram
from joulegram_serve.complaints import Complaints
from joulegram_serve.context import uncounted
from joulegram_serve.routes import UNMATCHED

EXCLUDED = (
    "/health", "/healthz", "/livez", "/readyz", "/ping", "/metrics", "/footprint", "/docs", "/redoc", "/openapi.json",
    "/favicon.ico",
)  # fmt: skip
"""What is asked by machines about the server, and not of the model."""
FAILED = 500


class Counting:
    """One middleware's way of counting. Nothing here raises, once it is made.

    Args:
        name: what is served; see `joulegram.serve`.
        find: the route's template, in what a request is known by; None for none.
        service: what `joulegram.serve` returned, in place of a name and settings; who made it closes it.
        exclude: paths, with all below them, whose requests are not counted: what they use while no other is in flight
            is unattributed. ``/`` is that path alone.
        route: the label of a request, asked when it ends; None where it knows none, and then `find` is asked.
        headers: whether responses tell of their cost.
        **settings: of `joulegram.serve`.

    Raises:
        ValueError: a service is given, and settings for another; or ``exclude`` holds what is no path.
    """

    def __init__(
        self,
        name: str | None,
        find: Callable[[Any], str | None],
        *,
        service: joulegram.Service | None = None,
        exclude: Iterable[str] = EXCLUDED,
        route: Callable[[Any], str | None] | None = None,
        headers: bool = False,
        **settings: Any,
    ) -> None:
        if service is not None and (name is not None or settings):
            raise ValueError("a service is given, or the name and settings of one, not both")
        self.headers = headers
        self._excluded, self._below = paths(exclude)
        self._ways = [way for way in (route, find) if way is not None]
        self.complain = Complaints("requests' costs").say_once
        self._make = partial(made, name, settings) if service is None else None
        self._is_stopped = False
        self.service = service if service is not None else made(name, settings)

    def start(self) -> None:
        """Counting starts now and not with the first request; anew, after it was stopped."""
        try:
            if self._is_stopped and self._make is not None:
                self.service, self._is_stopped = self._make(), False
            self.service.start()
        except Exception as problem:
            self.complain(problem)

    def stop(self) -> None:
        """Counting stops, unless somebody else made the service: who did closes it."""
        if self._make is not None:
            self._is_stopped = True
            self.service.close()

    def begin(self, path: str) -> joulegram.Request | None:
        """A request begins; None for one that is not counted."""
        try:
            if path in self._excluded or path.startswith(self._below):
                return None
            return self.service.begin()
        except Exception as problem:
            self.complain(problem)
            return None

    def label(self, about: Any) -> str:
        """The route's label of a request."""
        for way in self._ways:
            try:
                told = way(about)
                if told is not None:
                    return told if told.__class__ is str else str(told)
            except Exception as problem:
                self.complain(problem)
        return UNMATCHED

    def told(self, say: Callable[[], Sequence[tuple[str, str]]]) -> Sequence[tuple[str, str]]:
        """What a response says of its cost."""
        try:
            return say()
        except Exception as problem:
            self.complain(problem)
            return ()


def paths(exclude: Iterable[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Paths, and what begins all that is below them."""
    listed: list[Any] = [exclude] if isinstance(exclude, str) else list(exclude)
    for path in listed:
        if not isinstance(path, str) or not path.startswith("/"):
            raise ValueError(f"exclude holds {path!r:.60}: a list of paths that begin with / is needed")
    bare = [path.rstrip("/") for path in listed]
    return frozenset(path or "/" for path in bare), tuple(f"{path}/" for path in bare if path)


def made(name: str | None, settings: dict[str, Any]) -> joulegram.Service:
    """A service by its settings; one that counts nothing where they are not understood, which is said in one line."""
    try:
        return joulegram.serve(name, **settings)
    except joulegram.ConfigError as problem:
        logging.getLogger("joulegram").warning("joulegram counts no requests: %s", problem)
        return uncounted()
