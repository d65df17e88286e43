"""For the test suites of those who write meters of their own.

from joulegram.testing import check_meter
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from joulegram.testing.conformance import NonConforming, check_meter, check_opening

__all__ = ["NonConforming", "check_meter", "check_opening"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from joulegram.testing import conformance

    return getattr(conformance, name)
