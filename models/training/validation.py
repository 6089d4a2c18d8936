"""Validation of a run: PSNR of held-out normal clips, and AUC of synthetic anomalies in them.

The memory stays as trained. Abnormal frames are compared to the normal ones of the held-out clips
by their live value, with the bounds of those normal frames. Test clips and labels have no part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from lookout.models.arrays import Floats, Pixels
from lookout.models.base import AnyModel, Config, measure
from lookout.models.checkpoint.file import Checkpoint
from lookout.models.data.clips import Reading
from lookout.models.data.footage import Footage
from lookout.models.data.synthetic_anomalies import KINDS, Anomaly, draw, with_anomaly
from lookout.models.errors import DataError, TrainingError
from lookout.models.scoring.calibration import Bounds, causal_value
from lookout.models.scoring.metrics import psnr_db as psnr_of
from lookout.models.vision.tensors import to_clips

MAX_WINDOWS = 1000
"""Normal windows that are measured, and windows of each kind of anomaly: an even selection."""

BATCH = 8


ScoreClips = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(B, T, H, W, 3) uint8 RGB → PSNR in dB and distance, (B,) each."""


class HeldOutMetrics(NamedTuple):
    """One measurement. An AUC is None where the clips are too short for that anomaly."""

    psnr_db: float  # mean over the normal windows
    auc_percent: float | None  # of all kinds together
    auc_percent_of: dict[str, float | None]  # by kind


@dataclass(frozen=True, slots=True)
class ClipWindow:
    """A window of held-out footage, with an anomaly or without."""

    clip: int
    first: int  # frame
    anomaly: Anomaly | None = None


class Validation:
    """Held-out clips and the anomalies in them: the same windows at every measurement."""

    def __init__(self, footage: Footage, config: Config, seed: int) -> None:
        """Draw the anomalies; `seed` decides them."""
        self.footage = footage
        self.fusion_weight = config.fusion_weight
        self.normal = even_selection(
            [ClipWindow(clip, first) for clip, first in footage.windows.tolist()]
        )
        scored = config.input_spec.scored
        self.abnormal = {
            kind: even_selection(list(self.abnormal_windows(kind, number, scored, seed)))
            for number, kind in enumerate(KINDS)
        }

    def abnormal_windows(
        self, kind: str, number: int, scored: int, seed: int
    ) -> Iterator[ClipWindow]:
        """Yield the windows whose scored frame is abnormal, with one anomaly a clip.

        `number` is that of the kind, `scored` the scored frame of a window.
        """
        for clip, pixels in enumerate(self.footage.clips):
            key = (seed, clip, number)
            anomaly = draw(kind, pixels, self.footage.t_length, scored, key)
            for frame in anomaly.abnormal:
                yield ClipWindow(clip, frame - scored, anomaly)

    def measure(self, score: ScoreClips) -> HeldOutMetrics:
        """Return PSNR and AUC. Raises TrainingError where a score is not finite."""
        psnr_db, distance = self.scores(self.normal, score)
        bounds = Bounds.of(psnr_db, distance)
        normal = self.values(psnr_db, distance, bounds)
        abnormal = {
            kind: self.values(*self.scores(windows, score), bounds)
            for kind, windows in self.abnormal.items()
        }
        together = np.concatenate(list(abnormal.values()))
        return HeldOutMetrics(
            float(psnr_db.mean()),
            auc_percent(normal, together),
            {kind: auc_percent(normal, values) for kind, values in abnormal.items()},
        )

    def scores(self, windows: list[ClipWindow], score: ScoreClips) -> tuple[Floats, Floats]:
        """Return PSNR in dB and distance, an entry a window. Raises TrainingError."""
        if not windows:
            return np.empty(0), np.empty(0)
        psnr: list[Tensor] = []
        distance: list[Tensor] = []
        for start in range(0, len(windows), BATCH):
            clips = [self.pixels(window) for window in windows[start : start + BATCH]]
            batch_psnr, batch_distance = score(torch.from_numpy(np.stack(clips)))
            psnr.append(batch_psnr)
            distance.append(batch_distance)
        columns = [torch.cat(parts).double().cpu().numpy() for parts in (psnr, distance)]
        if not all(np.isfinite(column).all() for column in columns):
            raise TrainingError(
                "the scores of the held-out clips are no numbers: try a smaller learning rate"
            )
        return columns[0], columns[1]

    def pixels(self, window: ClipWindow) -> Pixels:
        """Return the frames of a window, (T, H, W, 3) uint8 RGB."""
        clip = self.footage.clips[window.clip]
        frames = range(window.first, window.first + self.footage.t_length)
        if window.anomaly is None:
            return clip[frames.start : frames.stop]
        return with_anomaly(clip, window.anomaly, frames)

    def values(self, psnr_db: Floats, distance: Floats, bounds: Bounds) -> Floats:
        """Return the live value of each pair of PSNR and distance."""
        pairs = zip(psnr_db.tolist(), distance.tolist(), strict=True)
        return np.array(
            [causal_value(psnr, other, bounds, self.fusion_weight) for psnr, other in pairs],
            np.float64,
        )


