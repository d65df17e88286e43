"""How long a command waits for the turn to ask a feed, and how it says so."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from joulegram.feeds.asking import MOST_TURN_S
from joulegram.feeds.fetching import Wait
from joulegram.units import show_duration

SILENT_S = 2.0


def patient(sleep: Callable[[float], object] = time.sleep) -> Wait:
    """Waits for a minute and a half at most each time, and says so on standard error."""

    def wait(seconds: float) -> bool:
        if seconds > MOST_TURN_S:
            return False
        if seconds > SILENT_S:
            print(f"waiting {show_duration(seconds)} for a feed", file=sys.stderr)
        sleep(seconds)
        return True

    return wait
