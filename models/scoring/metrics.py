"""PSNR, gate error, and the offline score of a prediction. A higher score is more abnormal.

Park et al., CVPR 2020, section 3.3, as the authors' code computes it; the memory distance (eq. 14)
is in `memory.py`, the causal (live) value in `calibration.py`. Frames are in [-1, 1]; errors are
taken on (frame + 1) / 2, peak 1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lookout.models.arrays import Floats

LEAST_MSE = 1e-10
"""A perfect prediction counts as 100 dB: a still, noiseless picture must not divide by zero."""

AROUND = 8
"""Frames before and after the one whose fused score it is: 0.8 s each way at Ped2's frame rate."""


def squared_error(predicted: Tensor, actual: Tensor) -> Tensor:
    """Return ((x̂ + 1)/2 - (x + 1)/2)², peak 1: (B, C, H, W) in float32."""
    return ((predicted.float() + 1) / 2 - (actual + 1) / 2).square()


def sum_each(tensor: Tensor) -> Tensor:
    """Return the sum of each sample, (B, C, H, W) → (B,), the same bits in every batch.

    It adds axis by axis: one sum over everything is split among threads in small batches and not in
    large ones, so that the order of additions, and the last bits, would depend on the batch.
    """
    return tensor.contiguous().sum(dim=3).sum(dim=2).sum(dim=1)


def psnr_db(error: Tensor) -> Tensor:
    """Return the PSNR, eq. 13, with peak 1 as in the authors' code (paper: the frame's maximum).

    error: (B, C, H, W) squared, peak 1 → (B,) in dB.
    """
    mse = sum_each(error) / error[0].numel()
    return -10 * mse.clamp_min(LEAST_MSE).log10()


def gate_error(error: Tensor) -> Tensor:
    """Return the regular score E_t, eq. 11 and 12: the mean error, weighted by where it is large.

    The memory is updated below γ. Follows the authors' code: squared errors in place of norms,
    W = 1 - exp(-error) over its sum, (B, C, H, W) → (B,). A perfect prediction gives 0.
    """
    weight = 1 - torch.exp(-error)  # (B, C, H, W)
    total = sum_each(weight)
    weighted = sum_each(weight * error)
    return weighted / total.clamp_min(torch.finfo(total.dtype).tiny)


def minmax(numbers: Floats) -> Floats:
    """Scale one video's numbers (N,) to [0, 1], eq. 15's g; all zero where they do not differ.

    Uses the whole video, future frames included.
    """
    low = numbers.min()
    high = numbers.max()
    if high <= low:
        return np.zeros_like(numbers)
    scaled: Floats = (numbers - low) / (high - low)
    return scaled


def value_minmax(psnr: Floats, distance: Floats, fusion_weight: float) -> Floats:
    """Return the paper's score of one video, eq. 15: λ (1 - g(P)) + (1 - λ) g(D).

    Each part is scaled over the whole video: offline, for tables only. psnr (N,) in dB,
    distance (N,) → (N,) in [0, 1]; the sum is not normalized again.
    """
    return fusion_weight * (1 - minmax(psnr)) + (1 - fusion_weight) * minmax(distance)


def value_none(psnr: Floats, distance: Floats, fusion_weight: float) -> Floats:
    """Return the same fusion with nothing normalized: -λ P + (1 - λ) D, (N,), unbounded.

    PSNR dominates it: P is tens of dB where D is of the order of 1e-6 to 1e-3.
    """
    return -fusion_weight * psnr + (1 - fusion_weight) * distance


def value_fused(paper: Floats, local_db: Floats) -> Floats:
    """Return the best known offline score of one video, fused and smoothed: (N,) in [0, 1].

    Chosen among fifteen by anomalies made into held-out normal clips (ADR 50,
    `python -m tests.bench.offline`). It needs no second network, but the whole video: for tables,
    as the paper's own.

    paper: (N,), `value_minmax`. local_db: (N,) in dB, `local.LocalScore`; scaled over the video
    likewise.
    """
    both = (paper + minmax(local_db)) / 2
    return np.array([both[max(0, i - AROUND) : i + 1 + AROUND].mean() for i in range(len(both))])
