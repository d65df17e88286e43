"""The processes of a job: one run for all of them, and figures of all of them together.

Each backend's processes know each other through a coordinator that keeps words by name. Asking it is no collective: a
process that says nothing, since nobody gave it a monitor, is waited for once, and then counted without.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any, Protocol

import keras

import joulegram

log = logging.getLogger("joulegram")

WAIT_S = 30.0
"""Processes of a job end their epochs together; who is this late has no monitor."""
LEAST_WAIT_S = 0.1
"""For one that has had all that time while another was waited for."""
_runs = count(1)
"""The n-th run of each process is the n-th run of the job."""


class Board(Protocol):
    """What a coordinator keeps."""

    def put(self, name: str, words: str) -> None:
        """Keeps words under a name."""

    def get(self, name: str, wait_s: float) -> str:
        """Words under a name, as soon as there are any.

        Raises:
            Exception: there are none in time.
        """


class Ranks:
    """This process among those of its job.

    Args:
        board: None for a process on its own.
        rank: its number; None to go by the launcher.
        size: how many there are.
        wait_s: how long the others are waited for.
    """

    def __init__(
        self, board: Board | None = None, rank: int | None = None, size: int = 1, wait_s: float = WAIT_S
    ) -> None:
        self.rank, self.size = rank, size
        self._board, self._wait_s = board, wait_s
        self._silent: set[int] = set()
        self._laps = count(1)
        self._place = ""

    def share_run(self, start: Callable[[str | None], joulegram.Run | None]) -> joulegram.Run | None:
        """Has rank 0 start a run and the others their part of it.

        Args:
            start: given the run's id, or None to make one up; must not raise.
        """
        if self._board is None:
            return start(None)
        self._place = f"joulegram/{next(_runs)}"
        if self.rank == 0:
            run = start(None)
            self._board.put(f"{self._place}/run", run.id if run is not None else "")
            return run
        return start(self._heard_of(0, f"{self._place}/run", self._wait_s) or None)

    def together(
        self, lap: Mapping[str, float], decide: Callable[[Mapping[str, float]], str | None]
    ) -> tuple[dict[str, float], str | None]:
        """The figures of all ranks added up, and what rank 0 decides by them: the same on every rank.

        Args:
            lap: this rank's figures; one that a rank lacks is added up without it.
            decide: given the sums; called on rank 0 alone.
        """
        if self._board is None:
            return dict(lap), decide(lap)
        place = f"{self._place}/{next(self._laps)}"
        if self.rank != 0:
            self._board.put(f"{place}/{self.rank}", json.dumps(dict(lap)))
            # Which may itself be waiting for a third.
            found = json.loads(self._heard_of(0, place, 2 * self._wait_s) or '[{}, ""]')
            return found[0], found[1] or None
        sums, until_s = dict(lap), time.monotonic() + self._wait_s
        for other in range(1, self.size):
            left_s = max(LEAST_WAIT_S, until_s - time.monotonic())
            for name, figure in json.loads(self._heard_of(other, f"{place}/{other}", left_s) or "{}").items():
                sums[name] = sums.get(name, 0.0) + figure
        decided = decide(sums)
        self._board.put(place, json.dumps([sums, decided or ""]))
        return sums, decided

    def _heard_of(self, other: int, name: str, wait_s: float) -> str:
        """What another rank says; nothing from one that has not spoken before when it was asked."""
        if self._board is None or other in self._silent:
            return ""
        try:
            return self._board.get(name, wait_s)
        except Exception:
            self._silent.add(other)
            log.warning("joulegram: process %d of this job says nothing: give its fit a monitor too", other)
            return ""


class _JaxBoard:
    """The coordinator that `jax.distributed.initialize` connects to."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def put(self, name: str, words: str) -> None:
        self._client.key_value_set(name, words)

    def get(self, name: str, wait_s: float) -> str:
        return str(self._client.blocking_key_value_get(name, round(wait_s * 1000)))


class _TorchBoard:
    """The store of `torch.distributed.init_process_group`."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def put(self, name: str, words: str) -> None:
        self._store.set(name, words)

    def get(self, name: str, wait_s: float) -> str:
        self._store.wait([name], timedelta(seconds=wait_s))
        return bytes(self._store.get(name)).decode()


class _TensorFlowBoard:
    """The coordination service of a multi-worker strategy."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def put(self, name: str, words: str) -> None:
        self._context.set_config_key_value(name, words)

    def get(self, name: str, wait_s: float) -> str:
        return str(self._context.get_config_key_value(name, round(wait_s * 1000)))


def ranks() -> Ranks:
    """This process among those of its job, as its backend, or what launched it, says."""
    find = {"jax": _jax_ranks, "torch": _torch_ranks, "tensorflow": _tensorflow_ranks}.get(keras.backend.backend())
    found = None
    with suppress(ImportError, AttributeError):  # none of the coordinators has a public door
        found = find() if find is not None else None
    return found or Ranks()


def _jax_ranks() -> Ranks | None:
    import jax

    if jax.process_count() == 1:
        return None
    from jax._src import distributed

    client = distributed.global_state.client
    return Ranks(_JaxBoard(client) if client else None, jax.process_index(), jax.process_count())


def _torch_ranks() -> Ranks | None:
    import torch.distributed as dist

    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return None
    from torch.distributed.distributed_c10d import _get_default_store

    return Ranks(_TorchBoard(_get_default_store()), dist.get_rank(), dist.get_world_size())


def _tensorflow_ranks() -> Ranks | None:
    rank, size = task_of(os.environ.get("TF_CONFIG", ""))
    if size == 1 or "tensorflow" not in sys.modules:
        return None
    from tensorflow.python.eager import context

    return Ranks(_TensorFlowBoard(context.context()), rank, size)


def task_of(tf_config: str) -> tuple[int, int]:
    """Number and count of a task among those that train, as TF_CONFIG tells them: the chief first, then the workers."""
    try:
        told = json.loads(tf_config)
        cluster, task = told["cluster"], told["task"]
        trains = [
            (kind, index) for kind in ("chief", "master", "worker") for index in range(len(cluster.get(kind, ())))
        ]
        return trains.index((task["type"], int(task["index"]))), len(trains)
    except (ValueError, KeyError, TypeError, AttributeError):  # none, or of a task that does not train
        return 0, 1
