"""Trains a small CNN on handwritten digits with Lightning, and shows what it cost.

The data are scikit-learn's: 1,797 images of 8 × 8 pixels that come with the package. Run it with `make demo`, or:

    python examples/digits_lightning.py --epochs 10 --zone DK-DK1
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
import webbrowser
from pathlib import Path

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

import joulegram
from joulegram_lightning import FootprintMonitor


class DigitNet(lightning.LightningModule):
    """Two convolutions and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 10),
        )

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        images, digits = batch
        return nn.functional.cross_entropy(self.layers(images), digits)

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        images, digits = batch
        self.log("accuracy", (self.layers(images).argmax(1) == digits).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def digits() -> tuple[DataLoader, DataLoader]:
    """Loaders of four fifths of the images for training and the rest for validation."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    whole = TensorDataset(images, torch.tensor(data.target))
    train, validation = random_split(whole, [0.8, 0.2], torch.Generator().manual_seed(0))
    return DataLoader(train, batch_size=32, shuffle=True), DataLoader(validation, batch_size=256)


def main() -> None:
    """Trains, prints the table, writes the page and says where it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--zone", help="grid zone, such as DK-DK1 (joulegram zones TEXT finds yours)")
    parser.add_argument("--out", type=Path, default=Path("joulegram-report.html"), help="the page")
    parser.add_argument("--no-open", action="store_true", help="do not open the page")
    options = parser.parse_args()

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    lightning.seed_everything(0, verbose=False)
    monitor = FootprintMonitor("digits", project="examples", zone=options.zone, summary=False)
    trainer = lightning.Trainer(
        max_epochs=options.epochs,
        callbacks=[monitor],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
    )
    print(f"Training a small CNN on handwritten digits for {options.epochs} epochs ...")
    trainer.fit(DigitNet(), *digits())

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
