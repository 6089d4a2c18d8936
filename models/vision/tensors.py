"""Frames to the clips that a network takes, and prediction errors to heatmaps, on the device.

The one place that scales and stacks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models.arrays import PEAK, SIDE, HeatMap, Pixels

LUMA = (0.299, 0.587, 0.114)
"""Of R, G and B in gray, ITU-R BT.601; OpenCV's weights."""


def to_clips(
    clips: Sequence[Pixels] | Tensor,
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


class Window:
    """The last T frames of one camera, on the device: each is uploaded once and read T times.

    A ring of T frames (H, W, 3) uint8 RGB.
    """

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
        """Whether there are T frames."""
        return self._count >= self._t_length

    def push(self, pixels: Pixels) -> None:
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

    @property
    def newest(self) -> Pixels:
        """The last frame, (H, W, 3) uint8, on the host. Only once there is one."""
        assert self._ring is not None, "no frame was pushed"  # noqa: S101
        pixels: Pixels = self._ring[(self._count - 1) % self._t_length].cpu().numpy()
        return pixels

    def clip(self) -> Tensor:
        """Return the frames, oldest first: (T, H, W, 3) uint8. Only when `full`."""
        assert self._ring is not None, "no frame was pushed"  # noqa: S101
        return self._ring.roll(-(self._count % self._t_length), dims=0)


def heatmap(error: Tensor) -> Tensor:
    """Return the root mean squared error of each cell, (B, 64, 64) float32 in [0, 1].

    error: (B, C, H, W) squared, peak 1. The mean is over channels and the pixels of a cell. Where
    height and width are multiples of 64, the cells' mean square is the frame's MSE.
    """
    return F.adaptive_avg_pool2d(error.mean(dim=1, keepdim=True), SIDE).squeeze(1).sqrt()


def as_levels(heat: Tensor) -> HeatMap:
    """Return a heatmap as it is stored: (..., 64, 64) in [0, 1] times 65535, on the host."""
    levels: HeatMap = (
        (heat * PEAK).round().clamp(0, PEAK).to(torch.int32).cpu().numpy().astype(np.uint16)
    )
    return levels
