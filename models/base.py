"""What a model of the family is to everyone else: what it needs, what it measures on a clip, what a batch teaches it.

Scorer, training and the live line know no model by name; they ask for these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from lookout.models.input_spec import InputSpec


@dataclass(frozen=True, slots=True)
class Config(ABC):
    """A model's sizes and constants; what the models share. Every field has a default: the published number."""

    height_px: int = 256
    width_px: int = 256
    fusion_weight: float = 1.0  # λ: share of PSNR in the value, the rest is the model's distance

    @property
    @abstractmethod
    def input_spec(self) -> InputSpec: ...

    def check(self, multiple: int) -> None:
        """Raises ValueError where a side is no multiple of this many pixels, or λ no share."""
        sides = self.height_px, self.width_px
        if min(sides) < multiple or any(side % multiple for side in sides):
            raise ValueError(f"height and width must be multiples of {multiple}")
        if not 0 <= self.fusion_weight <= 1:
            raise ValueError("λ must lie in [0, 1]")


@dataclass(frozen=True, slots=True)
class Output:
    """What a model says of each clip of a batch, in float32 whatever its convolutions ran in."""

    error: Tensor  # (B, C, H, W): squared error of the scored frame, peak 1; PSNR, gate error and heatmap come from it
    distance: (
        Tensor  # (B,): the model's own second number, higher is more abnormal; 0 where it has none
    )
    queries: Tensor | None = (
        None  # (B, K, D): what a memory that adapts learns from; None: there is none
    )


class TrainingProgress(NamedTuple):
    """How far a training is."""

    epoch: int = 0  # 0-based
    epochs: int = 1

    def is_past(self, share: float) -> bool:
        """This share of the epochs, 0 to 1, is done."""
        return self.epoch >= int(share * self.epochs)

    def begins(self, share: float) -> bool:
        """This is the first epoch for which `is_past` holds."""
        return self.epoch == int(share * self.epochs)


SINGLE_EPOCH = TrainingProgress()
"""A training of one epoch: every share of it has begun."""


class TrainingStep(NamedTuple):
    """What one batch teaches."""

    loss: Tensor  # scalar, to be lowered
    mse: Tensor  # scalar, peak 1: for the person who watches
    items: Tensor  # (M, D), after the batch


class Model(nn.Module, ABC):
    """A network that scores clips. Its memory, where it adapts, is an argument: (B, M, D), one a sample.

    Clips are (B, C T, H, W) float32 in [black, 1], oldest frame first; C = 1 where the model needs gray frames, else 3.
    """

    layout: ClassVar[torch.memory_format] = torch.channels_last  # of the weights

    def initial_items(self) -> Tensor:
        """A memory that adapts as training starts with it, (M, D); (0, 0) without one."""
        return torch.empty(0, 0)

    @abstractmethod
    def measure(self, clips: Tensor, items: Tensor) -> Output:
        """Score the clips, in eval mode and under the caller's autocast; items (B, M, D)."""

    @abstractmethod
    def training_step(
        self, clips: Tensor, items: Tensor, progress: TrainingProgress = SINGLE_EPOCH
    ) -> TrainingStep:
        """Loss of a batch, in train mode; one memory (M, D) for all of it."""

    def begin_epoch(self, progress: TrainingProgress, clips: Iterable[Tensor]) -> None:
        """What is to be done before an epoch, in train mode; `clips` are batches of it."""

    def is_ready(self, progress: TrainingProgress) -> bool:  # noqa: ARG002  most are from their first step on
        """All that it scores with has been made, once an epoch at this point has begun."""
        return True

    def make_ready(self, clips: Iterable[Tensor]) -> None:
        """Make it now, in train mode: for a training that ends before `is_ready`. Done twice, it gives the same."""


def in_float32(tensor: Tensor) -> torch.autocast:
    """Within an autocast, an island without: errors and distances are never taken in bf16."""
    return torch.autocast(tensor.device.type, enabled=False)
