from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from worlds import until

import joulegram

# Under pytest's importlib mode no test folder is on the import path; the scripts that tests start are given it too.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def monitor() -> Callable[..., Any]:
    """A monitor that prints no table."""
    from joulegram_keras import FootprintMonitor

    return lambda **options: FootprintMonitor(**{"summary": False, **options})


@pytest.fixture
def recorded() -> Callable[..., Any]:
    """What the ledger holds of a monitor's last run, once it has ended: a slow disk is waited for elsewhere."""

    def ended(monitor: Any) -> Any:
        run = joulegram.open_ledger().run(monitor.run.id)
        return run if run.status != "running" else None

    return lambda monitor: until(lambda: ended(monitor), "end of the run in the ledger")


@pytest.fixture
def runs() -> Callable[[], list[Any]]:
    """All runs in the ledger, the oldest first."""
    return lambda: list(joulegram.open_ledger().runs())[::-1]


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a Python script that may import `tiny_models`."""
    numbers = itertools.count()

    def start(text: str, **environment: str) -> subprocess.Popen[str]:
        path = tmp_path / f"script_{next(numbers)}.py"
        path.write_text(text)
        inherited = {name: value for name, value in os.environ.items() if name != "JOULEGRAM_RUN"}
        paths = [str(Path(__file__).parent), inherited.get("PYTHONPATH", "")]
        return subprocess.Popen(
            [sys.executable, str(path)],
            cwd=tmp_path,
            env={**inherited, "PYTHONPATH": os.pathsep.join(paths), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start
