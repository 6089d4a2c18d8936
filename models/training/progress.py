"""Progress of a run: its time budget, its steps per second, and the entries of its log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Criterion = Literal["psnr", "auc"]


class TimeBudget:
    """Seconds that a run has taken, over all its processes, and may still take."""

    def __init__(
        self,
        limit_s: float = 0.0,
        spent_before_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without a limit where `limit_s` is 0. It stands still until `start`."""
        self.clock = clock
        self._limit_s = limit_s or math.inf
        self._spent_before_s = spent_before_s
        self._started_at_s: float | None = None  # of the clock

    def start(self) -> None:
        """Count the time from now on."""
        self._started_at_s = self.clock()

    @property
    def spent_s(self) -> float:
        """Seconds taken so far."""
        if self._started_at_s is None:
            return self._spent_before_s
        return self._spent_before_s + self.clock() - self._started_at_s

    @property
    def left_s(self) -> float:
        """Seconds that may still be taken; inf without a limit."""
        return max(0.0, self._limit_s - self.spent_s)

    @property
    def spent_share(self) -> float:
        """Share of the time that is taken, 0 to 1; 0 without a limit."""
        return min(1.0, self.spent_s / self._limit_s)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self.left_s == 0


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Means over the steps since the entry before, and what held-out clips measure now."""

    epoch: int  # 1-based, the one it is in
    step: int  # done, over all epochs
    loss: float  # mean
    psnr_db: float  # mean, of the batches trained on
    learning_rate: float
    held_out: dict[str, Any] | None = None  # the fields of `validation.HeldOutMetrics`
    best: bool = False  # so far
    ready: bool = True  # the model had all that it scores with; an entry before that is never best

    def as_text(self, epochs: int) -> str:
        """Return the entry as one line; `epochs` is the planned number."""
        text = f"epoch {self.epoch} of {epochs}, step {self.step}: "
        text += f"loss {self.loss:.5f}, PSNR {self.psnr_db:.2f} dB"
        if self.held_out is not None:
            text += f", held out {self.held_out['psnr_db']:.2f} dB"
            if self.held_out["auc_percent"] is not None:
                text += f", generated AUC {self.held_out['auc_percent']:.1f} %"
            if not self.ready:
                text += " (too early to be the best)"
        if self.best:
            text += " (best)"
        return text


def criterion_value(entry: LogEntry | None, best_by: Criterion) -> float:
    """Return the number that decides which entry is best: higher is better.

    Without an entry, or one that did not measure it: -inf.
    """
    if entry is None or entry.held_out is None:
        return -math.inf
    value = entry.held_out["psnr_db" if best_by == "psnr" else "auc_percent"]
    if value is None:
        return -math.inf
    return float(value)


@dataclass(frozen=True, slots=True)
class RunProgress:
    """State of a run after a step, or as it begins or resumes."""

    checkpoint: str  # name of the file that the run will write
    step: int  # done, over all epochs
    steps: int  # of the whole run
    epoch: int  # 0-based
    epochs: int
    loss: float  # of this step; nan as the run begins
    psnr_db: float  # of this batch's predictions; nan as the run begins
    steps_per_s: float  # of this process; 0 as the run begins
    left_s: float | None  # estimated; None while unknown

    def rate_as_text(self) -> str:
        """Return steps per second and time left."""
        if self.left_s is None:
            return "0 steps/s, time left unknown"
        left_s = round(self.left_s)
        clock = f"{left_s // 3600}:{left_s // 60 % 60:02}:{left_s % 60:02}"
        return f"{self.steps_per_s:.3g} steps/s, {clock} left"


class StepRate:
    """Steps per second of this process, without those that an earlier process did."""

    def __init__(self, steps_done: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._first_step = steps_done
        self._clock = clock
        self._since_s = clock()

    def per_s(self, step: int) -> float:
        """Return steps per second up to `step`."""
        return (step - self._first_step) / max(self._clock() - self._since_s, 1e-9)

    def left_s(self, step: int, steps: int, limit_s: float = math.inf) -> float | None:
        """Return the seconds up to the last of `steps`, at most `limit_s`; None before a step."""
        per_s = self.per_s(step)
        if not per_s:
            return None
        return min((steps - step) / per_s, limit_s)
