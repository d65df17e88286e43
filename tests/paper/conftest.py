"""The paper's figures are made in `benchmarks/`, which no package holds."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
