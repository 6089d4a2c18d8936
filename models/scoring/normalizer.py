"""From scores to values in (0, 1), with bounds that are given or learned from the first frames."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite, nan
from typing import Any, Literal, NamedTuple

import numpy as np

from lookout.models.scoring.calibration import (
    PLACE_WEIGHT,
    Bounds,
    causal_value,
    fused_value,
    local_value,
    place_value,
)

Scheme = Literal["paper", "local", "places", "fused"]
"""Source of a value: PSNR and memory distance as published, the local score, the memory of places,
or the latter two together.
"""

PLACE_SCHEMES: tuple[Scheme, ...] = ("places", "fused")
"""Schemes that take the memory of places: they learn from the camera's own frames."""

SETTLED_FRAMES = 1500
"""Frames behind the bounds of a memory of places that has settled: two and a half minutes at 10
frames/s, the last of some seven minutes.
"""

TEACHES_BELOW = 0.6
"""Once settled, frames of this value or more do not set bounds again: an event must not widen them.
Normal frames lie above HIGH now and then: without those the bounds would narrow each time.
"""

MOST_RISE_DB = 0.25
"""Once settled, a frame counts to so far above an upper bound at most, however far it lies above.
In a quiet scene the bounds lie 30 dB apart, and TEACHES_BELOW is 10 dB above the upper one: most
events lie below it. A slow change is followed by so much in every `settled_frames`.
"""

LEARN_FRAMES = 300
"""Frames that set the bounds where none are given: 30 s at 10 frames/s."""


class RawScores(NamedTuple):
    """Scores of one frame before they are normalized."""

    psnr_db: float
    distance: float
    gate_error: float  # nan: not measured
    local_db: float
    place_db: float = nan  # nan: not measured


