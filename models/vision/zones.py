"""Zones of a picture: polygons that are left out of the score, or watched on their own.

Points are relative to the picture: (0, 0) is its upper left corner, (1, 1) its lower right one. A
polygon is checked once, and drawn once for each size of picture. No torch here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import shapely

from lookout.models.arrays import SIDE, Floats32, Pixels

ZoneKind = Literal["ignore", "watch"]
Corner = tuple[float, float]
PixelMask = npt.NDArray[np.bool_]

MAX_ZONES = 16
MAX_POINTS = 64
LEAST_AREA = 1e-5
"""Share of the picture: a pixel of 256x256 is larger."""

LEAST_COUNTED = 0.05
"""Share of the picture that the ignored zones must leave."""

GROWN_PX = 1 - 1e-6
"""A pixel is ignored from so near to a polygon: resizing to the model's size mixes neighbours."""

GRAY = 127
"""Level of an ignored pixel: the middle of what a network takes."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A polygon of the picture, and its purpose."""

    name: str
    kind: ZoneKind
    points: tuple[Corner, ...]


class ZoneError(ValueError):
    """Zones cannot be used; `code` names the reason, `values` stand in its sentence."""

    def __init__(self, said: str, *, code: str, **values: str | int) -> None:
        super().__init__(said)
        self.code = code
        self.values = values


def polygon_of(points: Sequence[Sequence[float]]) -> shapely.Polygon:
    """Return the polygon of an outline, which closes by itself.

    Raises ZoneError, with what is wrong and where, for anything but 3 to MAX_POINTS points of the
    picture whose outline does not cross itself.
    """
    if not 3 <= len(points) <= MAX_POINTS:
        raise ZoneError(
            f"a polygon has 3 to {MAX_POINTS} points, not {len(points)}",
            code="zone_points",
            most=MAX_POINTS,
        )
    for number, point in enumerate(points, 1):
        if len(point) != 2:
            raise ZoneError(
                f"point {number} needs two numbers, x and y", code="zone_point", number=number
            )
        if not all(math.isfinite(one) and 0 <= one <= 1 for one in point):
            x, y = point
            raise ZoneError(
                f"point {number} ({x:g}, {y:g}) is outside the picture, 0 to 1",
                code="zone_point",
                number=number,
            )
    polygon = shapely.Polygon(points)
    if polygon.convex_hull.area < LEAST_AREA:
        raise ZoneError("the points lie on a line, or nearly: they cover nothing", code="zone_line")
    reason = shapely.is_valid_reason(polygon)
    found = re.search(r"\[(\S+) (\S+)\]", reason)
    if found is not None:
        x, y = (float(number) for number in found.groups())
        raise ZoneError(
            f"the outline crosses or touches itself at ({x:.4g}, {y:.4g})",
            code="zone_crosses",
            x=f"{x:.4g}",
            y=f"{y:.4g}",
        )
    if not polygon.is_valid or polygon.area < LEAST_AREA:
        raise ZoneError("the points cover nothing", code="zone_line")
    return polygon


def check_zones(zones: Sequence[Zone]) -> None:
    """Raise ZoneError, with the zone's name, where the zones of a camera cannot be used."""
    if len(zones) > MAX_ZONES:
        raise ZoneError(
            f"a camera has {MAX_ZONES} zones at most, not {len(zones)}",
            code="zones_many",
            most=MAX_ZONES,
        )
    names = [zone.name for zone in zones]
    for name in names:
        if names.count(name) > 1:
            raise ZoneError(f"two zones have the name {name!r}", code="zones_same", zone=name)
    ignored: list[shapely.Polygon] = []
    for zone in zones:
        try:
            polygon = polygon_of(zone.points)
        except ZoneError as error:
            said = f"zone {zone.name!r}: {error}"
            raise ZoneError(said, code=error.code, **error.values, zone=zone.name) from None
        if zone.kind == "ignore":
            ignored.append(polygon)
    hidden = shapely.union_all(ignored)
    if hidden.area > 1 - LEAST_COUNTED:
        raise ZoneError(
            f"the ignored zones must leave {LEAST_COUNTED:.0%} of the picture",
            code="zones_hide",
            percent=round(100 * LEAST_COUNTED),
        )
    for zone in zones:
        left = polygon_of(zone.points).difference(hidden)
        if zone.kind == "watch" and left.area < LEAST_AREA:
            said = f"zone {zone.name!r} lies in ignored zones: nothing of it is left"
            raise ZoneError(said, code="zone_hidden", zone=zone.name)


