"""Product names as tables of devices spell them."""

from __future__ import annotations

import re

# What one program puts before a name and another leaves out. "Quadro", "GeForce" and "RTX" tell devices apart.
_VENDORS = frozenset({"nvidia", "tesla", "amd", "google"})


def plain_name(product: str) -> str:
    """A name in small letters and spaces, without the vendor's: ``Tesla V100-SXM2-16GB`` is ``v100 sxm2 16gb``."""
    return " ".join(word for word in re.split(r"[\s_-]+", product.lower()) if word and word not in _VENDORS)
