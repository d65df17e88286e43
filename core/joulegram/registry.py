"""The doors: meters, feeds, FLOP counters and exporters are found through entry points, the built-in ones too."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from typing import Any

METERS = "joulegram.meters"
FEEDS = "joulegram.feeds"
FLOPS = "joulegram.flops"
EXPORTERS = "joulegram.exporters"


@cache
def _group(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


@cache
def _own_group(group: str) -> dict[str, EntryPoint]:
    """Those of this distribution alone: looking through all that is installed takes up to a tenth of a second."""
    try:
        return {entry.name: entry for entry in distribution("joulegram").entry_points.select(group=group)}
    except PackageNotFoundError:
        return {}


def names(group: str) -> tuple[str, ...]:
    """Names on offer in a group, in alphabetical order."""
    return tuple(sorted(_group(group)))


def own_names(group: str) -> tuple[str, ...]:
    """Names in a group that come with joulegram itself, in alphabetical order; quick."""
    return tuple(sorted(_own_group(group)))


def load(group: str, name: str) -> Any:
    """What an entry point names.

    Raises:
        LookupError: there is none of that name; the message lists those there are.
    """
    entry = _own_group(group).get(name) or _group(group).get(name)
    if entry is None:
        offer = ", ".join(names(group)) or "none is installed"
        raise LookupError(f"no {group} plugin is called {name!r} (there are: {offer})")
    return entry.load()
