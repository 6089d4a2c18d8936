"""The local score: the worst predicted window of the picture, where it stays bad for a few frames.

PSNR is a mean over the frame: a cyclist covers a hundredth of it, and other movement outweighs him.
Therefore a frame counts as its worst window, and a window with its least error over the last
frames: a flicker, or the edge of a walker that is gone with the next frame, does not last. Nothing
here uses future frames or is scaled by a video. It is not from a paper;
`python -m tests.bench.schemes` measures it beside others.

It depends on the heatmaps alone, in whole numbers up to the logarithm: the same bits everywhere.
No torch here.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from lookout.models.arrays import PEAK, SIDE, HeatMap

WINDOW = 6
"""HeatMap along a window's side: 24 px of 256."""

LASTS = 5
"""Frames, the newest included, over which a window counts with its least error."""

LEAST = 1e-10
"""Mean squared error, peak 1, of a perfect prediction: -100 dB, as for PSNR (`LEAST_MSE`)."""


Sums = npt.NDArray[np.int64]
"""(59, 59): sum of the squares in each window."""


def window_sums(cells: HeatMap) -> Sums:
    """Return the sum of squares of every window, one cell apart."""
    total = np.zeros((SIDE + 1, SIDE + 1), np.int64)
    total[1:, 1:] = (cells.astype(np.int64) ** 2).cumsum(axis=0).cumsum(axis=1)
    sums: Sums = total[WINDOW:, WINDOW:] - total[:-WINDOW, WINDOW:] - total[WINDOW:, :-WINDOW]
    return sums + total[:-WINDOW, :-WINDOW]


def score_db(lasting: Sums) -> float:
    """Return the mean squared error of the worst window, peak 1, in dB.

    0 dB is all wrong; higher is more abnormal.
    """
    return float(10 * np.log10(max(int(lasting.max()) / (WINDOW * PEAK) ** 2, LEAST)))


class LocalScore:
    """The local score of one camera's consecutive frames."""

    def __init__(self) -> None:
        self._cells: deque[HeatMap] = deque(maxlen=LASTS)
        self._sums: deque[Sums] = deque(maxlen=LASTS)
        self._newest_id: tuple[int, int] | None = None  # session and sequence number

    def update(self, frame_id: tuple[int, int], cells: HeatMap) -> float:
        """Return the score of this frame in dB; one that does not follow on the last restarts it.

        frame_id: session and sequence number.
        """
        newest = self._newest_id
        if newest is None or frame_id != (newest[0], newest[1] + 1):
            self._cells.clear()
            self._sums.clear()
        self._newest_id = frame_id
        self._cells.append(cells)
        self._sums.append(window_sums(cells))
        return score_db(np.minimum.reduce(list(self._sums)))

    def repeat(self, frame_id: tuple[int, int]) -> float:
        """Return the score of the next frame, whose picture is still that of the last ones.

        Their heatmaps take turns: one alone, again and again, has no least error over some noise.
        """
        return self.update(frame_id, self._cells[max(1 - LASTS, -len(self._cells))])

    def within(self, inside: npt.NDArray[np.bool_]) -> LocalScore:
        """Return the local score of the same frames in some cells alone, (64, 64) bool."""
        part = LocalScore()
        part._newest_id = self._newest_id
        for cells in self._cells:
            part._cells.append(cells * inside)
            part._sums.append(window_sums(cells * inside))
        return part

    def to_json(self) -> dict[str, Any]:
        """Return the state for a snapshot: the frames that the next score depends on."""
        cells = [
            b64encode(cells.astype("<u2").tobytes()).decode()
            for cells in list(self._cells)[1 - LASTS :]
        ]
        return {"at": self._newest_id, "cells": cells}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> LocalScore:
        """Continue from `to_json`'s result.

        Raises ValueError, TypeError or KeyError for anything else.
        """
        score = cls()
        for text in state["cells"]:
            cells = np.frombuffer(b64decode(text, validate=True), "<u2").reshape(SIDE, SIDE)
            score._cells.append(cells)
            score._sums.append(window_sums(cells))
        if state["at"] is not None:
            session, number = state["at"]
            score._newest_id = (int(session), int(number))
        return score
