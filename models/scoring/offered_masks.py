"""Masks that are offered: places that alarm often and alone, such as a flag, leaves or a screen.

They follow from the regions of past alarms, and nothing is masked by them: a person weighs what one
would have spared against what it would have hidden, and makes it an ignored zone, or does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import shapely

from lookout.models.arrays import SIDE
from lookout.models.scoring.alert_regions import AlertRegion, Box

LEAST_ALARMS = 5
"""A mask spares so many alarms, or is not offered."""

LEAST_ALONE = 0.8
"""Share of the alarms that touch a mask which show nothing outside of it."""

LEAST_INSIDE = 0.999
"""A region lies in a mask with this share of its box: all of it, but for rounding."""

MOST_AREA = 0.15
"""Share of the picture that a mask covers at most."""

MOST_OFFERED = 5
LEVELS = (2, 3, 5, 8, 13, 21, 34, 55, 89, 144)
"""Alarms that the cells of a mask have in common: few make it wide, many narrow."""


@dataclass(frozen=True, slots=True)
class PastAlarm:
    """An alarm of the past: where something stood out in it."""

    regions: Sequence[AlertRegion]
    is_true: bool  # a person said so


@dataclass(frozen=True, slots=True)
class OfferedMask:
    """A rectangle of the picture, and what ignoring it would have done."""

    box: Box
    spared: list[int]  # numbers of the alarms that show nothing outside of it, not true ones
    hidden: list[int]  # and of those that are true
    touching: int  # alarms that are not true and show something in it

    @property
    def is_worth_it(self) -> bool:
        """Whether it alarms often, and alone."""
        return len(self.spared) >= max(LEAST_ALARMS, LEAST_ALONE * self.touching)


def offered_masks(
    alarms: Sequence[PastAlarm], ignored: Sequence[shapely.Polygon] = ()
) -> list[OfferedMask]:
    """Return the masks to offer, that which spares most first; no two of them overlap.

    ignored: of what is masked already; what stood out there counts no more.
    """
    boxes, owners = boxes_outside(alarms, shapely.union_all(list(ignored)))
    true_ones = np.array([alarm.is_true for alarm in alarms], np.bool_)
    counts = counts_of_cells(boxes[~true_ones[owners]], owners[~true_ones[owners]])
    found = [
        mask
        for level in LEVELS
        for box in boxes_of_cells(counts >= level)
        if (mask := weighed(box, boxes, owners, true_ones)).is_worth_it
    ]
    # Of two that spare the same, the smaller one.
    found.sort(key=lambda mask: (-len(mask.spared), mask.box[2] * mask.box[3]))
    chosen: list[OfferedMask] = []
    for mask in found:
        if not any(
            shapely.box(*corners(mask.box)).intersects(shapely.box(*corners(one.box)))
            for one in chosen
        ):
            chosen.append(mask)
    return chosen[:MOST_OFFERED]


def corners(box: Box) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a box."""
    left, top, width, height = box
    return left, top, left + width, top + height


def boxes_outside(
    alarms: Sequence[PastAlarm], hidden: shapely.Geometry
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes of all regions that are not hidden, and the number of each one's alarm.

    Corners as (N, 4): left, top, right, bottom.
    """
    rows = [
        (corners(region.box), number)
        for number, alarm in enumerate(alarms)
        for region in alarm.regions
    ]
    boxes = np.array([row for row, _ in rows], np.float64).reshape(-1, 4)
    owners = np.array([number for _, number in rows], np.int64)
    shapes = shapely.box(*boxes.T)
    common = shapely.area(shapely.intersection(shapes, hidden))
    is_left = common < LEAST_INSIDE * shapely.area(shapes)
    return boxes[is_left], owners[is_left]


def counts_of_cells(boxes: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Return the number of alarms that show something at each cell, (64, 64)."""
    counts = np.zeros((SIDE, SIDE), np.int64)
    for owner in np.unique(owners):
        shown = np.zeros((SIDE, SIDE), np.bool_)
        for left, top, right, bottom in np.rint(boxes[owners == owner] * SIDE).astype(int):
            shown[top:bottom, left:right] = True
        counts += shown
    return counts


def boxes_of_cells(cells: np.ndarray) -> list[Box]:
    """Return a box around each connected part of the cells, (64, 64); too large ones are left out.

    It is grown by half a cell: a motion is at a slightly different place each time.
    """
    count, _, stats, _ = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=8)
    found = []
    for left, top, width, height, _ in stats[1:count]:
        first = np.maximum((left - 0.5, top - 0.5), 0) / SIDE
        last = np.minimum((left + width + 0.5, top + height + 0.5), SIDE) / SIDE
        wide, high = last - first
        if wide * high <= MOST_AREA:
            found.append((float(first[0]), float(first[1]), float(wide), float(high)))
    return found


def weighed(box: Box, boxes: np.ndarray, owners: np.ndarray, true_ones: np.ndarray) -> OfferedMask:
    """Return a box with what it would have done to the alarms.

    boxes, owners: as of `boxes_outside`; true_ones: whether each alarm is true, (alarms,).
    """
    left, top, right, bottom = corners(box)
    width = np.clip(np.minimum(boxes[:, 2], right) - np.maximum(boxes[:, 0], left), 0, None)
    height = np.clip(np.minimum(boxes[:, 3], bottom) - np.maximum(boxes[:, 1], top), 0, None)
    common = width * height
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    outside = np.bincount(owners, common < LEAST_INSIDE * area, minlength=len(true_ones)) > 0
    touching = np.bincount(owners, common > 0, minlength=len(true_ones)) > 0
    within = touching & ~outside
    return OfferedMask(
        box=box,
        spared=np.flatnonzero(within & ~true_ones).tolist(),
        hidden=np.flatnonzero(within & true_ones).tolist(),
        touching=int(np.count_nonzero(touching & ~true_ones)),
    )
