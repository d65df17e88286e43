"""Trains a small CNN on handwritten digits with Keras, on the backend of your choice, and shows what it cost.

The data are scikit-learn's: 1,797 images of 8 × 8 pixels that come with the package.

    KERAS_BACKEND=jax python examples/digits_keras.py --epochs 10 --zone DK-DK1
"""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits

import joulegram
from joulegram_keras import FootprintMonitor

Samples = tuple[np.ndarray, np.ndarray]


def digit_net() -> keras.Model:
    """Two convolutions and a linear layer."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(10),
        ],
        name="digit_net",
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    return model


def digits() -> tuple[Samples, Samples]:
    """Four fifths of the images, and their digits, for training and the rest for validation."""
    data = load_digits()
    images = data.images[..., None].astype("float32") / 16
    order = np.random.default_rng(0).permutation(len(images))
    train, validation = order[: len(order) * 4 // 5], order[len(order) * 4 // 5 :]
    return (images[train], data.target[train]), (images[validation], data.target[validation])


def main() -> None:
    """Trains, prints the table, writes the page and says where it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--zone", help="grid zone, such as DK-DK1 (joulegram zones TEXT finds yours)")
    parser.add_argument("--out", type=Path, default=Path("joulegram-report.html"), help="the page")
    parser.add_argument("--no-open", action="store_true", help="do not open the page")
    options = parser.parse_args()

    keras.utils.set_random_seed(0)
    monitor = FootprintMonitor("digits", project="examples", zone=options.zone, summary=False)
    (images, labels), validation = digits()
    print(f"Training a small CNN on handwritten digits for {options.epochs} epochs, on {keras.backend.backend()} ...")
    digit_net().fit(
        images, labels, batch_size=32, epochs=options.epochs, validation_data=validation, verbose=2, callbacks=[monitor]
    )

    if monitor.run is None or monitor.run.ledger is None:
        sys.exit("Nothing was recorded.")
    document = joulegram.open_ledger(monitor.run.ledger).run(monitor.run.id).document()
    joulegram.print_run(document)
    page = Path(joulegram.write_page(document, options.out)).resolve()
    print(f"The page: {page}")
    has_display = sys.platform in ("darwin", "win32") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if has_display and not options.no_open:
        webbrowser.open(page.as_uri())


if __name__ == "__main__":
    main()
