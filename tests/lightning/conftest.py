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
def trainer(tmp_path: Path) -> Callable[..., Any]:
    """A quiet Trainer of one epoch on the CPU, with these callbacks; options as Trainer's."""
    import lightning.pytorch as pl
    from tiny_training import QUIET

    def make(*callbacks: Any, **options: Any) -> Any:
        settings = {**QUIET, "max_epochs": 1, "default_root_dir": tmp_path, **options}
        return pl.Trainer(callbacks=list(callbacks), **settings)

    return make


@pytest.fixture
def monitor() -> Callable[..., Any]:
    """A monitor that prints no table."""
    from joulegram_lightning import FootprintMonitor

    return lambda **options: FootprintMonitor(**{"summary": False, **options})


@pytest.fixture
def recorded() -> Callable[..., Any]:
    """What the ledger holds of a monitor's last run, once it has ended: a slow disk is waited for elsewhere."""

    def ended(monitor: Any) -> Any:
        run = joulegram.open_ledger().run(monitor.run.id)
        return run if run.status != "running" else None

    return lambda monitor: until(lambda: ended(monitor), "end of the run in the ledger")


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a Python script that may import `tiny_training`."""
    numbers = itertools.count()

    def start(text: str, **environment: str) -> subprocess.Popen[str]:
        path = tmp_path / f"script_{next(numbers)}.py"
        path.write_text(text)
        path_of_scripts = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
        inherited = {name: value for name, value in os.environ.items() if name != "JOULEGRAM_RUN"}
        return subprocess.Popen(
            [sys.executable, str(path)],
            cwd=tmp_path,
            env={**inherited, "PYTHONPATH": path_of_scripts, "PYTHONWARNINGS": "ignore", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


@pytest.fixture
def adds_up() -> Callable[[Any], None]:
    """Phases sum to each span and to the run; epochs and what lies between them to the run."""

    def check(run: Any) -> None:
        for part in [run.footprint(), *(span.footprint for span in run.spans())]:
            phases = part.phases.values()
            joules = [phase.energy_j.value for phase in phases]
            assert sum(joules) == pytest.approx(part.energy_j.value, rel=1e-9, abs=1e-12)
            assert sum(phase.duration_s for phase in phases) == pytest.approx(part.duration_s, rel=1e-9)
        pricer = run.pricer
        edges = [pricer.trace.start_ns]
        for epoch in run.spans("epoch"):
            edges += [epoch._start_ns, epoch._end_ns]
        edges.append(pricer.trace.end_ns)
        assert edges == sorted(edges)
        between = sum(pricer.footprint(*edges[i : i + 2]).energy_j.value for i in range(0, len(edges), 2))
        epochs = sum(epoch.footprint.energy_j.value for epoch in run.spans("epoch"))
        assert epochs + between == pytest.approx(run.footprint().energy_j.value, rel=1e-9)

    return check
