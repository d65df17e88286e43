"""Who takes part, in which version, and the environments that they run in."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import joulegram

PROGRAMS = Path(__file__).parent / "programs"
OWN = ""
"""The environment that this benchmark runs in."""

REQUIREMENTS = {
    # PyTorch first and alone: with it in place, nothing that follows picks another build.
    "rivals": [
        ["torch==2.13.0"],
        ["codecarbon==3.3.2", "zeus==0.16.0", "carbontracker==2.4.7", "pyRAPL==0.2.3.1", "nvidia-ml-py"],
    ],
    # It needs a pandas and a setuptools that others do not want.
    "eco2ai": [["eco2ai==0.3.12", "pandas<3", "setuptools<81"]],
}


@dataclass(frozen=True)
class Program:
    """One way to measure.

    Args:
        name: what the table calls it.
        file: what runs it.
        environment: where it is installed.
        parts: what it can measure at all.
    """

    name: str
    file: str
    environment: str
    parts: Sequence[str] = ("gpu", "cpu", "dram")

    def command(self, environments: Path) -> list[str]:
        python = sys.executable if self.environment == OWN else str(environments / self.environment / "bin" / "python")
        return [python, "-W", "ignore", str(PROGRAMS / self.file)]

    def variables(self) -> dict[str, str]:
        """The caller's variables without those that Python and joulegram heed; ours is found where this one is."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "JOULEGRAM_"))}
        return kept | {"PYTHONPATH": str(Path(joulegram.__file__).parents[1])} if self.environment == OWN else kept


JOULEGRAM = Program("joulegram", "with_joulegram.py", OWN)
RIVALS = (
    Program("Zeus", "with_zeus.py", "rivals"),
    Program("Zeus PM", "with_zeus_power.py", "rivals", ("gpu",)),
    Program("CodeCarbon", "with_codecarbon.py", "rivals", ("gpu", "cpu")),
    Program("carbontracker", "with_carbontracker.py", "rivals", ("gpu", "cpu")),
    Program("eco2AI", "with_eco2ai.py", "eco2ai", ("gpu",)),
    Program("pyRAPL", "with_pyrapl.py", "rivals", ("cpu", "dram")),
)


def make_environments(folder: Path) -> None:
    """Installs the rivals into `folder`, each environment once; a change of `REQUIREMENTS` renews it.

    Raises:
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    for name, steps in REQUIREMENTS.items():
        place, wanted = folder / name, "\n".join(" ".join(step) for step in steps)
        done = place / "installed.txt"
        if done.exists() and done.read_text() == wanted:
            continue
        print(f"Installing {name} into {place} (a few minutes, once) …", file=sys.stderr, flush=True)
        venv.create(place, with_pip=True, clear=True)
        for step in steps:
            subprocess.run([place / "bin" / "python", "-m", "pip", "install", "-qq", *step], check=True)
        done.write_text(wanted)
