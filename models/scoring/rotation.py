"""Scores whose parts take turns, frame by frame: the mean over the newest score of each part.

The parts differ in level: one alone would make a saw of the curve. A frame's part is its number
modulo the number of parts, so that it does not depend on where a worker starts.
"""

from __future__ import annotations

from math import isfinite, nan
from typing import Any


class Rotation:
    """The newest scores of one camera's parts, within one session."""

    def __init__(self) -> None:
        self._turns = 1
        self._session: int | None = None
        self._newest: dict[int, tuple[float, float]] = {}  # part → PSNR in dB, distance

    @property
    def turns(self) -> int:
        """Number of parts of the newest score; 1: they take no turns."""
        return self._turns

    def mean(
        self, frame_id: tuple[int, int], turns: int, psnr_db: float, distance: float
    ) -> tuple[float, float]:
        """Take in a frame's PSNR and distance of one part; return the means over all parts.

        frame_id: session and sequence number. turns: number of parts; 1: the frame has them all,
        and its numbers come back as they are. The first frames of a session have the mean over the
        parts that have come.
        """
        session, number = frame_id
        if (session, turns) != (self._session, self._turns):
            self._newest.clear()
            self._session = session
            self._turns = turns
        if turns == 1:
            return psnr_db, distance
        self._newest[number % turns] = (psnr_db, distance)
        newest = [self._newest[part] for part in sorted(self._newest)]
        return (
            sum(psnr for psnr, _ in newest) / len(newest),
            sum(other for _, other in newest) / len(newest),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the state for a snapshot: every bit of a float; None in place of nan."""
        newest = [
            [part, *(number if isfinite(number) else None for number in numbers)]
            for part, numbers in sorted(self._newest.items())
        ]
        return {"session": self._session, "turns": self._turns, "newest": newest}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Rotation:
        """Continue from `to_json`'s result.

        Raises ValueError, TypeError or KeyError for anything else.
        """
        rotation = cls()
        rotation._session = int(state["session"])
        rotation._turns = int(state["turns"])
        for part, psnr_db, distance in state["newest"]:
            numbers = (nan if psnr_db is None else psnr_db, nan if distance is None else distance)
            rotation._newest[int(part)] = (float(numbers[0]), float(numbers[1]))
        return rotation
