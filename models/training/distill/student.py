"""Training of a narrow MNAD that predicts, and asks the queries of a wide one (see `teacher`)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models import memory
from lookout.models.base import TrainingStep
from lookout.models.data.footage import Footage
from lookout.models.device import in_float32
from lookout.models.mnad import Mnad, MnadConfig
from lookout.models.training.distill.teacher import Directions, Teacher
from lookout.models.training.loader import Batch
from lookout.models.training.options import TrainOptions
from lookout.models.training.trainer import Trainer
from lookout.models.training.validation import Validation
from lookout.models.vision.tensors import to_clips

QUERY_WEIGHT = 1e-2
"""Weight of the queries in the loss, beside the squared error of the frame."""

NORMAL_PER_ALTERED = 2
"""Normal windows per window with an anomaly, of which queries are learned and not the frame."""

MIN_SCALE = 0.2
MAX_SCALE = 5.0
"""Bounds of a query's squared length of q - m over the usual one, which scales its error."""


class Student(Trainer):
    """A trainer with a teacher, whose memory it has from the beginning and keeps."""

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
            raise TypeError("a teacher teaches the queries of MNAD")
        self._mnad = self.model
        self.items = teacher.directions.items

    def training_step(self, batch: Batch) -> TrainingStep:
        """Return the loss of the batch and of some altered windows.

        These are drawn by torch's generator: a resumed run draws the same.
        """
        count = max(1, len(batch.windows) // NORMAL_PER_ALTERED)
        numbers = torch.randint(len(self.teacher.altered.windows), (count,)).numpy()
        altered = to_clips(
            [self.teacher.altered.window(int(number)) for number in numbers], self.device
        )
        with in_float32(altered):
            normal_queries = self.teacher.queries(batch.windows)
            altered_queries = self.teacher.queries(numbers, altered=True)
            queries = torch.cat((normal_queries, altered_queries))
        return distillation_step(self._mnad, batch.clips, altered, queries, self.teacher.directions)

    def state_dict(self) -> dict[str, Any]:
        """Return the trainer's state and the teacher's directions."""
        return super().state_dict() | {"directions": tuple(self.teacher.directions)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the saved directions too: computed again, one may have another sign."""
        super().load_state_dict(state)
        self.teacher.directions = Directions(*state["directions"])

    def fingerprint(self) -> dict[str, Any]:
        """Return the trainer's fingerprint with the teacher's digest."""
        content = super().fingerprint()
        return content | {"footage": content["footage"] | {"teacher": self.teacher.sha256}}


def distillation_step(
    model: Mnad, clips: Tensor, altered: Tensor, queries: Tensor, directions: Directions
) -> TrainingStep:
    """Return L = L_rec + QUERY_WEIGHT L_queries.

    clips: (B, 3 T, H, W) in [-1, 1], of which the frame is learned as well; altered: (A, 3 T, H,
    W), of which queries alone are learned; queries: the teacher's for both, (B + A, K, D) float32,
    of unit length.
    """
    frames, actual = model.split(clips)
    others, _ = model.split(altered)
    features, *skips = model.encoder(torch.cat((frames, others)))
    count = len(frames)
    prediction = model.decode(
        features[:count], [skip[:count] for skip in skips], directions.items[None]
    )
    with in_float32(clips):
        mse = F.mse_loss(prediction.frame.float(), actual)
        error = query_error(memory.queries_of(features), queries, directions)
        loss = mse + QUERY_WEIGHT * error
    # Frames span [-1, 1]: with a peak of 1 the squared error is a quarter.
    return TrainingStep(loss, mse.detach() / 4, directions.items)


def query_error(q: Tensor, wanted: Tensor, directions: Directions) -> Tensor:
    """Return the distance of queries from the wanted ones, (B, K, D) both, as a scalar.

    Its unit is the length of q - m, which queries are there to measure. It is not squared, so that
    queries between two items, which are far from both, do not outweigh the others.
    """
    items = directions.items
    nearest = items[(wanted @ items.T).argmax(dim=2)]  # (B, K, D)
    usual = directions.usual
    scale = (wanted - nearest).square().sum(dim=2).clamp(MIN_SCALE * usual, MAX_SCALE * usual)
    squares = (q - wanted).square().sum(dim=2) / scale  # (B, K)
    return (squares + 1e-3).sqrt().mean()  # rounded off at zero, where the root has no slope
