"""Which of a machine's GPUs a process may compute on: what CUDA makes of its environment variables.

The rules are those of the CUDA C++ programming guide, "CUDA environment variables", and of the MIG user guide. An
index counts in CUDA's order of devices, not in NVML's; a UUID may be cut short; the list ends at its first name of
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Instance:
    """A MIG instance: its UUID, and its numbers within its GPU."""

    uuid: str
    gpu_instance: int
    compute_instance: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as NVML lists it.

    Args:
        uuid: ``GPU-…``.
        name: the model.
        bus_id: PCI address, ``00000000:3B:00.0``.
        speed: any number that grows with its peak performance; None where unknown.
        mig: it is divided into instances.
        instances: those that there are.
        handle: the driver's own name of it, for as long as it is running.
    """

    uuid: str
    name: str = ""
    bus_id: str = ""
    speed: float | None = None
    mig: bool = False
    instances: tuple[Instance, ...] = ()
    handle: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """GPUs that a process may use, in the order of its list; `guessed` where CUDA may mean others."""

    gpus: tuple[Gpu, ...]
    guessed: bool = False


def visible(gpus: Sequence[Gpu], devices: str | None, order: str | None = None) -> Choice:
    """The GPUs that ``CUDA_VISIBLE_DEVICES`` names, each once, whether whole or by some of its instances.

    Args:
        gpus: all GPUs of the machine.
        devices: the variable; None where it is not set, and everything is visible.
        order: ``CUDA_DEVICE_ORDER``.
    """
    in_order = _by_bus(gpus)
    if devices is None:
        return Choice(tuple(in_order))
    guessed = False
    if order != "PCI_BUS_ID" and len({gpu.name for gpu in gpus}) > 1:
        in_order = _fastest_first(in_order)
        guessed = any(_is_index(name) for name in devices.split(","))
    chosen = tuple(dict.fromkeys(_named(in_order, devices)))
    return Choice(chosen, guessed and set(chosen) != set(gpus))


def identified(gpus: Sequence[Gpu], uuids: Iterable[str], bus_ids: Iterable[str] = ()) -> tuple[Gpu, ...]:
    """The GPUs with these UUIDs, which may lack their prefix or be an instance's, or at these PCI addresses."""
    wanted = {_bare(uuid) for uuid in uuids}
    places = {_place(bus_id) for bus_id in bus_ids}
    return tuple(gpu for gpu in gpus if wanted & set(map(_bare, _uuids(gpu))) or _place(gpu.bus_id) in places)


def _named(gpus: Sequence[Gpu], devices: str) -> Iterator[Gpu]:
    for name in devices.split(","):
        found = _find(gpus, name.strip())
        if found is None:
            return
        yield found


def _find(gpus: Sequence[Gpu], name: str) -> Gpu | None:
    if _is_index(name):
        return gpus[int(name)] if int(name) < len(gpus) else None
    if old := re.fullmatch(r"MIG-(GPU-[^/]+)/(\d+)/(\d+)", name):
        return _holder(gpus, old[1], int(old[2]), int(old[3]))
    if not name.startswith(("GPU-", "MIG-")):
        return None
    found = [gpu for gpu in gpus if any(uuid.lower().startswith(name.lower()) for uuid in _uuids(gpu))]
    return found[0] if len(found) == 1 else None


def _holder(gpus: Sequence[Gpu], uuid: str, gpu_instance: int, compute_instance: int) -> Gpu | None:
    """The GPU that an instance is part of, by the name that drivers before R470 gave it."""
    numbers = (gpu_instance, compute_instance)
    gpu = _find(gpus, uuid)
    has_it = gpu is not None and any((i.gpu_instance, i.compute_instance) == numbers for i in gpu.instances)
    return gpu if has_it else None


def _is_index(name: str) -> bool:
    return re.fullmatch(r"\s*\d+\s*", name, re.ASCII) is not None


def _uuids(gpu: Gpu) -> list[str]:
    return [gpu.uuid, *(instance.uuid for instance in gpu.instances)]


def _bare(uuid: str) -> str:
    return uuid.lower().removeprefix("gpu-").removeprefix("mig-")


def _by_bus(gpus: Sequence[Gpu]) -> list[Gpu]:
    return sorted(gpus, key=lambda gpu: _place(gpu.bus_id))


def _place(bus_id: str) -> tuple[int, ...]:
    """A PCI address as numbers: its domain is written with four digits, or with eight."""
    return tuple(int(part, 16) for part in re.findall(r"[0-9a-fA-F]+", bus_id)[:3])


def _fastest_first(gpus: Sequence[Gpu]) -> list[Gpu]:
    """CUDA's order by default. How it compares two models is not documented: by peak performance, as we guess."""
    return sorted(gpus, key=lambda gpu: -(gpu.speed or 0.0))
