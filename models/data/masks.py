"""Pixel ground truth: the anomalous regions of each frame, and their tracks.

`NN_mask.npz` beside the clip `NN`: `mask` is packed bits along the last axis, `shape` is (frames,
H, W). Or as it is distributed: with Ped2 a folder of images `TestNNN_gt` beside the clip, with
Avenue `N_label.mat`, with ShanghaiTech `test_pixel_mask/NN_MMMM.npy`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt
from scipy.io import loadmat
from scipy.ndimage import label

from lookout.models.arrays import SIDE, Cells
from lookout.models.data.clips import MASKS, clip_info, count_frames
from lookout.models.data.image_folder import frame_images, images_at
from lookout.models.errors import DataError

Mask = npt.NDArray[np.uint8]

AVENUE = "ground_truth_demo/testing_label_mask"

SHANGHAITECH = ("testing/test_pixel_mask", "test_pixel_mask")
"""The first one that is there counts."""

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

    @property
    def labels(self) -> npt.NDArray[np.uint8]:
        """(N,) 0/1: a frame is anomalous where any of its pixels is."""
        return np.array([bool(regions) for regions in self.regions], np.uint8)

    @classmethod
    def of(cls, mask: Mask) -> Masked:
        """Return the regions and tracks of a mask (N, H, W) 0/1.

        A track is connected over frames: regions of two frames that share a pixel.
        """
        tracks, _ = label(mask, LINKED)  # (N, H, W), 1-based
        cell = cell_of_pixel(*mask.shape[1:])
        regions = [connected_regions(frame, tracks[i], cell) for i, frame in enumerate(mask)]
        return cls(regions, count_by_cell(cell.ravel()))


def read_masks(data: Path, clips: list[Path]) -> dict[str, Masked] | None:
    """Return the ground truth of each clip, in the first of FORMS that is there.

    None where no clip has one. data: the folder that the clips were found in. Raises DataError
    where some have one and others do not, or where a mask is damaged or does not fit its clip.
    """
    for form in FORMS:
        places = {clip: form.place(data, clip) for clip in clips}
        missing = [place.name for place in places.values() if not place.exists()]
        if len(missing) == len(places):
            continue
        if missing:
            raise DataError(f"there is no {missing[0]}, but other clips have a mask")
        return {
            clip.stem: Masked.of(fitting(place, form.read(place), clip))
            for clip, place in places.items()
        }
    return None


def fitting(place: Path, mask: Mask, path: Path) -> Mask:
    """Return the mask. Raises DataError where it is not that of a clip of this size."""
    clip = clip_info(path)
    shape = count_frames(path, len(mask)), clip.height_px, clip.width_px
    if mask.shape != shape:
        raise DataError(
            f"{place.name} is a mask of {mask.shape}; the clip is {shape} (frames, height, width)"
        )
    return mask


def read_packed(path: Path) -> Mask:
    """Read `mask`, bits along the last axis, of `shape`: frames, height, width."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            packed, shape = stored["mask"], tuple(int(side) for side in stored["shape"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise DataError(f"{path.name} is no mask: {error}") from None
    if (
        len(shape) != 3
        or packed.dtype != np.uint8
        or packed.shape != (*shape[:2], -(-shape[2] // 8))
    ):
        raise DataError(
            f"{path.name} is no mask: {packed.dtype} {packed.shape} are not the bits of {shape}"
        )
    return np.unpackbits(packed, axis=-1, count=shape[2])


def read_images(folder: Path) -> Mask:
    """Read Ped2's: an image a frame, black where all is normal."""
    frames = images_at(folder, range(len(frame_images(folder))))
    return stacked(folder, [np.asarray(picture.any(axis=2)) for picture in frames.values()])


def read_matlab(path: Path) -> Mask:
    """Read Avenue's: `volLabel`, a cell a frame, 0 where all is normal."""
    try:
        cells = loadmat(path, appendmat=False, variable_names=["volLabel"])["volLabel"]
        frames = [np.asarray(cell, bool) for cell in np.asarray(cells, object).ravel()]
    except Exception as error:  # loadmat raises whatever its reader does
        raise DataError(f"{path.name} is no mask: {type(error).__name__}") from None
    return stacked(path, frames)


def read_array(path: Path) -> Mask:
    """Read ShanghaiTech's: an array a clip, 0 where all is normal; mapped from the disk."""
    try:
        stored = np.lib.format.open_memmap(path, mode="r")  # takes no pickles
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path.name} is no mask: {error}") from None
    if (
        stored.ndim != 3
        or stored.dtype.kind not in "buif"
        or not all(np.isin(frame, (0, 1)).all() for frame in stored)
    ):
        raise DataError(
            f"{path.name} is no mask: 0 or 1 for each pixel, (frames, height, width), is expected"
        )
    return stored.astype(np.uint8)


def shanghaitech_place(data: Path, clip: Path) -> Path:
    """Return where ShanghaiTech's mask of a clip lies, or would lie."""
    folders = [data / name for name in SHANGHAITECH]
    return next(filter(Path.is_dir, folders), folders[0]) / f"{clip.stem}.npy"


def stacked(path: Path, frames: list[npt.NDArray[np.bool_]]) -> Mask:
    """Return frames (H, W) as one mask (N, H, W) 0/1. Raises DataError where sizes differ."""
    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1 or frames[0].ndim != 2:
        raise DataError(f"{path.name} is no mask: a picture a frame, all of one size, is expected")
    return np.stack(frames).astype(np.uint8)


class Form(NamedTuple):
    """One way in which masks lie there."""

    place: Callable[[Path, Path], Path]  # data folder, clip → where its mask would be
    read: Callable[[Path], Mask]  # (N, H, W) 0/1


FORMS = (
    Form(lambda _, clip: clip.with_name(f"{clip.stem}_mask.npz"), read_packed),
    Form(lambda _, clip: clip.with_name(clip.stem + MASKS), read_images),
    Form(lambda data, clip: data / AVENUE / f"{clip.stem.lstrip('0')}_label.mat", read_matlab),
    Form(shanghaitech_place, read_array),
)


def cell_of_pixel(height_px: int, width_px: int) -> Cells:
    """Return the index of the heatmap's cell, row by row, that each pixel's centre lies in.

    The result is (H, W).
    """
    row, column = ((2 * np.arange(side) + 1) * SIDE // (2 * side) for side in (height_px, width_px))
    return row[:, None] * SIDE + column


def connected_regions(frame: Mask, tracks: npt.NDArray[np.int32], cell: Cells) -> list[Region]:
    """Return the regions of one frame; frame, tracks and cell: (H, W)."""
    count, components = cv2.connectedComponents(frame, connectivity=8)
    found = []
    for number in range(1, count):
        inside = components == number  # (H, W)
        found.append(
            Region(count_by_cell(cell[inside]), int(inside.sum()), int(tracks[inside][0]) - 1)
        )
    return found


def count_by_cell(cells: Cells) -> Cells:
    """Count how often each cell is named, (64, 64)."""
    return np.bincount(cells, minlength=SIDE * SIDE).reshape(SIDE, SIDE)
