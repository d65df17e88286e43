"""For the test suites of those who write meters: rules to hold a meter to, and virtual hardware of known power.

    from joulegram.testing import check_meter

Each kind of virtual hardware is a module of its own: `joulegram.testing.nvml`, `joulegram.testing.powercap`.
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
