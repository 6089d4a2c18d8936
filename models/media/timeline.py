"""Which frames are kept, of a camera and of a recording alike: by their time stamps, never by counting."""

from __future__ import annotations

import math
from dataclasses import dataclass

EARLY = 0.15
"""A frame may come this share of a slot early: containers round their time stamps, cameras jitter."""

BACK_S, CUT_S, AHEAD_S = 0.5, 10.0, 60.0
"""Steps from one time stamp to the next: further back, the stream began anew or its clock was set; more than CUT_S on,
what came before says nothing of what comes; more than AHEAD_S on, its clock was set.
"""

SLOW_STEPS = 10  # usual steps that are no cut either, in a stream of less than a frame a second
SAME_S = 1e-6  # less apart is the same time, and rounding
HELD = 5  # frames in a row that may bear no later time than the last: more of them, and the stream does not tell it


@dataclass(slots=True)
class Timeline:
    """Turns a stream's time stamps into seconds since its first frame, never running backwards.

    Where the stream gives none, repeats itself, or its clock jumps, the frame counts as one step after the last.
    """

    step_s: float  # the usual distance of two frames
    jumped: bool = False  # at the last frame: a window must not hold frames from both sides
    _zero_s: float | None = None  # the time stamp that is second 0
    _last_s: float | None = None
    _pts_s: float | None = None  # the last frame's time stamp, or what it should have been
    _held: int = 0

    def at(self, pts_s: float | None) -> float:
        """Seconds since the first frame."""
        moved_s = None if pts_s is None or self._pts_s is None else pts_s - self._pts_s
        self.jumped = moved_s is not None and not -BACK_S <= moved_s <= max(
            CUT_S, SLOW_STEPS * self.step_s
        )
        told = moved_s is not None and -BACK_S <= moved_s <= max(AHEAD_S, SLOW_STEPS * self.step_s)
        now = self._told(pts_s) if told else None
        if now is None:
            now = 0.0 if self._last_s is None else self._last_s + self.step_s
            self._zero_s = None if pts_s is None else pts_s - now
        self._remember(pts_s, now)
        return now

    def _told(self, pts_s: float | None) -> float | None:
        """What the stream says, not before the last frame; None where it says the same all the time."""
        if pts_s is None or self._zero_s is None or self._last_s is None:
            return None
        now = pts_s - self._zero_s
        self._held = 0 if now - self._last_s > SAME_S else self._held + 1
        return max(now, self._last_s) if self._held <= HELD else None

    def _remember(self, pts_s: float | None, now: float) -> None:
        guessed = None if self._pts_s is None else self._pts_s + self.step_s
        self._pts_s = guessed if pts_s is None else pts_s
        self._last_s = now


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
