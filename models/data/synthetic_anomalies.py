"""Synthetic anomalies in normal clips, to validate a training without a labelled clip.

There are four simple kinds. Each takes a third of a clip's scored frames, at a place that the
generator draws:
- patch: a piece of the same clip from another place and time, a quarter of the sides, moves;
- box: a rectangle of any colour, a sixth of the sides, moves;
- runner: something that moves in the clip, cut out, goes to and fro at about twice a walker's pace;
- speed: the stretch runs at three times its rate, or backwards, which a single frame cannot show.
They tell a training that learns from one that does not. Only real events measure a detector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from lookout.models.arrays import Pixels

PATCH_DIVISOR = 4
BOX_DIVISOR = 6
STILL_RUNNER_DIVISOR = 10
"""Sides of the picture over those of a patch, a box, and a runner where nothing moves."""

CROSSING_FRAMES = 40
"""Frames in which a patch or a box crosses the picture."""

RUNNER_CROSSING_FRAMES = (80, 160)
"""The same for a runner, at least and at most."""

RUNNER_AREA = (1 / 400, 1 / 100)
"""Share of the picture that a runner covers, at least and at most."""

MOTION_LEVELS = 20
"""Gray levels between what moves and the clip's usual picture, its median over time."""

RATES = (3, -1)
"""Rates of a stretch: three times as fast, or backwards."""


class Anomaly(Protocol):
    """A stretch of a clip with something abnormal in it."""

    @property
    def abnormal(self) -> range:
        """Frames, 0-based, that are changed."""

    def frame(self, clip: Pixels, index: int) -> Pixels:
        """Return frame `index` of `clip`, (N, H, W, 3), with the anomaly: (H, W, 3) uint8 RGB."""


@dataclass(frozen=True, slots=True)
class Moving:
    """A piece of picture that moves across."""

    abnormal: range
    piece: Pixels  # (h, w, 3)
    start_px: tuple[float, float]  # of its upper left corner: y, x
    step_px: tuple[float, float]  # a frame: y, x

    def frame(self, clip: Pixels, index: int) -> Pixels:
        """Return the frame with the piece at its place then, kept within the picture."""
        if index not in self.abnormal:
            return np.asarray(clip[index])
        picture = np.array(clip[index])
        height, width = self.piece.shape[:2]
        steps = index - self.abnormal.start
        top = int(np.clip(self.start_px[0] + steps * self.step_px[0], 0, picture.shape[0] - height))
        left = int(np.clip(self.start_px[1] + steps * self.step_px[1], 0, picture.shape[1] - width))
        picture[top : top + height, left : left + width] = self.piece
        return picture


@dataclass(frozen=True, slots=True)
class Running:
    """A cut-out that goes to and fro between two sides of the picture, without a hard edge."""

    abnormal: range
    piece: Pixels  # (h, w, 3), with a margin around the thing
    alpha: npt.NDArray[np.float32]  # (h, w): how much of a pixel is the thing, 0 to 1
    top_px: int
    start_px: float  # of its left side
    step_px: float  # a frame

    def frame(self, clip: Pixels, index: int) -> Pixels:
        """Return the frame with the thing blended in."""
        if index not in self.abnormal:
            return np.asarray(clip[index])
        picture = np.array(clip[index])
        range_px = picture.shape[1] - self.alpha.shape[1]
        position_px = 0.0
        if range_px:
            steps = index - self.abnormal.start
            position_px = (self.start_px + steps * self.step_px) % (2 * range_px)
        left_px = min(position_px, 2 * range_px - position_px)  # there, and back again
        shift = np.array([[1, 0, left_px], [0, 1, self.top_px]])
        size = (picture.shape[1], picture.shape[0])
        alpha = cv2.warpAffine(self.alpha, shift, size)[..., None]
        thing = cv2.warpAffine(self.piece, shift, size, borderMode=cv2.BORDER_REPLICATE)
        return (picture * (1 - alpha) + thing * alpha).round().astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Played:
    """A stretch of time at another rate, without a jump where it begins."""

    abnormal: range
    rate: int

    def frame(self, clip: Pixels, index: int) -> Pixels:
        """Return the frame that is shown then."""
        if index not in self.abnormal:
            return np.asarray(clip[index])
        begins = self.abnormal.start - 1  # still as it was
        return np.asarray(clip[begins + self.rate * (index - begins)])


