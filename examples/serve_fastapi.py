"""Serves a network that Lightning trains with FastAPI, asks it a thousand times, and shows what its requests cost.

    python examples/serve_fastapi.py --zone DK-DK1

One endpoint answers at once, one streams a line for each image; both tell how many images they classified. While it
runs, ``/metrics`` holds all figures for Prometheus.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lightning
import requests
import torch
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from joulegram_serve import FootprintMiddleware, current, metrics_app

sys.path.insert(0, str(Path(__file__).parent))
from digits_lightning import DigitNet, digits

Image = list[list[float]]


def trained(epochs: int) -> DigitNet:
    """A small CNN that knows handwritten digits."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    lightning.seed_everything(0, verbose=False)
    net = DigitNet()
    lightning.Trainer(
        max_epochs=epochs, logger=False, enable_checkpointing=False, enable_model_summary=False,
        enable_progress_bar=False,
    ).fit(net, *digits())  # fmt: skip
    return net.eval()


def application(net: DigitNet, zone: str | None) -> FastAPI:
    """The server: what it costs is one line."""
    app = FastAPI()
    app.add_middleware(FootprintMiddleware, name="digits", project="examples", zone=zone)
    app.add_route("/metrics", metrics_app())

    @torch.inference_mode()
    def classify(images: list[Image]) -> list[int]:
        current().add(items=len(images))
        return net.layers(torch.tensor(images).unsqueeze(1)).argmax(1).tolist()

    @app.post("/classify")
    def at_once(images: list[Image]) -> list[int]:
        return classify(images)

    @app.post("/classify/stream")
    def one_by_one(images: list[Image]) -> StreamingResponse:
        def lines() -> Iterator[str]:
            for image in images:
                yield json.dumps(classify([image])) + "\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    return app


def ask(address: str, count: int) -> None:
    """Asks both endpoints, eight clients at a time."""
    images = next(iter(digits()[1]))[0].squeeze(1).tolist()

    def one(number: int) -> None:
        path = "/classify/stream" if number % 4 == 0 else "/classify"
        answer = requests.post(address + path, json=images[: 1 + number % 32], timeout=30)
        answer.raise_for_status()

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(one, range(count)))


def main() -> None:
    """Trains, serves, asks, and prints what the requests cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--zone", help="grid zone, such as DK-DK1 (joulegram zones TEXT finds yours)")
    options = parser.parse_args()

    print(f"Training a small CNN on handwritten digits for {options.epochs} epochs ...")
    app = application(trained(options.epochs), options.zone)
    server = uvicorn.Server(uvicorn.Config(app, port=options.port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            sys.exit(f"The server did not start: is port {options.port} taken? --port names another.")
        time.sleep(0.1)
    address = f"http://127.0.0.1:{options.port}"
    print(f"Asking {address} {options.requests} times ...")
    time.sleep(2.0)  # the first reading of the counters
    ask(address, options.requests)
    server.should_exit = True
    thread.join()
    subprocess.run([sys.executable, "-m", "joulegram", "serve-report"], check=True)


if __name__ == "__main__":
    main()
