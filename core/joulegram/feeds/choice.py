"""Which feed to ask: the one that the user names, else those of the zone, in an order that is stated here."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from joulegram import registry
from joulegram.config import ConfigError, Settings, user_file
from joulegram.feeds import Feed

AUTO, ANNUAL = "auto", "annual"
KEYLESS = ("neso", "energidataservice", "eco2mix", "energycharts")
"""Public feeds of parts of Europe; each is asked for its own area alone, the most special first."""
KEYED = ("electricitymaps", "entsoe", "eia")
"""Asked where their key is set. Feeds of marginal intensity, and those that users run themselves, have to be named."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Feeds to ask, the first before the others, and why others are not among them.

    Args:
        feeds: none of them for yearly means alone.
        passed_over: in words.
        named: whether the user named the feed.
    """

    feeds: tuple[Feed, ...]
    passed_over: tuple[str, ...] = ()
    named: bool = False


def choose(settings: Settings, zone: str | None, now_s: Callable[[], float]) -> Choice:
    """The feeds for a zone.

    Raises:
        ConfigError: the feed that the user names lacks its key or address, or does not serve the zone.
    """
    if settings.intensity == ANNUAL:
        return Choice(())
    if settings.intensity != AUTO:
        return Choice((named(settings, zone, now_s),), tuple(_unknown(settings.feeds)), named=True)
    feeds: list[Feed] = []
    passed_over = list(_unknown(settings.feeds))
    for name in (*KEYLESS, *KEYED) if zone else ():
        try:
            feed = _made(name, settings.feeds, settings, now_s)
        except ConfigError as error:
            passed_over.append(str(error))
            continue
        if feed.ready and feed.serves(zone or "") and settings.basis in (None, feed.basis):
            feeds.append(feed)
    return Choice(tuple(feeds), tuple(passed_over))


def _unknown(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Options of feeds that there are not: most likely a misspelt name."""
    known = registry.names(registry.FEEDS)
    for name in tables:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            remedy = f"did you mean {nearest[0]}?" if nearest else f"there are: {', '.join(known)}"
            yield f"options are set for {name}, and there is no such feed; {remedy}"


def named(settings: Settings, zone: str | None, now_s: Callable[[], float]) -> Feed:
    """The feed that the user names.

    Raises:
        ConfigError: it lacks its key or address, or does not serve the zone.
    """
    name, colon, argument = settings.intensity.partition(":")
    tables: dict[str, Mapping[str, Any]] = dict(settings.feeds)
    with _in_one_line(name):
        option = registry.load(registry.FEEDS, name).argument
    if colon and not option:
        raise ConfigError(f"intensity = {settings.intensity!r}: the feed {name} takes nothing after its name")
    if colon:
        tables[name] = {**tables.get(name, {}), option: argument}
    feed = _made(name, tables, settings, now_s)
    if not feed.ready:
        raise ConfigError(f"feed {name}: {_wanting(feed)}")
    if zone and not feed.serves(zone):
        raise ConfigError(f"feed {name} does not serve the zone {zone}; intensity = {AUTO!r} finds one that does")
    if settings.basis not in (None, feed.basis):
        raise ConfigError(f"feed {name} is on the {feed.basis} basis, and basis = {settings.basis!r} is asked for")
    return feed


def _made(name: str, tables: Mapping[str, Mapping[str, Any]], settings: Settings, now_s: Callable[[], float]) -> Feed:
    with _in_one_line(name):
        feed: Feed = registry.load(registry.FEEDS, name)(tables, settings.basis, now_s)
    return feed


@contextmanager
def _in_one_line(name: str) -> Iterator[None]:
    """What somebody else's feed raises, or a path that is none, as the one error that reaches a user."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # its text may hold an option, and so a key
        raise ConfigError(f"feed {name} cannot be made of its options ({type(error).__name__}); check them") from None


def _wanting(feed: Feed) -> str:
    """What a feed lacks, and where to say it."""
    lacking = [name for name in feed.secrets if not feed.options.given(name)]
    wanted = lacking or [feed.argument or "base_url"]
    variables = " and ".join(f"JOULEGRAM_FEEDS_{feed.name.upper()}_{name.upper()}" for name in wanted)
    return f"{' and '.join(wanted)} needed: set {variables}, or [feeds.{feed.name}] in {user_file()}"
