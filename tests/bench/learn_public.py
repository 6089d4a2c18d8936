"""Measure what a job of learning makes of a public scene, by its labels.

    python -m tests.bench.learn_public SCENE... [--minutes 10] [--start CHECKPOINT]

Each SCENE is a folder with normal clips, test clips and labels. Its normal clips become segments,
as the recorder makes them of a camera; then the code of the learning stage holds some out, leaves
the strangest out, and trains for so many minutes of one CPU thread. The start and the new
checkpoint are then evaluated as `lookout evaluate --score fused --normal` does: all causal AUCs
beside those of a copy of the last frame, and the events noticed. Labels are read at the end alone
and choose nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from lookout.models.arrays import Pixels
from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.checkpoint.header import read_header
from lookout.models.data.clips import clip_info, train_clips, whole_clip
from lookout.models.errors import DataError
from lookout.models.evaluation.evaluate import evaluate
from lookout.models.evaluation.report import tables
from lookout.models.scorer import Scorer
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.service.core.jobs import HeldOut
from lookout.service.core.messages import Frame
from lookout.service.core.settings import SHIPPED_MODELS
from lookout.service.learning.footage import FootageFolder
from lookout.service.learning.recorder import Recorder
from lookout.service.learning.reports import TrainingReport
from lookout.service.learning.trainer import train
from lookout.service.learning.training_files import TrainingFiles, TrainingRequest

START = SHIPPED_MODELS / "general.safetensors"


def clips_of(scene: Path, start: Path) -> Iterator[tuple[Pixels, float]]:
    """Yield each normal clip of a scene, (N, H, W, 3) uint8 RGB, and its frame rate.

    Raises DataError where a clip does not say its frame rate, VideoError for an unreadable one.
    """
    size = read_header(start).preprocess
    for path in train_clips(scene):
        fps = clip_info(path).fps
        if fps is None:
            raise DataError(f"{path.name} does not say its frame rate")
        yield whole_clip(path, size, 2), fps


def record(clips: Iterable[tuple[Pixels, float]], folder: Path) -> FootageFolder:
    """Write clips and their frame rates as segments, each clip a session; return them."""
    footage = FootageFolder(folder)
    recorder = Recorder(footage)
    begins_s = time.time()
    for number, (pixels, fps) in enumerate(clips, 1):
        frames = [
            Frame("scene", number, seq, begins_s + seq / fps, one) for seq, one in enumerate(pixels)
        ]
        recorder.take(frames, [], may_write=True)
        begins_s += len(pixels) / fps
    return footage


def learn(
    clips: Iterable[tuple[Pixels, float]], folder: Path, start: Path, minutes: float
) -> tuple[Path, TrainingReport]:
    """Train on clips, with their frame rates, as a job does.

    Return the calibrated checkpoint and the last report.
    """
    footage = record(clips, folder / "footage")
    files = TrainingFiles(folder / "job")
    request = TrainingRequest("scene", 1, 60 * minutes, start.stem)
    files.freeze(footage.segments, {start.stem: start}, request)
    report = train(files, request, lambda: False, lambda _: None)
    return files.calibrated, report


def measure(scene: Path, checkpoint: Path) -> str:
    """Return the lines of an evaluation of a checkpoint on a scene's test clips."""
    scorer = Scorer(load_checkpoint(checkpoint), "cpu", "fp32")
    normal = train_clips(scene)
    found = evaluate(
        scorer, scene, scheme="fused", alarm=AlertPolicy(), normal=normal, regions=False
    )
    return tables.as_lines(found)


def words(figures: HeldOut | None) -> str:
    """Return held-out figures for a person."""
    if figures is None:
        return "none"
    auc = "" if figures.auc_percent is None else f", made anomalies {figures.auc_percent:.1f} %"
    return f"{figures.psnr_db:.2f} dB{auc}"


def report(scene: Path, start: Path, minutes: float) -> Iterator[str]:
    """Yield what is measured of a scene, line by line."""
    with tempfile.TemporaryDirectory() as temporary:
        began_s = time.process_time()
        learned, done = learn(clips_of(scene, start), Path(temporary), start, minutes)
        spent_s = time.process_time() - began_s
        yield (
            f"{scene.name}: {minutes:g} minutes from {start.stem}, {spent_s:.0f} s of CPU in all; "
            f"{done.left_out} segments left out; held out: {words(done.before)} before, "
            f"{words(done.after)} after"
        )
        for name, checkpoint in ((start.stem, start), ("learned", learned)):
            yield f"-- {name}"
            yield measure(scene, checkpoint)


def main() -> None:
    """Print what is measured of every scene."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--start", type=Path, default=START)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for scene in asked.scenes:
        for line in report(scene, asked.start, asked.minutes):
            print(line, flush=True)


if __name__ == "__main__":
    main()
