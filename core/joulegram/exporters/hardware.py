"""What runs ran on, as far as their documents tell: the devices that were counted, by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from joulegram.exporters import Document
from joulegram.exporters.texts import one_line

# How a person calls a counted domain, most telling first.
_KINDS = {"gpu": "GPU", "soc": "module", "cpu": "CPU package", "dram": "memory domain", "node": "machine"}
_NO_PRODUCT = ("cpu", "gpu", "cuda", "mps", "xpu", "")


def components(document: Document) -> dict[str, int]:
    """How many devices of each kind were counted, the most telling kind first."""
    found = Counter(str(channel["kind"]) for channel in channels(document))
    order = list(_KINDS)
    return dict(sorted(found.items(), key=lambda kind: order.index(kind[0]) if kind[0] in order else len(order)))


def channels(document: Document) -> list[Document]:
    """The run's channels that add up to it: those that no other contains."""
    found = document.get("channels") or document["footprint"].get("channels", ())
    return [channel for channel in found if not channel.get("inside")]


def accelerator(document: Document) -> str:
    """What the run's steps were computed on, by the name that it is sold under; empty where no step tells."""
    names = (one_line(step.get("device") or "") for step in document.get("steps", ()))
    return next((name for name in names if name.lower() not in _NO_PRODUCT), "")


def in_words(documents: Iterable[Document]) -> list[str]:
    """``2 GPU (NVIDIA L4), 1 CPU package``, each set of devices once."""
    return list(dict.fromkeys(filter(None, map(_set_in_words, documents))))


def _set_in_words(document: Document) -> str:
    return ", ".join(f"{number} {kind_in_words(kind, document)}" for kind, number in components(document).items())


def kind_in_words(kind: str, document: Document) -> str:
    """A kind of device, with its product name where the run tells it."""
    product, called = accelerator(document), _KINDS.get(kind, one_line(kind))
    return f"{called} ({product})" if kind == "gpu" and product else called


def device_days(documents: Iterable[Document]) -> dict[str, float]:
    """Days that devices were held, by kind and product: those of GPUs, of CPUs for runs without one."""
    days: dict[str, float] = {}
    for document in documents:
        held = components(document)
        kind = next(iter(held), None)
        if kind is not None:
            name = kind_in_words(kind, document)
            days[name] = days.get(name, 0.0) + held[kind] * float(document["run"]["duration_s"]) / 86_400
    return days
