"""Training a narrow MNAD to predict, and to ask the queries of a wide one (see `teacher`)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models import memory
from lookout.models.base import TrainingStep, in_float32
from lookout.models.data.clips import Footage
from lookout.models.mnad import Mnad, MnadConfig
from lookout.models.training.distill.teacher import Directions, Numbers, Teacher
from lookout.models.training.trainer import Batch, Trainer, TrainOptions
from lookout.models.training.validation import Validation
from lookout.models.vision.tensors import to_clips

WEIGHT = 1e-2
"""Of the queries in the loss, beside the squared error of the frame."""

NORMAL_TO_ALTERED = 2
"""Normal windows to one with an anomaly: of this one the queries are learned, not the frame."""

FLOOR, CEILING = 0.2, 5.0
"""Times the usual squared length of q - m: within these an error of a query is taken in proportion to it."""


class Apprentice(Trainer):
    """A trainer with a teacher; the memory is the teacher's from the beginning and stays so."""

    def __init__(
        self,
        config: MnadConfig,
        options: TrainOptions,
        footage: Footage,
        teacher: Teacher,
        validation: Validation | None = None,
    ) -> None:
        self.teacher = teacher
        super().__init__(config, options, footage, validation)
        if not isinstance(self.model, Mnad):
            raise TypeError("what a teacher teaches are the queries of MNAD")
        self._pupil = self.model
        self.items = teacher.directions.items

    def learn(self, batch: Batch) -> TrainingStep:
        numbers = self._draw(max(1, len(batch.windows) // NORMAL_TO_ALTERED))
        altered = to_clips(
            [self.teacher.altered.window(int(number)) for number in numbers], self.device
        )
        with in_float32(altered):
            wanted = torch.cat(
                (self.teacher.queries(batch.windows), self.teacher.queries(numbers, altered=True))
            )
        return training_step(self._pupil, batch.clips, altered, wanted, self.teacher.directions)

    def _state(self) -> dict[str, Any]:
        return super()._state() | {"directions": tuple(self.teacher.directions)}

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        self.teacher.directions = Directions(
            *state["directions"]
        )  # taken anew, one may point the other way

    def fingerprint(self) -> dict[str, Any]:
        found = super().fingerprint()
        return found | {"footage": found["footage"] | {"teacher": self.teacher.sha256}}

    def _draw(self, count: int) -> Numbers:
        """Numbers of altered windows, by torch's generator: a resumed run draws the same."""
        return torch.randint(len(self.teacher.altered.windows), (count,)).numpy()


def training_step(
    model: Mnad, clips: Tensor, altered: Tensor, wanted: Tensor, seen: Directions
) -> TrainingStep:
    """L = L_rec + WEIGHT L_queries.

    clips: (B, 3 T, H, W) in [-1, 1], whose frame is learned as well; altered: (A, 3 T, H, W), of which the queries are
    learned and not the frame; wanted: (B + A, K, D) float32, of unit length, of both.
    """
    frames, actual = model.split(clips)
    others, _ = model.split(altered)
    features, *skips = model.encoder(torch.cat((frames, others)))
    own = len(frames)
    prediction = model.answer(features[:own], [skip[:own] for skip in skips], seen.items[None])
    with in_float32(clips):
        mse = F.mse_loss(prediction.frame.float(), actual)
        loss = mse + WEIGHT * misses(memory.queries_of(features), wanted, seen)
    return TrainingStep(
        loss, mse.detach() / 4, seen.items
    )  # frames span [-1, 1]: peak 1 is a quarter


def misses(q: Tensor, wanted: Tensor, seen: Directions) -> Tensor:
    """How far queries are from those wanted, (B, K, D) both, in lengths of what is measured by them, q - m: scalar.

    Not squared, so that the queries between two items, which are far from both, do not outweigh the others.
    """
    nearest = seen.items[(wanted @ seen.items.T).argmax(dim=2)]  # (B, K, D)
    scale = (
        (wanted - nearest).square().sum(dim=2).clamp(FLOOR * seen.usual, CEILING * seen.usual)
    )  # (B, K)
    squares = (q - wanted).square().sum(dim=2) / scale
    return (squares + 1e-3).sqrt().mean()  # rounded off at zero, where the root has no slope
