"""``python -m joulegram``: the same as the ``joulegram`` command."""

import sys

from joulegram.cli import main

if __name__ == "__main__":
    sys.exit(main())
