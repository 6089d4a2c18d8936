"""From scores to values, with what is normal learned first where nobody has said it."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite, nan
from typing import Any, Literal, NamedTuple

import numpy as np

from lookout.models.scoring.calibration import Bounds, causal_value, local_value

Scheme = Literal["paper", "local"]
"""What a value is made of: PSNR and memory distance as published, or the local score."""


class Scores(NamedTuple):
    """Of one frame."""

    psnr_db: float
    distance: float
    gate_error: float  # nan: not measured
    local_db: float


class Learner:
    """From scores to values: with given bounds at once, else after the first `needed` frames have set them.

    `lookout evaluate` and the live line share this, so that both give the same value for the same scores.
    """

    def __init__(self, bounds: Bounds | None, needed: int, scheme: Scheme = "paper") -> None:
        """Raises ValueError where the scheme needs bounds that the given ones do not hold."""
        if bounds is not None and bounds.local_db is None and scheme == "local":
            raise ValueError("its calibration holds no bounds of the local score")
        self.bounds = bounds
        self.needed = needed
        self.scheme = scheme
        self._seen: list[Scores] = []

    def anew(self) -> Learner:
        """One that has learned nothing yet."""
        return Learner(None, self.needed, self.scheme)

    @property
    def learned(self) -> int:
        """Frames taken in so far, of `needed`."""
        return self.needed if self.bounds else len(self._seen)

    def value(self, scores: Scores, fusion_weight: float) -> float | None:
        """The causal value of the next frame; None while learning, the frame that completes the bounds included."""
        if self.bounds is not None:
            return self._value(self.bounds, scores, fusion_weight)
        if all(map(isfinite, (scores.psnr_db, scores.distance, scores.local_db))):
            self._seen.append(scores)
        if len(self._seen) >= self.needed:
            self.bounds = Bounds.of(*np.array(self._seen).T)
            self._seen.clear()
        return None

    def _value(self, bounds: Bounds, scores: Scores, fusion_weight: float) -> float:
        if self.scheme == "local":
            return local_value(scores.local_db, bounds)
        return causal_value(scores.psnr_db, scores.distance, bounds, fusion_weight)

    def as_json(self) -> dict[str, Any]:
        """Where it stands, for a snapshot; JSON keeps every bit of a float. It has no nan: None instead."""
        seen = [
            [number if isfinite(number) else None for number in scores] for scores in self._seen
        ]
        return {"bounds": asdict(self.bounds) if self.bounds else None, "seen": seen}

    @classmethod
    def of_json(cls, data: dict[str, Any], needed: int, scheme: Scheme = "paper") -> Learner:
        """Goes on where `as_json` was taken. Raises ValueError, TypeError or KeyError for anything else."""
        learner = cls(Bounds.of_json(data["bounds"]) if data["bounds"] else None, needed, scheme)
        learner._seen = [
            Scores(psnr_db, distance, nan if gate_error is None else gate_error, local_db)
            for psnr_db, distance, gate_error, local_db in data["seen"]
        ]
        return learner
