"""What a training is watched by: PSNR of held-out normal clips, and AUC of anomalies that are made into them.

The memory stays as trained. The anomalous frames are held against the normal ones of the held-out clips by their live
value, with the bounds of those normal frames; test clips and their labels have no part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from lookout.models.base import Config
from lookout.models.data.clips import Footage
from lookout.models.data.synthetic_anomalies import KINDS, Anomaly, draw, with_anomaly
from lookout.models.errors import DataError, TrainingError
from lookout.models.media.preprocess import Pixels
from lookout.models.scoring.calibration import Bounds, causal_value

MOST_WINDOWS = 1000
"""Of the normal ones, and of each kind of anomaly: of more, every n-th is taken."""

BATCH = 8

Floats = npt.NDArray[np.float64]

Score = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(B, T, H, W, 3) uint8 RGB → PSNR in dB and distance, (B,) each."""


class Measured(NamedTuple):
    psnr_db: float  # mean over the normal windows
    auc_percent: (
        float | None
    )  # of all kinds together; None where the clips are too short for any anomaly
    auc_percent_of: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class _Window:
    clip: int
    first: int
    anomaly: Anomaly | None = None


class Validation:
    """Held-out clips and the anomalies in them: the same windows at every measurement, which the seed decides."""

    def __init__(self, footage: Footage, config: Config, seed: int) -> None:
        self.footage, self.fusion_weight = footage, config.fusion_weight
        self.normal = _thinned([_Window(clip, first) for clip, first in footage.windows.tolist()])
        scored = config.input_spec.scored
        self.abnormal = {
            kind: _thinned(list(self._windows(kind, (seed, number), scored)))
            for number, kind in enumerate(KINDS)
        }

    def _windows(self, kind: str, key: tuple[int, int], scored: int) -> Iterator[_Window]:
        """Those whose scored frame is abnormal: one anomaly a clip."""
        seed, of_kind = key
        for number, clip in enumerate(self.footage.clips):
            anomaly = draw(kind, clip, self.footage.t_length, scored, (seed, number, of_kind))
            for frame in anomaly.abnormal:
                yield _Window(number, frame - scored, anomaly)

    def measure(self, score: Score) -> Measured:
        """Raises TrainingError where the network gives something that is no number."""
        psnr, distance = self._scores(self.normal, score)
        bounds = Bounds.of(psnr, distance)
        normal = self._values(psnr, distance, bounds)
        values = {
            kind: self._values(*self._scores(found, score), bounds)
            for kind, found in self.abnormal.items()
        }
        together = np.concatenate(list(values.values()))
        aucs = {kind: _auc_percent(normal, found) for kind, found in values.items()}
        return Measured(float(psnr.mean()), _auc_percent(normal, together), aucs)

    def _scores(self, windows: list[_Window], score: Score) -> tuple[Floats, Floats]:
        """PSNR and distance, one entry a window."""
        if not windows:
            return np.empty(0), np.empty(0)
        batches = (windows[start : start + BATCH] for start in range(0, len(windows), BATCH))
        found = [
            score(torch.from_numpy(np.stack([self._pixels(window) for window in batch])))
            for batch in batches
        ]
        psnr, distance = (_together(column) for column in zip(*found, strict=True))
        if not (np.isfinite(psnr).all() and np.isfinite(distance).all()):
            raise TrainingError(
                "the scores of the held-out clips are no numbers: try a smaller learning rate"
            )
        return psnr, distance

    def _pixels(self, window: _Window) -> Pixels:
        """(T, H, W, 3) uint8 RGB."""
        clip, frames = (
            self.footage.clips[window.clip],
            range(window.first, window.first + self.footage.t_length),
        )
        if window.anomaly is None:
            return clip[frames.start : frames.stop]
        return with_anomaly(clip, window.anomaly, frames)

    def _values(self, psnr: Floats, distance: Floats, bounds: Bounds) -> Floats:
        pairs = zip(psnr.tolist(), distance.tolist(), strict=True)
        return np.array(
            [causal_value(one, other, bounds, self.fusion_weight) for one, other in pairs],
            np.float64,
        )


def split(footage: Footage, share: float, seed: int) -> tuple[Footage, Footage]:
    """To train on, and held out: `share` of the clips, at least one, which the seed chooses; of a single clip its end.

    Raises DataError where too little is left of it.
    """
    names = footage.names
    if len(names) == 1:
        return _split_in_time(footage, share)
    count = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = set(np.random.default_rng(seed).permutation(len(names))[:count].tolist())
    kept, held = (
        {name: footage.parts(name) for i, name in enumerate(names) if (i in chosen) is wanted}
        for wanted in (False, True)
    )
    return Footage.of_parts(kept, footage.t_length), Footage.of_parts(held, footage.t_length)


def _split_in_time(footage: Footage, share: float) -> tuple[Footage, Footage]:
    """The parts before and after one frame; what is then too short for a window is left out."""
    (name,), t_length = footage.names, footage.t_length
    frames = sum(map(len, footage.clips))
    cut = frames - max(t_length, round(share * frames))
    ends = np.cumsum([len(clip) for clip in footage.clips]).tolist()
    at = [
        min(max(cut - end + len(clip), 0), len(clip))
        for clip, end in zip(footage.clips, ends, strict=True)
    ]
    before = [clip[:first] for clip, first in zip(footage.clips, at, strict=True)]
    after = [clip[first:] for clip, first in zip(footage.clips, at, strict=True)]
    kept, held = ([part for part in parts if len(part) >= t_length] for parts in (before, after))
    if not kept or not held:
        raise DataError(f"{name} has {frames} frames: too few to train on some and hold out others")
    return Footage.of_parts({name: kept}, t_length), Footage.of_parts({name: held}, t_length)


def _thinned(windows: list[_Window]) -> list[_Window]:
    step = max(1, -(-len(windows) // MOST_WINDOWS))
    return windows[::step]


def _together(column: tuple[Tensor, ...]) -> Floats:
    return torch.cat(column).double().cpu().numpy()


def _auc_percent(normal: Floats, abnormal: Floats) -> float | None:
    if not len(abnormal):
        return None
    truth = np.repeat((0, 1), (len(normal), len(abnormal)))
    return 100 * float(roc_auc_score(truth, np.concatenate([normal, abnormal])))
