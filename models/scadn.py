"""SCADN: a network that fills in stripes of a frame, trained against a discriminator.

X. Yan, H. Zhang, X. Xu, X. Hu, P.-A. Heng, "Learning Semantic Context from Normal Samples for
Unsupervised Anomaly Detection", AAAI 2021, 35(4), 3110-3118. Written from the equations; layers,
parameter names of the generator and hyper-parameters are those of the authors' code.

The authors' code is followed where it and summaries of the paper differ: the map of a scale is the
maximum over its four masks, and the exact score is that of the scale whose error exceeds most what
it is on normal footage. The summaries take the mean over all masks; so does the live form here.

Slips of the code, not followed:
- its training step moves the discriminator before the generator's gradient, which needs the old
  weights: here both gradients are taken before any step;
- it learns the normal error of the scales only in its test; here it is learned as training goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor, nn

from lookout.models.base import Config, Output, RotatingModel, TrainingBatch, TrainingStep
from lookout.models.device import in_float32
from lookout.models.input_spec import InputSpec
from lookout.models.scoring.metrics import sum_each
from lookout.models.scoring.similarity import sum_of

SCALES = (1, 2, 3)
"""s: at scale s a picture has 2^s pairs of stripes each way."""

MASKS = 4
"""Of a scale: even columns, odd columns, even rows, odd rows."""

LEAST_PX = 32
"""An eighth of the side is padded by 2 with its own reflection."""

DISCRIMINATOR_RATE = 0.1
"""Learning rate of the discriminator, as a share of the generator's."""

BETAS = (0.0, 0.9)
"""Of Adam, for both networks."""


