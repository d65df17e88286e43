from __future__ import annotations

from pathlib import Path

import pytest

from joulegram.host.hardware import hardware_of
from joulegram.records import Hardware, from_line

CPUINFO = """processor\t: 0
model name\t: Intel(R) Xeon(R) Gold 6248
physical id\t: 0
flags\t\t: fpu {flags}

processor\t: 1
model name\t: Intel(R) Xeon(R) Gold 6248
physical id\t: 1
flags\t\t: fpu {flags}
"""


def machine(folder: Path, chassis: str = "23", flags: str = "vmx") -> Hardware:
    """A machine of two sockets and 384 GiB."""
    (folder / "chassis_type").write_text(f"{chassis}\n")
    (folder / "product_name").write_text("PowerEdge R740\n")
    (folder / "cpuinfo").write_text(CPUINFO.format(flags=flags))
    (folder / "meminfo").write_text("MemTotal:       402653184 kB\nMemFree:        12 kB\n")
    return hardware_of("alpha", folder, folder / "cpuinfo", folder / "meminfo")


def test_a_machine_is_told_by_its_case_cpus_and_memory(tmp_path: Path) -> None:
    found = machine(tmp_path)
    assert (found.host, found.chassis, found.product, found.cpu, found.sockets, found.virtual) == (
        "alpha", "server", "PowerEdge R740", "Intel(R) Xeon(R) Gold 6248", 2, False
    )  # fmt: skip
    assert found.memory_gb == pytest.approx(402653184 * 1024 / 1e9)


@pytest.mark.parametrize(
    ("chassis", "kind"), [("10", "laptop"), ("3", "desktop"), ("17", "server"), ("1", ""), ("", ""), ("none", "")]
)
def test_the_kind_of_case_is_that_of_smbios(tmp_path: Path, chassis: str, kind: str) -> None:
    assert machine(tmp_path, chassis).chassis == kind


def test_a_virtual_machine_says_so(tmp_path: Path) -> None:
    assert machine(tmp_path, flags="hypervisor").virtual


def test_a_system_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    found = hardware_of("alpha", tmp_path / "none", tmp_path / "none", tmp_path / "none")
    assert (found.chassis, found.product, found.memory_gb) == ("", "", None)
    assert found.threads >= 1


def test_it_goes_through_a_journal_unchanged(tmp_path: Path) -> None:
    found = machine(tmp_path)
    assert from_line(found.to_line()) == found
