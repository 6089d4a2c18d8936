"""The curve of the last values, drawn as a strip for a video."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from lookout.models.arrays import Pixels

BACKGROUND = (18, 22, 28)
LINE = (120, 200, 255)
HIGH = (255, 90, 70)
GRID = (70, 78, 88)
TEXT = (230, 233, 238)
"""RGB."""

SHOWN_S = 30.0
"""The strip shows the values of the last SHOWN_S; now is at its right side."""

MARGIN_PX = 4


class Curve:
    """Keeps the newest values, and draws them."""

    def __init__(self, width_px: int, height_px: int, threshold: float) -> None:
        """threshold: in (0, 1), drawn as a line."""
        self._sides = (height_px, width_px)
        self._threshold = threshold
        self._points: deque[tuple[float, float]] = deque()  # s, value

    def add(self, at_s: float, value: float | None) -> Pixels:
        """Take the next value; return the strip, (H, W, 3) uint8 RGB.

        value: in (0, 1); None while there is none.
        """
        if value is not None:
            self._points.append((at_s, value))
        while self._points and at_s - self._points[0][0] > SHOWN_S:
            self._points.popleft()
        strip = np.empty((*self._sides, 3), np.uint8)
        strip[:] = BACKGROUND
        right = self._sides[1] - 1
        level = self._row(self._threshold)
        cv2.line(strip, (0, level), (right, level), GRID)
        line = np.array(
            [(round(right - right * (at_s - s) / SHOWN_S), self._row(v)) for s, v in self._points],
            np.int32,
        )
        is_high = value is not None and value >= self._threshold
        colour = LINE
        if is_high:
            colour = HIGH
        if len(line):
            cv2.polylines(strip, [line], isClosed=False, color=colour, thickness=2)
        words = "no value yet"
        if value is not None:
            words = f"{value:.3f}"
        place = (2 * MARGIN_PX, 5 * MARGIN_PX)
        cv2.putText(strip, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, TEXT, 1, cv2.LINE_AA)
        return strip

    def _row(self, value: float) -> int:
        """Return the row of the strip at which a value is drawn."""
        height = self._sides[0] - 2 * MARGIN_PX
        return round(MARGIN_PX + (1 - min(1.0, max(0.0, value))) * (height - 1))
