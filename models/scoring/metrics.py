"""From a prediction to numbers: PSNR, gate error, and the offline score. Higher score = more abnormal.

Park et al., CVPR 2020, section 3.3, as the authors' code computes it; the memory distance (eq. 14) is in `memory.py`,
the causal (live) value in `bounds.py`. Frames are in [-1, 1]; errors are taken on (frame + 1) / 2, peak 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]

LEAST_MSE = 1e-10
"""A perfect prediction counts as 100 dB: a still, noiseless picture must not end in a division by zero."""


def squared_error(predicted: Tensor, actual: Tensor) -> Tensor:
    """((x̂ + 1)/2 - (x + 1)/2)², peak 1: (B, C, H, W) in float32."""
    return ((predicted.float() + 1) / 2 - (actual + 1) / 2).square()


def sum_each(tensor: Tensor) -> Tensor:
    """Sum of each sample, (B, C, H, W) → (B,): axis by axis, so that no batch size or thread count changes a bit.

    One sum over everything is split among threads where the batch is small, and not where it is large; the order of
    additions, and with it the last bits, would depend on who else is in the batch.
    """
    return tensor.contiguous().sum(dim=3).sum(dim=2).sum(dim=1)


def psnr_db(error: Tensor) -> Tensor:
    """Eq. 13 with peak 1, as the authors' code has it (the paper: the maximum of the predicted frame).

    error: (B, C, H, W) squared, peak 1 → (B,) in dB.
    """
    mse = sum_each(error) / error[0].numel()
    return -10 * mse.clamp_min(LEAST_MSE).log10()


def gate_error(error: Tensor) -> Tensor:
    """Regular score E_t, eq. 11 and 12: the error, weighted by where it is large. The memory is updated below γ.

    As the authors' code: squared errors in place of norms, W = 1 - exp(-error) over its sum, (B, C, H, W) → (B,).
    A perfect prediction has a gate error of 0.
    """
    weight = 1 - torch.exp(-error)  # (B, C, H, W)
    total = sum_each(weight)
    weighted = sum_each(weight * error)
    return weighted / total.clamp_min(torch.finfo(total.dtype).tiny)


def minmax(numbers: Floats) -> Floats:
    """Scale one video's numbers to [0, 1], eq. 15's g; all zero where they do not differ. Sees the future."""
    low, high = numbers.min(), numbers.max()
    return (numbers - low) / (high - low) if high > low else np.zeros_like(numbers)


def value_minmax(psnr: Floats, distance: Floats, fusion_weight: float) -> Floats:
    """The paper's score of one video, eq. 15: λ (1 - g(P)) + (1 - λ) g(D), each part scaled over the whole video.

    Offline: for tables only. psnr (N,) in dB, distance (N,) → (N,) in [0, 1]; the sum is not normalised again.
    """
    return fusion_weight * (1 - minmax(psnr)) + (1 - fusion_weight) * minmax(distance)


def value_none(psnr: Floats, distance: Floats, fusion_weight: float) -> Floats:
    """The same fusion with nothing normalised: -λ P + (1 - λ) D, (N,), unbounded.

    Literal, hence all but PSNR alone: P is tens of dB where D is of the order of 1e-6 to 1e-3.
    """
    return -fusion_weight * psnr + (1 - fusion_weight) * distance
