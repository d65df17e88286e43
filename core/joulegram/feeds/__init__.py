"""Feeds: one file per source of grid carbon intensity.

A feed asks its source one question at a time and answers with typed points; it neither waits, nor tries again, nor
remembers: that is done for all of them in `joulegram.feeds.fetching`. It never guesses a place, and never mixes signals
or bases in one point. Others' feeds come in through the entry point group `joulegram.feeds`.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf, isfinite
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from joulegram import units
from joulegram.options import Options
from joulegram.records import Basis, IntensityKind, IntensityPoint, Signal
from joulegram.web import Answer, Parameter, Site, Unanswered

TIMEOUT_S = 10.0
MOST_BYTES = 1 << 26
"""A year of five minutes' points, as JSON."""
MOST_WORDS = 160
"""Characters of a source's own words that are passed on."""
LEAST_G_PER_KWH, MOST_G_PER_KWH = 0.0, 3000.0
"""What no grid is outside of: burning oil shale in old plants emits about half of the upper one."""

# Factors on a value that is not a measurement: 2.5th and 97.5th percentile of an hour over the same hour of the day
# before, on 11 grids (`benchmarks/intensity_spread.py`): a forecast is at least as good as that.
FORECAST_LOW, FORECAST_HIGH = 0.41, 2.41


class Unavailable(Exception):
    """A feed gave no answer; the message says why, in words, and holds no key.

    Args:
        why: in words.
        retry_s: how long (s) the source asked to be left alone; None where it did not say.
    """

    def __init__(self, why: str, retry_s: float | None = None) -> None:
        super().__init__(why)
        self.retry_s = retry_s


class NotServed(Unavailable):
    """The feed has no such zone or time: asking again is of no use."""


class NotAllowed(Unavailable):
    """The feed wants a key, another one, or another plan: asking again is of no use until the user does something."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What one question may be about.

    Args:
        history_s: the longest time (s) that one question for the past may span.
        spacing_s: the least time (s) between two questions.
        step_s: length of a point (s): sooner than that there is nothing new.
        settles_s: how long (s) after its end a point may still be corrected.
    """

    history_s: float = inf
    spacing_s: float = 1.0
    step_s: float = 3600.0
    settles_s: float = 0.0


