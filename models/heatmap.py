"""Where in the picture the prediction was wrong."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

SIDE = 64


def heatmap(error: Tensor) -> Tensor:
    """Root mean squared error a cell: (B, C, H, W) squared error, peak 1 → (B, 64, 64) float32 in [0, 1].

    The mean over channels and over the pixels of a cell, then its root. Where height and width are multiples of 64 the
    cells' mean square is the frame's MSE: map and PSNR tell the same story.
    """
    return F.adaptive_avg_pool2d(error.mean(dim=1, keepdim=True), SIDE).squeeze(1).sqrt()
