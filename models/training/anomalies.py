"""Anomalies made into normal clips, so that a training can be watched without a single labelled one.

Three simple kinds. Each takes a third of a clip's scored frames, at a place that the generator draws:
- patch: a piece of the same clip, a quarter of the picture's sides, from another place and time, that moves;
- box: a flat one of any colour, a sixth of the sides, that moves;
- speed: the stretch runs at three times its rate, or backwards. A model of single frames cannot see that.
They tell a training that learns from one that does not; how good a detector is, only real events tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.preprocess import Pixels

PATCH, BOX = 4, 6
"""The picture's sides over those of what moves in it."""

CROSSING = 40
"""Frames in which it crosses the picture."""

RATES = (3, -1)
"""At which a stretch runs: thrice as fast, or backwards."""


class Anomaly(Protocol):
    """A stretch of a clip, as it would look with something in it."""

    @property
    def abnormal(self) -> range:
        """The frames, 0-based, that are not as they were."""

    def frame(self, clip: Pixels, index: int) -> Pixels:
        """What frame `index` of `clip` (N, H, W, 3) becomes: (H, W, 3) uint8 RGB."""


@dataclass(frozen=True, slots=True)
class Moving:
    """A piece of picture that moves across."""

    abnormal: range
    piece: Pixels  # (h, w, 3)
    start_px: tuple[float, float]  # of its upper left corner: y, x
    step_px: tuple[float, float]  # a frame

    def frame(self, clip: Pixels, index: int) -> Pixels:
        if index not in self.abnormal:
            return np.asarray(clip[index])
        made = np.array(clip[index])
        height, width = self.piece.shape[:2]
        top, left = (
            int(np.clip(start + (index - self.abnormal.start) * step, 0, side - own))
            for start, step, side, own in zip(self.start_px, self.step_px, made.shape, (height, width), strict=False)
        )
        made[top : top + height, left : left + width] = self.piece
        return made


@dataclass(frozen=True, slots=True)
class Played:
    """Time that runs otherwise; without a jump where it begins."""

    abnormal: range
    rate: int

    def frame(self, clip: Pixels, index: int) -> Pixels:
        if index not in self.abnormal:
            return np.asarray(clip[index])
        begins = self.abnormal.start - 1  # still as it was
        return np.asarray(clip[begins + self.rate * (index - begins)])


def patch(clip: Pixels, scored: range, rng: np.random.Generator) -> Anomaly:
    """clip: (N, H, W, 3) uint8 RGB; scored: the frames that a model gives scores for."""
    height, width = (side // PATCH for side in clip.shape[1:3])
    top, left = (int(rng.integers(0, side - side // PATCH + 1)) for side in clip.shape[1:3])
    piece = clip[rng.integers(len(clip)), top : top + height, left : left + width]
    return _moving(clip, scored, rng, np.array(piece))


def box(clip: Pixels, scored: range, rng: np.random.Generator) -> Anomaly:
    height, width = (side // BOX for side in clip.shape[1:3])
    piece = np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), (height, width, 3))
    return _moving(clip, scored, rng, np.array(piece))


def speed(clip: Pixels, scored: range, rng: np.random.Generator) -> Anomaly:
    length, rate = _length(scored), int(rng.choice(RATES))
    first, last = scored.start, scored.stop - length
    if rate > 0:
        last = min(last, len(clip) - 1 - rate * (length - 1))
    else:
        first = max(first, length - 1)
    begins = int(rng.integers(first, last, endpoint=True))
    return Played(range(begins + 1, begins + length), rate)


KINDS: dict[str, Callable[[Pixels, range, np.random.Generator], Anomaly]] = {
    "patch": patch,
    "box": box,
    "speed": speed,
}


def _length(scored: range) -> int:
    return max(1, len(scored) // 3)


def _moving(clip: Pixels, scored: range, rng: np.random.Generator, piece: Pixels) -> Moving:
    length = _length(scored)
    first = int(rng.integers(scored.start, scored.stop - length, endpoint=True))
    sides = clip.shape[1:3]
    start = tuple(float(rng.uniform(0, side - own)) for side, own in zip(sides, piece.shape, strict=False))
    step = tuple(float(rng.choice((-1, 1)) * side / CROSSING) for side in sides)
    return Moving(range(first, first + length), piece, (start[0], start[1]), (step[0], step[1]))
