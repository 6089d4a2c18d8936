"""From the frames of one camera to segments: sampled by change, spread over time.

Segments in which something moves are kept more often than still ones. The longer a camera is
recorded, the farther apart they are, so that the same room on the disk holds hours and not minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lookout.models.arrays import Pixels
from lookout.service.core.messages import Frame, FrameId
from lookout.service.learning.footage import FootageFolder

SEGMENT_S = 2.0
MIN_FRAMES = 16
MAX_FRAMES = 48
"""A segment is SEGMENT_S long, and has so many frames: windows of any model fit into it."""

GRID_PX = 128
"""Side of the picture in which motion is measured."""

MOTION_LEVELS = 12.0
"""A cell has changed where it is so many of 255 levels from the segment's first frame."""

MOVING_SHARE = 0.001
"""Something moves where more of the cells have changed: a person of 16 by 4 px at 256x256."""

STILL_EVERY_S = 20.0
"""Least distance of still segments; they are ten times as far apart as others."""

STILL_FACTOR = 10.0
WHOLE_RECORDING = 500
"""Segments that a recording is spread over: their distance is its length by so many."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Frames that a recorder took, by what became of them."""

    recorded: int = 0  # frames written
    thinned: int = 0  # frames of segments that were not due: enough is kept of their time
    excluded: int = 0  # frames of segments that are not normal
    missed: int = 0  # frames that left the bus before they were read


class Recorder:
    """Builds segments of one camera's frames."""

    def __init__(self, footage: FootageFolder) -> None:
        self._footage = footage
        self._open: list[Frame] = []
        self.cursor: FrameId | None = None  # the last frame taken
        if footage.segments:
            self.cursor = max(segment.last for segment in footage.segments)

    def take(
        self, frames: Sequence[Frame], excluded: Sequence[tuple[float, float]], may_write: bool
    ) -> Taken:
        """Take the next frames, ascending by id; write the segments that they complete.

        excluded: periods (s, UTC epoch) of which nothing is kept. may_write: False drops what is
        complete, for instance while the disk is full. Raises OSError where a segment cannot be
        written: its frames are lost.
        """
        total = Taken()
        for frame in frames:
            missed = self._missed_before(frame)
            self.cursor = frame.id
            if not frame.pixels.size:  # it could not be read
                self._open.clear()
                continue
            if self._open and not continues(self._open[-1], frame):
                self._open.clear()
            self._open.append(frame)
            done = Taken()
            if is_complete(self._open):
                segment = self._open
                self._open = []
                done = self._finish(segment, excluded, may_write)
            total = Taken(
                total.recorded + done.recorded,
                total.thinned + done.thinned,
                total.excluded + done.excluded,
                total.missed + missed,
            )
        return total

    def _missed_before(self, frame: Frame) -> int:
        """Return how many frames left the bus between the last one taken and this one."""
        if self.cursor is None or self.cursor.session != frame.session:
            return 0
        return max(0, frame.seq - self.cursor.seq - 1 - frame.skipped)

    def _finish(
        self, segment: list[Frame], excluded: Sequence[tuple[float, float]], may_write: bool
    ) -> Taken:
        """Write a complete segment, or drop it with its reason."""
        begins_s = segment[0].captured_at
        ends_s = segment[-1].captured_at
        if any(begins_s <= end and ends_s >= begin for begin, end in excluded):
            return Taken(excluded=len(segment))
        pixels = np.stack([frame.pixels for frame in segment])
        motion = motion_share(pixels)
        if not may_write or not self.is_due(begins_s, motion):
            return Taken(thinned=len(segment))
        self._footage.add(segment[0].id, pixels, [one.captured_at for one in segment], motion)
        return Taken(recorded=len(segment))

    def is_due(self, begins_s: float, motion: float) -> bool:
        """Tell whether a segment is far enough from the one before it to be kept."""
        segments = self._footage.segments
        if not segments:
            return True
        distance_s = (begins_s * 1000 - segments[-1].ends_ms) / 1000
        if distance_s < 0:  # the clock was set back
            return True
        spacing_s = (begins_s - segments[0].begins_ms / 1000) / WHOLE_RECORDING
        if motion < MOVING_SHARE:
            spacing_s = max(STILL_EVERY_S, STILL_FACTOR * spacing_s)
        elif spacing_s < SEGMENT_S:
            return True
        return distance_s >= spacing_s


def continues(last: Frame, frame: Frame) -> bool:
    """Tell whether a frame is the next one of a segment."""
    return (
        frame.id == (last.session, last.seq + 1)
        and frame.pixels.shape == last.pixels.shape
        and frame.captured_at > last.captured_at
    )


def is_complete(segment: Sequence[Frame]) -> bool:
    """Tell whether a segment has all its frames."""
    if len(segment) < MIN_FRAMES:
        return False
    is_long = segment[-1].captured_at - segment[0].captured_at >= SEGMENT_S
    return is_long or len(segment) >= MAX_FRAMES


def motion_share(frames: Pixels) -> float:
    """Return the largest share of a small gray picture that differs from the first frame.

    frames: (N, H, W, 3) uint8 RGB.
    """
    small = [
        cv2.resize(
            cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY),
            (GRID_PX, GRID_PX),
            interpolation=cv2.INTER_AREA,
        ).astype(np.float32)
        for frame in frames
    ]
    shares = [float((np.abs(one - small[0]) > MOTION_LEVELS).mean()) for one in small]
    return max(shares)
