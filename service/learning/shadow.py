"""The process that compares old and new: `python -m lookout.service.learning.shadow FOLDER`.

It scores the live footage that was recorded after a training, with the checkpoint that the training
started from and with the new one, both with bounds of the same held-out footage. The live line
does not wait for it. Killed, the same call begins again.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import torch

from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.data.clips import train_clips, whole_clip
from lookout.models.evaluation.shadow import SideBySide
from lookout.models.scoring.normalizer import Scheme
from lookout.service.core.jobs import Shadow
from lookout.service.learning.reports import (
    Print,
    ShouldStop,
    TrainingReport,
    print_report,
    run_task,
    still_there,
)
from lookout.service.learning.training_files import TrainingFiles


def compare(files: TrainingFiles, stop: ShouldStop, report: Print) -> TrainingReport | None:
    """Score every clip with both checkpoints; return the last report, None once `stop` says so.

    Raises one of EXPLAINED for what cannot be compared.
    """
    request = still_there(files.shadow_request())
    scheme: Scheme = "paper" if request.score == "paper" else "local"
    old = load_checkpoint(files.compared)
    both = SideBySide(old, load_checkpoint(files.calibrated), scheme, request.threshold, seed=0)
    clips = train_clips(files.shadow)
    last = TrainingReport()
    for number, clip in enumerate(clips, 1):
        if stop():
            return None
        both.add(clip.stem, whole_clip(clip, old.preprocess, old.config.input_spec.frames))
        figures = both.figures()
        if figures is not None:
            last = TrainingReport(number / len(clips), shadow=Shadow(**asdict(figures)))
            report(last)
    return last


def main(folder: Path) -> int:
    """Compare for the job of a folder; return the exit code: 0 for a report that is the last."""
    files = TrainingFiles(folder)
    torch.set_num_threads(1)
    return run_task(
        files.lock, lambda stop: compare(files, stop, print_report), files.finish_shadow
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
