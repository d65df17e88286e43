"""The loop as joulegram sees it: one run, its open spans, and the phase that it is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import joulegram

FIRST_FIGURE_S = 0.25
"""An epoch may be over before the first sample and the price are there; who monitors a figure expects it even so."""


class Loop:
    """A run with its spans by kind, the innermost last. Each phase lasts until the next is entered.

    Args:
        run: None to do nothing.
    """

    def __init__(self, run: joulegram.Run | None = None) -> None:
        self.run = run
        self.phase = "other"
        self._spans: dict[str, joulegram.Span] = {}

    def enter(self, phase: str) -> None:
        """Begins a phase."""
        if self.run is not None:
            self.run.phase(phase)
            self.phase = phase

    def open(self, kind: str, index: int | None = None) -> None:
        """Opens a span; one of its kind that is open ends."""
        self.close(kind)
        if self.run is not None:
            self._spans[kind] = self.run.span(kind, index=index).open()

    def close(self, kind: str, **attributes: Any) -> None:
        """Closes a span, if it is open, and keeps attributes with it."""
        span = self._spans.pop(kind, None)
        if span is not None:
            span.attributes.update(attributes)
            span.close()

    def lap(self) -> Mapping[str, float]:
        """What was added since the last lap; the first waits a moment for there to be figures at all."""
        return self.run.lap(FIRST_FIGURE_S) if self.run is not None else {}

    def end(self, status: Any, error: BaseException | str | None = None) -> None:
        """Ends the run with all that is open, the innermost first; again is harmless."""
        for kind in reversed(list(self._spans)):
            self.close(kind)
        if self.run is not None:
            self.enter("other")
            self.run.close(status, error)
