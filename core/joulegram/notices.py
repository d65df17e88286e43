"""Saying something to the user: through the logger ``joulegram``, which an application may direct as it likes."""

from __future__ import annotations


def warn(text: str) -> None:
    """Shows one line of warning; logging is loaded with the first, not with every start."""
    import logging

    logging.getLogger("joulegram").warning("%s", text)
