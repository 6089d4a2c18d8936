"""SMAI: superpixels of a frame, each removed and inpainted by itself, and what comes out wrong.

Z. Li, N. Li, K. Jiang, Z. Ma, X. Wei, X. Hong, Y. Gong, "Superpixel Masking and Inpainting for
Self-Supervised Anomaly Detection", BMVC 2020. There is no public code, and the numbers of the paper
could not be had: this is a re-implementation after the procedure. The network is RIAD's U-Net; the
size of a superpixel, the share removed in training and the weights of the loss are ours.

Superpixels are those of SLIC in its plain form: R. Achanta et al., "SLIC Superpixels Compared to
State-of-the-Art Superpixel Methods", TPAMI 2012, in RGB, without joining stray pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from numpy.typing import NDArray
from torch import Tensor

from lookout.models.base import Config, LiveModel, Output, TrainingBatch, TrainingStep
from lookout.models.device import in_float32
from lookout.models.input_spec import InputSpec
from lookout.models.scoring.similarity import ssim_loss
from lookout.models.unet import DOWN_PX, UNet

ROUNDS = 10
"""Of SLIC: assignments of pixels to centres."""

COLOUR_SCALE = 100
"""Values of 1 count as so much in SLIC, like the lightness of its L*a*b* colours."""

COMPACTNESS = 10
"""m: weight of place against colour."""

LIVE_PASSES = 8
"""At most so many passes of the network in the live form."""

PASSES = 8
"""Passes in one batch."""

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SMAIConfig(Config):
    """Configuration; the paper's numbers could not be had."""

    width: int = 64  # w: channels of the first level; the others have 2, 4, 8 and 8 times that
    step_px: int = 32  # S: side of a superpixel before it takes its form
    removed_share: float = 0.25  # of the superpixels, in training
    loss_ssim: float = 1.0  # against 1 of L2
    fusion_weight: float = 0.0  # the score is the worst superpixel's error alone

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that do not fit network or superpixels."""
        if self.width < 1:
            raise ValueError("SMAI needs width >= 1")
        self.check(multiple_px=DOWN_PX)
        sides = (self.height_px, self.width_px)
        if self.step_px < 4 or any(side_px % self.step_px for side_px in sides):
            raise ValueError("SMAI's step_px must be 4 or more, and divide height and width")
        if not 0 < self.removed_share < 1:
            raise ValueError("SMAI's removed_share must lie in (0, 1)")

    @property
    def input_spec(self) -> InputSpec:
        """One frame in [0, 1]; the distance is the error of its worst superpixel."""
        return InputSpec(frames=1, scored=0, black=0.0)


class SMAI(UNet, LiveModel):
    """A U-Net, superpixels, and their errors. In the live form several are removed at a time."""

    def __init__(self, config: SMAIConfig) -> None:
        super().__init__(config.width)
        self.config = config

    def restore(self, x: Tensor, removed: Tensor) -> Tensor:
        """Return the network's whole picture: x (B, 3, H, W) in [0, 1] → the same, float32.

        removed: (B, 1, H, W) bool, the pixels that are not looked at.
        """
        y: Tensor = self((2 * x - 1) * ~removed)
        return (y.float() + 1) / 2

    def measure(self, clips: Tensor) -> Output:
        """One pass for each superpixel. The heat is the root of a superpixel's mean error."""
        return self.output(clips, live=False)

    def measure_live(
        self, clips: Tensor, numbers: Sequence[int], carried: Sequence[Tensor | None]
    ) -> Output:
        """Remove superpixels that do not touch in one pass, in at most eight passes."""
        del numbers, carried
        return self.output(clips, live=True)

    def output(self, clips: Tensor, *, live: bool) -> Output:
        """Return what is measured of clips, one at a time: they differ in their passes."""
        errors: list[Tensor] = []
        heats: list[Tensor] = []
        for x in clips:
            labels = superpixels(x, self.config.step_px)
            passes = np.arange(labels.max() + 1)
            if live:
                passes = passes_of(labels)
            x_hat = self.inpaint(x, torch.from_numpy(passes[labels]).to(x.device))
            with in_float32(x):
                squared = (x_hat - x).square()  # (3, H, W)
                means = means_of(squared.mean(dim=0), labels)
            errors.append(squared)
            heats.append(means[labels][None].to(x.device).sqrt())
        heat = torch.stack(heats)  # (B, 1, H, W)
        score = heat.square().amax(dim=(1, 2, 3))
        return Output(torch.stack(errors), {"distance": score}, heat=heat)

    def inpaint(self, x: Tensor, removed_in: Tensor) -> Tensor:
        """Return x̂, each pixel as the pass has it in which it is removed: (3, H, W), float32.

        x: (3, H, W) in [0, 1]. removed_in: (H, W) int64, the pass of each pixel, 0, 1, …
        """
        x_hat = x.new_empty(x.shape)
        count = int(removed_in.max()) + 1
        for first in range(0, count, PASSES):
            some = torch.arange(first, min(first + PASSES, count), device=x.device)  # (P,)
            removed = (removed_in == some[:, None, None])[:, None]  # (P, 1, H, W)
            restored = self.restore(x.expand(len(some), -1, -1, -1), removed)
            for one, mask in zip(restored, removed, strict=True):
                x_hat = torch.where(mask, one, x_hat)
        return x_hat

    def training_step(self, batch: TrainingBatch) -> TrainingStep:
        """L = L2 + L_SSIM of whole pictures, of which some superpixels are removed, drawn anew."""
        x = batch.clips
        masks = []
        for one in x:
            labels = superpixels(one, self.config.step_px)
            drawn = torch.rand(int(labels.max()) + 1) < self.config.removed_share
            masks.append(drawn[labels][None])
        restored = self.restore(x, torch.stack(masks).to(x.device))
        with in_float32(x):
            l2 = F.mse_loss(restored, x)
            loss = l2 + self.config.loss_ssim * ssim_loss(x, restored, span=1.0)
        return TrainingStep(loss, l2.detach())


