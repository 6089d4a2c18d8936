"""Pixel ground truth: which regions of a frame are anomalous, and which of them are one thing that moves.

`NN_mask.npz` beside the clip `NN`, as with Ped2: `mask` is packed bits along the last axis, `shape` is (frames, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import label

from models.errors import DataError
from models.levels import SIDE
from models.video import Announced, announced

Mask = npt.NDArray[np.uint8]
Cells = npt.NDArray[np.int64]

LINKED = np.zeros((3, 3, 3), np.uint8)  # frame, row, column
LINKED[1] = 1  # in a frame: the eight neighbours
LINKED[:, 1, 1] = 1  # from frame to frame: the same pixel


@dataclass(frozen=True, slots=True)
class Region:
    """A connected component of one frame's mask, diagonals included."""

    cells: Cells  # (64, 64): how many of its pixels lie in each cell of the heatmap
    pixels: int
    track: int  # 0-based, of its clip


@dataclass(frozen=True, slots=True)
class Masked:
    """A clip's ground truth."""

    regions: list[list[Region]]  # one list a frame of the clip
    cell_pixels: Cells  # (64, 64): how many pixels of the picture lie in each cell

    @classmethod
    def of(cls, mask: Mask) -> Masked:
        """mask: (N, H, W) 0/1. A track is what is connected over frames: regions of two frames that share a pixel."""
        tracks, _ = label(mask, LINKED)  # (N, H, W), 1-based
        cell = _cell_of_pixel(*mask.shape[1:])
        regions = [_regions(frame, tracks[i], cell) for i, frame in enumerate(mask)]
        return cls(regions, _count(cell.ravel()))


def read_masks(clips: list[Path]) -> dict[str, Masked] | None:
    """The ground truth of each clip; None where none has one.

    Raises DataError where some have and others do not, or where a mask is damaged or does not fit its clip.
    """
    files = [path.with_name(f"{path.stem}_mask.npz") for path in clips]
    missing = [file.name for file in files if not file.exists()]
    if len(missing) == len(files):
        return None
    if missing:
        raise DataError(f"there is no {missing[0]}, but other clips have a mask")
    return {path.stem: Masked.of(_read(file, announced(path))) for path, file in zip(clips, files, strict=True)}


def _read(path: Path, clip: Announced) -> Mask:
    """(N, H, W) 0/1."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            packed, shape = stored["mask"], tuple(int(side) for side in stored["shape"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise DataError(f"{path.name} is no mask: {error}") from None
    size = (clip.height_px, clip.width_px)
    if len(shape) != 3 or shape[1:] != size or (clip.frames and shape[0] != clip.frames):
        raise DataError(f"{path.name} is a mask of {shape}; the clip is {(clip.frames, *size)} (frames, height, width)")
    if packed.dtype != np.uint8 or packed.shape != (*shape[:2], -(-shape[2] // 8)):
        raise DataError(f"{path.name} is no mask: {packed.dtype} {packed.shape} are not the bits of {shape}")
    return np.unpackbits(packed, axis=-1, count=shape[2])


def _cell_of_pixel(height_px: int, width_px: int) -> Cells:
    """(H, W): the index of the heatmap's cell that a pixel's centre lies in, row by row."""
    row, column = ((2 * np.arange(side) + 1) * SIDE // (2 * side) for side in (height_px, width_px))
    return row[:, None] * SIDE + column


def _regions(frame: Mask, tracks: npt.NDArray[np.int32], cell: Cells) -> list[Region]:
    count, components = cv2.connectedComponents(frame, connectivity=8)
    found = []
    for number in range(1, count):
        inside = components == number  # (H, W)
        found.append(Region(_count(cell[inside]), int(inside.sum()), int(tracks[inside][0]) - 1))
    return found


def _count(cells: Cells) -> Cells:
    """How often each cell is named, (64, 64)."""
    return np.bincount(cells, minlength=SIDE * SIDE).reshape(SIDE, SIDE)
