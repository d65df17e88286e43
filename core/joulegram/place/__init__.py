"""Where the machine is: its grid zone and the PUE of its building, from who knows best to who knows least.

The user (argument, environment, configuration) goes first; then a cloud's own variables and its metadata server, only
on a machine whose firmware says that it is that cloud's; then, only if the user allowed it, a look-up of the IP
address.
Where none of them knows, the place is unknown: no country is the default.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from joulegram.config import Settings
from joulegram.place import address, clouds, metadata, regions
from joulegram.place.clouds import Cloud
from joulegram.records import Pue
from joulegram.web import Unanswered

T = TypeVar("T")

UNKNOWN = "unknown: nothing tells where this machine is"
_USER = "argument, environment, configuration"
_VARIABLES = ", ".join(clouds.AWS_VARIABLES)


@dataclass(frozen=True, slots=True)
class Step:
    """One way of finding out, and what came of it.

    Args:
        asked: whom or what.
        said: what it said, or why it said nothing; never a secret.
        helped: whether it told something of the place.
    """

    asked: str
    said: str
    helped: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine is, as far as that is known.

    Args:
        zone: grid zone; as the user wrote it, where he set it; None for unknown.
        how: in words, how that is known, or why not.
        provider: the cloud whose machine it is, as in the table of regions; None for none that is known.
        region: the cloud's name for where it is.
        pue: what is published of the region's or else the provider's buildings; None for nothing.
        tried: the steps that were taken, in order.
    """

    zone: str | None
    how: str
    provider: str | None
    region: str | None
    pue: Pue | None
    tried: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """What is asked, after the user.

    Args:
        dmi: folder of what the firmware tells.
        environment: variables.
        metadata_url: metadata server of whichever cloud it is.
        ip_url: service that tells the country of an IP address.
        now_s: monotonic clock (s).
    """

    dmi: Path = field(default_factory=lambda: clouds.DMI)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    metadata_url: str = metadata.URL
    ip_url: str = address.URL
    now_s: Callable[[], float] = time.monotonic


def find(settings: Settings, origin: str = _USER, sources: Sources | None = None) -> Place:
    """Where this machine is.

    Never raises. Waits for half a second at most, and for a few more where the IP address may be looked up.

    Args:
        settings: the zone, if the user knows it, and whether the IP address may be looked up.
        origin: in words, who or what set the zone.
        sources: what is asked besides; by default what there is.
    """
    if settings.zone is not None and settings.zone.strip():
        step = Step(_USER, f"zone {settings.zone}", helped=True)
        return Place(settings.zone, f"set by {origin}", None, None, None, (step,))
    steps = [Step(_USER, "no zone is set")]
    found = _in_a_cloud(sources := sources or Sources(), steps)
    if found.zone is None:
        found = _by_address(found, sources, steps, settings.ip_lookup)
    return replace(found, tried=tuple(steps))


def _in_a_cloud(sources: Sources, steps: list[Step]) -> Place:
    """What a cloud says, if the machine is one of its."""
    cloud = _tried(steps, "this machine's maker (DMI)", lambda: clouds.owner(sources.dmi), lambda found: found.title)
    if (cloud is None or cloud.provider != "aws") and any(map(sources.environment.get, clouds.AWS_VARIABLES)):
        steps.append(Step(_VARIABLES, "set, and not used: this is not known to be a machine of AWS"))
    if cloud is None:
        return Place(None, UNKNOWN, None, None, None, ())
    region, by = _region(cloud, sources, steps) or (None, "")
    row, pue = regions.find(cloud.provider, region or ""), regions.pue_of(cloud.provider, region)
    if row is not None:
        return Place(row.zone, f"{row.title} ({row.location}), by {by}", cloud.provider, region, pue, ())
    what = f"no grid is known of {cloud.title} {region}" if region else f"{cloud.title} does not tell in which region"
    return Place(None, f"unknown: {what}", cloud.provider, region, pue, ())


def _region(cloud: Cloud, sources: Sources, steps: list[Step]) -> tuple[str, str] | None:
    """The region's name and who told it: the first one of the table, else whichever was told."""

    def words(told: tuple[str, str]) -> str:
        known = regions.find(cloud.provider, told[0]) is not None
        return f"region {told[0]}{'' if known else ', which is not in the table of regions'}"

    told = None
    if cloud.provider == "aws":
        told = _tried(steps, _VARIABLES, lambda: clouds.by_environment(sources.environment), words)
        if told is not None and regions.find(cloud.provider, told[0]) is not None:
            return told

    def ask() -> tuple[str, str]:
        return cloud.ask(metadata.MetadataServer(sources.metadata_url, sources.now_s)), "its metadata server"

    return _tried(steps, f"metadata server of {cloud.title}", ask, words) or told


def _by_address(found: Place, sources: Sources, steps: list[Step], allowed: bool) -> Place:
    """What the IP address says, if the user allowed to ask."""
    if not allowed:
        steps.append(Step("IP address", "not asked, as ip_lookup is off"))
        return found
    country = _tried(steps, "IP address", lambda: address.country(sources.ip_url), lambda code: f"country {code}")
    if country is None:
        return found
    how = "by IP address: the way out of a VPN or a cluster may be in another country"
    return replace(found, zone=country, how=how)


def _tried(steps: list[Step], asked: str, way: Callable[[], T], words: Callable[[T], str]) -> T | None:
    """What a way of finding out gave, if anything; either is kept as a step."""
    try:
        found = way()
    except Unanswered as error:
        steps.append(Step(asked, str(error)))
    except Exception as error:  # the place is not worth a run; and the text may hold what was sent
        steps.append(Step(asked, f"failed ({type(error).__name__})"))
    else:
        steps.append(Step(asked, words(found), helped=True))
        return found
    return None


__all__ = ["UNKNOWN", "Place", "Sources", "Step", "find"]
