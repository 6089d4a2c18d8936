"""Look-alikes: alerts that repeat, at the same place, what a person answered before.

    newest frames, their heatmaps --hot cells--> features of each (F,) --nearest known--> unlike

A nuisance that moves never heats the same cells twice, so that regions of heatmaps do not compare.
Over half a second, what is round each hot cell does. A cell is alike where an answered alert had
hot cells near it, one of which measured the same. What cannot be compared is no look-alike: an
alert is rather told once more than hidden. No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from lookout.models.arrays import PEAK, SIDE, Floats32, HeatMap, Pixels, packed, unpacked
from lookout.models.motion import gray
from lookout.models.scoring.alert_regions import LEAST, Motion, common_area

# All of these were chosen on drawn nuisances and normal walkers of training footage (ADR 108).

WINDOW = 5
"""Frames of a moment, the newest included: half a second at ten a second."""

HOT_SHARE = 0.4
"""A hot cell reaches this share of the mean heatmap's highest one."""

MOST_CELLS = 256
"""Cells of a look, the hottest."""

REACH_CELLS = 2
"""So far round the hot cells of a look is its place."""

MOST_DISTANCE = 0.525
"""Of the features of two cells that are alike."""

MOST_UNLIKE = 8
"""Hot cells side by side that are like none: 0.2 % of the picture, such as of who walks by."""

MOST_UNLIKE_SHARE = 0.25  # of the hot cells, side by side

MOST_UNLIKE_IN_ALL = 16

LEAST_COMMON = 0.5
"""Share of the smaller box that lies in the larger one, of two motions at one place."""

MOST_SPEED_RATIO = 1.6
SPEED_SLACK = 0.5  # of the model's pixels a frame: at rest, ratios say nothing
MOST_TURN_DEG = 60.0

DIRECTIONS = 4
FEATURES = DIRECTIONS + 7
"""F: level, two of colour, deviation, gradients in DIRECTIONS, change, motion across and down."""

STEP = 0.04
"""Of a stored feature: an int8 holds -5.12 to 5.08."""

CELL_PX = 4
MARGIN_CELLS = 2
"""Round the hot cells, so that what is measured of them does not depend on the part that is cut."""

Vectors = Floats32
"""(N, F) float32: the features of cells."""

Numbers = npt.NDArray[np.int64]
"""(N,): row times SIDE plus column of each cell."""


@dataclass(frozen=True, slots=True)
class AlertLook:
    """The look of an alert at a moment: its hottest cells, and what is measured round each."""

    cells: str  # `packed` "<u2": row times SIDE plus column of each
    features: str  # `packed` "i1", (cells, F): in steps of STEP
    motions: list[Motion] = field(default_factory=list)  # of its regions, where measured

    def __post_init__(self) -> None:
        """Raise ValueError for text that holds no cells."""
        numbers, vectors = self.read()
        if not len(numbers) or numbers.max() >= SIDE**2 or len(vectors) != len(numbers):
            raise ValueError("a look holds no cells")

    def read(self) -> tuple[Numbers, Vectors]:
        """Return the cells and their features."""
        numbers = unpacked(self.cells, "<u2", (-1,)).astype(np.int64)
        levels = unpacked(self.features, "i1", (-1, FEATURES))
        return numbers, levels.astype(np.float32) * np.float32(STEP)


def look_at(
    frames: Sequence[Pixels], heats: Sequence[HeatMap], motions: Sequence[Motion] = ()
) -> AlertLook | None:
    """Return how the newest frames look; None of fewer than two, or where nothing stands out.

    frames: (H, W, 3) uint8 RGB, oldest first, all of one size; heats: of frames, (64, 64).
    """
    if len(frames) < 2 or not heats:
        return None
    squares = [np.square(heat.astype(np.float32) / PEAK) for heat in heats]
    heat = np.sqrt(np.mean(squares, axis=0, dtype=np.float32))
    rows, columns = np.nonzero(heat >= max(LEAST, HOT_SHARE * float(heat.max())))
    if not len(rows):
        return None
    hottest = np.sort(np.argsort(-heat[rows, columns], kind="stable")[:MOST_CELLS])
    rows, columns = rows[hottest], columns[hottest]
    top, left = (max(0, int(one.min()) - MARGIN_CELLS) for one in (rows, columns))
    bottom, right = (int(one.max()) + MARGIN_CELLS + 1 for one in (rows, columns))
    part = (
        slice(top * CELL_PX, bottom * CELL_PX),
        slice(left * CELL_PX, right * CELL_PX),
    )
    side = SIDE * CELL_PX
    pictures = [cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in frames]
    found = cell_features([np.asarray(picture[part], np.uint8) for picture in pictures])
    levels = np.clip(np.rint(found[rows - top, columns - left] / STEP), -128, 127)
    return AlertLook(packed(rows * SIDE + columns, "<u2"), packed(levels, "i1"), list(motions))


