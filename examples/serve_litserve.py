"""Serves a network that Keras trains with LitServe, in batches, and shows what its requests cost.

    python examples/serve_litserve.py --zone DK-DK1

LitServe's workers are processes of their own: the middleware counts requests where they come in, the callback tells in
which batches they were predicted.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import litserve
import numpy as np
import requests

from joulegram_serve import FootprintMiddleware
from joulegram_serve.litserve import FootprintCallback

sys.path.insert(0, str(Path(__file__).parent))
from digits_keras import digit_net, digits


class Digits(litserve.LitAPI):
    """One image a request; sixteen of them, or those that came within 20 ms, are predicted at once."""

    def __init__(self, model: Path) -> None:
        super().__init__(max_batch_size=16, batch_timeout=0.02)
        self.path = model

    def setup(self, device: str) -> None:
        self.model = keras.saving.load_model(self.path)

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        return np.asarray(request["image"], dtype="float32")

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self.model.predict_on_batch(images).argmax(-1)

    def unbatch(self, output: np.ndarray) -> list[int]:
        return output.tolist()

    def encode_response(self, output: int) -> dict[str, int]:
        return {"digit": output}


def serve(model: Path, port: int, zone: str | None) -> None:
    """LitServe's own processes, counted."""
    settings = {"name": "digits", "project": "examples", "zone": zone}
    server = litserve.LitServer(
        Digits(model),
        accelerator="cpu",
        middlewares=[(FootprintMiddleware, settings)],
        callbacks=[FootprintCallback(**settings)],
    )
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")


def ask(address: str, count: int) -> None:
    """One image a request, sixteen clients at a time."""
    images = digits()[1][0]

    def one(number: int) -> None:
        asked = {"image": images[number % len(images)].tolist()}
        requests.post(f"{address}/predict", json=asked, timeout=30).raise_for_status()

    with ThreadPoolExecutor(16) as clients:
        list(clients.map(one, range(count)))


def wait(server: subprocess.Popen[bytes], address: str) -> None:
    """Until the server answers."""
    while server.poll() is None:
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    sys.exit("The server did not start: is its port taken? --port names another.")


def main() -> None:
    """Trains, serves, asks, and prints what the requests cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--port", type=int, default=8766)
    parser.add_argument("--zone", help="grid zone, such as DK-DK1 (joulegram zones TEXT finds yours)")
    parser.add_argument("--serve", type=Path, metavar="MODEL", help="serve a model that is trained, and nothing else")
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve, options.port, options.zone)

    (images, labels), _ = digits()
    keras.utils.set_random_seed(0)
    print(f"Training a small CNN on handwritten digits for {options.epochs} epochs ...")
    net = digit_net()
    net.fit(images, labels, batch_size=32, epochs=options.epochs, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "digits.keras")
        net.save(model)
        command = [sys.executable, __file__, "--serve", str(model), "--port", str(options.port)]
        if options.zone:
            command += ["--zone", options.zone]
        with subprocess.Popen(command) as server:
            try:
                address = f"http://127.0.0.1:{options.port}"
                wait(server, address)
                print(f"Asking {address} {options.requests} times ...")
                time.sleep(2.0)  # the first reading of the counters
                ask(address, options.requests)
            finally:
                server.send_signal(signal.SIGINT)  # what LitServe ends by
    subprocess.run([sys.executable, "-m", "joulegram", "serve-report"], check=True)


if __name__ == "__main__":
    main()
