"""Scoring whole clips, frame by frame, exactly as the live line does: what calibrate and evaluate share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from lookout.models.data.clips import whole_clip
from lookout.models.errors import CheckpointError
from lookout.models.media.decode import Pixels
from lookout.models.memory_update import Rollback, UpdateRule
from lookout.models.scorer import Scorer
from lookout.models.scoring.local import LocalScore
from lookout.models.vision.heatmap import as_levels

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClipScores:
    """One entry a scored frame: consecutive frames of a clip."""

    name: str
    frames: int  # N, of the clip
    first: int  # 0-based, of those scored
    psnr_db: Floats
    distance: Floats
    gate_error: Floats
    memory_updated: npt.NDArray[np.bool_]
    drift: Floats  # of the memory from the trained items, after the frame: the largest 1 - cosine
    local_db: Floats  # the local score
    rollbacks: int  # how often a guarded memory went back to the trained items in this clip
    heat: npt.NDArray[np.uint16] | None = (
        None  # (scored frames, 64, 64): RMSE a cell times 65535; None: not asked for
    )


def score_clips(
    scorer: Scorer,
    paths: list[Path],
    *,
    carry_memory: bool,
    rule: UpdateRule | None = None,
    keep_heat: bool = False,
    on_frame: Callable[[], None] = lambda: None,
) -> Iterator[ClipScores]:
    """Score clip after clip; the memory is carried from each to the next, as the authors do, or starts anew.

    rule: of the memory's update; None: as published. keep_heat: the heatmaps too, 8 KB a frame. Raises VideoError for
    an unreadable clip, DataError for one shorter than T frames, CheckpointError where a score is no finite number.
    """
    camera = _Camera(scorer, rule or UpdateRule.paper(scorer.gamma))
    for path in paths:
        if not carry_memory:
            camera = _Camera(scorer, camera.rule)
        # without a name here: while the next clip is decoded, this one is not there any more
        yield _score(
            camera,
            path.stem,
            whole_clip(path, scorer.checkpoint.preprocess, scorer.t_length),
            keep_heat,
            on_frame,
        )


def score_clip(
    scorer: Scorer,
    name: str,
    clip: Pixels,
    *,
    rule: UpdateRule | None = None,
    keep_heat: bool = False,
    on_frame: Callable[[], None] = lambda: None,
) -> ClipScores:
    """Score one clip, (N, H, W, 3) uint8 RGB with N >= T, beginning with the trained memory."""
    return _score(
        _Camera(scorer, rule or UpdateRule.paper(scorer.gamma)), name, clip, keep_heat, on_frame
    )


class _Row(NamedTuple):
    """What one step says of its frame."""

    psnr_db: float
    distance: float
    gate_error: float  # nan without a memory that adapts
    memory_updated: bool
    drift: float


class _Camera:
    """One camera's memory from frame to frame: each frame's update decides what the next one reads."""

    def __init__(self, scorer: Scorer, rule: UpdateRule) -> None:
        self.scorer, self.rule = scorer, rule
        self.items = scorer.fresh_items()  # (M, D)
        self.rollback = Rollback()
        self.heat = torch.empty(0, 0)  # (64, 64), of the frame scored last

    def row(self, clip: Pixels) -> _Row:
        """Score one frame of a clip, (T, H, W, 3) uint8 RGB."""
        scored = self.scorer.step([clip], self.items[None], [self.rule])
        self.heat = scored.heat[0]
        row = _Row(
            psnr_db=scored.psnr_db.item(),
            distance=scored.distance.item(),
            gate_error=scored.gate_error.item(),
            memory_updated=bool(scored.memory_updated.item()),
            drift=scored.drift.item(),
        )
        back = self.rollback.saw(row.drift, row.distance, row.memory_updated, self.rule)
        self.items = self.scorer.fresh_items() if back else scored.items[0]
        return row


def _score(
    camera: _Camera, name: str, clip: Pixels, keep_heat: bool, on_frame: Callable[[], None]
) -> ClipScores:
    """One clip, one frame at a time."""
    rows, heats, before = list[_Row](), list[npt.NDArray[np.uint16]](), camera.rollback.rollbacks
    local, local_db = LocalScore(), []
    t_length, first = camera.scorer.t_length, camera.scorer.input_spec.scored
    for start in range(len(clip) - t_length + 1):
        end = start + t_length
        row = camera.row(clip[start:end])
        _check_finite(row, name, start + first)
        rows.append(row)
        cells = as_levels(camera.heat)
        local_db.append(local.see((0, end), cells))
        heats += [cells] if keep_heat else []
        on_frame()
    return ClipScores(
        name=name,
        frames=len(clip),
        first=first,
        psnr_db=np.array([row.psnr_db for row in rows]),
        distance=np.array([row.distance for row in rows]),
        gate_error=np.array([row.gate_error for row in rows]),
        memory_updated=np.array([row.memory_updated for row in rows]),
        drift=np.array([row.drift for row in rows]),
        local_db=np.array(local_db),
        rollbacks=camera.rollback.rollbacks - before,
        heat=np.stack(heats) if keep_heat else None,
    )


def _check_finite(row: _Row, clip: str, frame: int) -> None:
    """Raises CheckpointError: a metric over the frames that are left would tell of another set."""
    if not (isfinite(row.psnr_db) and isfinite(row.distance)):
        scores = f"PSNR {row.psnr_db:.3g} dB, distance {row.distance:.3g}"
        raise CheckpointError(
            f"clip {clip}, frame {frame}: the model gives no finite score ({scores})"
        )