def cell_features(pictures: Sequence[Pixels]) -> Floats32:
    """Return the features of each cell, (rows, columns, F), over three by three cells round it.

    pictures: two or more of (rows * CELL_PX, columns * CELL_PX, 3) uint8 RGB, oldest first. The
    features are scaled so that their distance counts: energies by their logarithm, since light
    changes them by a factor.
    """
    light = [gray(picture).astype(np.float32) / np.float32(255) for picture in pictures]
    across = [gradient(one, 1, 0) for one in light]
    down = [gradient(one, 0, 1) for one in light]
    color = np.asarray(np.mean(pictures, axis=0), np.float32) / np.float32(255)
    red, green, blue = color[..., 0], color[..., 1], color[..., 2]
    level = [around(one) for one in light]
    spread = [around(one * one) - mean * mean for one, mean in zip(light, level, strict=True)]
    deviation = np.sqrt(np.maximum(np.mean(spread, axis=0), 0))
    found = [4 * np.mean(level, axis=0), 4 * around(red - green), 4 * around(blue - green)]
    found.append(np.log(deviation + 0.02))
    for number in range(DIRECTIONS):
        parts = [
            around(along(*pair, np.pi * number / DIRECTIONS))
            for pair in zip(across, down, strict=True)
        ]
        found.append(np.log(np.mean(parts, axis=0) + 0.01))
    changes: Floats32 = np.diff(np.stack(light), axis=0)
    change = around(np.mean(changes * changes, axis=0))
    found.append(np.log(np.sqrt(change) + 0.02))
    # The correlation of change and gradient has the sign of the motion, and little of the contrast.
    energy = around(np.mean([x * x + y * y for x, y in zip(across, down, strict=True)], axis=0))
    for gradients in (across, down):
        middle = (np.stack(gradients)[1:] + np.stack(gradients)[:-1]) / 2
        moved = around(np.mean(-middle * changes, axis=0))
        found.append(1.5 * moved / np.sqrt(energy * change + 1e-6))
    return np.stack(found, axis=-1).astype(np.float32)


def gradient(picture: Floats32, across: int, down: int) -> Floats32:
    """Return the change of a picture along one axis, a pixel."""
    return np.asarray(cv2.Sobel(picture, cv2.CV_32F, across, down, scale=1 / 8), np.float32)


def around(picture: Floats32) -> Floats32:
    """Return the mean of three by three cells round each cell of a picture: (rows, columns)."""
    size = (picture.shape[1] // CELL_PX, picture.shape[0] // CELL_PX)
    cells = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(cells, (3, 3), borderType=cv2.BORDER_REPLICATE), np.float32)


def along(across: Floats32, down: Floats32, direction: float) -> Floats32:
    """Return the length of gradients near a direction, in radians; 0 from the next one on."""
    turned = np.arctan2(down, across) - direction
    away = np.abs((turned + np.pi / 2) % np.pi - np.pi / 2)
    weight = np.maximum(0, 1 - away / (np.pi / DIRECTIONS))
    return np.asarray(np.hypot(across, down) * weight, np.float32)


def are_look_alikes(seen: AlertLook, known: Sequence[AlertLook]) -> bool:
    """Tell whether what is seen repeats known looks, together, but for a few cells.

    Another thing is hot cells side by side; single ones here and there are noise of a nuisance.
    """
    unlike = unlike_cells(seen, known)
    numbers, _ = seen.read()
    cells = np.zeros(SIDE**2, np.uint8)
    cells[numbers[unlike]] = 1
    _, _, parts, _ = cv2.connectedComponentsWithStats(cells.reshape(SIDE, SIDE), connectivity=8)
    largest = parts[1:, cv2.CC_STAT_AREA].max(initial=0)
    return bool(
        largest <= min(MOST_UNLIKE, MOST_UNLIKE_SHARE * len(unlike))
        and unlike.sum() <= MOST_UNLIKE_IN_ALL
        and all(
            any(move_alike(motion, other) for look in known for other in look.motions)
            for motion in seen.motions
        )
    )


def unlike_cells(seen: AlertLook, known: Sequence[AlertLook]) -> npt.NDArray[np.bool_]:
    """Return for each hot cell whether no known look has one like it at its place: (N,)."""
    numbers, vectors = seen.read()
    unlike = np.ones(len(numbers), bool)
    kernel = np.ones((2 * REACH_CELLS + 1,) * 2, np.uint8)
    for look in known:
        there, examples = look.read()
        hot = np.zeros(SIDE**2, np.uint8)
        hot[there] = 1
        place = cv2.dilate(hot.reshape(SIDE, SIDE), kernel).reshape(-1)
        asked = np.flatnonzero(unlike & (place[numbers] > 0))
        if len(asked):
            steps = vectors[asked, None] - examples[None]
            nearest = np.sqrt(np.square(steps).sum(axis=-1).min(axis=1))
            unlike[asked[nearest <= MOST_DISTANCE]] = False
    return unlike


def move_alike(one: Motion, other: Motion) -> bool:
    """Tell whether two measured motions are alike in place, speed and direction."""
    smaller = min(one.box[2] * one.box[3], other.box[2] * other.box[3])
    if smaller <= 0 or common_area(one.box, other.box) < LEAST_COMMON * smaller:
        return False
    if max(one.speed, other.speed) > MOST_SPEED_RATIO * min(one.speed, other.speed) + SPEED_SLACK:
        return False
    turn = abs((one.direction_deg - other.direction_deg + 180) % 360 - 180)
    return turn <= MOST_TURN_DEG or max(one.speed, other.speed) <= SPEED_SLACK
