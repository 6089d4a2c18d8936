"""Which frames are kept: by their time stamps, never by counting."""

from __future__ import annotations

import math
from dataclasses import dataclass

EARLY = 0.15
"""A frame may come this share of a slot early: containers round their time stamps, cameras jitter."""

BACK_S, AHEAD_S = 1.0, 60.0
"""A time stamp further back or ahead than this is a jump: the stream's clock was set anew."""


@dataclass(slots=True)
class Timeline:
    """Turns a stream's time stamps into seconds since its first frame, never running backwards.

    Where the stream gives none, or its clock jumps, the frame counts as one step after the last.
    """

    step_s: float  # the usual distance of two frames
    _zero_s: float | None = None  # the time stamp that is second 0
    _last_s: float | None = None

    def at(self, pts_s: float | None) -> float:
        """Seconds since the first frame."""
        if self._last_s is None:
            now = 0.0
        elif pts_s is None or self._jumped(pts_s):
            now = self._last_s + self.step_s
            self._zero_s = None
        else:
            now = max(self._last_s, pts_s - (self._zero_s or 0.0))
        if pts_s is not None and self._zero_s is None:
            self._zero_s = pts_s - now
        self._last_s = now
        return now

    def _jumped(self, pts_s: float) -> bool:
        if self._zero_s is None or self._last_s is None:
            return True
        return not -BACK_S <= pts_s - self._zero_s - self._last_s <= AHEAD_S


@dataclass(slots=True)
class Sampler:
    """Keeps the first frame of each slot of a grid of `fps` slots a second; None keeps every frame."""

    fps: float | None
    _slot: int = -1

    def keeps(self, at_s: float) -> bool:
        """`at_s`: seconds since the first frame, ascending (see Timeline)."""
        if self.fps is None:
            return True
        slot = math.floor(at_s * self.fps + EARLY)
        if slot <= self._slot:
            return False
        self._slot = slot
        return True
