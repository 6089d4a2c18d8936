"""Batches of footage on the device: uploaded once where all of it fits there, else each by itself.

Pixels cross to the device as uint8 either way.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lookout.models.data.footage import Footage

MEMORY_SHARE = 0.5
"""Of the device's free memory that footage may take; network and gradients need the rest."""

WindowNumbers = npt.NDArray[np.int64]
"""(B,): indices into a footage's windows."""


class Batch(NamedTuple):
    """Windows of footage as the model takes them."""

    windows: WindowNumbers  # (B,)
    clips: Tensor  # (B, C T, H, W)


def fits(footage_bytes: int, device: torch.device) -> bool:
    """Return whether footage should lie in the device's memory. On a CPU it does anyway: False."""
    if device.type != "cuda":
        return False
    return footage_bytes <= MEMORY_SHARE * torch.cuda.mem_get_info(device)[0]


class WindowLoader:
    """Windows of footage, as batches on the device."""

    def __init__(self, footage: Footage, device: torch.device, *, resident: bool) -> None:
        """Upload the whole footage now where `resident`."""
        self.footage = footage
        self.device = device
        self.resident = resident
        self._clips: list[Tensor] = []
        if resident:
            self._clips = [torch.from_numpy(clip).to(device) for clip in footage.clips]

    def load(self, windows: WindowNumbers) -> Tensor:
        """Return these windows as (B, T, H, W, 3) uint8 RGB."""
        if not self.resident:
            pixels = np.stack([self.footage.window(int(index)) for index in windows])
            return torch.from_numpy(pixels).to(self.device)
        t_length = self.footage.t_length
        return torch.stack(
            [
                self._clips[clip][first : first + t_length]
                for clip, first in self.footage.windows[windows].tolist()
            ]
        )