def touched(polygon: shapely.Polygon, height_px: int, width_px: int, grown_px: float) -> PixelMask:
    """Return the pixels that a polygon touches, or comes nearer to than `grown_px`: (H, W)."""
    found = np.zeros((height_px, width_px), np.bool_)
    shapely.prepare(polygon)
    left = np.arange(width_px) - grown_px
    right = np.arange(width_px) + 1 + grown_px
    for row in range(height_px):  # one row at a time bounds the memory
        boxes = shapely.box(
            left / width_px,
            (row - grown_px) / height_px,
            right / width_px,
            (row + 1 + grown_px) / height_px,
        )
        found[row] = shapely.intersects(polygon, boxes)
    return found


def counted_cells(counted: PixelMask, side: int) -> PixelMask:
    """Return which cells have a pixel that counts, (H, W) → (side, side).

    The cells are those of torch's adaptive pooling: where the sides are no multiples they overlap.
    """
    height_px, width_px = counted.shape
    rows = np.stack(
        [
            counted[row * height_px // side : -(-(row + 1) * height_px // side)].any(axis=0)
            for row in range(side)
        ]
    )
    columns = [
        rows[:, column * width_px // side : -(-(column + 1) * width_px // side)].any(axis=1)
        for column in range(side)
    ]
    return np.stack(columns, axis=1)


def patch_starts(cells: int) -> list[int]:
    """Return the first half cell of each patch's middle, for `cells` - 1 patches in a row."""
    return [0, *range(3, 2 * cells - 1, 2)]


class ZoneMask:
    """The zones of one camera, drawn at the size of its model's picture."""

    def __init__(self, zones: Sequence[Zone], height_px: int, width_px: int) -> None:
        """Raise ZoneError as `check_zones`."""
        check_zones(zones)
        self._ignored = [polygon_of(zone.points) for zone in zones if zone.kind == "ignore"]
        self._counted = self.counted_at(height_px, width_px)
        self._cells = counted_cells(self._counted, SIDE)
        self._watch = {zone.name: polygon_of(zone.points) for zone in zones if zone.kind == "watch"}
        self._watched = {
            name: touched(polygon, SIDE, SIDE, GROWN_PX - 1) & self._cells
            for name, polygon in self._watch.items()
        }

    @property
    def ignores(self) -> bool:
        """Whether there is an ignored zone."""
        return bool(self._ignored)

    @property
    def weights(self) -> Floats32:
        """Weight of each pixel in the score, (H, W): 0 where it is ignored, else 1."""
        return self._counted.astype(np.float32)

    @property
    def cells(self) -> PixelMask:
        """The cells of a heatmap that have a pixel that counts, (64, 64)."""
        return self._cells

    @property
    def watched(self) -> Mapping[str, PixelMask]:
        """The cells of each watched zone by its name, (64, 64); those that count."""
        return self._watched

    def counted_at(self, height_px: int, width_px: int) -> PixelMask:
        """Return the pixels of a picture of any size that count, (H, W)."""
        counted = np.ones((height_px, width_px), np.bool_)
        for polygon in self._ignored:
            counted &= ~touched(polygon, height_px, width_px, GROWN_PX)
        return counted

    def patches(self, side_px: int, cell_px: int) -> PixelMask:
        """Return the patches of a memory of places that have a pixel that counts.

        A patch is two by two cells of a square picture, at a stride of one: (rows, columns).
        """
        cells = counted_cells(self.counted_at(side_px, side_px), side_px // cell_px)
        rows = cells[:-1] | cells[1:]
        return np.asarray(rows[:, :-1] | rows[:, 1:])

    def watched_patches(self, side_px: int, cell_px: int) -> dict[str, PixelMask]:
        """Return the patches of each watched zone: those whose middle it touches, and that count.

        As `patches`; the middle is a cell's size, and at the edge reaches to the border.
        """
        counted = self.patches(side_px, cell_px)
        cells = side_px // cell_px
        found = {}
        for name, polygon in self._watch.items():
            # Of a grid half a cell off: its outermost cells belong to the outermost patches.
            halves = touched(polygon, 2 * cells, 2 * cells, GROWN_PX - 1)
            rows = np.logical_or.reduceat(halves, patch_starts(cells), axis=0)
            found[name] = np.logical_or.reduceat(rows, patch_starts(cells), axis=1) & counted
        return found

    def hide(self, pixels: Pixels) -> Pixels:
        """Return pictures (..., H, W, 3) with the ignored pixels gray, the same in every frame.

        Pictures of another size come back as they are.
        """
        if not self._ignored or pixels.shape[-3:-1] != self._counted.shape:
            return pixels
        return np.where(self._counted[..., None], pixels, np.uint8(GRAY))
