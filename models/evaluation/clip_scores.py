"""Score whole clips frame by frame, with the `CameraState` that the live service runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from math import isfinite, nan
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lookout.models.arrays import Floats, Pixels
from lookout.models.data.clips import whole_clip
from lookout.models.errors import CheckpointError
from lookout.models.memory_update import UpdateRule
from lookout.models.scorer import Scorer
from lookout.models.scoring.camera_state import CameraState, FrameScore, StepOutput
from lookout.models.scoring.normalizer import Normalizer
from lookout.models.scoring.place_state import PlaceState
from lookout.models.vision.zones import ZoneMask


@dataclass(frozen=True, slots=True)
class ClipScores:
    """Scores of the consecutive scored frames of one clip; arrays have one entry a scored frame."""

    name: str
    frames: int  # N, of the clip
    first: int  # 0-based number of the first scored frame
    psnr_db: Floats
    distance: Floats
    gate_error: Floats
    memory_updated: npt.NDArray[np.bool_]
    value: Floats  # what a camera with the same normalizer shows; nan while learning
    drift: Floats  # of the memory after the frame: largest 1 - cosine to the trained items
    local_db: Floats
    place_db: Floats  # nan without a memory of places, and while it warms up
    reused: npt.NDArray[np.bool_]  # a still picture's score, which repeats an earlier one
    rollbacks: int  # how often a guarded memory went back to the trained items in this clip
    heat: npt.NDArray[np.uint16] | None = (
        None  # (scored frames, 64, 64): RMSE of a cell times 65535
    )


class ClipScorer:
    """Scores clips one after the other, as one camera whose sessions they are."""

    def __init__(
        self,
        scorer: Scorer,
        *,
        rule: UpdateRule | None = None,
        normalizer: Normalizer | None = None,
        places: PlaceState | None = None,
        exact: bool = False,
        zones: ZoneMask | None = None,
        still_frames: int = 1,
    ) -> None:
        """rule: of the memory's update; None: as published.

        normalizer: source of the values; None: one that learns from the first frames.
        places: memory of places; None: not measured. Both are used by all clips, even where the
            memory starts again for each.
        exact: all parts of a score in each frame, where a camera has them in turns.
        zones: ignored ones are hidden and left out; `places` was made with the same; None: none.
        still_frames: of a picture that does not change, one frame in so many is scored.
        """
        self._scorer = scorer
        self._rule = rule or UpdateRule.paper(scorer.gamma)
        self._normalizer = normalizer or Normalizer()
        self._places = places
        self._exact = exact
        self._zones = zones
        self._still_frames = still_frames
        self._weights: Tensor | None = None
        if zones is not None and zones.ignores:
            self._weights = torch.from_numpy(zones.weights).to(scorer.device)
        self._clip_numbers = count()
        self.reset_memory()

    def reset_memory(self) -> None:
        """Start the next clip from the trained memory."""
        self._state = CameraState(
            self._scorer.fresh_items(),
            self._normalizer,
            gamma=self._scorer.gamma,
            rule=self._rule,
            places=self._places,
            still_frames=self._still_frames,
        )

    def score(
        self,
        name: str,
        clip: Pixels,
        *,
        keep_heat: bool = False,
        on_frame: Callable[[], None] = lambda: None,
    ) -> ClipScores:
        """Score one clip, (N, H, W, 3) uint8 RGB with N >= T.

        Raises CheckpointError where a score is not finite: a metric over the remaining frames would
        describe another set.
        """
        scorer = self._scorer
        first = scorer.input_spec.scored
        session = next(self._clip_numbers)
        scores: list[FrameScore] = []
        heat: list[npt.NDArray[np.uint16]] = []
        for start in range(len(clip) - scorer.t_length + 1):
            window = clip[start : start + scorer.t_length]
            if self._zones is not None:
                window = self._zones.hide(window)
            frame_id = (session, start + first)
            if self._state.reuses(frame_id, window[-1], scorer.t_length):
                output, score = self._state.reuse(frame_id)
            else:
                output, score = self._step(window, frame_id)
            if not (isfinite(score.psnr_db) and isfinite(score.distance)):
                raise CheckpointError(
                    f"clip {name}, frame {start + first}: the model gives no finite score "
                    f"(PSNR {score.psnr_db:.3g} dB, distance {score.distance:.3g})"
                )
            scores.append(score)
            if keep_heat:
                heat.append(output.cells)
            on_frame()
        return ClipScores(
            name=name,
            frames=len(clip),
            first=first,
            psnr_db=np.array([score.psnr_db for score in scores]),
            distance=np.array([score.distance for score in scores]),
            gate_error=np.array([score.gate_error for score in scores]),
            memory_updated=np.array([score.memory_updated for score in scores]),
            reused=np.array([score.reused for score in scores]),
            value=np.array([nan if score.value is None else score.value for score in scores]),
            drift=np.array([score.drift for score in scores]),
            local_db=np.array([score.local_db for score in scores]),
            place_db=np.array([score.place_db for score in scores]),
            rollbacks=sum(score.rolled_back for score in scores),
            heat=np.stack(heat) if keep_heat else None,
        )

    def _step(self, window: Pixels, frame_id: tuple[int, int]) -> tuple[StepOutput, FrameScore]:
        """Score one frame of a window, (T, H, W, 3); frame_id: session and sequence number."""
        session, number = frame_id
        step = self._scorer.step(
            [window],
            self._state.items[None],
            [self._state.rule],
            self._weights,
            None if self._exact else [number],
            carried=[self._state.carried(session)],
        )
        (output,) = step.samples()
        motion = None
        if self._places is not None:
            scored = self._scorer.input_spec.scored
            motion = self._places.features(frame_id, window[scored - 1], window[scored])
        return output, self._state.update(output, frame_id, motion)


def score_clips(
    scorer: Scorer,
    paths: list[Path],
    *,
    carry_memory: bool,
    rule: UpdateRule | None = None,
    normalizer: Normalizer | None = None,
    places: PlaceState | None = None,
    exact: bool = False,
    zones: ZoneMask | None = None,
    still_frames: int = 1,
    keep_heat: bool = False,
    on_frame: Callable[[], None] = lambda: None,
) -> Iterator[ClipScores]:
    """Score clip after clip; the memory is carried on, as the authors do, or starts again for each.

    rule, normalizer, places, exact, zones, still_frames: see `ClipScorer`.
    keep_heat: keep the heatmaps, 8 KB a frame.
    Raises VideoError for an unreadable clip, DataError for one shorter than T frames,
    CheckpointError where a score is not finite.
    """
    clip_scorer = ClipScorer(
        scorer,
        rule=rule,
        normalizer=normalizer,
        places=places,
        exact=exact,
        zones=zones,
        still_frames=still_frames,
    )
    for path in paths:
        if not carry_memory:
            clip_scorer.reset_memory()
        # The pixels get no name here: they are freed before the next clip is decoded.
        yield clip_scorer.score(
            path.stem,
            whole_clip(path, scorer.checkpoint.preprocess, scorer.t_length),
            keep_heat=keep_heat,
            on_frame=on_frame,
        )
