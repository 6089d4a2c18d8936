"""The last T frames of one camera, on the device: each is uploaded once and read T times."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Window:
    """A ring of T frames (H, W, 3) uint8 RGB."""

    def __init__(self, t_length: int, device: torch.device) -> None:
        self._t_length = t_length
        self._device = device
        self._ring: Tensor | None = None  # (T, H, W, 3) uint8
        self._count = 0  # frames since it was cleared

    @property
    def count(self) -> int:
        """Number of frames since it was cleared, dropped ones included."""
        return self._count

    @property
    def full(self) -> bool:
        return self._count >= self._t_length

    def push(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Add the next frame, (H, W, 3) uint8; of more than T the oldest drops.

        All frames between two `clear` have one size.
        """
        frame = torch.from_numpy(np.require(pixels, requirements="W"))
        if self._ring is None or self._ring.shape[1:] != frame.shape:
            self._ring = torch.empty(
                (self._t_length, *frame.shape), dtype=torch.uint8, device=self._device
            )
        self._ring[self._count % self._t_length] = frame
        self._count += 1

    def clear(self) -> None:
        """Empty the window: the next frame does not follow on the last."""
        self._count = 0

    def clip(self) -> Tensor:
        """Return the frames, oldest first: (T, H, W, 3) uint8. Only when `full`."""
        assert self._ring is not None, "no frame was pushed"  # noqa: S101
        return self._ring.roll(-(self._count % self._t_length), dims=0)
