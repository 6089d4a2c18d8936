"""Which frames show the picture that was scored last, and so may take its score.

    newest frame of the window --mean gray--> cells (64, 64) --beside those scored last--> still?

A frame is compared with the last one that the network has scored, not with the one before it: what
changes slowly adds up until it is seen. No torch here.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from lookout.models.arrays import SIDE, Pixels, packed, unpacked
from lookout.models.motion import gray

STILL_LEVELS = 4
"""Of 255: a cell whose mean gray differs by more has changed (ADR 119)."""


class StillPicture:
    """Counts how long the picture of one camera has been the one that was scored last."""

    def __init__(self, every: int = 1) -> None:
        """every: one frame in so many is scored, however still the picture; 1: all are."""
        self._every = every
        self._scored: Pixels | None = None  # (64, 64) uint8: cells of the last scored frame
        self._newest_id: tuple[int, int] | None = None  # session and sequence number
        self._run = 0  # consecutive frames, the newest included, that were still
        self._reused = 0  # frames since the last scored one

    @property
    def is_used(self) -> bool:
        """Whether any frame may go without a score of its own."""
        return self._every > 1

    def may_reuse(
        self, frame_id: tuple[int, int], newest: Pixels, frames: int, turns: int, *, learns: bool
    ) -> bool:
        """Judge the next frame: True where it may take the last score; else it is scored now.

        Every picture of its window is still, and so was every one that the last score is of. A
        frame that does not follow on the last one begins anew.

        frame_id: session and sequence number. newest: (H, W, 3) uint8 RGB, the last of its window.
        frames: that a score depends on. turns: consecutive scores that make one whole.
        learns: the camera learns from its scores, and needs one of each frame.
        """
        if not self.is_used:
            return False
        cells = np.asarray(
            cv2.resize(gray(newest), (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8
        )
        last = self._newest_id
        follows = last is not None and frame_id == (last[0], last[1] + 1)
        self._newest_id = frame_id
        is_still = False
        if follows and self._scored is not None:
            is_still = int(cv2.absdiff(cells, self._scored).max()) <= STILL_LEVELS
        self._run = self._run + 1 if is_still else 0
        needed = frames - 1 + turns
        if self._run >= needed and self._reused + 1 < self._every and not learns:
            self._reused += 1
            return True
        if self._run >= needed:
            self._run = needed - turns  # as many scores again before the next reuse
        self._reused = 0
        self._scored = cells
        return False

    def to_json(self) -> dict[str, Any]:
        """Return the state for a snapshot, 6 KB of text."""
        return {
            "at": self._newest_id,
            "run": self._run,
            "reused": self._reused,
            "scored": None if self._scored is None else packed(self._scored, "|u1"),
        }

    def restored(self, state: dict[str, Any]) -> StillPicture:
        """Return one with the same setting that continues from `to_json`'s result.

        Raises ValueError, TypeError or KeyError for anything else.
        """
        still = StillPicture(self._every)
        if state["at"] is not None:
            session, number = state["at"]
            still._newest_id = (int(session), int(number))
        still._run = int(state["run"])
        still._reused = int(state["reused"])
        if state["scored"] is not None:
            still._scored = unpacked(state["scored"], "|u1", (SIDE, SIDE))
        return still
