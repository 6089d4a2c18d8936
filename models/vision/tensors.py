"""From uint8 frames to what a network takes. The one place that scales and stacks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Of R, G and B in gray, ITU-R BT.601; OpenCV's weights."""


def to_clips(
    clips: Sequence[npt.NDArray[np.uint8]] | Tensor,
    device: torch.device,
    channel_order: str = "rgb",
    *,
    gray: bool = False,
    black: float = -1.0,
) -> Tensor:
    """Return clips (B, T, H, W, 3) uint8 RGB as (B, C T, H, W) float32 in [black, 1].

    Frames lie along the channels, oldest first.

    clips: B arrays, or one tensor, best on the device already.
    channel_order: of the weights; frames are RGB, the authors' weights of MNAD take B, G, R.
    gray: C = 1, else 3. black: -1 or 0.
    """
    batch = (clips if isinstance(clips, Tensor) else torch.from_numpy(np.stack(clips))).to(device)
    if gray:
        stacked = (batch * torch.tensor(LUMA, device=device)).sum(dim=-1)  # (B, T, H, W)
    else:
        ordered = batch.flip(-1) if channel_order == "bgr" else batch
        stacked = ordered.permute(0, 1, 4, 2, 3).flatten(1, 2).float()  # (B, 3 T, H, W)
    scaled = stacked.div_(127.5).sub_(1) if black else stacked.div_(255)
    return scaled.contiguous(memory_format=torch.channels_last)
