"""The same models of Keras count alike on TensorFlow and JAX, and as by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if find_spec("tensorflow") is None or find_spec("keras") is None:
    pytest.skip("needs TensorFlow and Keras", allow_module_level=True)

PROGRAM = Path(__file__).parents[1] / "keras_counts.py"
Counts = dict[str, list[Any]]


@pytest.fixture(scope="module")
def counted() -> dict[str, Counts]:
    """What each backend's counter finds: FLOPs and what is unknown, forward, and forward and backward."""
    programs = {
        backend: subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": ":".join(sys.path)},
            stdout=subprocess.PIPE,
        )
        for backend in ("tensorflow", "jax")
    }
    return {backend: json.loads(program.communicate()[0]) for backend, program in programs.items()}


def test_models_of_keras_count_alike_on_tensorflow_and_jax(counted: dict[str, Counts]) -> None:
    assert counted["tensorflow"] == counted["jax"]
    assert all(not unknown for counts in counted["tensorflow"].values() for _, unknown in counts)


def test_models_of_keras_count_what_they_do_by_hand(counted: dict[str, Counts]) -> None:
    lstm, gru = (2 * 32 * 3 * (12 + 16) * gates * 16 for gates in (4, 3))
    projections, scores = 2 * 2 * 16 * 32 * 32, 2 * 2 * 16 * 16 * 32
    first, second = 2 * 64 * 20 * 30, 2 * 64 * 30 * 5
    both, last = 2 * (2 * 32 * 3 * (12 + 16) * 4 * 16), 2 * 32 * 3 * (32 + 8) * 4 * 8
    found = {name: [flops for flops, _ in counts] for name, counts in counted["tensorflow"].items()}
    # Nobody asks for the gradient of a model's input.
    assert found["perceptron"] == [first + second, 2 * first + 3 * second]
    assert found["lstm"] == [lstm, 3 * lstm - lstm * 12 // 28]
    assert found["gru"] == [gru, 3 * gru - gru * 12 // 28]
    assert found["both ways"] == [both + last, 3 * (both + last) - both * 12 // 28]
    assert found["attention"] == [4 * projections + 2 * scores, 3 * (4 * projections + 2 * scores) - 3 * projections]
    assert found["embedding"] == [2 * 48 * 8 * 4, 3 * 2 * 48 * 8 * 4]
