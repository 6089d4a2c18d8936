"""MNAD: four frames go in and the fifth comes out (prediction), or one goes in and comes out again (reconstruction), by
way of a memory of normal features.

H. Park, J. Noh, B. Ham, "Learning Memory-guided Normality for Anomaly Detection", CVPR 2020; a U-Net after Liu et al.,
CVPR 2018, whose bottleneck asks the memory; for reconstruction without its skips, which would hand the frame to the
decoder past the memory. Parameter names are those of the authors' code, so that their checkpoints
load (`training.import_mnad`); their unused `encoder.moduleBatchNorm` is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor, nn

from lookout.models import memory
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
from lookout.models.scoring.metrics import squared_error

Skips = Sequence[Tensor]
"""(B, w, H, W), (B, 2 w, H/2, W/2), (B, 4 w, H/4, W/4)."""


@dataclass(frozen=True, slots=True)
class MnadConfig(Config):
    """Prediction. The published numbers are the defaults."""

    t_length: int = 5  # T: frames of a clip, T - 1 in and the last predicted
    width: int = 64  # channels of the first stage; the others are 2, 4 and 8 times that
    items: int = 10  # M
    dim: int = 512  # D
    fusion_weight: float = 0.6  # λ, eq. 15
    gamma: float = 0.01  # γ, the gate of the test-time update
    loss_compact: float = 0.1
    loss_separate: float = 0.1

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that do not fit the network."""
        if min(self.frames_in, self.width, self.items - 1, self.dim) < 1:
            raise ValueError("MNAD needs t_length >= 2, width >= 1, items >= 2 and dim >= 1")
        self.check(multiple=8)  # the input is halved three times

    @property
    def input_spec(self) -> InputSpec:
        """The score belongs to the last frame of the clip."""
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
    """Reconstruction. The published numbers are the defaults."""

    t_length: int = 1
    fusion_weight: float = 0.7
    gamma: float = 0.015
    loss_compact: float = 0.01
    loss_separate: float = 0.01

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that do not fit the network."""
        if self.t_length != 1:
            raise ValueError("MNAD, reconstruction, takes one frame: t_length must be 1")
        MnadConfig.__post_init__(self)

    @property
    def frames_in(self) -> int:
        """The frame that is reconstructed."""
        return 1


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
    """What was read (B, 2 D, H/8, W/8), and the skips where there are any → a frame (B, 3, H, W) in [-1, 1]."""

    def __init__(self, config: MnadConfig, *, skips: bool) -> None:
        super().__init__()
        w, taken = config.width, 2 if skips else 1
        self.moduleConv = double_conv(2 * config.dim, 8 * w)
        self.moduleUpsample4 = upsample(8 * w, (8 // taken) * w)
        self.moduleDeconv3 = double_conv(8 * w, 4 * w)
        self.moduleUpsample3 = upsample(4 * w, (4 // taken) * w)
        self.moduleDeconv2 = double_conv(4 * w, 2 * w)
        self.moduleUpsample2 = upsample(2 * w, (2 // taken) * w)
        self.moduleDeconv1 = generate(2 * w, 3, hidden=w)

    def forward(self, x: Tensor, skips: Skips | None = None) -> Tensor:
        skip1, skip2, skip3 = skips or (None, None, None)
        up4 = self.moduleUpsample4(self.moduleConv(x))  # (B, 4 w or 8 w, H/4, W/4)
        up3 = self.moduleUpsample3(
            self.moduleDeconv3(_beside(skip3, up4))
        )  # (B, 2 w or 4 w, H/2, W/2)
        up2 = self.moduleUpsample2(self.moduleDeconv2(_beside(skip2, up3)))  # (B, w or 2 w, H, W)
        frame: Tensor = self.moduleDeconv1(_beside(skip1, up2))  # (B, 3, H, W)
        return frame


def _beside(skip: Tensor | None, up: Tensor) -> Tensor:
    """The decoder's next input: 8, 4 and 2 w channels, with half of them from the skip where there is one."""
    return up if skip is None else torch.cat((skip, up), dim=1)