def superpixels(x: Tensor, step_px: int) -> Labels:
    """Return the superpixel of each pixel by plain SLIC, (3, H, W) in [0, 1] → (H, W), 0, 1, …

    D² = d_colour² + (m / S)² d_place², within S of a centre each way; of equal ones the first
    counts. The centres start on a grid of S = step_px, row by row, and move to the means of their
    pixels after each round. A constant picture keeps the grid.
    """
    height_px, width_px = x.shape[1:]
    colours = COLOUR_SCALE * x.detach().cpu().double().numpy()  # (3, H, W)
    down, across = np.arange(float(height_px)), np.arange(float(width_px))
    features = np.stack([*np.meshgrid(down, across, indexing="ij"), *colours])  # (5, H, W)
    grid = np.mgrid[step_px // 2 : height_px : step_px, step_px // 2 : width_px : step_px]
    row, column = grid.reshape(2, -1)
    centres = features[:, row, column].T  # (K, 5)
    centres[:, :2] += step_px / 2 % 1  # the middle of an odd cell lies between pixels
    labels: Labels = np.zeros((height_px, width_px), np.int64)
    for _ in range(ROUNDS):
        nearest = np.full((height_px, width_px), np.inf)
        for number, (y, x_px, *colour) in enumerate(centres):
            rows = slice(max(0, floor(y - step_px)), floor(y + step_px) + 1)
            columns = slice(max(0, floor(x_px - step_px)), floor(x_px + step_px) + 1)
            apart = colours[:, rows, columns] - np.array(colour)[:, None, None]
            distance = np.einsum("chw,chw->hw", apart, apart)
            place = (down[rows, None] - y) ** 2 + (across[columns] - x_px) ** 2
            distance += (COMPACTNESS / step_px) ** 2 * place
            nearer = distance < nearest[rows, columns]
            nearest[rows, columns][nearer] = distance[nearer]
            labels[rows, columns][nearer] = number
        counts = np.bincount(labels.ravel(), minlength=len(centres))
        sums = [
            np.bincount(labels.ravel(), weights=feature.ravel(), minlength=len(centres))
            for feature in features
        ]
        filled = counts > 0
        centres[filled] = (np.stack(sums, axis=1)[filled].T / counts[filled]).T
    return labels


def passes_of(labels: Labels) -> Labels:
    """Return the pass of each superpixel, (K,) in [0, 8): those that touch are in different ones.

    One after the other takes the first pass that none of its neighbours is in; where all eight are
    taken, the one with the fewest neighbours.
    """
    count = int(labels.max()) + 1
    touch = np.zeros((count, count), bool)
    for one, other in (
        (labels[1:], labels[:-1]),
        (labels[:, 1:], labels[:, :-1]),
        (labels[1:, 1:], labels[:-1, :-1]),
        (labels[1:, :-1], labels[:-1, 1:]),
    ):
        touch[one, other] = True
    touch |= touch.T
    np.fill_diagonal(touch, val=False)
    passes = np.zeros(count, np.int64)
    for number in range(1, count):
        neighbours = passes[:number][touch[number, :number]]
        passes[number] = np.bincount(neighbours, minlength=LIVE_PASSES).argmin()
    return passes


def means_of(error: Tensor, labels: Labels) -> Tensor:
    """Return the mean of an error in each superpixel, (H, W) → (K,) float32 on the CPU.

    It adds in float64 and in the order of the pixels, on any device. 0 where one has no pixel.
    """
    numbers = np.bincount(labels.ravel(), weights=error.detach().double().cpu().numpy().ravel())
    return torch.from_numpy(numbers / np.bincount(labels.ravel()).clip(1)).float()
