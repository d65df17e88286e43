"""What a service may be given, spelt out for type checkers: what `joulegram.serve` takes beside its name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypedDict


class Settings(TypedDict, total=False):
    """See `joulegram.serve`."""

    project: str | None
    model: str | None
    zone: str | None
    pue: float | str | None
    intensity: str | None
    basis: str | None
    ledger: str | os.PathLike[str] | None
    meters: tuple[str, ...] | list[str] | None
    weigh_by: str | None
    attributes: Mapping[str, Any] | None
    may_keep_books: bool
    keep_requests: bool
