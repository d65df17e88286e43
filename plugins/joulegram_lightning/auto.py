"""Lightning's entry point: it is asked for callbacks at every `Trainer()`, and has one only where JOULEGRAM_AUTO=1."""

import os


def callbacks() -> list[object]:
    """One monitor where the environment asks for it, else none; never an error, which would end the user's program."""
    if os.environ.get("JOULEGRAM_AUTO", "").strip().lower() not in {"1", "true"}:
        return []
    try:
        from joulegram_lightning import FootprintMonitor

        return [FootprintMonitor.automatic()]
    except Exception as error:
        import logging

        logging.getLogger("joulegram").warning("JOULEGRAM_AUTO has no effect: %s", error)
        return []