def patch(clip: Pixels, scored: range, rng: np.random.Generator) -> Anomaly:
    """Draw a patch.

    clip: (N, H, W, 3) uint8 RGB; scored: the frames that a model gives scores for.
    """
    height, width = (side // PATCH_DIVISOR for side in clip.shape[1:3])
    top, left = (int(rng.integers(0, side - side // PATCH_DIVISOR + 1)) for side in clip.shape[1:3])
    piece = clip[rng.integers(len(clip)), top : top + height, left : left + width]
    return moving(clip, scored, rng, np.array(piece))


def box(clip: Pixels, scored: range, rng: np.random.Generator) -> Anomaly:
    """Draw a box; see `patch` for the arguments."""
    height, width = (side // BOX_DIVISOR for side in clip.shape[1:3])
    piece = np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), (height, width, 3))
    return moving(clip, scored, rng, np.array(piece))


def moving(clip: Pixels, scored: range, rng: np.random.Generator, piece: Pixels) -> Moving:
    """Draw where a piece of picture begins and goes."""
    abnormal = stretch(scored, rng)
    sides = clip.shape[1:3]
    top, left = (
        float(rng.uniform(0, side - own)) for side, own in zip(sides, piece.shape, strict=False)
    )
    down, right = (float(rng.choice((-1, 1)) * side / CROSSING_FRAMES) for side in sides)
    return Moving(abnormal, piece, (top, left), (down, right))


def runner(clip: Pixels, scored: range, rng: np.random.Generator) -> Anomaly:
    """Draw a runner; see `patch` for the arguments."""
    frame, (rows, columns), mask = moving_thing(clip, rng)
    pace = float(rng.choice((-1, 1))) * clip.shape[2] / rng.uniform(*RUNNER_CROSSING_FRAMES)
    start = float(rng.uniform(0, 2 * clip.shape[2]))
    alpha = np.asarray(cv2.blur(mask.astype(np.float32), (3, 3)), np.float32)  # a soft edge
    piece = np.array(clip[frame, rows, columns])
    return Running(stretch(scored, rng), piece, alpha, rows.start, start, pace)


def moving_thing(
    clip: Pixels, rng: np.random.Generator, tries: int = 20
) -> tuple[int, tuple[slice, slice], npt.NDArray[np.bool_]]:
    """Find something that moves: a frame, rows and columns in it, and the thing's pixels there.

    Where nothing seems to move, it is any piece of the picture.
    """
    usual = np.median(clip[:: max(1, len(clip) // 30)], axis=0)  # (H, W, 3)
    least, most = (share * usual[..., 0].size for share in RUNNER_AREA)
    for _ in range(tries):
        frame = int(rng.integers(len(clip)))
        differs = np.abs(clip[frame] - usual).mean(axis=2) > MOTION_LEVELS
        differs = ndimage.binary_closing(differs, iterations=2)
        things, count = ndimage.label(differs)
        areas = ndimage.sum_labels(differs, things, range(1, count + 1))
        fit = [number for number, area in enumerate(areas, 1) if least <= area <= most]
        if fit:
            number = int(rng.choice(fit))
            where = with_margin(ndimage.find_objects(things)[number - 1], clip.shape[1:3])
            return frame, where, things[where] == number
    sides = [max(1, side // STILL_RUNNER_DIVISOR) for side in clip.shape[1:3]]
    top, left = (
        int(rng.integers(side - own + 1)) for side, own in zip(clip.shape[1:3], sides, strict=True)
    )
    where = (slice(top, top + sides[0]), slice(left, left + sides[1]))
    return int(rng.integers(len(clip))), where, np.ones(sides, bool)


def with_margin(
    where: tuple[slice, ...], sides: Sequence[int], margin_px: int = 2
) -> tuple[slice, slice]:
    """Return rows and columns with a margin, within a picture of these sides (height, width)."""
    rows, columns = (
        slice(max(0, part.start - margin_px), min(side, part.stop + margin_px))
        for part, side in zip(where, sides, strict=True)
    )
    return rows, columns


def speed(clip: Pixels, scored: range, rng: np.random.Generator) -> Anomaly:
    """Draw a stretch at another rate; see `patch` for the arguments."""
    length = stretch_frames(scored)
    rate = int(rng.choice(RATES))
    first = scored.start
    last = scored.stop - length
    if rate > 0:
        last = min(last, len(clip) - 1 - rate * (length - 1))
    else:
        first = max(first, length - 1)
    begins = int(rng.integers(first, last, endpoint=True))
    return Played(range(begins + 1, begins + length), rate)


def stretch_frames(scored: range) -> int:
    """Return the length of a stretch: a third of the scored frames."""
    return max(1, len(scored) // 3)


def stretch(scored: range, rng: np.random.Generator) -> range:
    """Draw the frames of an anomaly."""
    length = stretch_frames(scored)
    first = int(rng.integers(scored.start, scored.stop - length, endpoint=True))
    return range(first, first + length)


KINDS: dict[str, Callable[[Pixels, range, np.random.Generator], Anomaly]] = {
    "patch": patch,
    "box": box,
    "speed": speed,
    "runner": runner,
}


def draw(kind: str, clip: Pixels, t_length: int, scored: int, key: Sequence[int]) -> Anomaly:
    """Draw an anomaly for a model of `t_length` frames that scores frame `scored` of a window.

    `key` decides its place.
    """
    scored_frames = range(scored, scored + len(clip) - t_length + 1)
    return KINDS[kind](clip, scored_frames, np.random.default_rng(tuple(key)))


def with_anomaly(clip: Pixels, anomaly: Anomaly, frames: range) -> Pixels:
    """Return those frames of a clip with the anomaly in it, (T, H, W, 3) uint8 RGB."""
    return np.stack([anomaly.frame(clip, index) for index in frames])
