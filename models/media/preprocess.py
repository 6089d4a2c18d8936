"""How a decoded frame is made ready for a model: one way, for training and for live cameras alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

MOST_SIDE_PX = 8192
VERSION = 1  # recorded in every checkpoint; a change of the steps below is a new version

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Resize to (height, width) with OpenCV's default bilinear; the scaling to [-1, 1] happens on the device.

    The MNAD authors do the same (`np_load_frame`: cv2.resize of uint8, then / 127.5 - 1).
    """

    height_px: int = 256
    width_px: int = 256
    channel_order: Literal["rgb", "bgr"] = (
        "rgb"  # what the weights expect; frames themselves travel as RGB
    )
    version: int = VERSION

    def __post_init__(self) -> None:
        """Raises ValueError for what is no size, or no order; a header may say anything."""
        if not all(
            type(side) is int and 0 < side <= MOST_SIDE_PX
            for side in (self.height_px, self.width_px)
        ):
            raise ValueError(f"sides must be whole numbers from 1 to {MOST_SIDE_PX}")
        if self.channel_order not in ("rgb", "bgr"):
            raise ValueError("the channel order must be rgb or bgr")

    def __call__(self, rgb: Pixels) -> Pixels:
        """(H, W, 3) uint8 RGB of any size → (height_px, width_px, 3) uint8 RGB."""
        if rgb.shape[:2] == (self.height_px, self.width_px):
            return np.ascontiguousarray(rgb)
        resized = cv2.resize(rgb, (self.width_px, self.height_px))
        return np.asarray(resized, dtype=np.uint8)
