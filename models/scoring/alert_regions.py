"""Regions of an alert: where its heatmap stands out, with what was measured of the motion there.

A region is a connected part of the heatmap above a bound. Where the memory of places measured a
strange motion in it, that is told beside what is usual at the place; where it did not, what is
strange is how the place looks. Nothing is guessed, and nothing is said that was not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np

from lookout.models.arrays import PEAK, SIDE, HeatMap
from lookout.models.scoring.places import StrangeRegion

Trait = Literal[
    "new place", "faster than usual here", "slower than usual here", "larger than usual here",
    "smaller than usual here", "unusual motion", "unusual appearance",
]  # fmt: skip

LEAST = 0.02
"""Root mean squared error, peak 1, below which nothing stands out; the overlay begins there."""

BOUND_SHARE = 0.5
"""A region reaches this share of the map's highest cell."""

LEAST_CELLS = 2
MOST_REGIONS = 8
"""Regions of a frame, the highest first."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Motion:
    """A strange motion, measured by the memory of places; ranges are 5 % to 95 % of its place."""

    box: Box  # left, top, width, height, as shares of the picture's sides
    speed: float  # of the model's pixels a frame
    speed_low: float | None  # None: nothing was ever seen to move there
    speed_high: float | None
    size: float  # share of the place that moves, 0 to 1
    size_low: float | None
    size_high: float | None
    direction_deg: float  # 0: to the right, 90: down


@dataclass(frozen=True, slots=True)
class AlertRegion:
    """A part of the picture that stands out."""

    box: Box  # left, top, width, height, as shares of the picture's sides
    peak: float  # of the heatmap in it, root mean squared error, peak 1
    area: float  # share of the picture
    traits: list[Trait] = field(default_factory=list)
    motion: Motion | None = None


def alert_regions(cells: HeatMap, motions: Sequence[Motion]) -> list[AlertRegion]:
    """Return the regions of a heatmap, (64, 64), the highest first, MOST_REGIONS at most."""
    bound = max(LEAST * PEAK, BOUND_SHARE * float(cells.max(initial=0)))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(
        (cells >= bound).astype(np.uint8), connectivity=8
    )
    found = []
    for number in range(1, count):
        left, top, width, height, area = (int(one) for one in boxes[number])
        if area < LEAST_CELLS:
            continue
        box = (left / SIDE, top / SIDE, width / SIDE, height / SIDE)
        motion = max(
            (one for one in motions if common_area(box, one.box) > 0),
            key=lambda one: common_area(box, one.box),
            default=None,
        )
        found.append(
            AlertRegion(
                box=box,
                peak=float(cells[labels == number].max()) / PEAK,
                area=area / SIDE**2,
                traits=traits_of(motion),
                motion=motion,
            )
        )
    return sorted(found, key=lambda region: (-region.peak, -region.area))[:MOST_REGIONS]


def traits_of(motion: Motion | None) -> list[Trait]:
    """Return what of a measured motion is outside its place's range; of none, its appearance."""
    if motion is None:
        return ["unusual appearance"]
    if motion.speed_low is None or motion.speed_high is None:
        return ["new place"]
    traits: list[Trait] = []
    if motion.speed > motion.speed_high:
        traits.append("faster than usual here")
    elif motion.speed < motion.speed_low:
        traits.append("slower than usual here")
    if motion.size_high is not None and motion.size > motion.size_high:
        traits.append("larger than usual here")
    elif motion.size_low is not None and motion.size < motion.size_low:
        traits.append("smaller than usual here")
    return traits or ["unusual motion"]


def common_area(one: Box, other: Box) -> float:
    """Return the area that two boxes share, as a share of the picture."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def motion_of(strange: StrangeRegion, side_px: int) -> Motion:
    """Return a region of the memory of places as a motion; side_px: of the picture it is of."""
    left, top, width, height = strange.box_px
    return Motion(
        box=(left / side_px, top / side_px, width / side_px, height / side_px),
        speed=strange.speed.seen,
        speed_low=strange.speed.low,
        speed_high=strange.speed.high,
        size=strange.share.seen,
        size_low=strange.share.low,
        size_high=strange.share.high,
        direction_deg=strange.direction_deg,
    )
