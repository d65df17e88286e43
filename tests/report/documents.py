"""Run documents of small true worlds: what the views are shown in the tests."""

from __future__ import annotations

from typing import Any

PHASES = {"data": 0.12, "forward": 0.25, "backward": 0.38, "optimizer": 0.09, "validation": 0.13, "checkpoint": 0.03}
CPU = "nodeA/cpu:package-0"
GPU = "nodeA/gpu:GPU-5c3a1f0e-77d2-4b1e-9c1b-2f6f3f1d9a10"
G_PER_J = 151.0 / 3.6e6

Json = dict[str, Any]


def figure(value: float, low: float = 1.0, high: float | None = 1.0, method: str = "measured", how: str = "") -> Json:
    """A quantity whose bounds are factors of its value."""
    top = None if high is None else value * high
    return {"value": value, "low": value * low, "high": top, "method": method, "how": how, "missing": []}


def absent(how: str, *parts: str) -> Json:
    return {"value": None, "low": None, "high": None, "method": "missing", "how": how, "missing": list(parts)}


def cpu_energy(energy_j: float) -> Json:
    return figure(energy_j, 0.4, 3.0, "modelled", "power model from load; share by CPU time")


def gpu_energy(energy_j: float) -> Json:
    return figure(energy_j, 0.95, 1.05, "measured", "NVML total energy counter")


def both_energy(energy_j: float) -> Json:
    """Two thirds from the GPU's counter, one third from the CPU's model."""
    how = "NVML total energy counter; power model from load; share by CPU time"
    return figure(energy_j, (2 * 0.95 + 0.4) / 3, (2 * 1.05 + 3.0) / 3, "modelled", how)


def carbon(energy_j: float) -> Json:
    how = "facility energy × annual mean intensity of DK-DK1"
    return figure(energy_j * G_PER_J, 0.5, 4.0, "estimated", how)


def footprint(duration_s: float, energy_j: float, phases: dict[str, float] | None = None) -> Json:
    """A footprint whose phases tile it."""
    shares = PHASES if phases is None else phases
    return {
        "flops": absent("no FLOP counter is installed"),
        "energy_j": both_energy(energy_j),
        "node_energy_j": figure(energy_j * 1.6, 0.8, 1.5, "modelled", "both channels, whole node"),
        "facility_energy_j": figure(energy_j, 0.76, 3.4, "estimated", "energy × PUE 1.0 (assumed)"),
        "carbon_g": carbon(energy_j),
        "carbon": [
            {"signal": "average", "basis": "lifecycle", "accounting": "location", **carbon(energy_j)},
            {"signal": "marginal", "basis": "direct", "accounting": "location", **absent("no feed gives it")},
        ],
        "duration_s": duration_s,
        "coverage": 0.9987,
        "settled": True,
        "phases": [
            {
                "name": name,
                "duration_s": duration_s * share,
                "energy_j": both_energy(energy_j * share),
                "carbon_g": carbon(energy_j * share),
            }
            for name, share in shares.items()
        ],
        "channels": channels(energy_j),
    }


def channels(energy_j: float) -> list[Json]:
    return [
        {
            "id": GPU,
            "kind": "gpu",
            "method": "measured",
            "energy_j": gpu_energy(energy_j * 2 / 3),
            "node_energy_j": gpu_energy(energy_j * 2 / 3),
        },
        {
            "id": CPU,
            "kind": "cpu",
            "method": "modelled",
            "energy_j": cpu_energy(energy_j / 3),
            "node_energy_j": cpu_energy(energy_j * 1.6 - energy_j * 2 / 3),
        },
    ]


def trained(epochs: int = 4, epoch_s: float = 181.5, epoch_j: float = 21_480.0) -> Json:
    """A fit of `epochs` epochs of six phases each, on one GPU and one CPU, with a second before and after."""
    costs = [epoch_j * (1 + 0.2 / (1 + index)) for index in range(epochs)]
    duration_s, energy_j = epochs * epoch_s + 2, sum(costs) + 100.0
    whole = footprint(duration_s, energy_j) | platform_part(energy_j)
    times = [i * duration_s / 240 for i in range(241)]
    return {
        "schema_version": 1,
        "run": {
            "id": "01JQ3M8Z5T7W9R4C2B1N6KD0XE",
            "name": "resnet-digits",
            "project": "resnets",
            "stage": "train",
            "status": "finished",
            "zone": "DK-DK1",
            "started": "2026-03-01T13:02:11+00:00",
            "duration_s": duration_s,
            "hosts": ["nodeA"],
            "ranks": 1,
            "parent": None,
            "enclosing_run": None,
            "attributes": {"batch_size": 128, "optimizer": "AdamW"},
        },
        "footprint": whole,
        "channels": whole["channels"],
        "spans": [
            {
                "id": f"s{index}",
                "parent": None,
                "kind": "epoch",
                "name": "epoch",
                "index": index,
                "start_s": 1 + index * epoch_s,
                "duration_s": epoch_s,
                "attributes": {},
                "footprint": footprint(epoch_s, cost),
            }
            for index, cost in enumerate(costs)
        ],
        "power": [
            {
                "channel": GPU,
                "time_s": times,
                "power_w": [78 + 9 * (i % 7) for i in range(240)],
                "node_power_w": [78 + 9 * (i % 7) for i in range(240)],
            },
            {
                "channel": CPU,
                "time_s": times,
                "power_w": [None if i < 3 else 38 + 4 * (i % 5) for i in range(240)],
                "node_power_w": [None if i < 3 else 96 + 5 * (i % 11) for i in range(240)],
            },
        ],
        "price": {
            "pue": {"value": 1.0, "low": 1.0, "high": 2.0, "method": "estimated", "source": "none given: 1.0 assumed"},
            "intensity": [point(151.0)],
            "basis": "lifecycle",
            "reason": "as recorded",
            "made": "2026-03-01T13:14:20+00:00",
        },
        "platform": {
            "convention": "SCI (ISO/IEC 21031:2024): M = TE · TS · RS",
            "boundary": "the making of devices and hosts",
            "quality": None,
        },
        "notes": [{"kind": "gap", "text": f"{CPU}: no sample for the first 9.1 s (start)"}],
        "recorder": {"cpu_s": 0.84, "wakeups": 14_520},
    }