def score_clips(model: AnyModel, clips: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """Return PSNR in dB and distance, (B,) each; the memory stays as it is.

    clips: (B, C T, H, W), as the model takes them; items: (M, D), one memory for all.
    """
    output = measure(model, clips, items.expand(len(clips), -1, -1))  # (B, M, D)
    return psnr_of(output.map), output.distance


@torch.no_grad()
def measure_checkpoint(
    checkpoint: Checkpoint, clips: list[Path], seed: int, on_frame: Callable[[], None]
) -> HeldOutMetrics:
    """Measure a checkpoint on held-out clips, as a run with the same seed measures its model.

    `on_frame` is called for each decoded frame and each batch: what it raises ends the measurement.
    Raises VideoError, DataError, and TrainingError where a score is not finite.
    """
    config = checkpoint.config
    spec = config.input_spec
    reading = Reading(None, lambda _: None, on_frame)
    footage = Footage.load(clips, checkpoint.preprocess, spec.frames, reading)

    def score(pixels: Tensor) -> tuple[Tensor, Tensor]:
        on_frame()
        normalised = to_clips(pixels, torch.device("cpu"), gray=spec.gray, black=spec.black)
        return score_clips(checkpoint.model, normalised, checkpoint.items)

    return Validation(footage, config, seed).measure(score)


def split(footage: Footage, share: float, seed: int) -> tuple[Footage, Footage]:
    """Return what to train on and what to hold out.

    Held out is `share` of the clips, at least one, which the seed chooses; of a single clip its
    end. Raises DataError where too little is left of it.
    """
    names = footage.names
    if len(names) == 1:
        return split_in_time(footage, share)
    count = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = set(np.random.default_rng(seed).permutation(len(names))[:count].tolist())
    kept: dict[str, list[Pixels]] = {}
    held_out: dict[str, list[Pixels]] = {}
    for number, name in enumerate(names):
        side = held_out if number in chosen else kept
        side[name] = footage.parts(name)
    t_length = footage.t_length
    return Footage.of_parts(kept, t_length), Footage.of_parts(held_out, t_length)


def split_in_time(footage: Footage, share: float) -> tuple[Footage, Footage]:
    """Return the parts of a single recording before and after one frame.

    A part that is then too short for a window is left out. Raises DataError where no part is left
    on one side.
    """
    (name,) = footage.names
    t_length = footage.t_length
    frames = sum(map(len, footage.clips))
    left = frames - max(
        t_length, round(share * frames)
    )  # frames to train on that are still to come
    before: list[Pixels] = []
    after: list[Pixels] = []
    for clip in footage.clips:
        cut = min(max(left, 0), len(clip))
        before.append(clip[:cut])
        after.append(clip[cut:])
        left -= len(clip)
    kept = [part for part in before if len(part) >= t_length]
    held_out = [part for part in after if len(part) >= t_length]
    if not kept or not held_out:
        raise DataError(f"{name} has {frames} frames: too few to train on some and hold out others")
    return Footage.of_parts({name: kept}, t_length), Footage.of_parts({name: held_out}, t_length)


def even_selection(windows: list[ClipWindow]) -> list[ClipWindow]:
    """Return every n-th window, at most MAX_WINDOWS of them."""
    step = max(1, -(-len(windows) // MAX_WINDOWS))
    return windows[::step]


def auc_percent(normal: Floats, abnormal: Floats) -> float | None:
    """Return the area under the ROC curve in percent; None without an abnormal value."""
    if not len(abnormal):
        return None
    truth = np.repeat((0, 1), (len(normal), len(abnormal)))
    return 100 * float(roc_auc_score(truth, np.concatenate([normal, abnormal])))
