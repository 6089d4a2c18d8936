"""MemAE on pictures: an autoencoder of small pictures, put together from a memory of normal codes.

D. Gong et al., "Memorizing Normality to Detect Anomaly: Memory-augmented Deep Autoencoder for
Unsupervised Anomaly Detection", ICCV 2019, section 4.1. The authors published the network of videos
alone. The layers are those that the paper lists, as far as they could be had, with the padding that
gives a picture its size back; the configuration is that of CIFAR-10.

The paper leaves open whether an item is the code of a whole picture or of one place of it: both are
here. A whole code is compared by its cosine, eq. 5, a place by the inner product of the authors'
code for videos. One public code divides by 0 where all weights fall below the threshold; here, as
in the authors' memory, such a query has a code of zeros.
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
from lookout.models.memae import entropy, shrunk_weights
from lookout.models.scoring.metrics import sum_each


@dataclass(frozen=True, slots=True)
class MemAEImageConfig(Config):
    """Configuration; the published numbers of CIFAR-10 are the defaults."""

    height_px: int = 32
    width_px: int = 32
    width: int = 64  # w: channels of the first level; the others have 2, 2 and 4 times that
    items: int = 500  # N
    whole_code: int = 1  # 1: an item is the code of a whole picture; 0: of one place
    shrinkage: float = 0.002  # λ of eq. 6: 1/N, the least that the paper names
    loss_entropy: float = 0.0002  # α of eq. 10
    fusion_weight: float = 0.0  # the score is the picture's error alone

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that do not fit the network."""
        if min(self.width, self.items - 1) < 1:
            raise ValueError("MemAE needs width >= 1 and items >= 2")
        if self.whole_code not in (0, 1):
            raise ValueError("whole_code must be 0 or 1")
        self.check(multiple_px=16)  # the input is halved four times

    @property
    def input_spec(self) -> InputSpec:
        """One frame in [0, 1]; the distance is the sum of its squared errors."""
        return InputSpec(frames=1, scored=0, memory="fixed", black=0.0)


class PictureLayers(NamedTuple):
    """Layers of the paper for one kind of pictures."""

    channels: int  # C, of a picture
    size_px: tuple[int, int]  # H, W
    kernels: tuple[int, ...]  # of the encoder's convolutions, each of stride 2
    widths: tuple[int, ...]  # channels after each


class PictureReconstruction(NamedTuple):
    """Output of the network."""

    pictures: Tensor  # x̂, (B, C, H, W), about [0, 1]: the last layer has no bound
    weights: Tensor  # ŵ of each query, eq. 7, (B, N), or (B, N, h, w) with a query a place


class CodeMemory(nn.Module):
    """M, (N, D), and how it is read: eq. 3 to 7."""

    def __init__(self, items: int, dim: int, shrinkage: float, *, cosine: bool) -> None:
        super().__init__()
        bound = dim**-0.5
        self.weight = nn.Parameter(torch.empty(items, dim).uniform_(-bound, bound))
        self.shrinkage = shrinkage
        self.cosine = cosine

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(…, D) → ẑ = ŵ M (…, D), ŵ (…, N)."""
        similarity = F.linear(z, self.weight)
        if self.cosine:
            similarity = F.linear(F.normalize(z, dim=-1), F.normalize(self.weight, dim=-1))
        weights = similarity.softmax(dim=-1)
        if self.shrinkage > 0:  # the shrinkage of 0 would take weights near 0 for 0
            weights = shrunk_weights(weights, self.shrinkage)
        return F.linear(weights, self.weight.T), weights


class PictureMemAE(nn.Module):
    """Encoder, memory and decoder of the paper's layers."""

    def __init__(
        self, layers: PictureLayers, items: int, shrinkage: float, *, whole_code: bool
    ) -> None:
        super().__init__()
        channels = (layers.channels, *layers.widths)
        sizes = [layers.size_px]
        encoder: list[nn.Module] = []
        for c, outputs, kernel in zip(channels, channels[1:], layers.kernels, strict=False):
            conv = nn.Conv2d(c, outputs, kernel, stride=2, padding=kernel // 2)
            encoder += (conv, nn.BatchNorm2d(outputs), nn.ReLU())
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        decoder: list[nn.Module] = []
        c = channels[-1]
        for number in range(len(layers.widths), 0, -1):
            outputs = layers.channels if number == 1 else layers.widths[number - 1]
            small, large = sizes[number], sizes[number - 1]
            extra = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
            conv_up = nn.ConvTranspose2d(c, outputs, 3, 2, padding=1, output_padding=extra)
            decoder += (conv_up, nn.BatchNorm2d(outputs), nn.ReLU())
            c = outputs
        places = 1
        if whole_code:
            places = sizes[-1][0] * sizes[-1][1]
        self.whole_code = whole_code
        self.encoder = nn.Sequential(*encoder)
        dim = channels[-1] * places
        self.memory = CodeMemory(items, dim, shrinkage, cosine=whole_code)
        self.decoder = nn.Sequential(*decoder[:-2])  # nothing follows the last convolution

    def forward(self, x: Tensor) -> PictureReconstruction:
        """x: (B, C, H, W) in [0, 1]."""
        z = self.encoder(x)  # (B, D, h, w)
        if self.whole_code:
            z_hat, weights = self.memory(z.flatten(1))
            return PictureReconstruction(self.decoder(z_hat.view(z.shape)), weights)
        z_hat, weights = self.memory(z.movedim(1, -1))
        return PictureReconstruction(self.decoder(z_hat.movedim(-1, 1)), weights.movedim(-1, 1))


class MemAEImage(Model):
    """The network for frames, with the layers of CIFAR-10."""

    layout = torch.contiguous_format

    def __init__(self, config: MemAEImageConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.network = PictureMemAE(
            PictureLayers(
                channels=3,
                size_px=(config.height_px, config.width_px),
                kernels=(3, 3, 3, 3),
                widths=(w, 2 * w, 2 * w, 4 * w),
            ),
            config.items,
            config.shrinkage,
            whole_code=config.whole_code == 1,
        )

    def forward(self, x: Tensor) -> PictureReconstruction:
        """x: (B, 3, H, W) in [0, 1]."""
        found: PictureReconstruction = self.network(x)
        return found

    def measure(self, clips: Tensor) -> Output:
        """The distance is the published error of a picture, Σ (x - x̂)²."""
        x_hat = self(clips).pictures
        with in_float32(clips):
            error = (x_hat.float() - clips).square()
            return Output(error, {"distance": sum_each(error)})

    def training_step(self, batch: TrainingBatch) -> TrainingStep:
        """Eq. 10: L = mean (x - x̂)² + α E(ŵ).

        A part of a picture, as fine-tuning takes it, is scaled to the size of a whole one.
        """
        x = batch.clips
        size_px = (self.config.height_px, self.config.width_px)
        if x.shape[2:] != size_px:
            x = F.interpolate(x, size_px, mode="bilinear")
        x_hat, weights = self(x)
        with in_float32(x):
            mse = F.mse_loss(x_hat.float(), x)
            loss = mse + self.config.loss_entropy * entropy(weights.float())
        return TrainingStep(loss, mse.detach())
