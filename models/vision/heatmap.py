"""Heatmaps: the prediction error over the picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models.vision.quantize import PEAK, SIDE


def heatmap(error: Tensor) -> Tensor:
    """Return the root mean squared error of each cell, (B, 64, 64) float32 in [0, 1].

    error: (B, C, H, W) squared, peak 1. The mean is over channels and the pixels of a cell. Where
    height and width are multiples of 64, the cells' mean square is the frame's MSE.
    """
    return F.adaptive_avg_pool2d(error.mean(dim=1, keepdim=True), SIDE).squeeze(1).sqrt()


def as_levels(heat: Tensor) -> npt.NDArray[np.uint16]:
    """Return a heatmap as it is stored: (..., 64, 64) in [0, 1] times 65535, on the host."""
    levels: npt.NDArray[np.uint16] = (
        (heat * PEAK).round().clamp(0, PEAK).to(torch.int32).cpu().numpy().astype(np.uint16)
    )
    return levels
