"""The ``joulegram`` command."""

from joulegram.cli.main import main

__all__ = ["main"]
