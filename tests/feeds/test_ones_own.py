"""What docs/feeds.md says: its feed works as it stands there, and its tables hold every feed and option."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from feed_faults import FAULTS, NOW_S, assert_survives, source
from hosts import Host

from joulegram import registry
from joulegram.feeds import Feed
from joulegram.feeds.choice import KEYED, KEYLESS

PAGE = (Path(__file__).parents[2] / "docs" / "feeds.md").read_text(encoding="utf-8")
HOUR_S = 3600.0


@pytest.fixture(scope="module")
def feed_of() -> Callable[[Host], Feed]:
    """The page's feed, asking a server."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    made: dict[str, type[Feed]] = {}
    exec(code, made)

    def ask(server: Host) -> Feed:
        server.body = {
            "data": [
                {"time": "2026-06-24T08:00:00Z", "g_per_kwh": 310},
                {"time": "2026-06-24T09:00:00Z", "g_per_kwh": 250.5},
                {"time": "2026-06-24T10:00:00Z", "g_per_kwh": None},
            ]
        }
        return made["MyGridFeed"]({"mygrid": {"base_url": server.url}}, None, lambda: NOW_S)

    return ask


def test_the_feed_that_the_page_shows_answers(feed_of: Callable[[Host], Feed]) -> None:
    with source() as server:
        feed = feed_of(server)
        points = feed.history("XK", NOW_S - 2 * HOUR_S, NOW_S)
        assert [(p.g_per_kwh, p.start_s) for p in points] == [
            (310.0, NOW_S - 2 * HOUR_S),
            (250.5, NOW_S - HOUR_S),
        ]
        assert feed.latest("XK") == points[-1]
        assert {p.basis for p in points} == {"direct"}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_feed_that_the_page_shows_survives_every_fault(feed_of: Callable[[Host], Feed], fault: str) -> None:
    with source() as server:
        assert_survives(fault, server, feed_of(server), "XK")


@pytest.mark.parametrize("name", registry.own_names(registry.FEEDS))
def test_the_page_names_every_feed_and_each_of_its_options(name: str) -> None:
    feed = registry.load(registry.FEEDS, name)
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and f"`{name}`" in line.split("|")[1]]
    assert rows
    for option in (*feed.known, *feed.secrets, *feed.hidden):
        assert any(f"`{option}`" in row for row in rows), option


def test_the_page_tells_the_chain_in_its_order() -> None:
    (told,) = re.findall(r"in this order: (.*?) where you have set their key", " ".join(PAGE.split()))
    keyless, keyed = told.split("which need no key; then")
    assert tuple(re.findall(r"`(\w+)`", keyless)) == KEYLESS
    assert tuple(re.findall(r"`(\w+)`", keyed)) == KEYED
