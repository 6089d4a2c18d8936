"""Dense motion between the frames of a fixed camera, as features of small patches.

    frame, frame before --DIS flow--> cells --mean of 3 frames--> patches: features (F,)

T. Kroeger, R. Timofte, D. Dai, L. Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV
2016, as OpenCV has it. The flow of one frame is noisy where a thing moves by half a pixel; the mean
of three is not. What changes no more than the picture's noise does not move. `places` compares the
features with what is usual. No torch here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from lookout.models.arrays import Floats32, Pixels, packed, unpacked

FEATURES = (
    "share",  # of a patch that moves, 0 to 1
    "speed",  # of what moves, px a frame
    "right",  # share times cosine of the direction
    "down",  # share times sine
    "change",  # root of the mean difference to the frame before, peak 1
    "speed_around",  # speed in three by three patches
    "spread",  # deviation of the speed over the patch's pixels, px a frame
)
Features = Floats32
"""(rows, columns, F) float32: FEATURES of each patch, 31 by 31 patches by default."""


@dataclass(frozen=True, slots=True)
class PlacesConfig:
    """Sizes and constants, chosen on held-out normal clips with made anomalies (ADR 77)."""

    side_px: int = 256  # of the square picture
    cell_px: int = 8  # a patch is two by two cells, at a stride of one
    moving_px: float = 0.4  # a pixel that shifts by more moves
    noise_times: float = 1.5  # a cell that changes by less, in times of the noise, is still
    flow_frames: int = 3  # whose cells are averaged
    moving_share: float = 0.02  # a patch with less moves not at all
    examples: int = 64  # E: of a place, which is two by two patches
    radius: float = 0.3  # sigmas: a patch that is nearer to an example adds none
    remembered: int = 10_000  # patches of a place that its examples are drawn from: older ones fade
    usual_patches: int = 1_000  # patches that the usual distance of a place is the mean of
    prior_patches: int = 20  # weight of the whole picture's usual distance in that of a place
    lasts: int = 5  # frames, the newest included, that a score is the mean of
    worst: int = 15  # patches that count
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that do not fit."""
        if self.side_px < 4 * self.cell_px or self.side_px % (2 * self.cell_px):
            raise ValueError("side_px must be a multiple of 2 cell_px, and at least 4 cell_px")
        if min(self.flow_frames, self.examples, self.lasts, self.worst, self.remembered) < 1:
            raise ValueError("frames, examples and patches must be 1 or more")

    @property
    def patches(self) -> int:
        """Rows, and columns, of patches."""
        return self.side_px // self.cell_px - 1

    @property
    def places(self) -> int:
        """Rows, and columns, of places."""
        return self.side_px // (2 * self.cell_px)


def motion_cells(previous: Pixels, frame: Pixels, config: PlacesConfig) -> Floats32:
    """Measure the motion between two frames in cells: (rows, columns, 7) float32.

    previous, frame: (side_px, side_px, 3) uint8 RGB, or (side_px, side_px) gray. A cell holds the
    means over its pixels of: moving (0 or 1), speed, right and down where it moves (px a frame);
    squared speed of every pixel; absolute difference, peak 1; speed of every pixel. All but the
    difference are 0 in a cell that changes no more than noise does.
    Raises ValueError for frames of another size or type.
    """
    sides = (config.side_px, config.side_px)
    for picture in (previous, frame):
        if picture.dtype != np.uint8 or picture.shape not in (sides, (*sides, 3)):
            raise ValueError(
                f"places need uint8 frames of {sides[0]}x{sides[1]}, "
                f"not {picture.dtype} of {'x'.join(map(str, picture.shape))}"
            )
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    before = gray(previous)
    now = gray(frame)
    u, v = cv2.split(dis.calc(before, now, np.zeros((*sides, 2), np.float32)))  # (H, W) each
    speed = cv2.magnitude(u, v)
    moving = (speed > config.moving_px).astype(np.float32)
    change = cv2.absdiff(now, before).astype(np.float32) / 255
    count = (config.side_px // config.cell_px,) * 2
    maps = (moving, speed * moving, u * moving, v * moving, speed * speed, change, speed)
    cells = [cv2.resize(one, count, interpolation=cv2.INTER_AREA) for one in maps]
    found = np.stack(cells, axis=-1).astype(np.float32)
    # Flow finds motion in noise, which the stillest quarter of the picture shows alone.
    changes = found[..., 5].copy()
    quarter = changes.size // 4
    noise = float(np.partition(changes, quarter, axis=None)[quarter])
    found[changes <= config.noise_times * noise] = 0
    found[..., 5] = changes
    return found


def gray(picture: Pixels) -> Pixels:
    """Return a picture (H, W, 3) uint8 RGB in gray, (H, W); one that is gray as it is."""
    if picture.ndim == 2:
        return picture
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def features_of(cells: Floats32) -> Features:
    """Return the features of patches of two by two cells, from mean cells of some frames.

    cells: (rows + 1, columns + 1, 7) as `motion_cells` gives them → (rows, columns, F).
    """
    rows = cells[:-1] + cells[1:]
    share, travel, u, v, square, change, mean = np.moveaxis((rows[:, :-1] + rows[:, 1:]) / 4, -1, 0)
    length = np.sqrt(u * u + v * v) + 1e-6
    around = cv2.blur(np.ascontiguousarray(travel), (3, 3)) / (
        cv2.blur(np.ascontiguousarray(share), (3, 3)) + 1e-3
    )
    found = (
        share,
        travel / (share + 1e-3),
        share * u / length,
        share * v / length,
        np.sqrt(change),
        around,
        np.sqrt(np.maximum(square - mean * mean, 0)),
    )
    return np.stack(found, axis=-1).astype(np.float32)


class MotionFeatures:
    """Features of one camera's consecutive frames, each the mean motion of the last few."""

    def __init__(self, config: PlacesConfig) -> None:
        self._config = config
        self._cells: deque[Floats32] = deque(maxlen=config.flow_frames)
        self._newest_id: tuple[int, int] | None = None  # session and sequence number

    def update(self, frame_id: tuple[int, int], previous: Pixels, frame: Pixels) -> Features:
        """Return the features of a frame; one that does not follow on the last begins anew.

        previous: the frame before it in the same session. Raises ValueError as `motion_cells`.
        """
        cells = motion_cells(previous, frame, self._config)
        newest = self._newest_id
        if newest is None or frame_id != (newest[0], newest[1] + 1):
            self._cells.clear()
        self._newest_id = frame_id
        self._cells.append(cells)
        return features_of(np.mean(np.stack(list(self._cells)), axis=0, dtype=np.float32))

    def repeat(self, frame_id: tuple[int, int]) -> None:
        """Take the next frame as one that moves as the last one did."""
        self._newest_id = frame_id
        self._cells.append(self._cells[-1])

    def to_json(self) -> dict[str, Any]:
        """Return the state for a snapshot: the cells that the next features depend on."""
        kept = list(self._cells)[-self._config.flow_frames + 1 :]
        return {"at": self._newest_id, "cells": [packed(cells, "<f4") for cells in kept]}

    def load_json(self, state: dict[str, Any]) -> None:
        """Continue from `to_json`'s result. Raises ValueError, TypeError or KeyError."""
        side = self._config.patches + 1
        cells = [unpacked(text, "<f4", (side, side, 7)) for text in state["cells"]]
        newest_id = None
        if state["at"] is not None:
            session, number = state["at"]
            newest_id = (int(session), int(number))
        self._cells = deque(cells, maxlen=self._config.flow_frames)
        self._newest_id = newest_id
