"""The process of a replay's job: `python -m lookout.service.replay.process FOLDER`.

It scores the recording from a copy of the camera, on one thread at the lowest priority: the live
scores come first. Killed, the same call begins again.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import msgspec
import torch

from lookout.models.errors import DataError
from lookout.models.media.atomic_file import write_bytes
from lookout.models.media.clip_reader import read_info
from lookout.service.core.settings import Settings
from lookout.service.learning.reports import (
    Print,
    ShouldStop,
    TrainingReport,
    print_report,
    run_task,
)
from lookout.service.replay.files import scored_to_the_end
from lookout.service.replay.replay import Replay, ReplayStep, task_scorer
from lookout.service.storage.replay_files import ReplayFiles

REPORT_EVERY_S = 0.5


class ReplayStoppedError(Exception):
    """The process is to end."""


def replay(files: ReplayFiles, stop: ShouldStop, report: Print) -> TrainingReport | None:
    """Replay the recording to its end; return the last report, None once `stop` says so.

    Raises one of EXPLAINED for what cannot be replayed.
    """
    task = files.task()
    if task is None:
        raise DataError("the files of the job are gone")
    path = Path(task.path)
    if not path.is_file():
        raise DataError(f"{path.name}: there is no such file in the media folder")
    copy = task.camera_copy()
    scorer = task_scorer(task)
    duration_s = read_info(path).duration_s
    due_s = 0.0

    def on_step(step: ReplayStep) -> None:
        nonlocal due_s
        if stop():
            raise ReplayStoppedError
        if duration_s and time.monotonic() >= due_s:
            due_s = time.monotonic() + REPORT_EVERY_S
            report(TrainingReport(progress=min(1.0, step.at_s / duration_s)))

    settings = copy.apply_settings(Settings())
    run = Replay(copy, task.replay_options(), settings, scorer)
    with contextlib.suppress(ReplayStoppedError):
        scored_to_the_end(run, path, files.files, copy.fps, on_step)
        return TrainingReport(progress=1.0, left_s=0.0)
    return None


def main(folder: Path) -> int:
    """Replay for the job of a folder; return the exit code: 0 for a report that is the last."""
    files = ReplayFiles(folder)
    torch.set_num_threads(1)

    def finish(last: TrainingReport) -> None:
        write_bytes(files.result, msgspec.json.encode(last))

    return run_task(files.lock, lambda stop: replay(files, stop, print_report), finish)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
