"""MemAE: an autoencoder of sixteen gray frames, put together from a memory of normal features.

D. Gong et al., "Memorizing Normality to Detect Anomaly: Memory-augmented Deep Autoencoder for
Unsupervised Anomaly Detection", ICCV 2019; 3-D convolutions for video (section 4.2). Parameter
names are those of the authors' code. The memory is learned like any weight and fixed at test time,
so it is a weight here: no camera has its own.

Departures of the authors' code from the paper, followed here:
- eq. 4: w is a softmax over the dot products z m^T, not over their cosines (eq. 5);
- a clip's error is the mean of |x - x̂|, not the sum of squares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor, nn

from lookout.models.base import Config, Model, Output, TrainingBatch, TrainingStep
from lookout.models.device import in_float32
from lookout.models.input_spec import InputSpec
from lookout.models.scoring.metrics import squared_error, sum_each

EPSILON = 1e-12  # eq. 7, and the logarithm of eq. 9


@dataclass(frozen=True, slots=True)
class MemAEConfig(Config):
    """Configuration; the published numbers are the defaults."""

    t_length: int = 16  # T: frames of a clip
    width: int = 96  # w: channels of the first level; the authors' others are 4/3 and 8/3 of that
    items: int = 2000  # N
    dim: int = 256  # C, of an item
    shrinkage: float = 0.0025  # λ of eq. 6
    loss_entropy: float = 0.0002  # α of eq. 10
    fusion_weight: float = 0.0  # the score is the clip's error alone

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that do not fit the network."""
        if min(self.width // 3, self.items - 1, self.dim) < 1:
            raise ValueError("MemAE needs width >= 3, items >= 2 and dim >= 1")
        if self.t_length < 8 or self.t_length % 8:
            raise ValueError("MemAE halves time three times: t_length must be a multiple of 8")
        self.check(multiple_px=16)  # the input is halved four times

    @property
    def input_spec(self) -> InputSpec:
        """T gray frames; as in the authors' code the score is that of index T / 2."""
        return InputSpec(self.t_length, scored=self.t_length // 2, memory="fixed", gray=True)


class Reconstruction(NamedTuple):
    """Output of the network."""

    clip: Tensor  # x̂, (B, 1, T, H, W), about [-1, 1]: the last layer has no bound
    weights: Tensor  # ŵ of each place, eq. 7, (B, N, T/8, H/16, W/16)


class MemAE(Model):
    """The authors' network."""

    layout = torch.contiguous_format

    def __init__(self, config: MemAEConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        c = config.dim
        self.encoder = nn.Sequential(
            *conv_bn_relu(nn.Conv3d(1, w, 3, (1, 2, 2), 1), w),
            *conv_bn_relu(nn.Conv3d(w, w * 4 // 3, 3, 2, 1), w * 4 // 3),
            *conv_bn_relu(nn.Conv3d(w * 4 // 3, c, 3, 2, 1), c),
            *conv_bn_relu(nn.Conv3d(c, c, 3, 2, 1), c),
        )
        self.mem_rep = MemoryModule(config)
        self.decoder = nn.Sequential(
            *conv_bn_relu(nn.ConvTranspose3d(c, c, 3, 2, 1, output_padding=1), c),
            *conv_bn_relu(nn.ConvTranspose3d(c, w * 4 // 3, 3, 2, 1, output_padding=1), w * 4 // 3),
            *conv_bn_relu(nn.ConvTranspose3d(w * 4 // 3, w, 3, 2, 1, output_padding=1), w),
            nn.ConvTranspose3d(w, 1, 3, (1, 2, 2), 1, output_padding=(0, 1, 1)),
        )

    def forward(self, x: Tensor) -> Reconstruction:
        """x: (B, 1, T, H, W) in [-1, 1]."""
        z = self.encoder(x)  # (B, C, T/8, H/16, W/16)
        z_hat, weights = self.mem_rep(z)  # (B, C, …), (B, N, …)
        return Reconstruction(self.decoder(z_hat), weights)

    def measure(self, clips: Tensor) -> Output:
        """The map is that of the scored frame, the distance the published error of the clip."""
        x = clips[:, None]  # (B, 1, T, H, W)
        x_hat = self(x).clip  # (B, 1, T, H, W)
        with in_float32(clips):
            scored = self.config.input_spec.scored
            error = squared_error(x_hat[:, :, scored], x[:, :, scored])  # (B, 1, H, W)
            errors = (x_hat.float() - x).abs()[:, 0]  # (B, T, H, W)
            distances = errors.mean(dim=1, keepdim=True)  # (B, 1, H, W)
            return Output(error, {"distance": clip_error(errors)}, distances=distances)

    def training_step(self, batch: TrainingBatch) -> TrainingStep:
        """Eq. 10: L = mean (x - x̂)² + α E(ŵ)."""
        x = batch.clips[:, None]  # (B, 1, T, H, W)
        x_hat, weights = self(x)
        mse = F.mse_loss(x_hat.float(), x)
        loss = mse + self.config.loss_entropy * entropy(weights.float())
        return TrainingStep(loss, mse.detach() / 4)  # frames span [-1, 1]: peak 1 is a quarter


class MemoryModule(nn.Module):
    """Replaces each place of the feature map by a sparse mixture of the items."""

    def __init__(self, config: MemAEConfig) -> None:
        super().__init__()
        self.memory = Items(config)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, t, h, w) → ẑ (B, C, t, h, w), ŵ (B, N, t, h, w)."""
        z_hat, weights = self.memory(z.movedim(1, -1))  # (B, t, h, w, C), (B, t, h, w, N)
        return z_hat.movedim(-1, 1), weights.movedim(-1, 1)


class Items(nn.Module):
    """M, (N, C), and how it is read: eq. 3 to 7."""

    def __init__(self, config: MemAEConfig) -> None:
        super().__init__()
        self.shrinkage = config.shrinkage
        bound = config.dim**-0.5
        self.weight = nn.Parameter(torch.empty(config.items, config.dim).uniform_(-bound, bound))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(…, C) → ẑ = ŵ M (…, C), ŵ (…, N)."""
        w = F.linear(z, self.weight).softmax(dim=-1)  # eq. 4
        weights = shrunk_weights(w, self.shrinkage)
        return F.linear(weights, self.weight.T), weights  # eq. 3


def shrunk_weights(w: Tensor, shrinkage: float) -> Tensor:
    """Return ŵ of w, eq. 7: those above the shrinkage, with a gradient, of sum 1; (…, N).

    Where none is above it, all are 0.
    """
    above = F.relu(w - shrinkage)
    shrunk = above * w / ((w - shrinkage).abs() + EPSILON)
    return F.normalize(shrunk, p=1, dim=-1)


def clip_error(errors: Tensor) -> Tensor:
    """e of the clip in the authors' code: mean |x - x̂| in [-1, 1], (B, T, H, W) → (B,)."""
    return sum_each(errors) / errors[0].numel()


def entropy(weights: Tensor) -> Tensor:
    """Eq. 9 as a mean over places: E(ŵ) = Σ_i -ŵ_i log ŵ_i, (B, N, t, h, w) → scalar."""
    return -(weights * (weights + EPSILON).log()).sum(dim=1).mean()


def conv_bn_relu(convolution: nn.Module, channels: int) -> tuple[nn.Module, ...]:
    """Convolution, BN, leaky ReLU with the authors' slope."""
    return convolution, nn.BatchNorm3d(channels), nn.LeakyReLU(0.2)