class Normalizer:
    """Turns scores into causal values: at once with given bounds, else after `learn_frames`."""

    def __init__(
        self,
        bounds: Bounds | None = None,
        learn_frames: int = LEARN_FRAMES,
        scheme: Scheme = "paper",
        fusion_weight: float = 1.0,
        settled_frames: int = SETTLED_FRAMES,
        place_weight: float = PLACE_WEIGHT,
    ) -> None:
        """fusion_weight: share of PSNR in a value of the "paper" scheme, the λ of eq. 15.

        settled_frames: behind the bounds of a memory of places from which on it is guarded.
        place_weight: share of that memory in a value of the "fused" scheme, 0 to 1.

        Raises ValueError where the scheme needs bounds that the given ones do not hold.
        """
        if bounds is not None and bounds.local_db is None and scheme in ("local", "fused"):
            raise ValueError("its calibration holds no bounds of the local score")
        if bounds is not None and bounds.place_db is None and scheme in PLACE_SCHEMES:
            raise ValueError("its calibration holds no bounds of the memory of places")
        self._bounds = bounds
        self._learn_frames = learn_frames
        self._scheme = scheme
        self._fusion_weight = fusion_weight
        self._settled_frames = settled_frames
        self._place_weight = place_weight
        self._learned: list[RawScores] = []

    @property
    def bounds(self) -> Bounds | None:
        """None while they are being learned."""
        return self._bounds

    @property
    def learn_frames(self) -> int:
        """Number of frames that set the bounds."""
        return self._learn_frames

    @property
    def learned_frames(self) -> int:
        """Number of frames learned so far, of `learn_frames`."""
        return self._learn_frames if self._bounds else len(self._learned)

    def reset(self) -> Normalizer:
        """Return one with the same settings that has learned nothing."""
        return self._with_bounds(None)

    def _with_bounds(self, bounds: Bounds | None) -> Normalizer:
        return Normalizer(
            bounds,
            self._learn_frames,
            self._scheme,
            self._fusion_weight,
            self._settled_frames,
            self._place_weight,
        )

    @property
    def settled(self) -> bool:
        """Whether the bounds of a memory of places are those of a filled one."""
        return self._bounds is not None and self._bounds.frames >= self._settled_frames

    def value(self, scores: RawScores) -> float | None:
        """Return the causal value of the next frame, in (0, 1); None while learning.

        The frame that completes the bounds has no value either. Frames with a score that is not
        finite teach nothing.

        What a memory of places finds far grows less while it fills. Its bounds are therefore set
        again by twice as many frames each time, up to `settled_frames`; from then on an event does
        not raise them by more than MOST_RISE_DB.
        """
        if self._bounds is None:
            self._learn(scores, self._learn_frames)
            return None
        value = self._value(scores, self._bounds)
        if self._scheme in PLACE_SCHEMES and (value < TEACHES_BELOW or not self.settled):
            if self.settled:
                scores = held_down(scores, self._bounds)
            self._learn(scores, min(2 * self._bounds.frames, self._settled_frames))
        return value

    @property
    def learns(self) -> bool:
        """Whether there are no bounds yet, or those of a memory of places that still fills."""
        return self._bounds is None or (self._scheme in PLACE_SCHEMES and not self.settled)

    def known_value(self, scores: RawScores) -> float:
        """Return the value by the bounds as they are, which learn nothing; there must be some."""
        assert self._bounds is not None, "there are no bounds"  # noqa: S101
        return self._value(scores, self._bounds)

    def part_value(self, local_db: float, place_db: float) -> float | None:
        """Return the value of a part of the picture, in (0, 1), by the bounds as they are now.

        None while learning. A part has no PSNR of its own: for the "paper" scheme, too, it is its
        local score; nan: not measured.
        """
        bounds = self._bounds
        if bounds is None or bounds.local_db is None:
            return None
        if self._scheme in PLACE_SCHEMES and not isfinite(place_db):
            return None
        match self._scheme:
            case "paper" | "local":
                return local_value(local_db, bounds)
            case "places":
                return place_value(place_db, bounds)
            case "fused":
                return fused_value(local_db, place_db, bounds, self._place_weight)

    def _learn(self, scores: RawScores, frames: int) -> None:
        """Take in a normal frame's scores; set the bounds once there are so many frames."""
        needed = [scores.psnr_db, scores.distance, scores.local_db]
        if self._scheme in PLACE_SCHEMES:
            needed.append(scores.place_db)
        if all(map(isfinite, needed)):
            self._learned.append(scores)
        if len(self._learned) >= frames:
            self._bounds = Bounds.of(*np.array(self._learned).T)
            self._learned.clear()

    def _value(self, scores: RawScores, bounds: Bounds) -> float:
        match self._scheme:
            case "paper":
                return causal_value(scores.psnr_db, scores.distance, bounds, self._fusion_weight)
            case "local":
                return local_value(scores.local_db, bounds)
            case "places":
                return place_value(scores.place_db, bounds)
            case "fused":
                weight = self._place_weight
                return fused_value(scores.local_db, scores.place_db, bounds, weight)

    def to_json(self) -> dict[str, Any]:
        """Return the state for a snapshot: every bit of a float; None in place of nan.

        Without a memory of places it is in the form of the versions before.
        """
        numbers = len(RawScores._fields)
        bounds = asdict(self._bounds) if self._bounds else None
        if self._scheme not in PLACE_SCHEMES:
            numbers -= 1
            if bounds:
                del bounds["place_db"]
        learned = [
            [number if isfinite(number) else None for number in scores[:numbers]]
            for scores in self._learned
        ]
        return {"bounds": bounds, "seen": learned}

    def restored(self, state: dict[str, Any]) -> Normalizer:
        """Return one with the same settings that continues from `to_json`'s result.

        Raises ValueError, TypeError or KeyError for anything else.
        """
        bounds = Bounds.of_json(state["bounds"]) if state["bounds"] else None
        restored = self._with_bounds(bounds)
        restored._learned = [
            RawScores(*[nan if number is None else number for number in scores])
            for scores in state["seen"]
        ]
        return restored


def held_down(scores: RawScores, bounds: Bounds) -> RawScores:
    """Return scores, of which none lies more than MOST_RISE_DB above its bounds."""
    local_db = scores.local_db
    if bounds.local_db is not None:
        local_db = min(local_db, bounds.local_db[1] + MOST_RISE_DB)
    place_db = scores.place_db
    if bounds.place_db is not None:
        place_db = min(place_db, bounds.place_db[1] + MOST_RISE_DB)
    return scores._replace(local_db=local_db, place_db=place_db)
