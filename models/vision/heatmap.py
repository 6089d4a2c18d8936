"""Where in the picture the prediction was wrong."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models.vision.quantize import PEAK, SIDE


def heatmap(error: Tensor) -> Tensor:
    """Root mean squared error a cell: (B, C, H, W) squared error, peak 1 → (B, 64, 64) float32 in [0, 1].

    The mean over channels and over the pixels of a cell, then its root. Where height and width are multiples of 64 the
    cells' mean square is the frame's MSE: map and PSNR tell the same story.
    """
    return F.adaptive_avg_pool2d(error.mean(dim=1, keepdim=True), SIDE).squeeze(1).sqrt()


def as_levels(heat: Tensor) -> npt.NDArray[np.uint16]:
    """How a heatmap is kept: (..., 64, 64) in [0, 1] → the same times 65535, on the host."""
    levels: npt.NDArray[np.uint16] = (
        (heat * PEAK).round().clamp(0, PEAK).to(torch.int32).cpu().numpy().astype(np.uint16)
    )
    return levels
