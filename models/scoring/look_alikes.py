"""Look-alikes: regions of an alert that repeat, at the same place, what a person answered before.

Compared are place, size, motion where it was measured, and colours. What cannot be compared is no
look-alike: an alert is rather told once more than hidden.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lookout.models.arrays import Pixels
from lookout.models.scoring.alert_regions import AlertRegion, Motion, common_area

COLOR_BINS = 4
"""Of each of R, G and B, of equal width: 64 shares in all."""

LEAST_COMMON = 0.5
"""Share of the smaller box that lies in the larger one."""

MOST_AREA_RATIO = 2.5
MOST_SPEED_RATIO = 1.6
SPEED_SLACK = 0.5  # of the model's pixels a frame: at rest, ratios say nothing
MOST_TURN_DEG = 60.0
LEAST_COLORS = 0.65
"""Share of the colours that two regions have in common."""


def with_colors(regions: Sequence[AlertRegion], pixels: Pixels) -> list[AlertRegion]:
    """Return the regions with the colours of their boxes in the picture, (H, W, 3) RGB, uint8."""
    height, width, _ = pixels.shape
    found = []
    for region in regions:
        left, top, wide, high = region.box
        rows = slice(
            int(top * height), max(int(top * height) + 1, math.ceil((top + high) * height))
        )
        columns = slice(
            int(left * width), max(int(left * width) + 1, math.ceil((left + wide) * width))
        )
        levels = pixels[rows, columns].reshape(-1, 3).astype(np.int64) * COLOR_BINS // 256
        numbers = (levels[:, 0] * COLOR_BINS + levels[:, 1]) * COLOR_BINS + levels[:, 2]
        counts = np.bincount(numbers, minlength=COLOR_BINS**3)
        shares = np.round(counts / max(1, len(numbers)), 3)
        found.append(replace(region, colors=[float(share) for share in shares]))
    return found


def are_look_alikes(seen: Sequence[AlertRegion], known: Sequence[AlertRegion]) -> bool:
    """Tell whether every region of an alert repeats a known one; one without regions never does."""
    return bool(seen) and all(any(is_look_alike(one, other) for other in known) for one in seen)


def is_look_alike(one: AlertRegion, other: AlertRegion) -> bool:
    """Tell whether two regions are alike in place, size, motion and colours."""
    smaller = min(one.box[2] * one.box[3], other.box[2] * other.box[3])
    if smaller <= 0 or common_area(one.box, other.box) < LEAST_COMMON * smaller:
        return False
    if max(one.area, other.area) > MOST_AREA_RATIO * min(one.area, other.area):
        return False
    if len(one.colors) != len(other.colors) or not one.colors:
        return False
    common = sum(min(pair) for pair in zip(one.colors, other.colors, strict=True))
    return common >= LEAST_COLORS and move_alike(one.motion, other.motion)


def move_alike(one: Motion | None, other: Motion | None) -> bool:
    """Tell whether two measured motions are alike in speed and direction, or none was measured."""
    if one is None or other is None:
        return one is other
    if max(one.speed, other.speed) > MOST_SPEED_RATIO * min(one.speed, other.speed) + SPEED_SLACK:
        return False
    turn = abs((one.direction_deg - other.direction_deg + 180) % 360 - 180)
    return turn <= MOST_TURN_DEG or max(one.speed, other.speed) <= SPEED_SLACK
