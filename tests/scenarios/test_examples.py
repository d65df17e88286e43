"""The examples that serve run as they stand, and their servers' requests are all told of."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, tmp_path: Path, *arguments: str) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), "--port", str(port), *arguments],
        cwd=tmp_path, env={**os.environ, "JOULEGRAM_INTENSITY": "annual", "KERAS_BACKEND": "torch"},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["serve_fastapi", "serve_litserve"])
def test_a_served_networks_requests_are_told(name: str, tmp_path: Path) -> None:
    pytest.importorskip("fastapi" if name == "serve_fastapi" else "litserve")
    told = run(name, tmp_path, "--epochs", "1", "--requests", "60")
    assert re.search(r"• 60 requests, [0-9.]+ k?[Jm]", told), told


def test_the_story_is_told_to_its_end(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    told = run("lifecycle", tmp_path, "--trials", "2", "--epochs", "1", "--requests", "20", "--out", "story")
    for words in ("1 run that failed or stopped", "1 search of 2 trials", "a request saves", "lifecycle.html"):
        assert words in told
    assert (tmp_path / "story" / "served.html").stat().st_size > 100_000
    again = subprocess.run(
        [sys.executable, str(EXAMPLES / "lifecycle.py"), "--out", str(tmp_path / "story")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "is there already" in again.stderr
