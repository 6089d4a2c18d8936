"""Scores of clips as a camera gives them: its bounds and memories, and what it learns them from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookout.models.arrays import Floats
from lookout.models.data.clips import count_frames, frames_expected
from lookout.models.evaluation.clip_scores import ClipScores, score_clips
from lookout.models.memory_update import UpdateRule
from lookout.models.scorer import Scorer
from lookout.models.scoring.calibration import Bounds
from lookout.models.scoring.normalizer import (
    PLACE_SCHEMES,
    SETTLED_FRAMES,
    Normalizer,
    RawScores,
    Scheme,
)
from lookout.models.scoring.place_state import PlaceState
from lookout.models.vision.zones import ZoneMask


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Options that hold for every clip; they are those of `evaluate`."""

    carry_memory: bool = True
    rule: UpdateRule | None = None
    exact: bool = False
    zones: ZoneMask | None = None
    still_frames: int = 1
    on_frame: Callable[[], None] = lambda: None


class LiveScoring:
    """A camera's scorer with everything that it learns: normal clips first, then those to score."""

    def __init__(
        self,
        scorer: Scorer,
        scheme: Scheme,
        fusion_weight: float,
        learn_frames: int,
        conditions: Conditions,
    ) -> None:
        """Take the bounds of the checkpoint, unless they are of parts of a score in turns."""
        calibration = None if conditions.exact else scorer.checkpoint.calibration
        self.bounds: Bounds | None = calibration
        self.local_bounds: Bounds | None = None
        if calibration is not None and calibration.local_db is not None:
            self.local_bounds = calibration
        self.normalizers: dict[Scheme, Normalizer] = {
            "paper": Normalizer(self.bounds, learn_frames, "paper", fusion_weight),
            "local": Normalizer(self.local_bounds, learn_frames, "local", fusion_weight),
        }
        self._scorer = scorer
        self._scheme = scheme
        self._learn_frames = learn_frames
        self._conditions = conditions
        self._places: PlaceState | None = None

    def learn(self, normal: Sequence[Path]) -> list[ClipScores]:
        """Score normal clips where the scheme has a memory of places, and return their scores.

        One half of them fills the memory, the other sets the bounds. Without normal clips, the
        first frames that are scored do both.

        Raises VideoError, and CheckpointError where a score is not finite.
        """
        if self._scheme not in PLACE_SCHEMES:
            return []
        frames_seen = sum(
            count_frames(path, frames_expected(path)) - self._scorer.t_length + 1 for path in normal
        )
        to_learn = frames_seen or self._learn_frames
        settled_frames = to_learn // 2 if normal else SETTLED_FRAMES
        self._places = PlaceState(to_learn - to_learn // 2, zones=self._conditions.zones)
        for scheme in PLACE_SCHEMES:
            self.normalizers[scheme] = Normalizer(
                None,
                to_learn // 2,
                scheme,
                settled_frames=settled_frames,
                place_weight=self._scorer.checkpoint.place_weight,
            )
        learned = self.score(normal)
        for other in set(PLACE_SCHEMES) - {self._scheme}:
            live_values(learned, self.normalizers[other])
        return learned

    def score(self, clips: Sequence[Path], *, keep_heat: bool = False) -> list[ClipScores]:
        """Return the scores of each clip, in their order.

        Raises VideoError, and CheckpointError where a score is not finite.
        """
        conditions = self._conditions
        return list(
            score_clips(
                self._scorer,
                list(clips),
                carry_memory=conditions.carry_memory,
                rule=conditions.rule,
                normalizer=self.normalizers[self._scheme],
                places=self._places,
                exact=conditions.exact,
                zones=conditions.zones,
                still_frames=conditions.still_frames,
                keep_heat=keep_heat,
                on_frame=conditions.on_frame,
            )
        )

    def values(self, clips: list[ClipScores]) -> dict[Scheme, dict[str, Floats]]:
        """Return what a camera shows of the clips that `score` returned, by scheme and name."""
        shown: dict[Scheme, dict[str, Floats]] = {
            scheme: live_values(clips, normalizer)
            for scheme, normalizer in self.normalizers.items()
            if scheme != self._scheme
        }
        shown[self._scheme] = {clip.name: clip.value for clip in clips}
        return shown


def live_values(clips: list[ClipScores], normalizer: Normalizer) -> dict[str, Floats]:
    """Return the values that a camera with another normalizer shows; nan while it learns."""
    values = {}
    for clip in clips:
        columns = (clip.psnr_db, clip.distance, clip.gate_error, clip.local_db, clip.place_db)
        found: list[float | None] = []
        for is_reused, *scores in zip(clip.reused, *columns, strict=True):
            raw = RawScores(*scores)
            teaches = not is_reused or normalizer.learns
            found.append(normalizer.value(raw) if teaches else normalizer.known_value(raw))
        values[clip.name] = np.array(found, np.float64)  # None becomes nan
    return values
