"""The example of a meter of one's own: installed as any package is, it is found and used through its entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree

import pytest

PACKAGE = Path(__file__).parents[2] / "examples" / "meter_package"

PROGRAM = """
import sys, time
from pathlib import Path
import joulegram

def cards():
    return [channel for channel in run.footprint().channels if channel.kind == "gpu"]

def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, cards()
        time.sleep(0.01)

counter = Path(sys.argv[1])
with joulegram.track("job") as run:
    wait_until(cards)
    counter.write_text(str(int(counter.read_text()) + 50_000_000))
    wait_until(lambda: cards()[0].energy_j.value > 49.9)
(card,) = cards()
print(card.id, card.method, card.energy_j.value)
"""


@pytest.fixture(autouse=True)
def every_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that are on offer, and not only the model."""
    monkeypatch.delenv("JOULEGRAM_METERS")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package is installed in, without a network."""
    target = tmp_path_factory.mktemp("installed")
    source = copytree(PACKAGE, tmp_path_factory.mktemp("source") / "package")
    (_built if find_spec("hatchling") and find_spec("pip") else _unpacked)(source, target)
    return target


def _built(source: Path, target: Path) -> None:
    """By its own build backend."""
    offline = ["--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "install", *offline, "--target", target, source], check=True)


def _unpacked(source: Path, target: Path) -> None:
    """As its build backend would leave it, where that is not installed."""
    told = tomllib.loads((source / "pyproject.toml").read_text())
    name, version = told["project"]["name"], told["project"]["version"]
    for package in told["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        copytree(source / package, target / Path(package).name)
    metadata = target / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    entries = told["project"]["entry-points"]
    (metadata / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in names.items())
            for group, names in entries.items()
        )
    )


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: Path) -> Path:
    """The energy counter of a card, where the meter is told to look; subprocesses see the package."""
    folder = tmp_path / "hwmon" / "hwmon3"
    folder.mkdir(parents=True)
    (folder / "name").write_text("xe\n")
    (folder / "energy1_input").write_text("1000000")
    monkeypatch.setenv("JOULEGRAM_METER_OPTIONS_HWMON_ROOT", str(tmp_path / "hwmon"))
    paths = [str(installed), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return folder / "energy1_input"


def python(*arguments: str | Path) -> str:
    """What an interpreter that starts anew prints."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_doctor_finds_it(card: Path) -> None:
    meters = {meter["name"]: meter for meter in json.loads(python("-m", "joulegram", "doctor", "--json"))["meters"]}
    assert meters["hwmon"]["state"] == "works"
    (channel,) = meters["hwmon"]["channels"]
    assert (channel["id"], channel["method"]) == ("gpu:hwmon3", "measured")


def test_doctor_tells_why_it_has_nothing_to_read(card: Path) -> None:
    card.unlink()
    meters = {meter["name"]: meter for meter in json.loads(python("-m", "joulegram", "doctor", "--json"))["meters"]}
    assert meters["hwmon"]["state"] == "absent"
    assert "whose driver counts energy" in meters["hwmon"]["why"]


def test_a_run_uses_it(card: Path) -> None:
    identity, method, joules = python("-c", PROGRAM, card).split()
    assert (identity.partition("/")[2], method) == ("gpu:hwmon3", "measured")
    assert float(joules) == pytest.approx(50)


def test_its_own_tests_pass(card: Path) -> None:
    python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", PACKAGE, PACKAGE / "tests")
