"""The seam of a model: configuration, output of a clip, loss of a batch.

Scorer, training and evaluation know no model by name. To add a model, write one file and add one
line to `registry.MODELS`. The file holds

- a `Config`: a frozen dataclass of the model's sizes and constants, each with its published number
  as the default; `__post_init__` calls `check`, and `input_spec` says what a clip of it is;
- a `Model`, built from that configuration alone: `measure` gives the `Output` of a batch of clips,
  `training_step` the loss of a batch. Both are all that is abstract.

A model whose memory follows what each camera shows is a `MemoryModel` instead: its methods take the
items as an argument, one memory per sample, and its `Output` carries the queries that the update
learns from. A memory that stays as trained is a parameter of an ordinary `Model`.

PSNR, gate error, heatmap, memory update, calibration and values are computed from `Output`, once
for all models; so are zones, whose weights per pixel enter in `Scorer.step`: for them a model says
in `Output.distances` which place of the picture has which part of its distance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from lookout.models.input_spec import InputSpec


@dataclass(frozen=True, slots=True)
class Config(ABC):
    """Sizes and constants that all models share. Each field's default is the published number."""

    height_px: int = 256
    width_px: int = 256
    fusion_weight: float = 1.0  # λ: share of PSNR in the value; the rest is the model's distance

    @property
    @abstractmethod
    def input_spec(self) -> InputSpec:
        """The clips that the model takes, and the memory that it has."""

    def check(self, multiple_px: int) -> None:
        """Raise ValueError unless both sides are multiples of `multiple_px` and 0 <= λ <= 1."""
        for side_px in (self.height_px, self.width_px):
            if side_px < multiple_px or side_px % multiple_px:
                raise ValueError(f"height and width must be multiples of {multiple_px}")
        if not 0 <= self.fusion_weight <= 1:
            raise ValueError("λ must lie in [0, 1]")


@dataclass(frozen=True, slots=True)
class Output:
    """Output of a model for a batch of clips, float32 whatever its convolutions ran in."""

    map: Tensor  # (B, C, H, W): squared error of the scored frame, peak 1
    parts: Mapping[str, Tensor]  # name → (B,): further numbers, higher is more abnormal
    queries: Tensor | None = None  # (B, K, D), unit length; from a `MemoryModel` alone
    heat: Tensor | None = None  # (B, 1, H, W) in [0, 1]: the model's own anomaly map
    turns: int = 1  # frames that a score is the mean of; more from a `RotatingModel` alone
    carried: Sequence[Tensor] | None = None  # B states, uint8; from a `LiveModel` that has them
    # (B, 1, h, w): what the distance is the mean of, or the maximum, place by place; None: it is
    # of the picture as a whole, and zones do not weigh it.
    distances: Tensor | None = None
    distance_is_worst: bool = False  # the maximum

    @property
    def shown(self) -> Tensor:
        """The squares behind the heatmap, (B, C or 1, H, W): of the model's own map, or `map`."""
        return self.map if self.heat is None else self.heat.square()

    @property
    def distance(self) -> Tensor:
        """The part that is fused with PSNR, (B,); 0 for a model that has none."""
        found = self.parts.get("distance")
        return self.map.new_zeros(len(self.map)) if found is None else found


class TrainingProgress(NamedTuple):
    """The point that a training has reached."""

    epoch: int = 0  # 0-based
    epochs: int = 1

    def is_past(self, share: float) -> bool:
        """Return whether this share of the epochs, in [0, 1), is done."""
        return self.epoch >= int(share * self.epochs)

    def begins(self, share: float) -> bool:
        """Return whether this is the first epoch for which `is_past` holds."""
        return self.epoch == int(share * self.epochs)


SINGLE_EPOCH = TrainingProgress()
"""A training of one epoch, of which every share has begun."""


class TrainingBatch(NamedTuple):
    """Input of a training step."""

    clips: Tensor  # (B, C T, H, W) float32, as in `Network`
    progress: TrainingProgress = SINGLE_EPOCH


class TrainingStep(NamedTuple):
    """Output of a training step."""

    loss: Tensor  # scalar, to be minimised
    mse: Tensor  # scalar, detached: mean squared error, peak 1, for the progress display
    items: Tensor | None = None  # (M, D): the memory after the batch; from a `MemoryModel` alone


