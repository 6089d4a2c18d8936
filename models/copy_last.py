"""The network of `places`: none. The next frame is predicted to be a copy of the last one.

x̂_t = x_{t-1}, the trivial baseline that every prediction has to beat: its error is all that
changes from frame to frame. A camera with it needs no training, and is scored by its memory of
places (`places.py`, `scoring/place_state.py`), which learns from the camera itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lookout.models.base import Config, Model, Output, TrainingBatch, TrainingStep
from lookout.models.device import in_float32
from lookout.models.errors import TrainingError
from lookout.models.input_spec import InputSpec
from lookout.models.scoring.metrics import squared_error


@dataclass(frozen=True, slots=True)
class CopyLastConfig(Config):
    """Configuration of `places`."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that a camera's frames cannot have."""
        self.check(multiple_px=8)

    @property
    def input_spec(self) -> InputSpec:
        """Two frames; the score is that of the second."""
        return InputSpec(frames=2, scored=1, distance=False)


class CopyLast(Model):
    """(x_{t-1}, x_t) → x̂_t = x_{t-1}, (B, 3, H, W) in [-1, 1]."""

    needs_training = False

    def __init__(self, config: CopyLastConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, clips: Tensor) -> Tensor:
        """Return the predicted frame: clips (B, 6, H, W) → (B, 3, H, W)."""
        return clips[:, :3]

    def measure(self, clips: Tensor) -> Output:
        """Return the squared error of the copy."""
        with in_float32(clips):
            return Output(squared_error(self(clips), clips[:, 3:]), {})

    def training_step(self, batch: TrainingBatch) -> TrainingStep:  # noqa: ARG002
        """Raise TrainingError: there are no weights."""
        raise TrainingError("a copy of the last frame has no weights to train")
