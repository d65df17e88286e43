"""NVIDIA's management library as Python has it: loading and starting it, and finding this process's GPUs in it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from joulegram.meters import Absent, Denied
from joulegram.meters.cuda_visible import Choice, Gpu, Instance, identified, visible

Handle = Any

REMEDY = "pip install --force-reinstall 'nvidia-ml-py>=12.550'"
# All came by 12.550. The package named pynvml had its own module until its release 12, which takes the same name.
NEEDED = ("NVML_FI_DEV_POWER_INSTANT", "nvmlDeviceGetC2cModeInfoV", "NVML_ERROR_GPU_NOT_FOUND")


def load_nvml() -> Any:
    """The module ``pynvml``, if it is nvidia-ml-py's.

    Raises:
        Absent: it is not installed, and there is no NVIDIA GPU either.
        Denied: it is not installed although there is one, or is an old package of the same name.
    """
    # Said on import by the package pynvml where it is installed beside nvidia-ml-py. The filter stays: taking it back
    # would, in this thread, undo what the program's own threads do to their filters meanwhile.
    warnings.filterwarnings("ignore", message="The pynvml package is deprecated", category=FutureWarning)
    try:
        import pynvml
    except ImportError:
        problem: type[Exception] = Denied if os.path.exists("/proc/driver/nvidia") else Absent
        raise problem("nvidia-ml-py is not installed; pip install 'joulegram[nvidia]'") from None
    missing = [name for name in NEEDED if not hasattr(pynvml, name)]
    if missing:
        where = getattr(pynvml, "__file__", "unknown")
        raise Denied(
            f"the module pynvml in {where} is an old one, without {missing[0]}; pip uninstall pynvml; {REMEDY}"
        )
    return pynvml


def start(nvml: Any) -> None:
    """Starts NVML, which counts how often it was started in a process.

    Raises:
        Absent: there is no driver, or no GPU.
        Denied: it refuses; the message says what to do.
    """
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise _refusal(nvml, error) from None


def _refusal(nvml: Any, error: Any) -> Absent | Denied:
    """Why NVML does not start, and what to do about it."""
    absent: dict[int, str] = {
        nvml.NVML_ERROR_LIBRARY_NOT_FOUND: "there is no NVIDIA driver (libnvidia-ml.so.1) on this machine",
        nvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded",
        nvml.NVML_ERROR_GPU_NOT_FOUND: "the NVIDIA driver finds no GPU",
    }
    if error.value in absent:
        return Absent(absent[error.value])
    remedies: dict[int, str] = {
        nvml.NVML_ERROR_NO_PERMISSION: "this user, or this container, needs read and write access to /dev/nvidia*",
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the driver was updated under a running system; reboot it",
    }
    return Denied(f"NVML does not start: {error}; {remedies.get(error.value, 'nvidia-smi may tell more')}")


def answer(nvml: Any, function: str, *arguments: Any) -> Any:
    """What an NVML function answers; None where it fails, or where this version of the library does not know it."""
    try:
        return getattr(nvml, function, unknown(nvml))(*arguments)
    except nvml.NVMLError:
        return None


def unknown(nvml: Any) -> Callable[..., Any]:
    """A function that this version of the library does not have."""

    def fail(*_: Any) -> Any:
        raise nvml.NVMLError(nvml.NVML_ERROR_FUNCTION_NOT_FOUND)

    return fail


def field(nvml: Any, handle: Handle, number: int, scope: int = 0) -> int:
    """A field's whole number; each field has a return code of its own."""
    answered = nvml.nvmlDeviceGetFieldValues(handle, [(number, scope)])[0]
    if answered.nvmlReturn:
        raise nvml.NVMLError(answered.nvmlReturn)
    return int(answered.value.uiVal)


def survey(nvml: Any) -> list[Gpu]:
    """The GPUs that NVML lists and that can be told apart.

    Raises:
        Absent: there are none.
        Denied: there are, and none of them answers.
    """
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        raise Denied(f"the NVIDIA driver does not list its GPUs: {error}; nvidia-smi may tell more") from None
    if not count:
        raise Absent("the NVIDIA driver lists no GPU")
    handles = (answer(nvml, "nvmlDeviceGetHandleByIndex", index) for index in range(count))
    gpus = [gpu for handle in handles if handle is not None and (gpu := _described(nvml, handle))]
    if not gpus:
        raise Denied(f"none of the {count} GPUs that the NVIDIA driver lists answers; nvidia-smi may tell more")
    return gpus


def _described(nvml: Any, handle: Handle) -> Gpu | None:
    uuid = answer(nvml, "nvmlDeviceGetUUID", handle)
    if not uuid:
        return None
    pci = answer(nvml, "nvmlDeviceGetPciInfo", handle)
    cores = answer(nvml, "nvmlDeviceGetNumGpuCores", handle)
    clock_mhz = answer(nvml, "nvmlDeviceGetMaxClockInfo", handle, nvml.NVML_CLOCK_SM)
    modes = answer(nvml, "nvmlDeviceGetMigMode", handle)
    divided = bool(modes and modes[0])
    return Gpu(
        uuid=uuid,
        name=answer(nvml, "nvmlDeviceGetName", handle) or "an NVIDIA GPU",
        bus_id=pci.busId if pci else "",
        speed=float(cores * clock_mhz) if cores and clock_mhz else None,
        mig=divided,
        instances=tuple(_instances(nvml, handle)) if divided else (),
        handle=handle,
    )


def _instances(nvml: Any, handle: Handle) -> Iterator[Instance]:
    for index in range(answer(nvml, "nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
        part = answer(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", handle, index)
        if part is not None and (uuid := answer(nvml, "nvmlDeviceGetUUID", part)):
            numbers = (answer(nvml, f"nvmlDeviceGet{kind}InstanceId", part) for kind in ("Gpu", "Compute"))
            yield Instance(uuid, *(-1 if number is None else number for number in numbers))


def chosen(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> Choice:
    """This process's GPUs: those that torch uses where it has begun to, else those that CUDA will be told of.

    Raises:
        Absent: there are none.
    """
    devices = environ.get("CUDA_VISIBLE_DEVICES")
    known = _known_to_torch(gpus)
    choice = Choice(known) if known else visible(gpus, devices, environ.get("CUDA_DEVICE_ORDER"))
    if not choice.gpus:
        raise Absent(f"CUDA_VISIBLE_DEVICES={devices} names none of the machine's {len(gpus)} GPUs")
    return choice


def _known_to_torch(gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """The GPUs that torch computes on; none where it has not begun: neither it nor CUDA is started for this."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    try:
        if cuda is None or not cuda.is_initialized():
            return ()
        devices = [cuda.get_device_properties(index) for index in range(cuda.device_count())]
        uuids = [str(device.uuid) for device in devices if hasattr(device, "uuid")]  # torch 2.4 and newer
        return identified(gpus, uuids, () if uuids else map(_bus_id, devices))
    except Exception:  # a torch for other hardware, or one that is just being imported
        return ()


def _bus_id(device: Any) -> str:
    return f"{device.pci_domain_id:08x}:{device.pci_bus_id:02x}:{device.pci_device_id:02x}.0"
