"""What runs ran on, as far as their documents tell: the devices that were counted, by kind and product."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from joulegram.exporters import Document
from joulegram.exporters.texts import one_line
from joulegram.quantities import Quantity

# How a person calls a counted domain, most telling first.
_KINDS = {"gpu": "GPU", "soc": "module", "cpu": "CPU package", "dram": "memory domain", "node": "machine"}
# What a step says that it was computed on, where it knows no product.
_NO_PRODUCT = ("cpu", "gpu", "cuda", "mps", "xpu", "")


@dataclass(frozen=True, slots=True)
class Devices:
    """Devices of one kind and product in one run.

    Args:
        kind: of their channels: ``gpu``, ``cpu``, ``dram``, …
        product: what they are sold as; empty where the run does not tell.
        channels: of the run's document, one each.
    """

    kind: str
    product: str
    channels: tuple[Document, ...]

    def __str__(self) -> str:
        return f"{len(self.channels)} {self.called}"

    @property
    def called(self) -> str:
        """``GPU (NVIDIA L4)``."""
        kind = _KINDS.get(self.kind, one_line(self.kind))
        return f"{kind} ({self.product})" if self.product else kind

    def energy_j(self, of: str = "energy_j") -> float | None:
        """What they used together (J), the run or (``node_energy_j``) everybody; None where one of them is missing."""
        found = [Quantity.from_json(channel.get(of)).value for channel in self.channels]
        known = [value for value in found if value is not None]
        return sum(known) if known and len(known) == len(found) else None


def devices(document: Document) -> list[Devices]:
    """The devices whose channels add up to the run: those that no other contains. The most telling kind comes first."""
    found: dict[tuple[str, str], list[Document]] = {}
    for channel in document.get("channels") or document["footprint"].get("channels", ()):
        if not channel.get("inside"):
            kind = str(channel["kind"])
            found.setdefault((kind, _product(document, kind, channel["id"])), []).append(channel)
    order = list(_KINDS)
    groups = [Devices(kind, product, tuple(channels)) for (kind, product), channels in found.items()]
    return sorted(groups, key=lambda group: order.index(group.kind) if group.kind in order else len(order))


def of_kind(document: Document, kind: str) -> list[Devices]:
    """The devices of one kind."""
    return [group for group in devices(document) if group.kind == kind]


def hosts(document: Document) -> list[Document]:
    """What is known of each host: ``cpu``, ``threads``, ``memory_gb``, …; nothing where the run does not tell."""
    found = (host.get("hardware") for host in (document.get("platform") or {}).get("hosts", ()))
    return [facts for facts in found if facts]


def in_words(documents: Iterable[Document]) -> list[str]:
    """``2 GPU (NVIDIA L4), 1 CPU package``, each set of devices once."""
    return list(dict.fromkeys(filter(None, (", ".join(map(str, devices(d))) for d in documents))))


def device_days(documents: Iterable[Document]) -> dict[str, float]:
    """Days that devices were held, by what they are called: those of GPUs, of CPUs for runs without one."""
    days: dict[str, float] = {}
    for document in documents:
        groups = devices(document)
        for group in groups:
            if group.kind == groups[0].kind:
                held = len(group.channels) * float(document["run"]["duration_s"]) / 86_400
                days[group.called] = days.get(group.called, 0.0) + held
    return days


def _product(document: Document, kind: str, channel: str) -> str:
    platform: Any = document.get("platform") or {}
    if kind == "cpu":
        host = channel.partition("/")[0]
        named = (found.get("hardware") for found in platform.get("hosts", ()) if found["id"] == host)
        return next((one_line(facts.get("cpu") or "") for facts in named if facts), "")
    told = next((one_line(d.get("name") or "") for d in platform.get("devices", ()) if d["id"] == channel), "")
    if told or kind != "gpu":
        return told
    computed_on = (one_line(step.get("device") or "") for step in document.get("steps", ()))
    return next((name for name in computed_on if name.lower() not in _NO_PRODUCT), "")