def platform_part(energy_j: float) -> Json:
    """An H100 and its server, without a building and without the server's mass."""
    gpu, host = figure(2.75, 0.8, 2.9, "estimated", "164 kg over 5 y"), figure(17.6, 0.6, 3.8, "estimated", "1,048 kg")
    return {
        "embodied_g": figure(20.35, 0.63, 3.7, "estimated"),
        "embodied": [
            {"part": "device", "what": f"NVIDIA H100 80GB HBM3 ({GPU})", **gpu},
            {"part": "host", "what": "server, 64 logical CPUs, 384 GB (nodeA)", **host},
            {"part": "building", "what": "the building", **absent("not counted: no figure is known")},
        ],
        "water_l": [
            {"part": "onsite", "basis": "withdrawal", **figure(0.12 * energy_j / 3.6e6, 0.3, 3.0, "estimated")},
            {"part": "offsite", "basis": "consumption", **figure(3.19 * energy_j / 3.6e6, 0.3, 3.0, "estimated")},
        ],
        "ewaste_g": figure(0.05, 0.8, None, "estimated") | {"missing": ["server (nodeA)"]},
    }


def point(g_per_kwh: float, start_s: float | None = None) -> Json:
    return {
        "g_per_kwh": g_per_kwh,
        "low": g_per_kwh * 0.7,
        "high": g_per_kwh * 1.4,
        "zone": "DK-DK1",
        "source": "Annual table of zones, 2024",
        "kind": "static",
        "signal": "average",
        "basis": "lifecycle",
        "accounting": "location",
        "scope": "consumption",
        "start_s": start_s,
        "length_s": None if start_s is None else 3600.0,
        "fetched_s": None,
        "note": "annual mean: hours of the day differ from it",
    }


def partial() -> Json:
    """A run whose GPU gave nothing: totals without an upper bound, a phase without a figure, no carbon."""
    document = trained()
    document["run"] |= {"status": "lost", "zone": None, "project": None}
    lost = absent("the counter failed with ERROR_NOT_SUPPORTED", GPU)
    for whole in [document["footprint"], *(span["footprint"] for span in document["spans"])]:
        for field in ("energy_j", "node_energy_j", "facility_energy_j"):
            whole[field] |= {"high": None, "missing": [GPU]}
        whole["carbon_g"] = absent("no grid intensity on this basis", "hours 13:00 to 14:00 UTC")
        whole["channels"][0] |= {"method": "missing", "energy_j": lost, "node_energy_j": lost}
        whole["phases"][0] |= {"energy_j": absent("data: shorter than a refresh"), "carbon_g": absent("no energy")}
    document["footprint"] |= {"settled": False, "coverage": 0.4}
    document["power"] = document["power"][1:]
    document["recorder"] = {"cpu_s": None, "wakeups": None}
    return document


def empty() -> Json:
    """A run that ended before anything was read."""
    document = trained()
    nothing = absent("no channel was read")
    fields = ("energy_j", "node_energy_j", "facility_energy_j", "carbon_g")
    document["footprint"] |= dict.fromkeys(fields, nothing)
    document["footprint"] |= {"carbon": [], "phases": [], "channels": [], "coverage": 0.0, "duration_s": 0.02}
    document["run"] |= {"duration_s": 0.02, "status": "failed"}
    return document | {"channels": [], "spans": [], "power": [], "notes": []}


def hostile() -> Json:
    """Names that would be markup, escape sequences or script, were they taken at their word."""
    document = trained()
    bad = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>"
    document["run"] |= {
        "name": f"{bad}[bold red]\x1b[2J",
        "project": "$project ${x} \u202e %{y} <!--",
        "attributes": {bad: [bad]},
        "hosts": ["<b>nodeA</b>", "nodeB"],
    }
    for span in document["spans"]:
        span["name"] = bad
        span["kind"] = "request"
        span["footprint"]["phases"][0]["name"] = bad
    for whole in (document["footprint"], *(span["footprint"] for span in document["spans"])):
        whole["phases"][1]["name"] = "[/] " + "very-long-phase-name-" * 8
    document["channels"][0]["id"] = document["power"][0]["channel"] = f"nodeB/{bad}"
    document["notes"] = [{"kind": "warning", "text": bad}]
    document["price"]["pue"]["source"] = bad
    document["footprint"]["embodied"][0]["what"] = document["footprint"]["embodied"][1]["how"] = bad
    return document


def documents() -> dict[str, Json]:
    """One of each, by name."""
    return {
        "trained": trained(),
        "partial": partial(),
        "empty": empty(),
        "long": trained(epochs=200),
        "hostile": hostile(),
    }