class Network(nn.Module, ABC):
    """Members shared by `Model` and `MemoryModel`.

    Clips are (B, C T, H, W) float32 in [black, 1], frames along the channels, oldest first; C is 1
    where the model's `InputSpec` asks for gray frames, else 3.
    """

    layout: ClassVar[torch.memory_format] = torch.channels_last  # of the weights
    needs_training: ClassVar[bool] = True  # False: a model without weights

    @property
    def ready_after(self) -> float:
        """Share of the epochs, in [0, 1), after which the network can score clips.

        `make_ready` runs before the first epoch past it. Checkpoints of before are never the best.
        """
        return 0.0

    def make_ready(self, clips: Iterable[Tensor]) -> None:
        """Set up, in train mode, what only trained features can provide; `clips` are batches.

        Repeated calls without a step between them give the same weights.
        """

    def learn_normal(self, clips: Iterable[Tensor]) -> None:
        """Store, in eval mode, what the weights give on normal footage, where a score needs it.

        It runs before each log entry; `clips` are some batches of the training footage.
        """

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return the groups of parameters that the optimiser takes, with options of their own."""
        return [{"params": list(self.parameters())}]


class Model(Network):
    """A network that scores clips, each by itself."""

    @abstractmethod
    def measure(self, clips: Tensor) -> Output:
        """Measure clips (B, C T, H, W), in eval mode and under the caller's autocast."""

    @abstractmethod
    def training_step(self, batch: TrainingBatch) -> TrainingStep:
        """Return the loss of a batch, in train mode and under the caller's autocast."""


class RotatingModel(Model):
    """A model whose score is the mean of several parts, of which the live form takes one a frame.

    `measure` takes all parts and is exact. The part of a frame follows from its number, so that a
    restart changes none, and a score is the mean over the newest score of each part.
    """

    turns: ClassVar[int]  # number of parts

    @abstractmethod
    def measure_turn(self, clips: Tensor, parts: Tensor) -> Output:
        """Measure each clip by one part alone; parts: (B,) int64 in [0, turns)."""


class LiveModel(Model):
    """A model with a form for cameras that takes fewer passes, beside the exact one, `measure`.

    It may carry a state from frame to frame of a camera's session; that is None before the first.
    """

    @abstractmethod
    def measure_live(
        self, clips: Tensor, numbers: Sequence[int], carried: Sequence[Tensor | None]
    ) -> Output:
        """Measure clips, given the numbers of their scored frames and their cameras' states."""


class MemoryModel(Network):
    """A network that scores clips with the help of a memory, which follows what each camera shows.

    The memory is M items of D numbers, an argument and never hidden state. `memory_update` moves
    the items by the queries of `Output`.
    """

    @abstractmethod
    def initial_items(self) -> Tensor:
        """Return the memory that training starts with, (M, D) float32."""

    @abstractmethod
    def measure(self, clips: Tensor, items: Tensor) -> Output:
        """Measure clips as `Model.measure`; items (B, M, D), each sample's own memory."""

    @abstractmethod
    def training_step(self, batch: TrainingBatch, items: Tensor) -> TrainingStep:
        """Return the loss of a batch as `Model.training_step`; items (M, D), one memory for all."""


AnyModel = Model | MemoryModel


def initial_items(model: AnyModel) -> Tensor:
    """Return the memory that training starts with, (M, D); (0, 0) for a model without one."""
    if isinstance(model, MemoryModel):
        return model.initial_items()
    return torch.empty(0, 0)


def has_live_form(model: AnyModel) -> bool:
    """Return whether a camera's scores are of another form than the exact one."""
    return isinstance(model, RotatingModel | LiveModel)


def measure(
    model: AnyModel,
    clips: Tensor,
    items: Tensor,
    numbers: Sequence[int] | None = None,
    carried: Sequence[Tensor | None] | None = None,
) -> Output:
    """Measure clips with any kind of model; items (B, M, D), or (B, 0, 0) without a memory.

    numbers: those of the scored frames, for the live form of a model that has one; None: exact.
    carried: the states of a `LiveModel`, one a clip; None: all begin.
    """
    if isinstance(model, MemoryModel):
        return model.measure(clips, items)
    if isinstance(model, RotatingModel) and numbers is not None:
        parts = torch.tensor([number % model.turns for number in numbers], device=clips.device)
        return model.measure_turn(clips, parts)
    if isinstance(model, LiveModel) and numbers is not None:
        return model.measure_live(clips, numbers, carried or [None] * len(clips))
    return model.measure(clips)
