"""RIAD: a U-Net that inpaints removed cells of a frame, and the structure that it gets wrong.

V. Zavrtanik, M. Kristan, D. Skočaj, "Reconstruction by inpainting for visual anomaly detection",
Pattern Recognition 112 (2021) 107706. The authors published no code; layers, parameter names and
hyper-parameters are those of public re-implementations.

Where these depart from the paper, the paper is followed:
- GMS is taken of the luma without a median filter before it, on the whole picture;
- the map is 1 - MSGMS, mean-filtered and averaged over all k alike. One code divides each k by its
  number of cells, so that small k hardly count, and one filters with zeros beyond the border, so
  that anomalies fade there: here only pixels of the picture count;
- SSIM's constants are those of values that span 2, as they do;
- at test time the masks are fixed, so that a frame has one score. They were drawn once, as at
  training time, which draws new ones for each batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models.base import Config, Output, RotatingModel, TrainingBatch, TrainingStep
from lookout.models.device import in_float32
from lookout.models.input_spec import InputSpec
from lookout.models.scoring.metrics import squared_error
from lookout.models.scoring.similarity import mean_filtered, msgms, msgms_loss, ssim_loss, sum_of
from lookout.models.unet import UNet

KS = (2, 4, 8, 16)
"""k: sides of the cells, in pixels, that are removed together."""

SETS = 3
"""n: disjoint sets of a picture's cells; each is removed once."""

MEAN_FILTER_PX = 21
"""s_f: side of the map's mean filter."""

MASK_SEED = 0
"""Of the masks at test time."""


@dataclass(frozen=True, slots=True)
class RIADConfig(Config):
    """Configuration; the published numbers are the defaults."""

    width: int = 64  # w: channels of the first level; the others have 2, 4, 8 and 8 times that
    loss_msgms: float = 1.0  # λ_G
    loss_ssim: float = 1.0  # λ_S
    fusion_weight: float = 0.0  # the score is the map's maximum alone

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that do not fit the network."""
        if self.width < 1:
            raise ValueError("RIAD needs width >= 1")
        self.check(multiple_px=max(KS))  # cells, and the U-Net's halves
        if min(self.height_px, self.width_px) < MEAN_FILTER_PX:
            raise ValueError(
                f"RIAD's windows are {MEAN_FILTER_PX} px wide: height and width must be 32 or more"
            )

    @property
    def input_spec(self) -> InputSpec:
        """One frame; the distance is the maximum of its map."""
        return InputSpec(frames=1, scored=0)


class RIAD(UNet, RotatingModel):
    """A U-Net, the masks, and the map. In the live form the k take turns."""

    turns = len(KS)

    removed_in: Tensor  # (4, 1, H, W) uint8: for each k, the set that a pixel's cell is in

    def __init__(self, config: RIADConfig) -> None:
        super().__init__(config.width)
        self.config = config
        fixed = torch.from_numpy(fixed_sets(config.height_px, config.width_px))
        self.register_buffer("removed_in", fixed, persistent=False)

    def inpaint(self, x: Tensor, removed_in: Tensor) -> Tensor:
        """Return x̂, each cell put in where it was removed: (B, 3, H, W) in [-1, 1].

        x: (B, 3, H, W). removed_in: (B or 1, 1, H, W), the set of each pixel. In training each set
        is a pass of its own, whose batch norms see it alone; in eval mode one pass gives the same.
        """
        masked = [x * (removed_in != number) for number in range(SETS)]  # (B, 3, H, W) each
        if self.training:
            passes = [self(one) for one in masked]
        else:
            passes = list(self(torch.cat(masked)).chunk(SETS))
        x_hat: Tensor = passes[0]
        for number in range(1, SETS):
            x_hat = torch.where(removed_in == number, passes[number], x_hat)
        return x_hat

    def measure(self, clips: Tensor) -> Output:
        """The heat is G, the mean of the maps of all k; the map is the mean of their errors."""
        maps, errors = zip(*self.parts(clips), strict=True)
        return output(sum_of(maps) / len(KS), sum_of(errors) / len(KS))

    def measure_turn(self, clips: Tensor, parts: Tensor) -> Output:
        """Measure each clip by one k, in one pass for all of them: KS[parts[i]] for clip i."""
        x_hat = self.inpaint(clips, self.removed_in[parts])
        with in_float32(clips):
            anomaly = anomaly_map(clips, x_hat.float())  # (B, 1, H, W)
            return output(anomaly, squared_error(x_hat, clips), turns=self.turns)

    def parts(self, clips: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield G_k, (B, 1, H, W), and the squared error of x̂_k, (B, 3, H, W), for each k."""
        for removed_in in self.removed_in:
            x_hat = self.inpaint(clips, removed_in[None])
            with in_float32(clips):
                yield anomaly_map(clips, x_hat.float()), squared_error(x_hat, clips)

    def training_step(self, batch: TrainingBatch) -> TrainingStep:
        """L = L2 + λ_G L_MSGMS + λ_S L_SSIM, with one k and new masks for the whole batch."""
        x = batch.clips
        k = KS[int(torch.randint(len(KS), ()))]
        order = torch.randperm(x.shape[2] // k * (x.shape[3] // k))
        removed_in = sets_of_pixels(order.numpy(), k, x.shape[2], x.shape[3])
        x_hat = self.inpaint(x, torch.from_numpy(removed_in)[None].to(x.device))
        with in_float32(x):
            l2 = F.mse_loss(x_hat.float(), x)
            loss = (
                l2
                + self.config.loss_msgms * msgms_loss(x, x_hat.float())
                + self.config.loss_ssim * ssim_loss(x, x_hat.float())
            )
        return TrainingStep(loss, l2.detach() / 4)  # frames span [-1, 1]: peak 1 is a quarter


def sets_of_pixels(
    order: np.ndarray[tuple[int], np.dtype[np.int64]], k: int, height_px: int, width_px: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return for each pixel the set in which its cell is removed, (1, H, W) uint8.

    order: a permutation of the (H / k)(W / k) cells, row by row: the first third is set 0.
    """
    cells = np.empty(len(order), np.uint8)
    cells[order] = np.arange(len(order)) // -(-len(order) // SETS)
    grid = cells.reshape(1, height_px // k, width_px // k)
    return grid.repeat(k, axis=1).repeat(k, axis=2)


def fixed_sets(height_px: int, width_px: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the sets at test time, (4, 1, H, W) uint8: the same for the same size, everywhere."""
    draw = np.random.RandomState(MASK_SEED)  # NumPy keeps its numbers from version to version
    return np.stack(
        [
            sets_of_pixels(
                draw.permutation(height_px // k * (width_px // k)), k, height_px, width_px
            )
            for k in KS
        ]
    )


def anomaly_map(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return G_k = 1 - (MSGMS * f), f a mean filter, (B, 3, H, W) twice → (B, 1, H, W)."""
    return mean_filtered(1 - msgms(x, x_hat), MEAN_FILTER_PX)


def output(anomaly: Tensor, error: Tensor, turns: int = 1) -> Output:
    """Return what is measured of a map G, (B, 1, H, W), and a squared error, (B, 3, H, W)."""
    return Output(
        error,
        {"distance": anomaly.amax(dim=(1, 2, 3))},
        heat=anomaly,
        turns=turns,
        distances=anomaly,
        distance_is_worst=True,
    )
