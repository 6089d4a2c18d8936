"""Measure what a still picture saves where its frames take an earlier score, and what that costs.

CPU time, and so cameras per core, of the whole line on quiet drawn scenes; and the AUC of drawn
scenes with anomalies, with and without. CPU times are of processes, so that a busy machine changes
them little; the two are measured in turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.data.drawn_scene import FPS, KINDS, DrawnScene, SceneKind
from lookout.models.device import choose_precision
from lookout.models.evaluation.clip_scores import ClipScorer, ClipScores
from lookout.models.evaluation.frames import frame_metrics
from lookout.models.scorer import Scorer
from lookout.models.scoring.normalizer import Normalizer
from lookout.models.scoring.place_state import PlaceState
from lookout.service.demo.scene import write_clip
from tests.bench.footage import MODEL
from tests.bench.full_pace import measure
from tests.bench.table import Row
from tests.e2e.service_process import Service, running_service

COMMAND = "python -m tests.bench still"
EVERY = 50
QUIET_HOUR = 3.0
BUSY_HOUR = 12.0
LARGEST_LOSS = 0.1
"""Points of AUC."""


@dataclass(frozen=True, slots=True)
class QuietScene:
    """A drawn scene by night, at twice its rate: nobody passes in most of its minutes."""

    kind: SceneKind
    size = DrawnScene.size
    fps = 2 * FPS

    def frames(self, count: int) -> Iterator[np.ndarray]:
        """Yield the first `count` frames."""
        return DrawnScene(self.kind, seed=1, start_hour=QUIET_HOUR).frames(count)


def report(
    folder: Path,
    frames: int = 500,
    scenes: Sequence[SceneKind] = KINDS,
    learned: int = 300,
    repeats: int = 2,
) -> Iterator[Row]:
    """Yield a row of the whole line for each scene, and one of the AUC for each scene and score.

    learned: frames that fill the memory of places, and again as many that set the bounds.
    """
    settings = {"models_dir": MODEL.parent, "media_dir": folder, "live_age_s": 600}
    with running_service(folder / "still", **settings) as service:
        for kind in scenes:
            yield line_row(service, folder, kind, frames, repeats)
    for kind in scenes:
        yield from auc_rows(kind, frames, learned)


def line_row(service: Service, folder: Path, kind: SceneKind, frames: int, repeats: int) -> Row:
    """Return cameras per core, by the CPU time of all processes for a frame."""
    clip = folder / f"quiet-{kind}.mp4"
    write_clip(clip, QuietScene(kind), frames / QuietScene.fps)
    cameras: dict[int, list[float]] = {1: [], EVERY: []}
    for _ in range(repeats):
        for every, found in cameras.items():
            run = measure(service, MODEL.stem, clip, 1, frames, still_frames=every)
            found.append(1000 / sum(run.cpu_ms.values()) / QuietScene.fps)
    return Row(
        f"still scenes, {kind} by night: cameras at 10 fps a core, beside all scored",
        median(cameras[EVERY]),
        COMMAND,
        median(cameras[1]),
        3.0,
        "higher",
    )


def auc_rows(kind: SceneKind, frames: int, learned: int) -> Iterator[Row]:
    """Yield the loss of AUC on a scene by day, with anomalies, by the local and the fused score."""
    scene = DrawnScene(kind, seed=2, start_hour=BUSY_HOUR, anomalies_per_hour=240)
    normal = DrawnScene(kind, seed=2, start_hour=BUSY_HOUR - 2)
    footage = np.stack(list(normal.frames(2 * learned + 4)))
    clip = np.stack(list(scene.frames(frames)))
    labels = np.array([scene.is_abnormal(index) for index in range(frames)], np.uint8)
    every = scored(footage, clip, learned, 1)
    some = scored(footage, clip, learned, EVERY)
    truth = {"clip": labels[every.first :]}
    for name in ("local_db", "value"):
        aucs = [
            frame_metrics(truth, {"clip": getattr(one, name)}).auc_micro for one in (every, some)
        ]
        loss = None
        if aucs[0] is not None and aucs[1] is not None:
            loss = aucs[0] - aucs[1]
        yield Row(
            f"AUC without still frames, less than with: {kind}, {name}, "
            f"{some.reused.mean():.0%} reused (points)",
            loss,
            COMMAND,
            to_reach=LARGEST_LOSS,
        )


def scored(footage: np.ndarray, clip: np.ndarray, learned: int, still_frames: int) -> ClipScores:
    """Return the scores of a clip after normal footage, by the fused score of a new camera."""
    scorer = Scorer(load_checkpoint(MODEL), "cpu", choose_precision("auto", "cpu"))
    scoring = ClipScorer(
        scorer,
        normalizer=Normalizer(None, learned, "fused", settled_frames=learned),
        places=PlaceState(learned),
        still_frames=still_frames,
    )
    scoring.score("normal", footage)
    return scoring.score("clip", clip)