@dataclass(frozen=True, slots=True)
class SCADNConfig(Config):
    """Configuration; the published numbers are the defaults, but for the size of the input."""

    width: int = 64  # w: channels of the first level; the others have 2, 4 and 8 times that
    blocks: int = 8  # residual blocks of the generator's middle
    loss_masked: float = 4.0  # of removed pixels, against 1 of the others
    loss_adversarial: float = 0.001
    fusion_weight: float = 0.0  # the score is the map's mean alone

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that do not fit the network."""
        if min(self.width, self.blocks) < 1:
            raise ValueError("SCADN needs width >= 1 and blocks >= 1")
        self.check(multiple_px=2 ** (max(SCALES) + 1))  # the narrowest stripes are whole pixels
        if min(self.height_px, self.width_px) < LEAST_PX:
            raise ValueError(f"SCADN's height and width must be {LEAST_PX} or more")

    @property
    def input_spec(self) -> InputSpec:
        """One frame in [0, 1]; the distance is the mean of its map."""
        return InputSpec(frames=1, scored=0, black=0.0)


class SCADN(RotatingModel):
    """Generator, discriminator, masks, and the map. In the live form the scales take turns."""

    turns = len(SCALES)

    all_masks: Tensor  # (12, 1, H, W) float32, those of `masks`
    normal_error: Tensor  # (3,): mean of each scale's map on normal footage

    def __init__(self, config: SCADNConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config.width, config.blocks)
        self.discriminator = Discriminator(config.width)
        masks = stripes(config.height_px, config.width_px).flatten(0, 1)
        self.register_buffer("all_masks", masks, persistent=False)
        self.register_buffer("normal_error", torch.zeros(len(SCALES)))

    @property
    def masks(self) -> Tensor:
        """The masks of each scale, (3, 4, 1, H, W): 1 where one removes a pixel."""
        return self.all_masks.view(len(SCALES), MASKS, *self.all_masks.shape[1:])

    def forward(self, x: Tensor, masks: Tensor) -> Tensor:
        """Fill in what masks remove: x (B, 3, H, W) in [0, 1], masks (B or 1, 1, H, W) → as x."""
        x_hat: Tensor = self.generator(x * (1 - masks) + masks)  # removed pixels are white
        return x_hat

    def measure(self, clips: Tensor) -> Output:
        """The map is that of the scale that exceeds its normal error most; see `measure_turn`."""
        every = clips.new_zeros(len(clips), dtype=torch.int64)  # (B,)
        scales = [self.map_of(clips, every + number) for number in range(len(SCALES))]
        maps = torch.stack([anomaly for anomaly, _ in scales])  # (3, B, 1, H, W)
        with in_float32(clips):
            means = torch.stack([mean_of(anomaly) for anomaly in maps])  # (3, B)
            selected = (means - self.normal_error[:, None]).argmax(dim=0)  # (B,)
            rows = torch.arange(len(clips), device=clips.device)
            error = sum_of(squared for _, squared in scales) / len(SCALES)
            return Output(
                error, {"distance": means[selected, rows]}, heat=maps[selected, rows].sqrt()
            )

    def measure_turn(self, clips: Tensor, parts: Tensor) -> Output:
        """Measure each clip by one scale: SCALES[parts[i]] for clip i.

        The heat is the root of the map, which is an error like that of the other models.
        """
        anomaly, error = self.map_of(clips, parts)
        return Output(error, {"distance": mean_of(anomaly)}, heat=anomaly.sqrt(), turns=self.turns)

    def map_of(self, clips: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
        """Return a scale's map, (B, 1, H, W), and its squared error, (B, 3, H, W), peak 1.

        parts: (B,), index of each clip's scale. The map is the maximum over the four masks of the
        error where they remove. The error is the mean over columns and rows, each put together
        from its two masks.
        """
        masks = self.masks[parts].transpose(0, 1)  # (4, B, 1, H, W)
        x_hat = self(clips.repeat(MASKS, 1, 1, 1), masks.flatten(0, 1))  # (4 B, 3, H, W)
        with in_float32(clips):
            squared = (x_hat.float().view(MASKS, *clips.shape) - clips).square() * masks
            anomaly = squared.mean(dim=2, keepdim=True).amax(dim=0)  # (B, 1, H, W)
            return anomaly, sum_of(squared) / 2

    def learn_normal(self, clips: Iterable[Tensor]) -> None:
        """Store the mean of each scale's map on normal footage."""
        means: list[Tensor] = []  # (B, 3) each
        for batch in clips:
            every = batch.new_zeros(len(batch), dtype=torch.int64)
            scales = [self.map_of(batch, every + number) for number in range(len(SCALES))]
            means.append(torch.stack([mean_of(anomaly) for anomaly, _ in scales], dim=1))
        self.normal_error.copy_(torch.cat(means).mean(dim=0))

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Return both networks; the discriminator learns at a tenth of the rate."""
        slow = DISCRIMINATOR_RATE * learning_rate
        return [
            {"params": list(self.generator.parameters()), "betas": BETAS},
            {"params": list(self.discriminator.parameters()), "betas": BETAS, "lr": slow},
        ]

    def training_step(self, batch: TrainingBatch) -> TrainingStep:
        """Return the sum of both losses, with one of the 12 masks for each picture.

        No gradient of the generator's loss reaches the discriminator, nor the other way.
        """
        x = batch.clips
        masks = stripes(x.shape[2], x.shape[3]).to(x.device).flatten(0, 1)  # (12, 1, H, W)
        drawn = masks[torch.randint(len(masks), (len(x),)).to(x.device)]  # (B, 1, H, W)
        return self.losses(x, drawn)

    def losses(self, x: Tensor, masks: Tensor) -> TrainingStep:
        """Return the losses of pictures (B, 3, H, W) with their masks, (B, 1, H, W).

        Generator: (MSE of kept + 4 MSE of removed pixels) / mean of the masks + 0.001 BCE of the
        discriminator, which it makes take its output for a picture. Discriminator: mean of two BCE.
        """
        x_hat = self(x, masks)  # (B, 3, H, W)
        real = self.discriminator(x)  # (B, 1, h, w)
        fake = self.discriminator(x_hat.detach())
        self.discriminator.requires_grad_(False)
        judged = self.discriminator(x_hat)
        self.discriminator.requires_grad_(True)
        with in_float32(x):
            restored = reconstruction_loss(x_hat.float(), x, masks, self.config.loss_masked)
            adversarial = self.config.loss_adversarial * likeness_loss(judged, 1)
            discrimination = (likeness_loss(real, 1) + likeness_loss(fake, 0)) / 2
            mse = F.mse_loss(x_hat.detach().float(), x)
        return TrainingStep(restored + adversarial + discrimination, mse)


def stripes(height_px: int, width_px: int) -> Tensor:
    """Return the masks of all scales, (3, 4, 1, H, W) float32: 1 where a pixel is removed.

    At scale s a stripe is an n-th of the side wide, n = 2 · 2^s.
    """
    scales = []
    for scale in SCALES:
        count = 2 * 2**scale
        columns = torch.arange(width_px) // (width_px // count) % 2  # 0 in even stripes
        rows = torch.arange(height_px) // (height_px // count) % 2
        across = columns.expand(height_px, width_px)
        down = rows[:, None].expand(height_px, width_px)
        scales.append(torch.stack((1 - across, across, 1 - down, down)))
    return torch.stack(scales)[:, :, None].float()


def mean_of(anomaly: Tensor) -> Tensor:
    """Return the mean of each map, (B, 1, H, W) → (B,)."""
    return sum_each(anomaly) / anomaly[0].numel()


def reconstruction_loss(x_hat: Tensor, x: Tensor, masks: Tensor, loss_masked: float) -> Tensor:
    """Return (MSE of kept + `loss_masked` MSE of removed pixels) / mean of the masks, scalar."""
    squared = (x_hat - x).square()  # (B, 3, H, W)
    kept = (squared * (1 - masks)).mean()
    removed = (squared * masks).mean()
    return (kept + loss_masked * removed) / masks.mean()


def likeness_loss(judged: Tensor, target: int) -> Tensor:
    """Return the BCE of a discriminator's output, before its sigmoid, with 0 or 1, scalar."""
    judged = judged.float()
    return F.binary_cross_entropy_with_logits(judged, torch.full_like(judged, target))


