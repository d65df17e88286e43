"""A model's whole life on handwritten digits: data, a search, the training, a student, both served; and what it cost.

    make example-lifecycle          # or: python examples/lifecycle.py --zone DK-DK1

The data are scikit-learn's. A search with Optuna finds the width of a network, one of its trials fails, the best is
trained as the teacher, a student learns from the teacher, and one server answers requests with both. All of it is one
project, in a ledger of its own; at the end stand its life cycle, its levers, and after how many requests the student
has paid back what it took to make.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import lightning
import optuna
import requests
import torch
import uvicorn
from fastapi import Body, FastAPI
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import joulegram
from joulegram_lightning import FootprintMonitor
from joulegram_serve import FootprintMiddleware, current

PROJECT = "digits-story"


class Net(lightning.LightningModule):
    """Two convolutions of some width; it learns digits, or what a teacher makes of them."""

    def __init__(self, width: int, lr: float, teacher: Net | None = None) -> None:
        super().__init__()
        self.lr, self.teacher = lr, (teacher,)  # in a tuple: its weights are not this network's
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2 * width * 16, 10),
        )  # fmt: skip

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        images, digits = batch
        found = self.layers(images)
        loss = nn.functional.cross_entropy(found, digits)
        (teacher,) = self.teacher
        if teacher is not None:
            with torch.no_grad():
                told = teacher.layers(images).softmax(1)
            loss = loss + nn.functional.cross_entropy(found, told)
        if not loss < 20:
            raise RuntimeError("the training has diverged")
        return loss

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        images, digits = batch
        self.log("accuracy", (self.layers(images).argmax(1) == digits).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


def prepared(zone: str | None) -> tuple[DataLoader, DataLoader]:
    """Images for training, each also shifted to four sides, and the rest for validation."""
    with joulegram.track("shifted digits", project=PROJECT, stage="data", zone=zone):
        data = load_digits()
        images, digits = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16, torch.tensor(data.target)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        train, rest = order[:1437], order[1437:]
        moves = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
        shifted = torch.cat([torch.roll(images[train], move, (2, 3)) for move in moves])
        whole = TensorDataset(shifted, digits[train].repeat(len(moves)))
    return DataLoader(whole, batch_size=64, shuffle=True), DataLoader(TensorDataset(images[rest], digits[rest]), 512)


def fitted(net: Net, loaders: tuple[DataLoader, DataLoader], epochs: int, monitor: FootprintMonitor) -> float:
    """Trains a network; its accuracy."""
    trainer = lightning.Trainer(
        max_epochs=epochs, callbacks=[monitor], logger=False, enable_checkpointing=False,
        enable_model_summary=False, enable_progress_bar=False,
    )  # fmt: skip
    trainer.fit(net, *loaders)
    return float(trainer.callback_metrics["accuracy"])


def searched(loaders: tuple[DataLoader, DataLoader], trials: int, zone: str | None) -> tuple[int, float]:
    """Width and learning rate that a search found; the ledger sees by itself that these runs are its trials."""

    def trial(of: optuna.Trial) -> float:
        width = of.suggest_categorical("width", [8, 16, 32, 64])
        lr = of.suggest_categorical("lr", [3e-3, 1e-2, 3e-2, 10.0])
        monitor = FootprintMonitor(f"trial {of.number}", project=PROJECT, zone=zone, summary=False)
        return fitted(Net(width, lr), loaders, 1, monitor)

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.enqueue_trial({"width": 64, "lr": 3e-2})
    study.enqueue_trial({"width": 64, "lr": 10.0})  # too fast: it diverges, as some trials do
    study.optimize(trial, n_trials=trials, catch=(RuntimeError,))
    return study.best_params["width"], study.best_params["lr"]


def served(teacher: Net, student: Net, count: int, port: int, zone: str | None) -> None:
    """One server that answers with both; eight clients ask each as often."""
    app = FastAPI()
    app.add_middleware(FootprintMiddleware, name="digits", project=PROJECT, zone=zone)

    def answer(net: Net, pixels: bytes) -> list[int]:
        images = torch.frombuffer(bytearray(pixels), dtype=torch.float32).reshape(-1, 1, 8, 8)
        current().add(items=len(images))
        with torch.inference_mode():
            return net.layers(images).argmax(1).tolist()

    @app.post("/teacher")
    def by_teacher(pixels: Annotated[bytes, Body()]) -> list[int]:
        return answer(teacher, pixels)

    @app.post("/student")
    def by_student(pixels: Annotated[bytes, Body()]) -> list[int]:
        return answer(student, pixels)

    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            sys.exit(f"The server did not start: is port {port} taken? --port names another.")
        time.sleep(0.1)
    time.sleep(2.0)  # the first reading of the counters
    asked = (load_digits().images[:256] / 16).astype("float32").tobytes()

    def ask(path: str) -> None:
        requests.post(f"http://127.0.0.1:{port}{path}", data=asked, timeout=60).raise_for_status()

    with ThreadPoolExecutor(4) as clients:
        for path in ("/teacher", "/student"):  # one after the other, so that neither waits for the other
            list(clients.map(ask, [path] * count))
    server.should_exit = True
    thread.join()


def tell(*command: str) -> None:
    """Runs a command of joulegram's, and shows it."""
    print(f"\n$ joulegram {' '.join(command)}", flush=True)
    subprocess.run([sys.executable, "-m", "joulegram", *command], check=True)


