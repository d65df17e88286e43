"""What every test stands on: a world of its own, and repeatable examples."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# Under pytest's importlib mode no test folder is on the import path.
sys.path.insert(0, str(Path(__file__).parent))

# Two workers that each start a thread per core slow each other down; subprocesses inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shared machine's pauses are no failure of the code under test.
# The same examples every time, so that a change fails for what it changed; HYPOTHESIS_SEARCH=1 looks for new ones.
search = bool(os.environ.get("HYPOTHESIS_SEARCH"))
settings.register_profile("joulegram", deadline=None, print_blob=True, derandomize=not search)
settings.load_profile("joulegram")


@pytest.fixture(autouse=True)
def own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's configuration, ledger or live runs, nor another test's; nor what hardware there is.

    The virtual hardware of another test may still be loaded in this process.
    """
    for name in os.environ:
        if name.startswith("JOULEGRAM_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("joulegram.place.clouds.DMI", tmp_path / "dmi")
    monkeypatch.setattr("joulegram.host.hardware.DMI", tmp_path / "dmi")
    monkeypatch.setenv("JOULEGRAM_METERS", "cpu_model")
    monkeypatch.setenv("JOULEGRAM_INTENSITY", "annual")
    monkeypatch.setenv("JOULEGRAM_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setenv("JOULEGRAM_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
