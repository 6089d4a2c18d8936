"""Preprocessing of a decoded frame for a model: the same for training and live cameras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from lookout.models.arrays import Pixels

MAX_SIDE_PX = 8192
VERSION = 1
"""Recorded in every checkpoint; a change of the steps below is a new version."""


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Resize to (height, width) with OpenCV's default, bilinear.

    Scaling to [-1, 1] happens on the device. The MNAD authors do the same (`np_load_frame`:
    cv2.resize of uint8, then / 127.5 - 1).
    """

    height_px: int = 256
    width_px: int = 256
    channel_order: Literal["rgb", "bgr"] = "rgb"  # of the weights; frames travel as RGB
    version: int = VERSION

    def __post_init__(self) -> None:
        """Raise ValueError for an impossible size or order: a checkpoint may hold anything."""
        for side_px in (self.height_px, self.width_px):
            if type(side_px) is not int or not 0 < side_px <= MAX_SIDE_PX:
                raise ValueError(f"sides must be whole numbers from 1 to {MAX_SIDE_PX}")
        if self.channel_order not in ("rgb", "bgr"):
            raise ValueError("the channel order must be rgb or bgr")

    def __call__(self, rgb: Pixels) -> Pixels:
        """Return (H, W, 3) uint8 RGB of any size as (height_px, width_px, 3) uint8 RGB."""
        if rgb.shape[:2] == (self.height_px, self.width_px):
            return np.ascontiguousarray(rgb)
        resized = cv2.resize(rgb, (self.width_px, self.height_px))
        return np.asarray(resized, dtype=np.uint8)
