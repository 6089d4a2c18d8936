"""Decoded frames for a model: preprocessed, and put together to a clip.

The same for training and live cameras.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from lookout.models.arrays import Pixels

MAX_SIDE_PX = 8192
VERSION = 1
"""Recorded in every checkpoint; a change of the steps below is a new version."""

BLOCK_BYTES = 64 * 2**20
"""Size of a block of frames: memory of this size goes back to the system as soon as it is freed."""


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


def resized(picture: Pixels, sides: tuple[int, int]) -> Pixels:
    """Return a picture (H, W, 3) uint8 in another width and height; each level is a mean."""
    return np.asarray(cv2.resize(picture, sides, interpolation=cv2.INTER_AREA), np.uint8)


class FrameBuffer:
    """Frames put together to a clip, in little more memory than the clip takes.

    All of one size, (H, W, 3) uint8 RGB each, in their order.
    """

    def __init__(self) -> None:
        self._blocks: list[Pixels] = []  # (n, H, W, 3) each
        self._frames: list[Pixels] = []  # of the next block

    def add(self, frame: Pixels) -> None:
        """Append a frame."""
        self._frames.append(frame)
        if len(self._frames) * frame.nbytes >= BLOCK_BYTES:
            self._blocks.append(np.stack(self._frames))
            self._frames.clear()

    def take(self) -> Pixels:
        """Return all frames, (N, H, W, 3) uint8 RGB, and leave the buffer empty.

        There must be at least one. The result equals np.stack, but each block is freed once it is
        copied, and an empty array takes no memory until it is written.
        """
        blocks = self._blocks
        if self._frames:
            blocks.append(np.stack(self._frames))
        self._blocks = []
        self._frames = []
        frames = sum(map(len, blocks))
        clip = np.empty((frames, *blocks[0].shape[1:]), np.uint8)
        first = 0
        blocks.reverse()
        while blocks:
            block = blocks.pop()
            clip[first : first + len(block)] = block
            first += len(block)
        return clip
