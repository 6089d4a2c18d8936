"""What a model of the family is to everyone else: what it needs, what it measures on a clip, what a batch teaches it.

Scorer, training and the live line know no model by name; they ask for these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Measured:
    """What a model says of each clip of a batch, in float32 whatever its convolutions ran in."""

    error: Tensor  # (B, C, H, W): squared error of the scored frame, peak 1; PSNR, gate error and heatmap come from it
    distance: Tensor  # (B,): the model's own second number, higher is more abnormal; 0 where it has none
    queries: Tensor | None = None  # (B, K, D): what a memory that adapts learns from; None: there is none


class Lesson(NamedTuple):
    """What one batch teaches."""

    loss: Tensor  # scalar, to be lowered
    mse: Tensor  # scalar, peak 1: for the person who watches
    items: Tensor  # (M, D), after the batch


class Model(nn.Module, ABC):
    """A network that scores clips. Its memory, where it follows a camera's frames, is an argument: (B, M, D)."""

    @abstractmethod
    def measure(self, clips: Tensor, items: Tensor) -> Measured:
        """Score the clips, in eval mode and under the caller's autocast: (B, 3 T, H, W), (B, M, D)."""

    @abstractmethod
    def lesson(self, clips: Tensor, items: Tensor) -> Lesson:
        """Loss of a batch, in train mode: (B, 3 T, H, W), one memory (M, D) for all of it."""


def in_float32(tensor: Tensor) -> torch.autocast:
    """Within an autocast, an island without: errors and distances are never taken in bf16."""
    return torch.autocast(tensor.device.type, enabled=False)
