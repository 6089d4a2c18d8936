"""The training loop: steps, log entries, saved states and the stop of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from lookout.models.training.progress import LogEntry, RunProgress, StepRate
from lookout.models.training.trainer import StoppedError, Trainer

SAVE_EVERY_S = 30.0


def train(
    trainer: Trainer,
    state_path: Path,
    *,
    on_progress: Callable[[RunProgress], None] = lambda _: None,
    on_log_entry: Callable[[LogEntry], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train up to the last epoch, or until patience or the time budget ends the run.

    The state is saved every SAVE_EVERY_S seconds, and before and after held-out clips are
    measured, which may take minutes. `on_progress` is called as the run begins and after each
    step, `on_log_entry` with each entry.

    Raises StoppedError, with the state saved, once `should_stop` returns True between two steps
    or during a measurement; TrainingError where a weight or the loss is not finite.
    """
    rate = StepRate(trainer.steps_done)
    saved_at = time.monotonic()

    def save() -> None:
        nonlocal saved_at
        trainer.save(state_path)
        saved_at = time.monotonic()

    def report(loss: float = math.nan, psnr_db: float = math.nan) -> None:
        step = trainer.steps_done
        on_progress(
            RunProgress(
                checkpoint=state_path.stem,
                step=step,
                steps=trainer.steps,
                epoch=trainer.epoch,
                epochs=trainer.options.epochs,
                loss=loss,
                psnr_db=psnr_db,
                steps_per_s=rate.per_s(step),
                left_s=rate.left_s(step, trainer.steps, trainer.budget.left_s),
            )
        )

    def train_epoch() -> None:
        """Train on the batches that are left of the epoch, or up to the next log entry."""
        if trainer.step_in_epoch == 0:
            trainer.begin_epoch()
        for batch in trainer.batches(trainer.step_in_epoch):
            if should_stop():
                raise StoppedError
            report(*trainer.step(batch))
            if time.monotonic() - saved_at > SAVE_EVERY_S:
                save()
            if trainer.is_log_entry_due():
                return
        trainer.end_epoch()

    trainer.budget.start()
    report()
    try:
        while not trainer.is_done():
            if not trainer.is_log_entry_due():
                train_epoch()
                continue
            if trainer.validation is not None:
                save()
            on_log_entry(trainer.measure(should_stop))
            if trainer.validation is not None:
                save()
    except StoppedError:
        trainer.save(state_path)
        raise
