"""The process that trains one job: `python -m lookout.service.learning.trainer FOLDER`.

It trains on the job's footage, from the checkpoint that predicts it best, calibrates the best of
the run on the held-out footage, and prints a report a line. One thread at the lowest priority: the
live scores come first. Killed, the same call goes on where it was; its time is what it computed,
so that a pause costs none.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from lookout.models.checkpoint.file import load_checkpoint, save_checkpoint
from lookout.models.data.clips import Reading, train_clips
from lookout.models.evaluation.calibrate import calibrate
from lookout.models.training.options import FineTuning, TrainOptions
from lookout.models.training.part_weights import measure_parts
from lookout.models.training.progress import LogEntry, RunProgress
from lookout.models.training.run import TrainRequest, run
from lookout.models.training.selection import StrangeClip, best_start, strangest
from lookout.models.training.trainer import StoppedError
from lookout.models.training.validation import HeldOutMetrics, measure_checkpoint
from lookout.service.core.jobs import HeldOut
from lookout.service.learning.reports import (
    Print,
    ShouldStop,
    TrainingReport,
    print_report,
    run_task,
    still_there,
)
from lookout.service.learning.training_files import TrainingFiles, TrainingRequest

EPOCHS = 10_000  # the time ends it first
LEARNING_RATE = 5e-4
"""The best of 1e-4, 5e-4 and 2e-3 after a minute on Ped1; docs/learning.md has the figures."""

ENTRY_EVERY_STEPS = 400
STRANGEST_SHARE = 0.1
"""Of the footage, left out of training: some of it may be abnormal, though no alert was open."""

PATIENCE = 5
"""Entries in a row without a better held-out PSNR end the training early."""

REPORT_EVERY_S = 0.5
CALIBRATING = 0.95
"""Share of the progress at which training ends and calibration begins."""


class ReportingObserver:
    """Turns what a run says into reports. An `Observer` of `lookout.models.training.run`."""

    def __init__(self, limit_s: float, known: TrainingReport, report: Print) -> None:
        """known: what each report says, beside progress and the best figures so far."""
        self._limit_s = limit_s
        self._known = known
        self._report = report
        self._best: HeldOut | None = None
        self._due_s = 0.0

    def on_message(self, text: str) -> None:
        """Pass over a line for a terminal."""

    def on_progress(self, progress: RunProgress) -> None:
        """Report the progress, twice a second."""
        if time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + REPORT_EVERY_S
        share = progress.step / max(1, progress.steps)
        if progress.left_s is not None:
            share = max(share, 1 - progress.left_s / self._limit_s)
        share *= CALIBRATING
        known = self._known
        self._report(replace(known, progress=share, left_s=progress.left_s, after=self._best))

    def on_log_entry(self, entry: LogEntry) -> None:
        """Keep the figures of the best entry so far."""
        if entry.best and entry.held_out is not None:
            self._best = HeldOut(entry.held_out["psnr_db"], entry.held_out["auc_percent"])


def train(
    files: TrainingFiles, request: TrainingRequest, stop: ShouldStop, report: Print
) -> TrainingReport:
    """Train, calibrate and return the last report.

    Raises StoppedError, with the state saved, once `stop` returns True; one of EXPLAINED for what
    cannot be trained on.
    """

    def on_frame() -> None:
        if stop():
            raise StoppedError

    paths = files.candidates(request.present)
    chosen = paths[0]
    if len(paths) > 1:
        chosen = best_start(paths, train_clips(files.held_out), on_frame)
        files.choose_start(chosen)
    start = load_checkpoint(chosen)
    if files.remove_left_out() is None:
        clips = [*train_clips(files.train), *train_clips(files.held_out)]
        judged = [clip for clip in clips if clip.name not in request.included]
        strange = strangest(start, judged, STRANGEST_SHARE, on_frame)
        files.leave_out(but_for_one(strange, files.held_out))
    left_out = files.remove_left_out() or 0
    held_out = train_clips(files.held_out)
    before = figures(measure_checkpoint(start, held_out, request.number, on_frame))
    known = TrainingReport(before=before, left_out=left_out, started_from=chosen.stem)
    report(known)
    options = TrainOptions(
        epochs=EPOCHS,
        learning_rate=LEARNING_RATE,
        seed=request.number,
        log_every=ENTRY_EVERY_STEPS,
        patience=PATIENCE,
        limit_s=request.limit_s,
        fine_tuning=FineTuning(),
    )
    run(
        TrainRequest(
            files.train,
            files.out,
            start=chosen,
            validate=files.held_out,
            options=options,
            provenance={
                "learned": {
                    "camera": request.camera,
                    "job": request.number,
                    "started_from": chosen.stem,
                }
            },
        ),
        ReportingObserver(request.limit_s, known, report),
        stop,
        time.process_time,  # a pause and the priority of others cost none of it
    )
    report(replace(known, progress=CALIBRATING))
    trained = load_checkpoint(files.out)
    entry = trained.provenance["row"]["held_out"]
    after = HeldOut(entry["psnr_db"], entry["auc_percent"])
    done = calibrate(trained, held_out, reading=Reading(), on_frame=on_frame)
    save_checkpoint(
        files.compared, calibrate(start, held_out, reading=Reading(), on_frame=on_frame)
    )
    learned = train_clips(files.train)
    parts = measure_parts(done, learned, held_out, request.number, on_frame)
    if parts is not None:
        provenance = {**done.provenance, "parts": asdict(parts)}
        done = replace(done, place_weight=parts.place_weight, provenance=provenance)
    save_checkpoint(files.calibrated, done)
    return replace(known, progress=1.0, left_s=0.0, after=after)


def but_for_one(strange: list[StrangeClip], held_out: Path) -> list[StrangeClip]:
    """Return the strangest clips, the least strange held-out one kept where all of those are."""
    within = [clip for clip in strange if clip.path.parent == held_out]
    if len(within) < len(train_clips(held_out)):
        return strange
    return [clip for clip in strange if clip is not within[-1]]


def figures(metrics: HeldOutMetrics) -> HeldOut:
    """Return the figures of a measurement that a job shows."""
    return HeldOut(metrics.psnr_db, metrics.auc_percent)


def main(folder: Path) -> int:
    """Train the job of a folder; return the exit code: 0 for a report that is the last one."""
    files = TrainingFiles(folder)
    torch.set_num_threads(1)

    def work(stop: ShouldStop) -> TrainingReport | None:
        request = still_there(files.request())
        try:
            return train(files, request, stop, print_report)
        except StoppedError:
            return None

    return run_task(files.lock, work, files.finish)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
