"""What a model takes and has, in words that need no torch: checkpoints carry them in their headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Memory = Literal["none", "fixed", "adapts"]
"""Whether a model keeps what is normal as items, and whether those follow what a camera sees."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a model takes, and what it has."""

    frames: int  # T: consecutive frames of a clip
    scored: int  # 0-based, in the clip: the frame that score and heatmap belong to
    memory: Memory = "none"
    items: tuple[int, int] = (
        0,
        0,
    )  # (M, D) of a memory that adapts, which each camera carries along
    gate: float = 0.0  # γ of a memory that adapts: gate errors below it update the items
    gray: bool = False  # one channel a frame, else three
    black: float = -1.0  # what black becomes; white is 1
    distance: bool = True  # has a second number beside PSNR

    def __str__(self) -> str:
        """For a person."""
        memory = {
            "none": "no memory",
            "fixed": "a memory that stays as trained",
            "adapts": "a memory that adapts",
        }
        clip = (
            "1 frame"
            if self.frames == 1
            else f"{self.frames} frames, the score is that of index {self.scored}"
        )
        return f"{clip}; {memory[self.memory]}"
