"""How long a program waits for joulegram: at its import, and from `track()` to the first instruction of its body."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from measure import Figure, in_fresh_python

REPEATS = 25
HEAVY = (
    "torch", "lightning", "pytorch_lightning", "keras", "tensorflow", "jax",  # frameworks
    "plotly", "matplotlib", "rich",  # plotting and rendering
    "pyarrow", "pandas", "numpy",  # Parquet, and what comes with it
    "requests", "httpx", "aiohttp", "urllib3", "http.client", "urllib.request", "ssl",  # network
)  # fmt: skip

IMPORT = """
import sys, time
started_s = time.perf_counter()
__import__(sys.argv[1])
print(time.perf_counter() - started_s)
"""
LOADED = """
import json, sys
import joulegram
if sys.argv[1] == "started":
    with joulegram.track("benchmark"):
        print(json.dumps(sorted(sys.modules)))
else:
    print(json.dumps(sorted(sys.modules)))
"""
TRACK = """
import time
import joulegram
started_s = time.perf_counter()
with joulegram.track("benchmark"):
    took_s = time.perf_counter() - started_s
print(took_s)
"""
PROJECT = '[project]\nname = "mine"\ndependencies = ["joulegram"]\n'
CONFIGURED = PROJECT + '\n[tool.joulegram]\nzone = "DK-DK1"\n'


def measure(full: bool) -> Iterator[Figure]:
    del full
    ratios, own_ms, started_ms, configured_ms = [], [], [], []
    in_fresh_python(TRACK)  # compiles and caches what is not yet
    pyproject = Path("pyproject.toml")
    for _ in range(REPEATS):
        numpy_s, own_s = in_fresh_python(IMPORT, "numpy"), in_fresh_python(IMPORT, "joulegram")
        ratios.append(own_s / numpy_s)
        own_ms.append(own_s * 1e3)
        for text, times_ms in ((PROJECT, started_ms), (CONFIGURED, configured_ms)):
            pyproject.write_text(text)
            times_ms.append(in_fresh_python(TRACK) * 1e3)
    loaded = in_fresh_python(LOADED, "imported")
    heavy = [name for name in HEAVY if name in loaded]
    assert not heavy, f"import joulegram loads {', '.join(heavy)}"
    yield Figure("import joulegram ÷ import numpy", ratios, "", 1.5, "paired, fresh interpreters")
    yield Figure("import joulegram", own_ms, "ms")
    yield Figure("track() to the first instruction of its body", started_ms, "ms", 20.0, "fresh interpreters")
    yield Figure("the same, with a [tool.joulegram] to read", configured_ms, "ms", 20.0)
