"""Measure what a camera shows by each score, in drawn scenes where little moves.

    python -m tests.bench.fused [KIND...] [--minutes 10] [--checkpoint CHECKPOINT]

A camera with a network and a memory of places sees so many minutes of normal footage, from which it
learns its bounds and its memory, and then as many with labelled anomalies, from which it goes on to
learn as a camera does. Printed for the local score, for places and for both (`fused`): events
noticed at the default threshold, false alarms an hour, and frame AUC; beside them that of the local
score of a copy of the last frame.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score

from lookout.models.arrays import Floats, Pixels
from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.data.drawn_scene import FPS, KINDS, DrawnScene, SceneKind
from lookout.models.evaluation.clip_scores import ClipScorer, ClipScores
from lookout.models.evaluation.events import ClipSeries, event_metrics
from lookout.models.evaluation.live_scoring import live_values
from lookout.models.scorer import Scorer
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.models.scoring.local import LocalScore
from lookout.models.scoring.normalizer import LEARN_FRAMES, Normalizer, Scheme
from lookout.models.scoring.place_state import PlaceState
from lookout.models.vision.tensors import as_levels, heatmap
from lookout.service.core.settings import SHIPPED_MODELS
from tests.bench.poisoned import START_HOUR

ANOMALIES_PER_HOUR = 120.0
SEED = 3
SCHEMES: tuple[Scheme, ...] = ("local", "places", "fused")
START = SHIPPED_MODELS / "general.safetensors"


def last_frame_scores(clip: Pixels) -> Floats:
    """Return the local score of a copy of the last frame, in dB, (N - 1,), of (N, H, W, 3) RGB."""
    score = LocalScore()
    found = []
    for number in range(1, len(clip)):
        pair = torch.from_numpy(clip[number - 1 : number + 1]).permute(0, 3, 1, 2).float() / 255
        errors = as_levels(heatmap((pair[1:] - pair[:1]).square()))  # (1, 64, 64)
        found.append(score.update((0, number), errors[0]))
    return np.array(found)


def settled_frames(normal: int) -> int:
    """Return how many frames of so many are behind the bounds that have settled in them."""
    bounds = LEARN_FRAMES // 2
    spent = 2 * bounds  # the memory's warm-up, and the first bounds
    while spent + 2 * bounds <= normal:
        bounds *= 2
        spent += bounds
    return bounds


def line(name: str, values: Floats, labels: npt.NDArray[np.uint8]) -> str:
    """Return the figures of a score's values of the last frames that have labels."""
    labels = labels[-len(values) :]
    auc = 100 * float(roc_auc_score(labels, values))
    if name == "copy of the last frame":
        return f"  {name:22} frame AUC {auc:.1f} %"
    found = event_metrics({"test": ClipSeries(0, 0, FPS, values, labels)}, AlertPolicy())
    noticed = len(found.events) * (found.recall_percent or 0.0) / 100
    return (
        f"  {name:22} frame AUC {auc:.1f} %, {noticed:.0f} of {len(found.events)} events noticed, "
        f"{found.false_alarms_per_hour or 0.0:.1f} false alarms an hour"
    )


def scored(
    checkpoint: Path, normal: Pixels, test: Pixels, settled: int
) -> tuple[ClipScores, ClipScores]:
    """Return the scores of both clips of one camera, (N, H, W, 3) uint8 RGB each."""
    scorer = Scorer(load_checkpoint(checkpoint), "cpu", "bf16")
    memory = PlaceState(LEARN_FRAMES // 2)
    values = Normalizer(None, LEARN_FRAMES // 2, "fused", settled_frames=settled)
    clips = ClipScorer(scorer, normalizer=values, places=memory)
    return clips.score("normal", normal), clips.score("test", test)


def report(kind: SceneKind, frames: int, checkpoint: Path) -> Iterator[str]:
    """Yield the lines of a scene: so many frames are learned, and as many scored."""
    tested = DrawnScene(
        kind,
        SEED,
        start_hour=START_HOUR + frames / FPS / 3600,
        anomalies_per_hour=ANOMALIES_PER_HOUR,
    )
    normal = np.stack(list(DrawnScene(kind, SEED, start_hour=START_HOUR).frames(frames)))
    test = np.stack(list(tested.frames(frames)))
    labels = np.array([tested.is_abnormal(index) for index in range(frames)], np.uint8)
    settled = settled_frames(frames)
    clips = scored(checkpoint, normal, test, settled)
    yield f"{kind}, {frames} frames learned, bounds of the last {settled}, {frames} scored"
    yield line("copy of the last frame", last_frame_scores(test), labels)
    for scheme in SCHEMES:
        camera = Normalizer(None, LEARN_FRAMES // 2, scheme, settled_frames=settled)
        live_values([clips[0]], camera)
        yield line(scheme, live_values([clips[1]], camera)["test"], labels)


def main() -> None:
    """Print the figures of every scene."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--checkpoint", type=Path, default=START)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for kind in asked.kinds:
        for words in report(kind, round(asked.minutes * 60 * FPS), asked.checkpoint):
            print(words, flush=True)


if __name__ == "__main__":
    main()
