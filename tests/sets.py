"""Small sets of images in the layouts of Ped2, Avenue and ShanghaiTech, with ground truth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from lookout.models.data.masks import Mask
from tests.clips import numbered

FRAMES, FIRST = 14, 8
"""The number of frames of a test clip, and its first anomalous one, 0-based; the last one is
anomalous too.
"""

SIZE_PX = (48, 36)  # width, height


def write_images(
    folder: Path, names: list[str], first: int = 0, size_px: tuple[int, int] = (40, 24)
) -> Path:
    """Images whose frames tell their own number, from `first` on in the order of `names`."""
    folder.mkdir(parents=True)
    for number, name in enumerate(names, start=first):
        assert cv2.imwrite(str(folder / name), numbered(number, *size_px))
    return folder


def mask() -> Mask:
    """(FRAMES, H, W) 0/1: the left half, while it is anomalous."""
    width_px, height_px = SIZE_PX
    found = np.zeros((FRAMES, height_px, width_px), np.uint8)
    found[FIRST:, :, : width_px // 2] = 1
    return found


def ped2(data: Path) -> Path:
    """`Train/Train001/001.tif`, `Test/Test001/001.tif`, `Test/Test001_gt/001.bmp`."""
    names = [f"{number + 1:03}" for number in range(FRAMES)]
    for clip in ("Train/Train001", "Train/Train002", "Test/Test001"):
        write_images(data / clip, [f"{name}.tif" for name in names], size_px=SIZE_PX)
    (data / "Test/Test001_gt").mkdir()
    for name, frame in zip(names, mask(), strict=True):
        assert cv2.imwrite(str(data / "Test/Test001_gt" / f"{name}.bmp"), frame * 255)
    return data


def avenue(data: Path) -> Path:
    """`training/frames/01/0000.jpg`, `testing/frames/…`; `1_label.mat` in `ground_truth_demo/`."""
    for clip in ("training/frames/01", "training/frames/02", "testing/frames/01"):
        write_images(data / clip, [f"{number:04}.jpg" for number in range(FRAMES)], size_px=SIZE_PX)
    cells = np.empty((1, FRAMES), object)
    cells[0, :] = [frame.astype(np.float64) for frame in mask()]
    masks = data / "ground_truth_demo/testing_label_mask"
    masks.mkdir(parents=True)
    savemat(masks / "1_label.mat", {"volLabel": cells}, do_compression=True)
    return data


def shanghaitech(data: Path) -> Path:
    """`training/frames/01_001/000.jpg`, `testing/frames/01_0014/000.jpg`.

    In `testing/`: `test_frame_mask/01_0014.npy` and `test_pixel_mask/01_0014.npy`.
    """
    for clip in ("training/frames/01_001", "training/frames/01_002", "testing/frames/01_0014"):
        write_images(data / clip, [f"{number:03}.jpg" for number in range(FRAMES)], size_px=SIZE_PX)
    for folder, truth in (
        ("test_frame_mask", mask().any(axis=(1, 2))),
        ("test_pixel_mask", mask()),
    ):
        (data / "testing" / folder).mkdir()
        np.save(data / "testing" / folder / "01_0014.npy", truth)
    return data
