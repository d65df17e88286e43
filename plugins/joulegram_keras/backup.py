"""What Keras's BackupAndRestore does not keep: the run whose weights it saved. A file beside the weights does.

It is written at each epoch's end and read only if there are weights to restore. BackupAndRestore removes its folder,
and this file with it, when training has come to its end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras

NAME = "joulegram.json"


class Backup:
    """The state of a run beside a backup of its model.

    Args:
        folder: the backup's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / NAME

    def restored(self) -> dict[str, Any] | None:
        """The state of the run whose weights are about to be, or have just been, restored; None if there are none."""
        if not any(self._folder.glob("*.weights.h5")):
            return None
        with suppress(OSError, ValueError):
            state = json.loads(self._path.read_text(encoding="utf-8"))
            return state if isinstance(state, dict) else None
        return None

    def keep(self, state: Mapping[str, Any]) -> None:
        """Writes the state, whole or not at all; a disk that refuses is no matter of training's."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_suffix(".new")
            draft.write_text(json.dumps(dict(state)), encoding="utf-8")
            os.replace(draft, self._path)


def backup_among(callbacks: Iterable[Any]) -> Backup | None:
    """That of a BackupAndRestore on this machine's disks; None without one."""
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            folder = str(callback.backup_dir)
            return None if "://" in folder else Backup(Path(folder))
    return None
