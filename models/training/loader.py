"""Footage on its way to the device: uploaded once where all of it fits there, else batch by batch. uint8 either way."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lookout.models.data.clips import Footage

SHARE = 0.5
"""Of the device's free memory that footage may take; the rest is for the network, its gradients and its batches."""


def fits(footage_bytes: int, device: torch.device) -> bool:
    """Whether footage should lie in the device's memory. On a CPU it does anyway."""
    return device.type == "cuda" and footage_bytes <= SHARE * torch.cuda.mem_get_info(device)[0]


class Feed:
    """Windows of footage, as batches on the device."""

    def __init__(self, footage: Footage, device: torch.device, *, resident: bool) -> None:
        self.footage, self.device, self.resident = footage, device, resident
        self._clips = (
            [torch.from_numpy(clip).to(device) for clip in footage.clips] if resident else []
        )

    def __call__(self, windows: npt.NDArray[np.int64]) -> Tensor:
        """Numbers of windows (B,) → (B, T, H, W, 3) uint8 RGB."""
        if not self.resident:
            return torch.from_numpy(
                np.stack([self.footage.window(int(index)) for index in windows])
            ).to(self.device)
        t_length = self.footage.t_length
        found = [
            self._clips[clip][first : first + t_length]
            for clip, first in self.footage.windows[windows].tolist()
        ]
        return torch.stack(found)
