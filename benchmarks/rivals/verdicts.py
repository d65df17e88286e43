"""What trials come to: errors by cell, which rival was nearer, which targets were missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from measure import mean_interval_95

from rivals.contestants import JOULEGRAM, RIVALS, Program
from rivals.machines import Machine
from rivals.trials import Measured, Trial

PARTS = ("gpu", "cpu", "dram")
NEARER = 0.1
"""Points (of a percent) by which a rival has to be nearer to the truth to count as better."""
RAPL_MOST, NO_COUNTER_MOST = 0.1, 3.0
"""Percent by which a total of RAPL, and of power readings, may be off."""


@dataclass
class Cell:
    """All trials on one machine: of every program the first repeat, of some of them more."""

    machine: Machine
    trials: dict[str, list[Trial]] = field(default_factory=dict)

    def add(self, trial: Trial) -> None:
        self.trials.setdefault(trial.program.name, []).append(trial)

    def errors(self, program: Program, part: str) -> list[float]:
        """Signed errors of totals (%), one a repeat."""
        return [trial.whole[part].error for trial in self.trials.get(program.name, []) if part in trial.whole]

    def epoch_errors(self, program: Program, part: str) -> list[float]:
        """Unsigned errors of epochs (%), all repeats one after another."""
        return [abs(epoch.error) for trial in self.trials.get(program.name, []) for epoch in trial.epochs.get(part, [])]

    def failure(self, program: Program) -> str:
        return next((trial.failed for trial in self.trials.get(program.name, []) if trial.failed), "")

    def in_reach(self) -> list[Program]:
        """Rivals whose first total was nearer to the truth than ours, where that leaves room for being better."""
        return [rival for rival in RIVALS if any(self._nearer_once(rival, part) for part in PARTS)]

    def _nearer_once(self, rival: Program, part: str) -> bool:
        ours, theirs = self.errors(JOULEGRAM, part), self.errors(rival, part)
        return bool(ours and theirs) and abs(ours[0]) > max(NEARER, abs(theirs[0]))

    def better(self) -> Iterator[str]:
        """Rivals that are better: nearer by more than `NEARER`, and not by chance."""
        for rival in RIVALS:
            for part in PARTS:
                totals = self._by_how_much([abs(e) for e in self.errors(JOULEGRAM, part)],
                                           [abs(e) for e in self.errors(rival, part)])  # fmt: skip
                epochs = self._by_how_much(self.epoch_errors(JOULEGRAM, part), self.epoch_errors(rival, part))
                for what, points in (("the total", totals), ("an epoch", epochs)):
                    if points:
                        yield f"{self.machine}: {rival.name} is nearer by {points:.2f} points in {what} ({part})"

    @staticmethod
    def _by_how_much(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
        """By how many points theirs are nearer in paired repeats; None where that may be chance, or is too little."""
        differences = [our - their for our, their in zip(ours, theirs, strict=False)]
        if len(differences) < 2 or fmean(differences) <= NEARER or mean_interval_95(differences)[0] <= 0:
            return None
        return fmean(differences)

    # -- ours alone ---------------------------------------------------------------------------------------------------

    @property
    def own(self) -> list[Trial]:
        return self.trials.get(JOULEGRAM.name, [])

    @property
    def own_measured(self) -> list[Measured]:
        return [measured for trial in self.own for measured in trial.measured]

    def missed(self) -> Iterator[str]:
        """Targets that we missed here."""
        if self.failure(JOULEGRAM):
            yield f"{self.machine}: joulegram failed: {self.failure(JOULEGRAM)}"
        for part in ("cpu", "dram"):
            yield from self._too_far_off(part, RAPL_MOST)
        if self.machine.device == "pascal":
            yield from self._too_far_off("gpu", NO_COUNTER_MOST)
        outside = sum(not measured.contained for measured in self.own_measured)
        if outside:
            yield f"{self.machine}: the truth is outside the bounds of {outside} of {len(self.own_measured)} figures"
        yield from self.better()

    def _too_far_off(self, part: str, most: float) -> Iterator[str]:
        errors = self.errors(JOULEGRAM, part)
        worst = max(errors, key=abs, default=0.0)
        if abs(worst) > most:
            yield f"{self.machine}: {part} is off by {worst:+.2f} %, and may be by {most:g} %"

    def to_json(self) -> dict[str, Any]:
        return {
            "machine": str(self.machine),
            "programs": {name: [_trial_json(trial) for trial in trials] for name, trials in self.trials.items()},
        }


def _trial_json(trial: Trial) -> Mapping[str, Any]:
    return {
        "repeat": trial.repeat,
        "failed": trial.failed,
        "whole": {part: _measured_json(measured) for part, measured in trial.whole.items()},
        "epochs": {part: [_measured_json(epoch) for epoch in epochs] for part, epochs in trial.epochs.items()},
    }


def _measured_json(measured: Measured) -> Mapping[str, Any]:
    return {"said_j": measured.said_j, "true_j": measured.true_j, "bounds_j": measured.bounds_j}