@dataclass(frozen=True, slots=True)
class Prediction:
    frame: Tensor  # (B, 3, H, W) in [-1, 1]
    queries: Tensor  # (B, K, D), unit length, float32


class Losses(NamedTuple):
    frame: Tensor  # eq. 8 as the authors compute it: mean squared error of frames in [-1, 1]
    compactness: Tensor  # eq. 9
    separateness: Tensor  # eq. 10


class Mnad(Model):
    """The network without its memory: `forward` takes the items and changes nothing."""

    skips: ClassVar[bool]

    def __init__(self, config: MnadConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, skips=self.skips)

    def forward(self, frames: Tensor, items: Tensor) -> Prediction:
        """Predict the frame after `frames`, or reconstruct the one that they are.

        frames: (B, 3 frames_in, H, W) in [-1, 1], stacked along the channels, oldest first.
        items: (B, M, D), a memory a sample; or (1, M, D), one that the whole batch asks.
        """
        features, *skips = self.encoder(frames)
        return self.answer(features, skips, items)

    def answer(self, features: Tensor, skips: Skips, items: Tensor) -> Prediction:
        """From what the encoder found, (B, D, h, w) and its three skips, by way of the memory."""
        q = memory.queries_of(features)  # (B, K, D)
        concat = memory.read(q, items)  # (B, K, 2 D)
        height, width = features.shape[2:]
        asked = concat.transpose(1, 2).reshape(len(features), -1, height, width).to(features.dtype)
        return Prediction(self.decoder(asked, skips if self.skips else None), q)

    def initial_items(self) -> Tensor:
        return memory.initial_items(self.config.items, self.config.dim)

    def split(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """What goes in and what should come out: (B, 3 T, H, W) → (B, 3 frames_in, H, W), (B, 3, H, W)."""
        return clips[:, : 3 * self.config.frames_in], clips[:, -3:]

    def measure(self, clips: Tensor, items: Tensor) -> Output:
        frames, actual = self.split(clips)
        prediction = self(frames, items)
        with in_float32(clips):
            q = prediction.queries
            return Output(squared_error(prediction.frame, actual), memory.distance(q, items), q)

    def losses(self, clips: Tensor, items: Tensor) -> tuple[Losses, Tensor, Tensor]:
        """One forward pass in train mode: the losses, the items after the update (M, D), the frame (B, 3, H, W).

        clips: (B, 3 T, H, W) in [-1, 1]; items: (M, D). The whole batch asks one memory, the softmax over queries runs
        over all of it.
        """
        frames, actual = self.split(clips)
        m = items[None]  # (1, M, D)
        prediction = self(frames, m)
        with in_float32(
            clips
        ):  # in bf16 cosines near 1 tie, and a tie would say which item is the nearest
            q = memory.fold_batch(prediction.queries)  # (1, B K, D)
            losses = Losses(
                F.mse_loss(prediction.frame.float(), actual),
                memory.compactness(q, m),
                memory.separateness(q, m),
            )
            return losses, memory.update(q, m)[0], prediction.frame

    def training_step(
        self,
        clips: Tensor,
        items: Tensor,
        progress: TrainingProgress = SINGLE_EPOCH,  # noqa: ARG002
    ) -> TrainingStep:
        """Eq. 7: L = L_rec + λ_c L_compact + λ_s L_separate."""
        losses, items, _ = self.losses(clips, items)
        weights = self.config.loss_compact, self.config.loss_separate
        loss = losses.frame + weights[0] * losses.compactness + weights[1] * losses.separateness
        return TrainingStep(
            loss, losses.frame.detach() / 4, items
        )  # frames span [-1, 1]: peak 1 is a quarter


class MnadPred(Mnad):
    """Prediction: a U-Net with its skips."""

    skips = True


class MnadRecon(Mnad):
    """Reconstruction: nothing gets past the memory."""

    skips = False
