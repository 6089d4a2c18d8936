"""Frames put together to a clip, in little more memory than the clip takes."""

from __future__ import annotations

import numpy as np

from lookout.models.arrays import Pixels

BLOCK_BYTES = 64 * 2**20
"""Size of a block: memory of this size goes back to the system as soon as it is freed."""


class FrameBuffer:
    """Frames of one size, (H, W, 3) uint8 RGB each, in their order."""

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