class Generator(nn.Module):
    """(B, 3, H, W) in [0, 1] → (B, 3, H, W) in [0, 1]."""

    def __init__(self, w: int, blocks: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.ReflectionPad2d(3),
            *normed(nn.Conv2d(3, w, 7), w),
            *normed(nn.Conv2d(w, 2 * w, 4, 2, padding=1), 2 * w),
            *normed(nn.Conv2d(2 * w, 4 * w, 4, 2, padding=1), 4 * w),
            *normed(nn.Conv2d(4 * w, 8 * w, 4, 2, padding=1), 8 * w),
        )
        self.middle = nn.Sequential(*(ResidualBlock(8 * w) for _ in range(blocks)))
        self.decoder = nn.Sequential(
            nn.Upsample(scale_factor=2),
            *normed(nn.Conv2d(8 * w, 4 * w, 3, padding=1), 4 * w),
            nn.Upsample(scale_factor=2),
            *normed(nn.Conv2d(4 * w, 2 * w, 3, padding=1), 2 * w),
            nn.Upsample(scale_factor=2),
            *normed(nn.Conv2d(2 * w, w, 3, padding=1), w),
            nn.ReflectionPad2d(3),
            nn.Conv2d(w, 3, 7),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: a frame whose removed pixels are white, (B, 3, H, W)."""
        code = self.middle(self.encoder(x))  # (B, 8 w, H/8, W/8)
        frame: Tensor = (self.decoder(code).tanh() + 1) / 2
        return frame


class ResidualBlock(nn.Module):
    """(B, w, h, w) → the same shape: two convolutions, the first with gaps, added to the input."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(2),
            *normed(nn.Conv2d(w, w, 3, dilation=2), w),
            nn.ReflectionPad2d(1),
            nn.Conv2d(w, w, 3),
            nn.InstanceNorm2d(w),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, w, h, w)."""
        added: Tensor = x + self.conv_block(x)
        return added


class Discriminator(nn.Sequential):
    """(B, 3, H, W) in [0, 1] → (B, 1, h, w), positive for a picture; for training alone.

    The authors' last layer, a sigmoid, is in the loss.
    """

    def __init__(self, w: int) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs, stride in (
            (3, w, 2),
            (w, 2 * w, 2),
            (2 * w, 4 * w, 2),
            (4 * w, 8 * w, 1),
            (8 * w, 1, 1),
        ):
            layers += (SpectralConv(inputs, outputs, stride), nn.LeakyReLU(0.2))
        super().__init__(*layers[:-1])


class SpectralConv(nn.Conv2d):
    """A 4x4 convolution whose weight W is divided by an estimate of its largest singular value.

    T. Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018. The
    estimate is u^T W v, u and v unit vectors. In train mode each call moves v, then u, by one step
    of the power iteration; torch's parametrization moves u first, and cannot be made without memory
    as the check of a checkpoint's sizes does.
    """

    u: Tensor  # (outputs,)
    v: Tensor  # (16 inputs,)

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, 4, stride, padding=1, bias=False)
        self.register_buffer("u", F.normalize(torch.randn(outputs), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(16 * inputs), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, inputs, h, w)."""
        rows = self.weight.flatten(1)  # (outputs, 16 inputs)
        with in_float32(x):
            if self.training:
                with torch.no_grad():
                    self.v = F.normalize(rows.T @ self.u, dim=0)
                    self.u = F.normalize(rows @ self.v, dim=0)
            weight = self.weight / (self.u @ rows @ self.v)
        return F.conv2d(x, weight, None, self.stride, self.padding)


def normed(convolution: nn.Conv2d, w: int) -> tuple[nn.Module, ...]:
    """Return a convolution, a norm over each channel of each picture, and ReLU."""
    return convolution, nn.InstanceNorm2d(w), nn.ReLU()
