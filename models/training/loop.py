"""A training from where it stands to its end: step after step, with its rows, its state saved, and its stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lookout.models.training.progress import Row
from lookout.models.training.trainer import StoppedError, Trainer

SAVE_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Progress:
    step: int  # done, over all epochs
    steps: int
    epoch: int  # 0-based
    loss: float
    psnr_db: float  # of the batch's predictions


def train(
    trainer: Trainer,
    state_path: Path,
    *,
    report: Callable[[Progress], None] = lambda _: None,
    keep: Callable[[Row], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run to the end of the last epoch, of patience or of the time; `keep` gets each row.

    The state is saved every SAVE_EVERY_S, and before and after held-out clips are measured: that may take minutes.

    Raises StoppedError, with the state saved, once `should_stop` says so between two steps or while a row is measured;
    TrainingError.
    """
    try:
        _to_the_end(trainer, state_path, report, keep, should_stop)
    except StoppedError:
        trainer.save(state_path)
        raise


def _to_the_end(
    trainer: Trainer,
    state_path: Path,
    report: Callable[[Progress], None],
    keep: Callable[[Row], None],
    should_stop: Callable[[], bool],
) -> None:
    saved_at = time.monotonic()

    def save() -> None:
        nonlocal saved_at
        trainer.save(state_path)
        saved_at = time.monotonic()

    trainer.clock.start()
    while not trainer.is_done():
        if trainer.is_row_due():
            if trainer.validation is not None:
                save()
            keep(trainer.write_row(should_stop))
            if trainer.validation is not None:
                save()
            continue
        if trainer.step_in_epoch == 0:
            trainer.begin_epoch()
        for batch in trainer.batches(trainer.step_in_epoch):
            if should_stop():
                raise StoppedError
            loss, psnr = trainer.step(batch)
            report(Progress(trainer.steps_done, trainer.steps, trainer.epoch, loss, psnr))
            if time.monotonic() - saved_at > SAVE_EVERY_S:
                save()
            if trainer.is_row_due():
                break  # the epoch goes on once the row is written, with the batches that are left of it, if any
        else:  # none are left, and no row is due
            trainer.end_epoch()
