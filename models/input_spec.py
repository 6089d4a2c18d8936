"""Clips and memory of a model, described without torch: checkpoints carry it in their headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Memory = Literal["none", "fixed", "adapts"]
"""Whether a model remembers what is normal, and whether that memory follows what a camera shows."""

DESCRIPTIONS: dict[Memory, str] = {
    "none": "no memory",
    "fixed": "a memory that stays as trained",
    "adapts": "a memory that adapts",
}


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The clips that a model takes, and the memory that it has."""

    frames: int  # T: consecutive frames of a clip
    scored: int  # 0-based index in the clip: the frame that score and heatmap belong to
    memory: Memory = "none"
    items: tuple[int, int] = (0, 0)  # (M, D) of a memory that adapts; each camera has its own
    gate: float = 0.0  # γ of a memory that adapts: gate errors below it update the items
    gray: bool = False  # one channel per frame, else three
    black: float = -1.0  # value of a black pixel; white is 1
    distance: bool = True  # the model gives a distance beside its map

    def __str__(self) -> str:
        """Return one line for `lookout models`."""
        clip = f"{self.frames} frames, the score is that of index {self.scored}"
        if self.frames == 1:
            clip = "1 frame"
        return f"{clip}; {DESCRIPTIONS[self.memory]}"
