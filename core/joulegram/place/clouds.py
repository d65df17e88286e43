"""Clouds: what tells that a machine is theirs, and how its region is asked for.

A machine is a cloud's if its firmware says so (DMI); only then is anything asked. Of all that a metadata server knows,
keys and scripts of the user among them, the region is the one thing that is read.

Sources: "Instance metadata" in the EC2 user guide (version 2: a token first), "Metadata server" in Compute Engine's
documentation, "Azure Instance Metadata Service"; the signs in firmware are those that cloud-init's ds-identify goes by.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from joulegram.place.metadata import MetadataServer, OutOfReach
from joulegram.place.regions import TITLES
from joulegram.web import Unanswered

DMI = Path("/sys/class/dmi/id")
# Laptops have them set too, and then they say where the user's buckets are.
AWS_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")

_AWS_REGION = re.compile(r"[a-z]{2,4}(-[a-z]{2,12}){1,3}-\d{1,2}")
_GCP_ZONE = re.compile(r"projects/\d{1,20}/zones/(?P<region>[a-z]{2,20}(-[a-z]{2,20}){1,2}\d{1,2})-[a-z0-9]{1,6}")
_AZURE_REGION = re.compile(r"[a-z]{4,40}\d{0,2}")
_TOKEN = re.compile(r"[!-~]{1,1024}")


@dataclass(frozen=True, slots=True)
class Cloud:
    """A provider whose machines can be told by their firmware.

    Args:
        provider: as in the table of regions.
        signs: DMI files and what they hold on its machines.
        ask: asks a metadata server for the region's name.
    """

    provider: str
    signs: Mapping[str, str]
    ask: Callable[[MetadataServer], str]

    @property
    def title(self) -> str:
        """Its name."""
        return TITLES[self.provider]

    def owns(self, dmi: Path) -> bool:
        """Whether the machine is one of its."""
        return all(_said(dmi / name) == value for name, value in self.signs.items())


def owner(dmi: Path) -> Cloud:
    """The cloud whose machine this is.

    Raises:
        Unanswered: it is none's, or does not tell.
    """
    maker = _said(dmi / "sys_vendor")
    if not maker:
        raise Unanswered("it does not tell who made it: no cloud is asked")
    for cloud in CLOUDS:
        if cloud.owns(dmi):
            return cloud
    raise Unanswered(f"made by {maker[:40]!r}: no machine of AWS, Azure or Google Cloud, so none of them is asked")


def by_environment(environment: Mapping[str, str]) -> tuple[str, str]:
    """The region's name in AWS's own variables, and which of them holds it.

    Raises:
        Unanswered: none is set, or the first that is holds no region's name.
    """
    for variable in AWS_VARIABLES:
        if environment.get(variable):
            return _region(_AWS_REGION, environment[variable].strip()), variable
    raise Unanswered("not set")


def _aws(server: MetadataServer) -> str:
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    try:
        token = server.ask("/latest/api/token", lifetime, "PUT")
    except OutOfReach as error:
        raise Unanswered(f"{error}; from within a container it answers if the instance's hop limit is 2") from None
    if not _TOKEN.fullmatch(token):
        raise Unanswered("it gave no token")
    return _region(_AWS_REGION, server.ask("/latest/meta-data/placement/region", {"X-aws-ec2-metadata-token": token}))


def _gcp(server: MetadataServer) -> str:
    return _region(_GCP_ZONE, server.ask("/computeMetadata/v1/instance/zone", {"Metadata-Flavor": "Google"}))


def _azure(server: MetadataServer) -> str:
    path = "/metadata/instance/compute/location?api-version=2021-02-01&format=text"
    return _region(_AZURE_REGION, server.ask(path, {"Metadata": "true"}))


def _region(pattern: re.Pattern[str], text: str) -> str:
    """The name of a region in a text.

    Raises:
        Unanswered: there is none; the text, which may be anything, is not in the message.
    """
    found = pattern.fullmatch(text)
    if found is None:
        raise Unanswered("what it says is no region's name")
    return found.groupdict().get("region") or found[0]


def _said(file: Path) -> str:
    """What a DMI file holds; nothing where it is not there, or not for us to read."""
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            return lines.read(256).strip()
    except OSError:
        return ""


CLOUDS = (
    Cloud("aws", {"sys_vendor": "Amazon EC2"}, _aws),
    # A Chromebook is made by Google too.
    Cloud("gcp", {"sys_vendor": "Google", "product_name": "Google Compute Engine"}, _gcp),
    # Anybody's Hyper-V is made by Microsoft; the tag is Azure's alone.
    Cloud(
        "azure",
        {"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77"},
        _azure,
    ),
)
