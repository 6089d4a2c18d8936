"""Two baselines without a memory: a frame goes in and comes out again, through a bottleneck that is plain or random.

`ae`: the network of MNAD's reconstruction with its memory left out, a baseline of Park et al., CVPR 2020.
`vae`: the same with a bottleneck after D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014; equation
numbers are theirs. Each place of the feature map has its own z, with a decoder of fixed variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor, nn

from lookout.models.base import (
    SINGLE_EPOCH,
    Config,
    Model,
    Output,
    TrainingProgress,
    TrainingStep,
    in_float32,
)
from lookout.models.blocks import double_conv, generate, last_encoding, upsample
from lookout.models.input_spec import InputSpec
from lookout.models.scoring.metrics import squared_error, sum_each


@dataclass(frozen=True, slots=True)
class AutoencoderConfig(Config):
    width: int = 64  # channels of the first stage; the others are 2, 4 and 8 times that
    dim: int = 512  # D, channels of the bottleneck

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that do not fit the network."""
        if min(self.width, self.dim) < 1:
            raise ValueError("an autoencoder needs width >= 1 and dim >= 1")
        self.check(multiple=8)  # the input is halved three times

    @property
    def input_spec(self) -> InputSpec:
        return InputSpec(frames=1, scored=0, distance=False)


@dataclass(frozen=True, slots=True)
class VariationalConfig(AutoencoderConfig):
    loss_kl: float = 1e-3  # of the mean KL divergence of a latent number

    @property
    def input_spec(self) -> InputSpec:
        return InputSpec(frames=1, scored=0)


class Autoencoder(Model):
    """x → x̂, (B, 3, H, W) in [-1, 1]."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _encoder(config.width, config.dim)
        self.decoder = _decoder(config.width, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        frame: Tensor = self.decoder(self.encoder(x))  # (B, 3, H, W)
        return frame

    def measure(self, clips: Tensor, items: Tensor) -> Output:  # noqa: ARG002  it has no memory
        made = self(clips)
        with in_float32(clips):
            return Output(squared_error(made, clips), clips.new_zeros(len(clips)))

    def training_step(
        self,
        clips: Tensor,
        items: Tensor,
        progress: TrainingProgress = SINGLE_EPOCH,  # noqa: ARG002
    ) -> TrainingStep:
        mse = F.mse_loss(self(clips).float(), clips)
        return TrainingStep(mse, mse.detach() / 4, items)


MOST_LOG_VARIANCE = 10.0
"""Of log σ², whichever sign; near 0, where it belongs, the bound changes nothing. Without it the first steps at full
width drove it beyond 20, and what the decoder's batch norms had seen there outlasted hundreds of steps."""


class VariationalAutoencoder(Model):
    """x → q(z|x) = N(μ, σ²) → x̂; z is drawn in training and μ at test."""

    def __init__(self, config: VariationalConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _encoder(config.width, 2 * config.dim)
        self.decoder = _decoder(config.width, config.dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) in [-1, 1] → x̂ of the same shape, μ and log σ², each (B, D, H/8, W/8)."""
        mu, log_variance = self.encoder(x).chunk(2, dim=1)  # (B, D, H/8, W/8)
        log_variance = MOST_LOG_VARIANCE * (log_variance / MOST_LOG_VARIANCE).tanh()
        z = mu + (log_variance / 2).exp() * torch.randn_like(mu) if self.training else mu
        return self.decoder(z), mu, log_variance

    def measure(self, clips: Tensor, items: Tensor) -> Output:  # noqa: ARG002  it has no memory
        """The distance is the frame's KL divergence; the default λ leaves it out of the value."""
        made, mu, log_variance = self(clips)
        with in_float32(clips):
            divergence = kl(mu.float(), log_variance.float())  # (B, D, H/8, W/8)
            return Output(squared_error(made, clips), sum_each(divergence) / divergence[0].numel())

    def training_step(
        self,
        clips: Tensor,
        items: Tensor,
        progress: TrainingProgress = SINGLE_EPOCH,  # noqa: ARG002
    ) -> TrainingStep:
        """Eq. 10 with its sign turned, as means over pixels and latent numbers."""
        made, mu, log_variance = self(clips)
        mse = F.mse_loss(made.float(), clips)
        loss = mse + self.config.loss_kl * kl(mu.float(), log_variance.float()).mean()
        return TrainingStep(loss, mse.detach() / 4, items)


def kl(mu: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, 1)) of each latent number, appendix B: (μ² + σ² - 1 - log σ²) / 2."""
    return (mu.square() + log_variance.exp() - 1 - log_variance) / 2


def _encoder(w: int, outputs: int) -> nn.Sequential:
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


def _decoder(w: int, dim: int) -> nn.Sequential:
    """(B, D, H/8, W/8) → (B, 3, H, W) in [-1, 1]."""
    return nn.Sequential(
        double_conv(dim, 8 * w),
        upsample(8 * w, 8 * w),
        double_conv(8 * w, 4 * w),
        upsample(4 * w, 4 * w),
        double_conv(4 * w, 2 * w),
        upsample(2 * w, 2 * w),
        generate(2 * w, 3, hidden=w),
    )
