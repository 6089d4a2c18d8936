"""The process of a replay's job: `python -m lookout.service.replay.process FOLDER`.

It scores the recording from a copy of the camera, on one thread at the lowest priority: the live
scores come first. Killed, the same call begins again.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from pathlib import Path

import msgspec
import torch

from lookout.models.media.atomic_file import write_bytes
from lookout.models.media.clip_reader import read_info
from lookout.service.core.schedule import zone_of
from lookout.service.core.settings import Settings
from lookout.service.learning.reports import (
    Print,
    ShouldStop,
    TrainingReport,
    print_report,
    require_file,
    run_task,
    still_there,
)
from lookout.service.replay.files import scored_to_the_end
from lookout.service.replay.kept_frames import KeptFrames
from lookout.service.replay.played_frames import PlayedFrames
from lookout.service.replay.recording import ReplaySource
from lookout.service.replay.replay import Replay, ReplayStep, task_scorer
from lookout.service.storage.replay_files import ReplayFiles, ReplayTask

REPORT_EVERY_S = 0.5


class ReplayStoppedError(Exception):
    """The process is to end."""


def replay(files: ReplayFiles, stop: ShouldStop, report: Print) -> TrainingReport | None:
    """Replay the recording to its end; return the last report, None once `stop` says so.

    Raises one of EXPLAINED for what cannot be replayed.
    """
    task = still_there(files.task())
    copy = task.camera_copy()
    scorer = task_scorer(task)
    settings = copy.apply_settings(Settings())
    run = Replay(copy, task.replay_options(), settings, scorer)
    source, duration_s = source_of(task, run, settings)
    due_s = 0.0

    def on_step(step: ReplayStep) -> None:
        nonlocal due_s
        if stop():
            raise ReplayStoppedError
        if duration_s and time.monotonic() >= due_s:
            due_s = time.monotonic() + REPORT_EVERY_S
            report(TrainingReport(progress=min(1.0, step.at_s / duration_s)))

    with contextlib.suppress(ReplayStoppedError):
        scored_to_the_end(run, source, files.files, copy.fps, on_step)
        return TrainingReport(progress=1.0, left_s=0.0)
    return None


def source_of(task: ReplayTask, run: Replay, settings: Settings) -> tuple[ReplaySource, float]:
    """Return the frames of a task, and their length (s); 0 where nothing says it.

    Raises FootageError where there are none, VideoError where the recording cannot be read.
    """
    path = Path(task.path)
    if task.ends_at is not None:
        period_s = (run.began_s, task.ends_at)
        zone = zone_of(settings.timezone)
        size = run.scorer.checkpoint.preprocess
        if task.plays:
            file = Path(task.plays)
            ended_at = task.played_at + (read_info(file).duration_s or math.inf)
            if task.played_at <= task.ends_at and run.began_s <= ended_at:
                played = PlayedFrames(run.recording(file, task.played_at), *period_s)
                return played, task.ends_at - run.began_s
        return KeptFrames.of(path, run.camera, size, period_s, zone), task.ends_at - run.began_s
    require_file(path)
    return run.recording(path), read_info(path).duration_s


def main(folder: Path) -> int:
    """Replay for the job of a folder; return the exit code: 0 for a report that is the last."""
    files = ReplayFiles(folder)
    torch.set_num_threads(1)

    def finish(last: TrainingReport) -> None:
        write_bytes(files.result, msgspec.json.encode(last))

    return run_task(files.lock, lambda stop: replay(files, stop, print_report), finish)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
