"""Prints what is shipped for Grafana and Prometheus.

Example::

    python -m joulegram_serve dashboard > joulegram.json
    python -m joulegram_serve rules > joulegram_rules.yml
"""

from __future__ import annotations

import argparse
from importlib.resources import files

FILES = {"dashboard": "grafana.json", "rules": "prometheus_rules.yml"}


def main(arguments: list[str] | None = None) -> None:
    """Prints one of them."""
    parser = argparse.ArgumentParser(prog="python -m joulegram_serve", description="Prints what monitors are given.")
    parser.add_argument("what", choices=FILES, help="the dashboard for Grafana, or the alert rules for Prometheus")
    what = parser.parse_args(arguments).what
    print((files("joulegram_serve") / "dashboards" / FILES[what]).read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
