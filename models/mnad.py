"""MNAD: a U-Net whose bottleneck reads a memory of normal features.

H. Park, J. Noh, B. Ham, "Learning Memory-guided Normality for Anomaly Detection", CVPR 2020; the
U-Net is that of Liu et al., CVPR 2018. Prediction takes four frames and gives the fifth.
Reconstruction takes one frame and gives it again, without skips, which would carry the frame to the
decoder past the memory.

Parameter names are those of the authors' code, so that their checkpoints load
(`checkpoint.import_mnad`). Their `encoder.moduleBatchNorm`, which their forward pass never calls,
is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor, nn

from lookout.models import memory
from lookout.models.base import Config, MemoryModel, Output, TrainingBatch, TrainingStep
from lookout.models.device import in_float32
from lookout.models.input_spec import InputSpec
from lookout.models.scoring.metrics import squared_error

Skips = Sequence[Tensor]
"""(B, w, H, W), (B, 2 w, H/2, W/2), (B, 4 w, H/4, W/4)."""


@dataclass(frozen=True, slots=True)
class MnadConfig(Config):
    """Configuration of the prediction."""

    t_length: int = 5  # T: frames of a clip, T - 1 in and the last predicted
    width: int = 64  # w: channels of the first level; the others have 2, 4 and 8 times that
    items: int = 10  # M
    dim: int = 512  # D
    fusion_weight: float = 0.6  # λ, eq. 15
    gamma: float = 0.01  # γ, the gate of the test-time update
    loss_compact: float = 0.1  # λ_c, eq. 7
    loss_separate: float = 0.1  # λ_s, eq. 7

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that do not fit the network."""
        if min(self.frames_in, self.width, self.items - 1, self.dim) < 1:
            raise ValueError("MNAD needs t_length >= 2, width >= 1, items >= 2 and dim >= 1")
        self.check(multiple_px=8)  # the input is halved three times

    @property
    def input_spec(self) -> InputSpec:
        """T frames; the score is that of the last."""
        return InputSpec(
            self.t_length,
            scored=self.t_length - 1,
            memory="adapts",
            items=(self.items, self.dim),
            gate=self.gamma,
        )

    @property
    def frames_in(self) -> int:
        """Frames that the encoder takes, along the channels."""
        return self.t_length - 1


