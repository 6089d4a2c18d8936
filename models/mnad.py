"""MNAD, prediction: four frames go in, the fifth comes out, by way of a memory of normal features.

H. Park, J. Noh, B. Ham, "Learning Memory-guided Normality for Anomaly Detection", CVPR 2020; a U-Net after Liu et al.,
CVPR 2018, whose bottleneck asks the memory. Parameter names are those of the authors' code, so that their checkpoints
load (`training.import_mnad`); their unused `encoder.moduleBatchNorm` is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import memory
from models.blocks import double_conv, generate, last_encoding, upsample


@dataclass(frozen=True, slots=True)
class MnadConfig:
    """The published numbers are the defaults."""

    t_length: int = 5  # T: frames of a clip, T - 1 in and the last predicted
    width: int = 64  # channels of the first stage; the others are 2, 4 and 8 times that
    items: int = 10  # M
    dim: int = 512  # D
    height_px: int = 256
    width_px: int = 256
    lambda_: float = 0.6  # λ, eq. 15
    gamma: float = 0.01  # γ, the gate of the test-time update
    loss_compact: float = 0.1
    loss_separate: float = 0.1

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that do not fit the network."""
        if min(self.t_length - 1, self.width, self.items - 1, self.dim) < 1:
            raise ValueError("MNAD needs t_length >= 2, width >= 1, items >= 2 and dim >= 1")
        if self.height_px % 8 or self.width_px % 8 or min(self.height_px, self.width_px) < 8:
            raise ValueError("MNAD halves its input three times: height and width must be multiples of 8")
        if not 0 <= self.lambda_ <= 1:
            raise ValueError("λ must lie in [0, 1]")


class Encoder(nn.Module):
    """(B, 3 (T - 1), H, W) → features (B, D, H/8, W/8) and three skips."""

    def __init__(self, config: MnadConfig) -> None:
        super().__init__()
        w = config.width
        self.moduleConv1 = double_conv(3 * (config.t_length - 1), w)
        self.moduleConv2 = double_conv(w, 2 * w)
        self.moduleConv3 = double_conv(2 * w, 4 * w)
        self.moduleConv4 = last_encoding(4 * w, config.dim)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        skip1 = self.moduleConv1(x)  # (B, w, H, W)
        skip2 = self.moduleConv2(self.pool(skip1))  # (B, 2 w, H/2, W/2)
        skip3 = self.moduleConv3(self.pool(skip2))  # (B, 4 w, H/4, W/4)
        features = self.moduleConv4(self.pool(skip3))  # (B, D, H/8, W/8)
        return features, skip1, skip2, skip3


class Decoder(nn.Module):
    """What was read (B, 2 D, H/8, W/8) and the skips → the predicted frame (B, 3, H, W) in [-1, 1]."""

    def __init__(self, config: MnadConfig) -> None:
        super().__init__()
        w = config.width
        self.moduleConv = double_conv(2 * config.dim, 8 * w)
        self.moduleUpsample4 = upsample(8 * w, 4 * w)
        self.moduleDeconv3 = double_conv(8 * w, 4 * w)
        self.moduleUpsample3 = upsample(4 * w, 2 * w)
        self.moduleDeconv2 = double_conv(4 * w, 2 * w)
        self.moduleUpsample2 = upsample(2 * w, w)
        self.moduleDeconv1 = generate(2 * w, 3, hidden=w)

    def forward(self, x: Tensor, skip1: Tensor, skip2: Tensor, skip3: Tensor) -> Tensor:
        up4 = self.moduleUpsample4(self.moduleConv(x))  # (B, 4 w, H/4, W/4)
        up3 = self.moduleUpsample3(self.moduleDeconv3(torch.cat((skip3, up4), dim=1)))  # (B, 2 w, H/2, W/2)
        up2 = self.moduleUpsample2(self.moduleDeconv2(torch.cat((skip2, up3), dim=1)))  # (B, w, H, W)
        frame: Tensor = self.moduleDeconv1(torch.cat((skip1, up2), dim=1))  # (B, 3, H, W)
        return frame


@dataclass(frozen=True, slots=True)
class Prediction:
    frame: Tensor  # (B, 3, H, W) in [-1, 1]
    queries: Tensor  # (B, K, D), unit length, float32


class MnadPred(nn.Module):
    """The network without its memory: `forward` takes the items and changes nothing."""

    def __init__(self, config: MnadConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def forward(self, past: Tensor, items: Tensor) -> Prediction:
        """Predict the frame after `past`.

        past: (B, 3 (T - 1), H, W) in [-1, 1], frames stacked along the channels, oldest first.
        items: (B, M, D), a memory a sample; or (1, M, D), one that the whole batch asks.
        """
        features, skip1, skip2, skip3 = self.encoder(past)
        q = memory.queries_of(features)  # (B, K, D)
        concat = memory.read(q, items)  # (B, K, 2 D)
        height, width = features.shape[2:]
        asked = concat.transpose(1, 2).reshape(len(past), -1, height, width).to(features.dtype)
        return Prediction(self.decoder(asked, skip1, skip2, skip3), q)
