"""What is asked of a Trainer: a run that all its ranks share, figures of all of them, and places to show them.

`share_run` and `summed` are collectives: every rank calls them at the same point, whatever it has to say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import joulegram
from joulegram_lightning.loop import Event

log = logging.getLogger("joulegram")

FIGURES = ("energy_j", "carbon_g", "flops", "node_energy_j", "facility_energy_j")
_OF_THE_HOST = "node_energy_j"
"""Each rank reads the whole host's; the first rank of a host counts it."""
_ON_THE_BAR = frozenset({"energy_j", "carbon_g"})


def share_run(trainer: Any, start: Callable[[str | None], joulegram.Run | None]) -> joulegram.Run | None:
    """Has rank 0 start a run and the others start their part of it.

    Args:
        trainer: whose ranks.
        start: given the run's id, or None to make one up; must not raise.
    """
    if trainer.world_size == 1:
        return start(None)
    run = start(None) if trainer.is_global_zero else None
    run_id = trainer.strategy.broadcast(run.id if run is not None else "")
    return run if trainer.is_global_zero else start(run_id or None)


def summed(lap: Mapping[str, float], trainer: Any) -> dict[str, float]:
    """The figures of all ranks added up; one that no rank has is left out."""
    if trainer.world_size == 1:
        return {name: lap[name] for name in FIGURES if name in lap}
    import torch

    own = {name: lap[name] for name in FIGURES if name in lap and (name != _OF_THE_HOST or trainer.local_rank == 0)}
    device = trainer.strategy.root_device
    # A float would come back unreduced; Apple's GPUs know no double precision.
    tensor = torch.tensor(
        [*(own.get(name, 0.0) for name in FIGURES), *(float(name in own) for name in FIGURES)],
        dtype=torch.float32 if device.type == "mps" else torch.float64,
        device=device,
    )
    totals = trainer.strategy.reduce(tensor, reduce_op="sum").tolist()
    count = len(FIGURES)
    return {name: total for name, total, ranks in zip(FIGURES, totals[:count], totals[count:], strict=True) if ranks}


def show(trainer: Any, pl_module: Any, figures: Mapping[str, float], **how: Any) -> None:
    """Logs figures as the module would with `self.log`; a barebones Trainer logs nothing."""
    if not trainer.barebones:
        for name, figure in figures.items():
            pl_module.log(name, figure, prog_bar=name in _ON_THE_BAR, batch_size=1, **how)


def tell_loggers(trainer: Any, figures: Mapping[str, float], step: int) -> None:
    """Hands figures to the loggers alone, where `self.log` is not allowed or would do more."""
    if figures:
        for logger in trainer.loggers:
            logger.log_metrics(metrics=dict(figures), step=step)


def metrics(trainer: Any) -> dict[str, float]:
    """What the module and its callbacks have logged last; what is ours is in the run already."""
    return {name: float(value) for name, value in trainer.callback_metrics.items() if name not in FIGURES}


def show_summary(run: joulegram.Run) -> None:
    """Prints a run that has ended; one that is part of another is shown by that."""
    if run.joined or run.ledger is None:
        return
    from rich.console import Console

    try:
        document = joulegram.open_ledger(run.ledger).run(run.id).document()
    except (LookupError, OSError):  # nothing could be written, which has been said
        return
    Console().print(joulegram.summary_table(document))


def cuda_mark(trainer: Any) -> Event | None:
    """An event in the queue of the Trainer's CUDA device; None for any other device."""
    device = trainer.strategy.root_device
    if device.type != "cuda":
        return None
    import torch

    event: Event = torch.cuda.current_stream(device).record_event()
    return event


def validates_anywhere(trainer: Any) -> bool:
    """Whether validation may run elsewhere than once, at each epoch's end."""
    interval = trainer.val_check_interval
    return isinstance(interval, int) or interval != 1.0 or trainer.check_val_every_n_epoch != 1


def describe(trainer: Any, pl_module: Any) -> dict[str, Any]:
    """What a reader of the run would want to know of its set-up."""
    found = {
        "model": type(pl_module).__name__,
        "accelerator": type(trainer.accelerator).__name__,
        "strategy": type(trainer.strategy).__name__,
        "devices": trainer.num_devices,
        "nodes": trainer.num_nodes,
        "world_size": trainer.world_size,
        "precision": str(trainer.precision),
        "max_epochs": trainer.max_epochs,
        "max_steps": trainer.max_steps,
        "accumulate_grad_batches": trainer.accumulate_grad_batches,
    }
    try:
        found["parameters"] = sum(parameter.numel() for parameter in pl_module.parameters())
    except Exception as error:  # lazy layers know their size only after the first batch
        log.debug("joulegram: parameters not counted: %r", error)
    return found