@dataclass(frozen=True, slots=True)
class MnadReconConfig(MnadConfig):
    """Configuration of the reconstruction."""

    t_length: int = 1
    fusion_weight: float = 0.7
    gamma: float = 0.015
    loss_compact: float = 0.01
    loss_separate: float = 0.01

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that do not fit the network."""
        if self.t_length != 1:
            raise ValueError("MNAD, reconstruction, takes one frame: t_length must be 1")
        MnadConfig.__post_init__(self)

    @property
    def frames_in(self) -> int:
        """The frame that is reconstructed."""
        return 1


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    """(B, inputs, h, w) → (B, outputs, h, w)."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Convolution, BN, ReLU, twice: (B, inputs, h, w) → (B, outputs, h, w)."""
    return nn.Sequential(
        conv3x3(inputs, outputs),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        conv3x3(outputs, outputs),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def last_encoding(inputs: int, outputs: int) -> nn.Sequential:
    """`double_conv` without the last BN and ReLU, since features may be negative."""
    return nn.Sequential(*list(double_conv(inputs, outputs))[:4])


def upsample(inputs: int, outputs: int) -> nn.Sequential:
    """Transposed convolution, BN, ReLU: (B, inputs, h, w) → (B, outputs, 2 h, 2 w)."""
    up = nn.ConvTranspose2d(inputs, outputs, kernel_size=3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(up, nn.BatchNorm2d(outputs), nn.ReLU())


def generate(inputs: int, hidden: int) -> nn.Sequential:
    """Give the frame: (B, inputs, H, W) → (B, 3, H, W) in [-1, 1]."""
    return nn.Sequential(
        conv3x3(inputs, hidden),
        nn.BatchNorm2d(hidden),
        nn.ReLU(),
        conv3x3(hidden, hidden),
        nn.BatchNorm2d(hidden),
        nn.ReLU(),
        conv3x3(hidden, 3),
        nn.Tanh(),
    )


class Encoder(nn.Module):
    """(B, 3 frames_in, H, W) → features (B, D, H/8, W/8) and three skips."""

    def __init__(self, config: MnadConfig) -> None:
        super().__init__()
        w = config.width
        self.moduleConv1 = double_conv(3 * config.frames_in, w)
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
    """Features with what the memory gave, (B, 2 D, H/8, W/8), and any skips → frame (B, 3, H, W).

    The frame is in [-1, 1]. With skips, half of each level's channels come from them.
    """

    def __init__(self, config: MnadConfig, *, skips: bool) -> None:
        super().__init__()
        w = config.width
        share = 2 if skips else 1
        self.moduleConv = double_conv(2 * config.dim, 8 * w)
        self.moduleUpsample4 = upsample(8 * w, (8 // share) * w)
        self.moduleDeconv3 = double_conv(8 * w, 4 * w)
        self.moduleUpsample3 = upsample(4 * w, (4 // share) * w)
        self.moduleDeconv2 = double_conv(4 * w, 2 * w)
        self.moduleUpsample2 = upsample(2 * w, (2 // share) * w)
        self.moduleDeconv1 = generate(2 * w, hidden=w)

    def forward(self, x: Tensor, skips: Skips | None = None) -> Tensor:
        skip1, skip2, skip3 = skips or (None, None, None)
        level4 = self.moduleUpsample4(self.moduleConv(x))  # (B, 4 w or 8 w, H/4, W/4)
        deconv3 = self.moduleDeconv3(join(skip3, level4))  # (B, 4 w, H/4, W/4)
        level3 = self.moduleUpsample3(deconv3)  # (B, 2 w or 4 w, H/2, W/2)
        deconv2 = self.moduleDeconv2(join(skip2, level3))  # (B, 2 w, H/2, W/2)
        level2 = self.moduleUpsample2(deconv2)  # (B, w or 2 w, H, W)
        frame: Tensor = self.moduleDeconv1(join(skip1, level2))  # (B, 3, H, W)
        return frame


def join(skip: Tensor | None, level: Tensor) -> Tensor:
    """Put a skip, where there is one, before a level's channels."""
    return level if skip is None else torch.cat((skip, level), dim=1)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Output of the network: the predicted or reconstructed frame, and the memory's queries."""

    frame: Tensor  # (B, 3, H, W) in [-1, 1]
    queries: Tensor  # (B, K, D), unit length, float32


class MnadLosses(NamedTuple):
    """Terms of eq. 7, scalars."""

    frame: Tensor  # eq. 8 in the authors' code: mean squared error of frames in [-1, 1]
    compactness: Tensor  # eq. 9
    separateness: Tensor  # eq. 10


class Mnad(MemoryModel):
    """The network of both variants. The memory is an argument of every pass."""

    skips: ClassVar[bool]

    def __init__(self, config: MnadConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, skips=self.skips)

    def forward(self, frames: Tensor, items: Tensor) -> Prediction:
        """Predict the frame after `frames`, or reconstruct the one that they are.

        frames: (B, 3 frames_in, H, W) in [-1, 1], along the channels, oldest first.
        items: (B, M, D), a memory for each sample; or (1, M, D), one for the whole batch.
        """
        features, *skips = self.encoder(frames)
        return self.decode(features, skips, items)

    def decode(self, features: Tensor, skips: Skips, items: Tensor) -> Prediction:
        """Read the memory and decode: features (B, D, h, w), the encoder's three skips."""
        q = memory.queries_of(features)  # (B, K, D)
        read = memory.read(q, items)  # (B, K, 2 D)
        batch, _, height, width = features.shape
        grid = read.transpose(1, 2).reshape(batch, -1, height, width)  # (B, 2 D, h, w)
        frame = self.decoder(grid.to(features.dtype), skips if self.skips else None)
        return Prediction(frame, q)

    def initial_items(self) -> Tensor:
        """Return random items of unit length, (M, D)."""
        return memory.initial_items(self.config.items, self.config.dim)

    def split(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Input and target: (B, 3 T, H, W) → (B, 3 frames_in, H, W), (B, 3, H, W)."""
        return clips[:, : 3 * self.config.frames_in], clips[:, -3:]

    def measure(self, clips: Tensor, items: Tensor) -> Output:
        """PSNR comes from eq. 13's error, the distance is eq. 14's."""
        frames, target = self.split(clips)
        prediction = self(frames, items)
        with in_float32(clips):
            q = prediction.queries
            error = squared_error(prediction.frame, target)
            distances = memory.distances(q, items)  # (B, K)
            grid = distances.reshape(len(q), 1, error.shape[2] // 8, error.shape[3] // 8)
            return Output(error, {"distance": distances.mean(dim=1)}, q, distances=grid)

    def losses(self, clips: Tensor, items: Tensor) -> tuple[MnadLosses, Tensor, Tensor]:
        """Return losses, the items after the update (M, D) and the frame (B, 3, H, W).

        clips: (B, 3 T, H, W) in [-1, 1]; items: (M, D). In training the whole batch asks one
        memory, and the softmax over queries runs over all of it.
        """
        frames, target = self.split(clips)
        m = items[None]  # (1, M, D)
        prediction = self(frames, m)
        with in_float32(clips):  # in bf16 cosines near 1 tie, and a tie decides the nearest item
            q = memory.fold_batch(prediction.queries)  # (1, B K, D)
            losses = MnadLosses(
                F.mse_loss(prediction.frame.float(), target),
                memory.compactness(q, m),
                memory.separateness(q, m),
            )
            return losses, memory.update(q, m)[0], prediction.frame

    def training_step(self, batch: TrainingBatch, items: Tensor) -> TrainingStep:
        """Eq. 7: L = L_rec + λ_c L_compact + λ_s L_separate."""
        losses, updated, _ = self.losses(batch.clips, items)
        loss = (
            losses.frame
            + self.config.loss_compact * losses.compactness
            + self.config.loss_separate * losses.separateness
        )
        mse = losses.frame.detach() / 4  # frames span [-1, 1]: with peak 1 it is a quarter
        return TrainingStep(loss, mse, updated)


class MnadPred(Mnad):
    """Prediction: a U-Net with its skips."""

    skips = True


class MnadRecon(Mnad):
    """Reconstruction: nothing passes by the memory."""

    skips = False
