"""Two baselines without a memory: an autoencoder and a variational one.

`ae`: the network of MNAD's reconstruction without its memory, a baseline of Park et al., CVPR 2020.
`vae`: the same network with a random bottleneck, after D. P. Kingma, M. Welling, "Auto-Encoding
Variational Bayes", ICLR 2014, whose equation numbers are used here. Each place of the feature map
has its own z; the decoder's variance is fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor, nn

from lookout.models.base import Config, Model, Output, TrainingBatch, TrainingStep
from lookout.models.device import in_float32
from lookout.models.input_spec import InputSpec
from lookout.models.mnad import double_conv, generate, last_encoding, upsample
from lookout.models.scoring.metrics import squared_error, sum_each

LOG_VARIANCE_LIMIT = 10.0
"""Limit of |log σ²|; near 0, where it belongs, the limit changes nothing. Without it the first
steps at full width drove it beyond 20, and the statistics that the decoder's batch norms took there
outlasted hundreds of steps."""


@dataclass(frozen=True, slots=True)
class AutoencoderConfig(Config):
    """Configuration of `ae`."""

    width: int = 64  # w: channels of the first level; the others have 2, 4 and 8 times that
    dim: int = 512  # D, channels of the bottleneck

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that do not fit the network."""
        if min(self.width, self.dim) < 1:
            raise ValueError("an autoencoder needs width >= 1 and dim >= 1")
        self.check(multiple_px=8)  # the input is halved three times

    @property
    def input_spec(self) -> InputSpec:
        """One frame; its score is the error alone."""
        return InputSpec(frames=1, scored=0, distance=False)


@dataclass(frozen=True, slots=True)
class VariationalConfig(AutoencoderConfig):
    """Configuration of `vae`."""

    loss_kl: float = 1e-3  # weight of the mean KL divergence of a latent number

    @property
    def input_spec(self) -> InputSpec:
        """One frame; the distance is its KL divergence."""
        return InputSpec(frames=1, scored=0)


def encoder(w: int, outputs: int) -> nn.Sequential:
    """(B, 3, H, W) → (B, outputs, H/8, W/8)."""
    return nn.Sequential(
        double_conv(3, w),
        nn.MaxPool2d(2),
        double_conv(w, 2 * w),
        nn.MaxPool2d(2),
        double_conv(2 * w, 4 * w),
        nn.MaxPool2d(2),
        last_encoding(4 * w, outputs),
    )


def decoder(w: int, dim: int) -> nn.Sequential:
    """(B, D, H/8, W/8) → (B, 3, H, W) in [-1, 1]."""
    return nn.Sequential(
        double_conv(dim, 8 * w),
        upsample(8 * w, 8 * w),
        double_conv(8 * w, 4 * w),
        upsample(4 * w, 4 * w),
        double_conv(4 * w, 2 * w),
        upsample(2 * w, 2 * w),
        generate(2 * w, hidden=w),
    )


class Autoencoder(Model):
    """x → x̂, (B, 3, H, W) in [-1, 1]."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder(config.width, config.dim)
        self.decoder = decoder(config.width, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        frame: Tensor = self.decoder(self.encoder(x))  # (B, 3, H, W)
        return frame

    def measure(self, clips: Tensor) -> Output:
        frame = self(clips)
        with in_float32(clips):
            return Output(squared_error(frame, clips), {})

    def training_step(self, batch: TrainingBatch) -> TrainingStep:
        """Mean squared error of the frame."""
        loss = F.mse_loss(self(batch.clips).float(), batch.clips)
        return TrainingStep(loss, loss.detach() / 4)  # frames span [-1, 1]: peak 1 is a quarter


class VariationalAutoencoder(Model):
    """x → q(z|x) = N(μ, σ²) → x̂; z is drawn in training and μ at test."""

    def __init__(self, config: VariationalConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder(config.width, 2 * config.dim)
        self.decoder = decoder(config.width, config.dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) in [-1, 1] → x̂ of the same shape, μ and log σ², each (B, D, H/8, W/8)."""
        mu, log_variance = self.encoder(x).chunk(2, dim=1)  # (B, D, H/8, W/8)
        log_variance = LOG_VARIANCE_LIMIT * (log_variance / LOG_VARIANCE_LIMIT).tanh()
        z = mu
        if self.training:
            z = mu + (log_variance / 2).exp() * torch.randn_like(mu)
        return self.decoder(z), mu, log_variance

    def measure(self, clips: Tensor) -> Output:
        """The distance is the frame's KL divergence; the default λ leaves it out of the value."""
        frame, mu, log_variance = self(clips)
        with in_float32(clips):
            divergence = kl(mu.float(), log_variance.float())  # (B, D, H/8, W/8)
            distance = sum_each(divergence) / divergence[0].numel()
            return Output(squared_error(frame, clips), {"distance": distance})

    def training_step(self, batch: TrainingBatch) -> TrainingStep:
        """Eq. 10 with its sign turned, as means over pixels and latent numbers."""
        frame, mu, log_variance = self(batch.clips)
        mse = F.mse_loss(frame.float(), batch.clips)
        loss = mse + self.config.loss_kl * kl(mu.float(), log_variance.float()).mean()
        return TrainingStep(loss, mse.detach() / 4)


def kl(mu: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, 1)) of each latent number, appendix B: (μ² + σ² - 1 - log σ²) / 2."""
    return (mu.square() + log_variance.exp() - 1 - log_variance) / 2
