"""The copy of the last frame as a prediction: what a score is worth without any network.

Every AUC of ours stands beside this one: a model that tells anomalies no better has learned nothing
of the scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from pathlib import Path

import numpy as np
import torch

from lookout.models.arrays import Floats, Pixels
from lookout.models.data.clips import whole_clip
from lookout.models.data.labels import FrameLabels
from lookout.models.evaluation.frames import FrameMetrics, frame_metrics
from lookout.models.media.preprocess import Preprocess
from lookout.models.scoring.local import LocalScore
from lookout.models.scoring.metrics import psnr_db
from lookout.models.vision.tensors import as_levels, heatmap
from lookout.models.vision.zones import ZoneMask


@dataclass(frozen=True, slots=True)
class CopyScores:
    """The scores of x̂_t = x_{t-1} of one clip, one entry a frame; nan for the first."""

    psnr_db: Floats  # (N,)
    local_db: Floats  # (N,), of `LocalScore`


def copy_scores(clip: Pixels) -> CopyScores:
    """Score a clip, (N, H, W, 3) uint8 RGB, by the copy of each frame's predecessor."""
    local = LocalScore()
    psnr = [nan]
    worst = [nan]
    for number in range(1, len(clip)):
        pair = torch.from_numpy(clip[number - 1 : number + 1]).permute(0, 3, 1, 2).float()
        error = ((pair[1:] - pair[:1]) / 255).square()  # (1, 3, H, W), peak 1
        psnr.append(float(psnr_db(error)))
        worst.append(local.update((0, number), as_levels(heatmap(error))[0]))
    return CopyScores(np.array(psnr), np.array(worst))


def copy_last_metrics(
    paths: list[Path],
    preprocess: Preprocess,
    scored: dict[str, range],
    labels: dict[str, FrameLabels],
    zones: ZoneMask | None = None,
) -> dict[str, FrameMetrics]:
    """Return the frame metrics of the copy: "psnr" and "local", causal and not normalised.

    scored: the frames of each clip that count, such as those that a model scores; labels: theirs.
    zones: ignored ones are hidden.
    Raises VideoError and DataError for a clip that cannot be read.
    """
    psnr: dict[str, Floats] = {}
    local: dict[str, Floats] = {}
    for path in paths:
        frames = scored[path.stem]
        clip = whole_clip(path, preprocess, frames.stop)
        if zones is not None:
            clip = zones.hide(clip)
        scores = copy_scores(clip)
        psnr[path.stem] = -scores.psnr_db[frames.start : frames.stop]
        local[path.stem] = scores.local_db[frames.start : frames.stop]
    return {"psnr": frame_metrics(labels, psnr), "local": frame_metrics(labels, local)}
