"""Structural similarity of two pictures: of their gradients' sizes (GMS), and of windows (SSIM).

W. Xue et al., "Gradient Magnitude Similarity Deviation", IEEE TIP 2014, whose constant is GMS_C; at
several scales (MSGMS) in V. Zavrtanik et al., Pattern Recognition 2021. Z. Wang et al., "Image
Quality Assessment: From Error Visibility to Structural Similarity", IEEE TIP 2004. Pictures are in
[-1, 1], or in [0, 1] where `span` is 1; 1 is alike.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from functools import reduce

import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

GMS_C = 0.0026
"""c of GMS, for gradients of Prewitt's filter with a sum of thirds."""

GRAY = (0.2989, 0.587, 0.114)
"""Of R, G and B in gray, ITU-R BT.601 to four places: the figures of RIAD were made with these."""

SCALES = 4
"""Of MSGMS, unless a model has others: full size, 1/2, 1/4 and 1/8."""

SSIM_WINDOW_PX = 11
SSIM_SIGMA_PX = 1.5
SSIM_K1 = 0.01
SSIM_K2 = 0.03
"""The constants of SSIM, as shares of the values' span."""

TINY = 1e-12
"""Under the root of a gradient's size: where it is 0, the root would have no derivative."""


def gray(x: Tensor) -> Tensor:
    """Return the luma, (B, 3, H, W) → (B, 1, H, W); one channel stays as it is."""
    if x.shape[1] == 1:
        return x
    return (x * x.new_tensor(GRAY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def gradient_size(x: Tensor) -> Tensor:
    """Return the size of the gradient by Prewitt's filters, (B, 1, H, W) → (B, 1, H, W).

    Beyond the border the picture counts as 0. It adds shifted pictures instead of convolving, so
    that a picture has the same bits in every batch.
    """
    padded = F.pad(x, (1, 1, 1, 1))  # (B, 1, H + 2, W + 2)
    columns = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]  # (B, 1, H, W + 2)
    rows = padded[..., :-2] + padded[..., 1:-1] + padded[..., 2:]  # (B, 1, H + 2, W)
    across = (columns[..., :-2] - columns[..., 2:]) / 3  # (B, 1, H, W)
    down = (rows[:, :, :-2] - rows[:, :, 2:]) / 3
    return (across.square() + down.square() + TINY).sqrt()


def gms(x: Tensor, y: Tensor) -> Tensor:
    """Return GMS of each pixel, (B, 1, H, W) twice → (B, 1, H, W) in (0, 1]."""
    one = gradient_size(x)
    other = gradient_size(y)
    return (2 * one * other + GMS_C) / (one.square() + other.square() + GMS_C)


def gms_of_scales(x: Tensor, y: Tensor, scales: int = SCALES) -> list[Tensor]:
    """Return GMS of each scale, (B, C, H, W) twice → (B, 1, H / 2^s, W / 2^s) for s = 0, 1, …"""
    one = gray(x)
    other = gray(y)
    maps = [gms(one, other)]
    for _ in range(scales - 1):
        one = F.avg_pool2d(one, 2)
        other = F.avg_pool2d(other, 2)
        maps.append(gms(one, other))
    return maps


def msgms(x: Tensor, y: Tensor, scales: int = SCALES) -> Tensor:
    """Return the mean of GMS over the scales at each pixel, (B, C, H, W) twice → (B, 1, H, W)."""
    size = x.shape[2:]
    maps = [F.interpolate(one, size, mode="bilinear") for one in gms_of_scales(x, y, scales)]
    return sum_of(maps) / scales


def sum_of(tensors: Iterable[Tensor]) -> Tensor:
    """Return the sum of tensors of one shape, one after the other: the same bits in every batch.

    A mean over a stack of them adds in an order that depends on its size.
    """
    return reduce(operator.add, tensors)


def msgms_loss(x: Tensor, y: Tensor, scales: int = SCALES) -> Tensor:
    """Return 1 - the mean of MSGMS, scalar: the scales' means, without scaling a map up."""
    return 1 - torch.stack([one.mean() for one in gms_of_scales(x, y, scales)]).mean()


def ssim(x: Tensor, y: Tensor, span: float = 2.0) -> Tensor:
    """Return SSIM of each pixel, (B, C, H, W) twice → (B, C, H, W) in [-1, 1].

    Beyond the border the pictures count as 0. span: largest value less the smallest.
    """
    c1 = (SSIM_K1 * span) ** 2
    c2 = (SSIM_K2 * span) ** 2
    mean_x, mean_y = blurred(x), blurred(y)
    covariance = blurred(x * y) - mean_x * mean_y
    variances = blurred(x * x) - mean_x.square() + blurred(y * y) - mean_y.square()
    brightness = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return brightness * (2 * covariance + c2) / (variances + c2)


def ssim_loss(x: Tensor, y: Tensor, span: float = 2.0) -> Tensor:
    """Return 1 - the mean of SSIM, scalar; span: see `ssim`."""
    return 1 - ssim(x, y, span).mean()


def blurred(x: Tensor) -> Tensor:
    """Return the means in Gaussian windows of SSIM, (B, C, H, W) → (B, C, H, W)."""
    reach_px = SSIM_WINDOW_PX // 2
    offsets = torch.arange(-reach_px, reach_px + 1, device=x.device, dtype=x.dtype)
    weights = (-(offsets / SSIM_SIGMA_PX).square() / 2).exp()
    window = (weights / weights.sum()).view(1, 1, 1, -1)  # (1, 1, 1, 11)
    each = x.flatten(0, 1)[:, None]  # (B C, 1, H, W)
    across = F.conv2d(each, window, padding=(0, reach_px))
    both = F.conv2d(across, window.mT, padding=(reach_px, 0))
    return both.view(x.shape)


def mean_filtered(x: Tensor, side_px: int) -> Tensor:
    """Return the means in square windows of an odd side, (B, C, H, W) → (B, C, H, W).

    At the border only the pixels within the picture count, so that the means do not fall off.
    """
    reach_px = side_px // 2
    rows = F.avg_pool2d(x, (side_px, 1), 1, (reach_px, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side_px), 1, (0, reach_px), count_include_pad=False)
