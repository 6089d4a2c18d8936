"""Anomalies made into normal clips, so that a training can be watched without a single labelled one.

Four simple kinds. Each takes a third of a clip's scored frames, at a place that the generator draws:
- patch: a piece of the same clip, a quarter of the picture's sides, from another place and time, that moves;
- box: a flat one of any colour, a sixth of the sides, that moves;
- runner: something that moves in the clip, cut out, goes to and fro at about twice a walker's pace;
- speed: the stretch runs at three times its rate, or backwards. A model of single frames cannot see that.
They tell a training that learns from one that does not; how good a detector is, only real events tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from lookout.models.media.preprocess import Pixels

PATCH, BOX, STRANGER = 4, 6, 10
"""The picture's sides over those of what moves in it; the last is a runner's where nothing moves in the clip."""

CROSSING = 40
"""Frames in which it crosses the picture."""

RUNNER_CROSSING = (80, 160)
"""The same of a runner, at least and at most."""

RUNNER_AREA = (1 / 400, 1 / 100)
"""Of the picture, that a thing which is cut out has at least and at most."""

STANDS_OUT = 20
"""Gray levels between what moves and the clip's usual picture, its median over time."""

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
            for start, step, side, own in zip(
                self.start_px, self.step_px, made.shape, (height, width), strict=False
            )
        )
        made[top : top + height, left : left + width] = self.piece
        return made


@dataclass(frozen=True, slots=True)
class Running:
    """A thing cut out that goes to and fro between two sides of the picture, smoothly and without a hard edge."""

    abnormal: range
    piece: Pixels  # (h, w, 3), with a margin around the thing
    alpha: npt.NDArray[np.float32]  # (h, w): how much of a pixel is the thing, 0 to 1
    top_px: int
    start_px: float  # of its left side
    step_px: float  # a frame

    def frame(self, clip: Pixels, index: int) -> Pixels:
        if index not in self.abnormal:
            return np.asarray(clip[index])
        made = np.array(clip[index])
        room = made.shape[1] - self.alpha.shape[1]
        way = (
            (self.start_px + (index - self.abnormal.start) * self.step_px) % (2 * room)
            if room
            else 0
        )
        shift = np.array(
            [[1, 0, min(way, 2 * room - way)], [0, 1, self.top_px]]
        )  # there, and back again
        size = made.shape[1], made.shape[0]
        alpha = cv2.warpAffine(self.alpha, shift, size)[..., None]
        thing = cv2.warpAffine(self.piece, shift, size, borderMode=cv2.BORDER_REPLICATE)
        return (made * (1 - alpha) + thing * alpha).round().astype(np.uint8)


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


def runner(clip: Pixels, scored: range, rng: np.random.Generator) -> Anomaly:
    frame, (rows, columns), mask = _something_moving(clip, rng)
    pace = float(rng.choice((-1, 1))) * clip.shape[2] / rng.uniform(*RUNNER_CROSSING)
    start = float(rng.uniform(0, 2 * clip.shape[2]))
    alpha = np.asarray(cv2.blur(mask.astype(np.float32), (3, 3)), np.float32)  # a soft edge
    return Running(
        _stretch(scored, rng), np.array(clip[frame, rows, columns]), alpha, rows.start, start, pace
    )


def _something_moving(
    clip: Pixels, rng: np.random.Generator, tries: int = 20
) -> tuple[int, tuple[slice, slice], npt.NDArray[np.bool_]]:
    """A frame, where in it, and which pixels there; of any piece of the picture, where nothing seems to move."""
    usual = np.median(clip[:: max(1, len(clip) // 30)], axis=0)  # (H, W, 3)
    least, most = (share * usual[..., 0].size for share in RUNNER_AREA)
    for _ in range(tries):
        frame = int(rng.integers(len(clip)))
        differs = ndimage.binary_closing(
            np.abs(clip[frame] - usual).mean(axis=2) > STANDS_OUT, iterations=2
        )
        things, count = ndimage.label(differs)
        areas = ndimage.sum_labels(differs, things, range(1, count + 1))
        fit = [number for number, area in enumerate(areas, 1) if least <= area <= most]
        if fit:
            number = int(rng.choice(fit))
            where = _with_margin(ndimage.find_objects(things)[number - 1], clip.shape[1:3])
            return frame, where, things[where] == number
    sides = [max(1, side // STRANGER) for side in clip.shape[1:3]]
    first = [
        int(rng.integers(side - own + 1)) for side, own in zip(clip.shape[1:3], sides, strict=True)
    ]
    rows, columns = (slice(start, start + own) for start, own in zip(first, sides, strict=True))
    return int(rng.integers(len(clip))), (rows, columns), np.ones(sides, bool)


def _with_margin(
    where: tuple[slice, ...], sides: Sequence[int], margin_px: int = 2
) -> tuple[slice, slice]:
    rows, columns = (
        slice(max(0, part.start - margin_px), min(side, part.stop + margin_px))
        for part, side in zip(where, sides, strict=True)
    )
    return rows, columns


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
    "runner": runner,
}


def draw(kind: str, clip: Pixels, t_length: int, scored: int, key: Sequence[int]) -> Anomaly:
    """One of a kind, at a place that `key` decides, for a model of T frames that scores frame `scored`."""
    return KINDS[kind](
        clip, range(scored, scored + len(clip) - t_length + 1), np.random.default_rng(tuple(key))
    )


def with_anomaly(clip: Pixels, anomaly: Anomaly, frames: range) -> Pixels:
    """Those frames of a clip with the anomaly in it, (T, H, W, 3) uint8 RGB."""
    return np.stack([anomaly.frame(clip, index) for index in frames])


def _length(scored: range) -> int:
    return max(1, len(scored) // 3)


def _stretch(scored: range, rng: np.random.Generator) -> range:
    length = _length(scored)
    first = int(rng.integers(scored.start, scored.stop - length, endpoint=True))
    return range(first, first + length)


def _moving(clip: Pixels, scored: range, rng: np.random.Generator, piece: Pixels) -> Moving:
    abnormal, sides = _stretch(scored, rng), clip.shape[1:3]
    start = tuple(
        float(rng.uniform(0, side - own)) for side, own in zip(sides, piece.shape, strict=False)
    )
    step = tuple(float(rng.choice((-1, 1)) * side / CROSSING) for side in sides)
    return Moving(abnormal, piece, (start[0], start[1]), (step[0], step[1]))
