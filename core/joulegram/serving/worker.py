"""A process's part in counting: its ring, and a thread that stands for election to count for all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from joulegram.host.clock import Clock
from joulegram.host.election import Election
from joulegram.host.forking import importing
from joulegram.host.ring import Ring
from joulegram.notices import warn

if TYPE_CHECKING:
    from joulegram.serving.owner import Owner, Recorded

FIRST_S = 0.01
PERIOD_S = 0.5
"""How often the owner settles what can be settled, and other processes look whether there is still an owner."""
CLOSE_WAIT_S = 3.0


class Worker:
    """One process that serves; a fork's child has to have its own.

    Args:
        service: name of what it serves.
        folder: the shared memory.
        clock: the time.
        start_run: see `Owner`.
        stands: whether it stands for election to count for all.
        keeps_requests: see `Owner`.

    Attributes:
        ring: where its requests are told.
        folder: the shared memory.
        owner: keeps the books, while this process is elected.

    Raises:
        OSError: there is no room in the shared memory.
        RuntimeError: no thread can be started.
    """

    def __init__(
        self,
        service: str,
        folder: Path,
        clock: Clock,
        start_run: Callable[[str | None], Recorded],
        stands: bool = True,
        keeps_requests: bool = False,
    ) -> None:
        self.ring = Ring(folder, service)
        self.owner: Owner | None = None
        self.folder, self._clock, self._start_run = folder, clock, start_run
        self._election, self._stands = Election(folder / "owner.lock"), stands
        self._attending = threading.Lock()
        self._stopped = threading.Event()
        self._complained = False
        self._keeps_requests = keeps_requests
        self._thread = self._start_thread()

    def attend(self) -> None:
        """Says what found no room before, and counts for all if this process is elected."""
        self.ring.say_again()
        if not self._stands or not self._election.stand():
            return
        if self.owner is None:
            with importing():
                from joulegram.serving.owner import Owner
            self.owner = Owner(self.folder, self._clock, self._start_run, self._keeps_requests)
        self.owner.tick()

    def close(self) -> None:
        """Tells nothing more, and hands over if this process counts for all."""
        self._stopped.set()
        self.ring.close()
        if not self._attending.acquire(timeout=CLOSE_WAIT_S):
            return  # a meter does not come back; whoever is elected next goes on from what was told
        try:
            owner, self.owner = self.owner, None
            if owner is not None:
                owner.close()
        finally:
            self._election.step_down()
            self._attending.release()

    def _work(self) -> None:
        wait_s = FIRST_S
        while not self._stopped.wait(wait_s):
            with self._attending:
                if self._stopped.is_set():
                    return
                try:
                    self.attend()
                except Exception as problem:  # never the server's problem; said once
                    if not self._complained:
                        warn(f"joulegram cannot count what requests cost: {problem!r}")
                    self._complained = True
            wait_s = PERIOD_S

    def _start_thread(self) -> threading.Thread | None:
        thread = threading.Thread(target=self._work, name="joulegram-serving", daemon=True)
        thread.start()
        return thread
