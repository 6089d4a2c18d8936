"""Time of each frame of a stream, and the frames that are kept at a frame rate.

Frames are chosen by their time stamps, never by counting, for cameras and recordings alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

EARLY = 0.15
"""Share of a slot that a frame may come early: containers round time stamps, cameras jitter."""

BACK_S = 0.5
"""A time stamp further back than this: the stream began again, or its clock was set."""

CUT_S = 10.0
"""A time stamp further ahead than this: the frames before say nothing about the next ones."""

AHEAD_S = 60.0
"""A time stamp further ahead than this: the stream's clock was set."""

SLOW_STEPS = 10  # usual steps that are no cut either, in a stream of less than a frame a second
SAME_S = 1e-6  # less apart is the same time, and rounding
HELD = 5  # frames in a row that may bear no later time than the last before it is not believed


@dataclass(slots=True)
class Timeline:
    """Seconds since a stream's first frame, from its time stamps; they never run backwards.

    Where the stream has no time stamp, repeats one, or its clock jumps, the frame counts as one
    step after the last.
    """

    step_s: float  # the usual distance of two frames
    jumped: bool = False  # at the last frame: a window must not hold frames from both sides
    stamped: bool = False  # the last frame's seconds are from its own time stamp
    _zero_s: float | None = None  # the time stamp that is second 0
    _last_s: float | None = None  # seconds of the last frame
    _pts_s: float | None = None  # the last frame's time stamp, or what it should have been
    _held: int = 0

    def at(self, pts_s: float | None) -> float:
        """Return the seconds of the next frame; `pts_s` is its time stamp, None without one."""
        slow_s = SLOW_STEPS * self.step_s
        at_s = None
        self.jumped = False
        if pts_s is not None and self._pts_s is not None:
            moved_s = pts_s - self._pts_s
            self.jumped = not -BACK_S <= moved_s <= max(CUT_S, slow_s)
            if -BACK_S <= moved_s <= max(AHEAD_S, slow_s):
                at_s = self._from_time_stamp(pts_s)
        self.stamped = at_s is not None
        if at_s is None:
            at_s = 0.0 if self._last_s is None else self._last_s + self.step_s
            self._zero_s = None if pts_s is None else pts_s - at_s
        if pts_s is not None:
            self._pts_s = pts_s
        elif self._pts_s is not None:
            self._pts_s += self.step_s
        self._last_s = at_s
        return at_s

    def _from_time_stamp(self, pts_s: float) -> float | None:
        """Return the seconds, at least the last frame's; None where the stream repeats itself."""
        if self._zero_s is None or self._last_s is None:
            return None
        at_s = pts_s - self._zero_s
        self._held = 0 if at_s - self._last_s > SAME_S else self._held + 1
        return max(at_s, self._last_s) if self._held <= HELD else None


@dataclass(slots=True)
class Sampler:
    """Keeps the first frame of each slot of a grid of `fps` slots a second; None keeps all."""

    fps: float | None
    _slot: int = -1

    def keeps(self, at_s: float) -> bool:
        """Return whether to keep the frame at `at_s`, seconds since the first, ascending."""
        if self.fps is None:
            return True
        slot = math.floor(at_s * self.fps + EARLY)
        if slot <= self._slot:
            return False
        self._slot = slot
        return True
