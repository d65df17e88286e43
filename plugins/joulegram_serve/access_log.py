"""What a request has cost so far, in whatever is logged while it is answered."""

from __future__ import annotations

import logging

from joulegram_serve.context import CURRENT


class FootprintFilter(logging.Filter):
    """Adds `footprint_id`, `energy_j`, `carbon_g` and `tokens` to each record; None where they are not known.

    The server's access log is written when a response starts, so these are provisional; the id leads to what is settled
    later. It lets every record pass.

    Example, for uvicorn's ``--log-config``::

        {"filters": {"footprint": {"()": "joulegram_serve.FootprintFilter"}},
         "handlers": {"access": {"filters": ["footprint"], ...}},
         "formatters": {"access": {"fmt": "%(message)s %(footprint_id)s %(energy_j)s J"}}}
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.footprint_id = record.energy_j = record.carbon_g = record.tokens = None
        request = CURRENT.get()
        if request is not None and request.id:
            cost = request.footprint()
            record.footprint_id, record.tokens = cost.id, cost.tokens
            record.energy_j, record.carbon_g = cost.energy_j, cost.carbon_g
        return True