def main() -> None:
    """Lives the whole life, then tells what it cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=6, help="of the teacher and of the student")
    parser.add_argument("--requests", type=int, default=400, help="to each of the two, of 256 images")
    parser.add_argument("--port", type=int, default=8767)
    parser.add_argument("--zone", help="grid zone, such as DK-DK1 (joulegram zones TEXT finds yours)")
    parser.add_argument("--out", type=Path, default=Path("joulegram-story"), help="folder of the ledger and the pages")
    options = parser.parse_args()
    if options.out.exists():
        sys.exit(f"{options.out} is there already: a story begins anew. Remove it, or name another folder with --out.")

    os.environ["JOULEGRAM_LEDGER"] = str(options.out.resolve() / "ledger")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    lightning.seed_everything(0, verbose=False)

    zone = options.zone
    print("Data ...")
    loaders = prepared(zone)
    print(f"Search: {options.trials} trials ...")
    width, lr = searched(loaders, options.trials, zone)
    print(f"Training: width {width}, learning rate {lr:.3g}, {options.epochs} epochs ...")
    teacher = Net(width, lr)
    accuracy = fitted(
        teacher, loaders, options.epochs,
        FootprintMonitor("teacher", project=PROJECT, stage="train", model="teacher", zone=zone, summary=False),
    )  # fmt: skip
    print(f"  accuracy {accuracy:.1%}\nStudent: width 4 ...")
    student = Net(4, lr, teacher)
    distilling = FootprintMonitor("student", project=PROJECT, stage="compress", zone=zone, summary=False)
    print(f"  accuracy {fitted(student, loaders, options.epochs, distilling):.1%}")
    print(f"Serving: {options.requests} requests to each ...")
    served(teacher.eval(), student.eval(), options.requests, options.port, zone)

    runs = joulegram.open_ledger().runs(project=PROJECT)
    serving = next(run.id for run in runs if run.stage == "serve")
    made = next(run.id for run in runs if run.stage == "compress")
    tell("lifecycle", PROJECT)
    tell("levers", PROJECT)
    tell(
        "breakeven", "--before", f"{serving}/teacher", "--after", f"{serving}/student", "--development", made,
    )  # fmt: skip
    tell("lifecycle", PROJECT, "--html", str(options.out / "lifecycle.html"))
    tell("serve-report", serving, "--html", str(options.out / "served.html"))


if __name__ == "__main__":
    main()
