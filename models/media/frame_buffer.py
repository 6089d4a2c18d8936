"""Frames put together to a clip without ever lying there twice."""

from __future__ import annotations

import numpy as np

from lookout.models.media.preprocess import Pixels

BLOCK_BYTES = 64 * 2**20
"""So large a piece of memory goes back to the system as soon as it is freed."""


class Pile:
    """Frames of one size, (H, W, 3) uint8 RGB each, one after another."""

    def __init__(self) -> None:
        self._blocks: list[Pixels] = []  # (n, H, W, 3) each
        self._frames: list[Pixels] = []  # of the next block

    def add(self, frame: Pixels) -> None:
        self._frames.append(frame)
        if len(self._frames) * frame.nbytes >= BLOCK_BYTES:
            self._close_block()

    def taken(self) -> Pixels:
        """All of them, (N, H, W, 3) uint8 RGB; at least one must be there. The pile is empty afterwards.

        As np.stack, but each block is freed once it is copied, and an empty array takes no memory until it is written.
        """
        if self._frames:
            self._close_block()
        blocks, self._blocks = self._blocks[::-1], []
        whole = np.empty((sum(map(len, blocks)), *blocks[0].shape[1:]), np.uint8)
        end = 0
        while blocks:
            block = blocks.pop()
            end += len(block)
            whole[end - len(block) : end] = block
        return whole

    def _close_block(self) -> None:
        self._blocks.append(np.stack(self._frames))
        self._frames.clear()
