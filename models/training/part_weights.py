"""The weight of the memory of places beside the local score, by anomalies made into footage.

Which part tells more differs from scene to scene: the memory on one with perspective, a network of
the scene's own on another. A memory learns from the footage that was trained on, and held-out
pieces of footage are scored by both parts, as they are and with an anomaly made into each. The
weight is that of the value which tells the two apart best. No labels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from lookout.models.arrays import Floats, Pixels
from lookout.models.checkpoint.file import Checkpoint
from lookout.models.data.clips import Reading
from lookout.models.data.footage import Footage
from lookout.models.data.synthetic_anomalies import Moving, Running, draw, with_anomaly
from lookout.models.evaluation.clip_scores import ClipScorer
from lookout.models.motion import PlacesConfig
from lookout.models.scorer import Scorer
from lookout.models.scoring.calibration import (
    PLACE_WEIGHT,
    fused,
    narrowed,
    normal_range,
    place_in,
)
from lookout.models.scoring.place_state import PlaceState

WEIGHTS = tuple(number / 10 for number in range(11))

KINDS = ("patch", "box", "runner")
"""Anomalies that can last: a mean over frames takes as many to tell one."""

PIECE_FRAMES = 24
"""Frames of a piece: in more, a made thing would reach the border and stand still."""

MAX_PIECES = 12
"""An even selection of the held-out footage: each piece is scored four times."""

LEARNED_CLIPS = 60
"""Clips that the memory learns from, less than twice as many: an even selection. A job's have some
20 frames, and 1,200 of them take some 20 s."""


@dataclass(frozen=True, slots=True)
class PartScores:
    """Scores of frames by both parts, in dB, (N,) each."""

    local_db: Floats
    place_db: Floats


@dataclass(frozen=True, slots=True)
class PartFigures:
    """AUC of made anomalies in percent: of each part alone, and of both."""

    place_weight: float  # of WEIGHTS
    local: float
    places: float
    fused: float


def measure_parts(
    checkpoint: Checkpoint,
    learned: list[Path],
    held_out: list[Path],
    seed: int,
    on_frame: Callable[[], None],
) -> PartFigures | None:
    """Return the best weight of the memory of places and the figures behind it.

    None where the model takes one frame (motion needs two), and where the held-out clips are
    shorter than the memory's mean. learned: clips of normal footage; seed: decides the anomalies.
    `on_frame` is called for each frame: what it raises ends the measurement.
    Raises VideoError, DataError, and CheckpointError where a score is not finite.
    """
    spec = checkpoint.config.input_spec
    if spec.scored == 0:
        return None
    parts = Parts(checkpoint, on_frame)
    reading = Reading(None, lambda _: None, on_frame)

    def pixels_of(clip: Path) -> list[Pixels]:
        return Footage.load([clip], checkpoint.preprocess, spec.frames, reading).clips

    pieces = [piece for clip in held_out for whole in pixels_of(clip) for piece in parts.cut(whole)]
    if not pieces:
        return None
    for clip in learned[:: max(1, len(learned) // LEARNED_CLIPS)]:
        for whole in pixels_of(clip):
            parts.learn(whole)
    normal = []
    abnormal = []
    for number, piece in enumerate(pieces[:: -(-len(pieces) // MAX_PIECES)]):
        normal.append(parts.score(piece))
        for kind, name in enumerate(KINDS):
            anomaly = draw(name, piece, spec.frames, spec.scored, (seed, number, kind))
            if isinstance(anomaly, (Moving, Running)):
                anomaly = dataclasses.replace(anomaly, abnormal=range(spec.scored, len(piece)))
            abnormal.append(parts.score(with_anomaly(piece, anomaly, range(len(piece)))))
    return best_weight(joined(normal), joined(abnormal))


class Parts:
    """Scores pieces of footage by both parts. The memory of places learns when told to only."""

    def __init__(self, checkpoint: Checkpoint, on_frame: Callable[[], None]) -> None:
        """checkpoint: of a model that takes two frames or more; on_frame: as in `measure_parts`."""
        self._spec = checkpoint.config.input_spec
        self._scorer = Scorer(checkpoint, "cpu", "fp32")
        self._places = PlaceState(0)
        self._settling = PlacesConfig().lasts - 1  # scores of a piece that are no full mean yet
        self._sessions = 0
        self._on_frame = on_frame

    def cut(self, clip: Pixels) -> Iterator[Pixels]:
        """Yield the pieces of a clip, (N, H, W, 3) uint8 RGB, that are long enough for a score."""
        shortest = self._spec.frames + self._settling
        for first in range(0, len(clip) - shortest + 1, PIECE_FRAMES):
            yield clip[first : first + PIECE_FRAMES]

    def learn(self, clip: Pixels) -> None:
        """Let the memory of places learn from a normal clip."""
        for _ in self._measure(clip, learn=True):
            pass

    def score(self, piece: Pixels) -> PartScores:
        """Return the scores of a piece, from its first full mean on."""
        scored = ClipScorer(self._scorer).score("held out", piece, on_frame=self._on_frame)
        place_db = np.array(list(self._measure(piece, learn=False)), np.float64)
        return PartScores(scored.local_db[self._settling :], place_db[self._settling :])

    def _measure(self, clip: Pixels, *, learn: bool) -> Iterator[float]:
        """Yield the places' score of each frame that a model gives a score for."""
        self._sessions += 1
        first = self._spec.scored
        for index in range(first, len(clip) - self._spec.frames + 1 + first):
            self._on_frame()
            frame_id = (self._sessions, index)
            features = self._places.features(frame_id, clip[index - 1], clip[index])
            yield self._places.measure(frame_id, features)
            if learn:
                self._places.learn(features, None)


def joined(scores: list[PartScores]) -> PartScores:
    """Return the scores of pieces, one after the other."""
    return PartScores(
        np.concatenate([one.local_db for one in scores]),
        np.concatenate([one.place_db for one in scores]),
    )


def best_weight(normal: PartScores, abnormal: PartScores) -> PartFigures:
    """Return the weight of the highest AUC, of equal ones that nearest to PLACE_WEIGHT.

    Both parts are scaled and put together as in `calibration.fused_value`.
    """
    local = both(normal.local_db, abnormal.local_db)
    places = both(normal.place_db, abnormal.place_db)
    truth = np.repeat((0, 1), (len(normal.local_db), len(abnormal.local_db)))
    auc = {}
    for weight in WEIGHTS:
        values = [fused(*parts, weight) for parts in zip(local, places, strict=True)]
        auc[weight] = 100 * float(roc_auc_score(truth, values))
    best = max(WEIGHTS, key=lambda weight: (auc[weight], -abs(weight - PLACE_WEIGHT)))
    return PartFigures(best, local=auc[0.0], places=auc[1.0], fused=auc[best])


def both(normal_db: Floats, abnormal_db: Floats) -> list[float]:
    """Return the scores of normal and abnormal frames: 1 at the upper bound of the normal ones."""
    bounds = narrowed(normal_range(normal_db))
    return [place_in(bounds, score) for score in np.concatenate([normal_db, abnormal_db]).tolist()]
