"""Keras chooses its backend when it is imported: the tests beside this file run in a process for each backend."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CHECKS = [str(HERE / f"{name}.py") for name in ("figures", "lives", "failures", "processes")]
COMPILED_ONCE = {
    "JAX_COMPILATION_CACHE_DIR": str(Path(tempfile.gettempdir()) / "joulegram-tests-jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
"""Tests train the same small model again and again: JAX keeps what it has compiled."""


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_on(backend: str) -> None:
    for package in ("keras", backend):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "JOULEGRAM_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *CHECKS],
        cwd=HERE.parents[1],
        env={**kept, **COMPILED_ONCE, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
