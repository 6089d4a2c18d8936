"""Measure how much a job of learning loses where part of its footage is abnormal.

    python -m tests.bench.poisoned_job [--minutes 6] [--training 2] [--share 0.05]

As `tests.bench.poisoned` does of a memory of places: the same traffic of a drawn scene twice, once
with anomalies in so large a share of the frames. A job's own code leaves the strangest segments
out, trains and calibrates; the local score of each checkpoint then meets the same footage that
follows.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.data.drawn_scene import FPS, KINDS, DrawnScene, SceneKind
from lookout.models.evaluation.events import ClipSeries, event_metrics
from lookout.models.evaluation.shadow import scorer_of
from lookout.models.scoring.alert_policy import AlertPolicy
from tests.bench.learn_public import START, learn
from tests.bench.poisoned import ANOMALIES_PER_HOUR, START_HOUR, Learned, footage

SEED = 3


def measure(kind: SceneKind, frames: int, share: float, minutes: float) -> Learned:
    """Train so many minutes on so many frames, of which a share is abnormal; score as many more."""
    pixels, abnormal = footage(kind, SEED, frames, share)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, _ = learn([(pixels, float(FPS))], Path(folder), START, minutes)
        scorer = scorer_of(load_checkpoint(checkpoint), "local")
    tested = DrawnScene(
        kind,
        SEED,
        start_hour=START_HOUR + frames / FPS / 3600,
        anomalies_per_hour=ANOMALIES_PER_HOUR,
    )
    scored = scorer.score("test", np.stack(list(tested.frames(frames))))
    labels = np.array([tested.is_abnormal(index) for index in range(scored.first, frames)])
    watched = {"test": ClipSeries(scored.first, 0, FPS, scored.value, labels)}
    found = event_metrics(watched, AlertPolicy())
    return Learned(
        100 * float(abnormal.mean()),
        len(found.events),
        found.recall_percent or 0.0,
        found.false_alarms_per_hour or 0.0,
        100 * float(roc_auc_score(labels, scored.local_db)),
    )


def report(minutes: float, training: float, share: float) -> Iterator[str]:
    """Yield two lines a scene: learned clean, and poisoned."""
    frames = round(minutes * 60 * FPS)
    for kind in KINDS:
        for part in (0.0, share):
            yield f"{kind:9} {measure(kind, frames, part, training).line()}"


def main() -> None:
    """Print both figures of every scene."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=6.0, help="of footage")
    parser.add_argument("--training", type=float, default=2.0, help="minutes of training")
    parser.add_argument("--share", type=float, default=0.05)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for line in report(asked.minutes, asked.training, asked.share):
        print(line, flush=True)


if __name__ == "__main__":
    main()