class Feed(ABC):
    """A source of grid carbon intensity.

    Attributes:
        name: as in configuration; letters and digits only.
        base_url: where it is asked, unless the user says otherwise; empty for one that every user runs by himself.
        known: its options, besides `base_url` and those that hold a key.
        secrets: options that hold a key without which it cannot be asked.
        hidden: options that hold a key that need not be given.
        argument: the option that ``NAME:TEXT`` stands for; empty where a name is all there is.
        signal: ``average`` or ``marginal``.
        reach: what one question may be about.
        title: what it is called in words.
        refused: values that no grid has, and that were left out.
        skew_s: how far (s) the source's clock was ahead of ours when it was last asked.

    Args:
        tables: options of all feeds by name.
        basis: which emissions the user wants; None for what the feed gives by itself.
        now_s: wall clock (s since 1970).

    Raises:
        ConfigError: an option is wrong.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    base_url: ClassVar[str] = ""
    known: ClassVar[tuple[str, ...]] = ()
    secrets: ClassVar[tuple[str, ...]] = ()
    hidden: ClassVar[tuple[str, ...]] = ()
    argument: ClassVar[str] = ""
    signal: Signal = "average"
    basis: Basis = "unknown"
    reach: Reach = Reach()

    def __init__(
        self, tables: Mapping[str, Mapping[str, Any]], basis: Basis | None, now_s: Callable[[], float]
    ) -> None:
        self.options = Options("feed", self.name, tables, (*self.known, *self.secrets, *self.hidden, "base_url"))
        self.wanted_basis, self.now_s = basis, now_s
        self.refused, self.skew_s = 0, 0.0
        self.url = (self.options.text("base_url") or self.base_url).rstrip("/")
        if self.url and not self.url.startswith(("http://", "https://")):
            raise self.options.wrong("base_url", "an address that begins with http:// or https:// is needed")

    @property
    def ready(self) -> bool:
        """Whether it has the address and the keys that it needs to be asked."""
        return bool(self.url) and all(self.options.given(secret) for secret in self.secrets)

    @property
    def source(self) -> str:
        """What its answers are kept under: the same feed with other options gives others. Holds no secret."""
        shown = {name: self.options.shown(name) for name in sorted(self.known)}
        told = json.dumps([self.url, self.wanted_basis, self.signal, self.basis, shown])
        return f"{self.name}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    @property
    def host(self) -> str:
        """Who is asked, for the spacing of questions."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @abstractmethod
    def serves(self, zone: str) -> bool:
        """Whether a zone is in its area, as far as that is known without asking; never raises, never asks."""

    @abstractmethod
    def latest(self, zone: str) -> IntensityPoint:
        """The newest point that is not in the future.

        Raises:
            Unavailable: there was no answer.
        """

    @abstractmethod
    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """What is known of a time (s since 1970) no longer than `reach.history_s`, in order.

        Raises:
            Unavailable: there was no answer.
        """

    def forecast(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """What is expected of a time to come, in order, as far ahead as the feed looks.

        Raises:
            Unavailable: there was no answer, or the feed makes no forecasts.
        """
        raise NotServed(f"{self.title} makes no forecasts")

    # -- for those that implement one -------------------------------------------------------------------------------

    def site(
        self, headers: Mapping[str, str] | None = None, token: str = "", login: tuple[str, str] | None = None
    ) -> Site:
        """Where to ask; keys go nowhere else."""
        agent = {"User-Agent": "joulegram", "Accept": "application/json"}
        return Site(self.url, TIMEOUT_S, {**agent, **(headers or {})}, token, login, MOST_BYTES)

    def ask(self, site: Site, path: str, **parameters: Parameter) -> Any:
        """The JSON that a source answers with.

        Raises:
            Unavailable: it answers with anything else.
        """
        answer = self.answer(site, path, **parameters)
        try:
            return answer.json()
        except Unanswered as error:
            raise Unavailable(str(error), answer.retry_s) from None

    def answer(self, site: Site, path: str, **parameters: Parameter) -> Answer:
        """What a source answers with, if it is no refusal.

        Raises:
            Unavailable: it refuses, has too much to do, or does not answer.
        """
        try:
            answer = site.get(path, parameters)
        except Unanswered as error:
            raise Unavailable(str(error)) from None
        if answer.clock_s is not None:
            self.skew_s = answer.clock_s - self.now_s()
        refused = self.refusal(answer)
        if refused is None:
            return answer
        if refused.retry_s is None:
            refused.retry_s = answer.retry_s
        raise refused

    def refusal(self, answer: Answer) -> Unavailable | None:
        """What an answer says, if it is a refusal; a feed whose source tells more adds that."""
        if answer.status in (401, 403):
            return NotAllowed(f"{answer.host} wants a key, or another one (HTTP {answer.status})")
        if answer.status == 404:
            return NotServed(f"{answer.host} knows nothing of it (HTTP 404)")
        if answer.status == 429:
            return Unavailable(f"{answer.host} is asked too often (HTTP 429)", told_s(answer))
        return None

    def quote(self, answer: Answer, *keys: str) -> str:
        """What the JSON of an answer tells at some keys, in one short line; empty if that holds a secret of ours."""
        try:
            said = answer.parsed()
        except Unanswered:
            return ""
        words = [said[key] for key in keys if isinstance(said.get(key), str)] if isinstance(said, Mapping) else []
        text = " ".join(": ".join(words).split())
        leaks = any(len(word) > 2 and word in text for word in map(self.options.text, (*self.secrets, *self.hidden)))
        return "" if leaks else text[:MOST_WORDS]

    def point(
        self,
        zone: str,
        start_s: float,
        length_s: float,
        value: Any,
        kind: IntensityKind,
        *,
        scope: Literal["consumption", "generation", "unknown"] = "unknown",
        note: str = "",
    ) -> IntensityPoint | None:
        """A point; None where the source has no figure, or one that no grid has.

        Args:
            zone: the zone that it is for.
            start_s: when it begins (s since 1970).
            length_s: how long it holds (s).
            value: gCO2e/kWh as the source gave it.
            kind: what sort of figure it is.
            scope: whose electricity it counts.
            note: what a reader should know.
        """
        g_per_kwh = number(value)
        if g_per_kwh is None:
            return None
        if not LEAST_G_PER_KWH <= g_per_kwh <= MOST_G_PER_KWH:
            self.refused += 1
            return None
        sure, fetched_s = kind == "measured", self.now_s()
        return IntensityPoint(
            g_per_kwh=g_per_kwh,
            low=g_per_kwh if sure else FORECAST_LOW * g_per_kwh,
            high=g_per_kwh if sure else FORECAST_HIGH * g_per_kwh,
            zone=zone,
            source=self.title,
            kind=kind,
            signal=self.signal,
            basis=self.basis,
            scope=scope,
            start_s=start_s,
            length_s=length_s,
            fetched_s=fetched_s,
            settled=sure and fetched_s >= start_s + length_s + self.reach.settles_s,
            note=note,
        )


def in_order(
    points: Iterable[IntensityPoint | None], start_s: float = -inf, end_s: float = inf
) -> list[IntensityPoint]:
    """Points that there are, in the order of their start, of each start the last, as far as they touch a time."""
    by_start = {p.start_s or 0.0: p for p in points if p is not None}
    return [p for s, p in sorted(by_start.items()) if s < end_s and s + (p.length_s or 0.0) > start_s]


def newest(points: Sequence[IntensityPoint], who: str) -> IntensityPoint:
    """The last of some points.

    Raises:
        Unavailable: there is none.
    """
    if not points:
        raise Unavailable(f"{who} has no figure for now")
    return points[-1]


def number(value: Any) -> float | None:
    """A finite number, from text too; None for anything else."""
    try:
        found = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if isfinite(found) else None


def utc_s(text: Any) -> float:
    """Seconds since 1970 of an ISO 8601 time; one without an offset is in UTC.

    Raises:
        Unavailable: it is no time.
    """
    try:
        return units.utc_s(str(text))
    except ValueError:
        raise Unavailable(f"{str(text)[:40]!r} is no time") from None


def told_s(answer: Answer) -> float | None:
    """How long (s) an answer asks to be left alone: by its header, else by its words (``Try again in 197 seconds``)."""
    words = re.search(rb"in (\d{1,6}) seconds", answer.body)
    return answer.retry_s if answer.retry_s is not None or words is None else float(words[1])


def iso_utc(time_s: float) -> str:
    """A time (s since 1970) in ISO 8601, to the second: ``2026-06-24T10:00:00Z``."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(time_s))).strftime("%Y-%m-%dT%H:%M:%SZ")


def listed(value: Any, *path: str) -> list[Mapping[str, Any]]:
    """The rows at a path of keys in an answer.

    Raises:
        Unavailable: the answer has another shape.
    """
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(value, list):
        raise Unavailable(f"the answer has no rows at {'.'.join(path) or 'its top'}")
    return [row for row in value if isinstance(row, Mapping)]


__all__ = [
    "Feed",
    "NotAllowed",
    "NotServed",
    "Reach",
    "Unavailable",
    "in_order",
    "iso_utc",
    "listed",
    "newest",
    "number",
    "told_s",
    "utc_s",
]
