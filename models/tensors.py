"""From uint8 frames to what a network takes. The one place that scales and stacks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def to_clips(
    clips: Sequence[npt.NDArray[np.uint8]] | Tensor, device: torch.device, channel_order: str = "rgb"
) -> Tensor:
    """(B, T, H, W, 3) uint8 RGB → (B, 3 T, H, W) float32 in [-1, 1], frames along the channels, oldest first.

    clips: B arrays, or one tensor, best on the device already.

    channel_order: what the weights expect; frames travel as RGB, the authors' weights take B, G, R.
    """
    batch = (clips if isinstance(clips, Tensor) else torch.from_numpy(np.stack(clips))).to(device)
    if channel_order == "bgr":
        batch = batch.flip(-1)
    stacked = batch.permute(0, 1, 4, 2, 3).flatten(1, 2)  # (B, 3 T, H, W)
    return stacked.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)
