"""Scoring whole clips, frame by frame, exactly as the live line does: what calibrate and evaluate share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.guard import MemoryRule, Rollback
from models.heatmap import as_levels
from models.local import LocalScore
from models.scorer import Scorer
from models.training.footage import whole_clip
from models.video import Pixels

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
    heat: npt.NDArray[np.uint16] | None = None  # (scored frames, 64, 64): RMSE a cell times 65535; None: not asked for


def score_clips(
    scorer: Scorer,
    paths: list[Path],
    *,
    carry_memory: bool,
    rule: MemoryRule | None = None,
    keep_heat: bool = False,
    on_frame: Callable[[], None] = lambda: None,
) -> Iterator[ClipScores]:
    """Score clip after clip; the memory is carried from each to the next, as the authors do, or starts anew.

    rule: of the memory's update; None: as published. keep_heat: the heatmaps too, 8 KB a frame. Raises VideoError for
    an unreadable clip, DataError for one shorter than T frames.
    """
    camera = _Camera(scorer, rule or MemoryRule.paper(scorer.gamma))
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
    rule: MemoryRule | None = None,
    keep_heat: bool = False,
    on_frame: Callable[[], None] = lambda: None,
) -> ClipScores:
    """Score one clip, (N, H, W, 3) uint8 RGB with N >= T, beginning with the trained memory."""
    return _score(_Camera(scorer, rule or MemoryRule.paper(scorer.gamma)), name, clip, keep_heat, on_frame)


class _Camera:
    """One camera's memory from frame to frame: each frame's update decides what the next one reads."""

    def __init__(self, scorer: Scorer, rule: MemoryRule) -> None:
        self.scorer, self.rule = scorer, rule
        self.items = scorer.fresh_items()  # (M, D)
        self.rollback = Rollback()
        self.heat = torch.empty(0, 0)  # (64, 64), of the frame scored last

    def row(self, clip: Pixels) -> tuple[float, float, float, bool, float]:
        """PSNR, distance, gate error, whether it updated the memory, and drift; clip (T, H, W, 3) uint8 RGB."""
        scored = self.scorer.step([clip], self.items[None], [self.rule])
        self.heat = scored.heat[0]
        numbers = (scored.psnr_db, scored.distance, scored.gate_error, scored.drift)
        psnr, distance, gate, drift = (number.item() for number in numbers)
        updated = bool(scored.memory_updated.item())
        back = self.rollback.saw(drift, distance, updated, self.rule)
        self.items = self.scorer.fresh_items() if back else scored.items[0]
        return psnr, distance, gate, updated, drift


def _score(camera: _Camera, name: str, clip: Pixels, keep_heat: bool, on_frame: Callable[[], None]) -> ClipScores:
    """One clip, one frame at a time."""
    rows, heats, before = [], list[npt.NDArray[np.uint16]](), camera.rollback.rollbacks
    local, local_db = LocalScore(), []
    for end in range(camera.scorer.t_length, len(clip) + 1):
        rows.append(camera.row(clip[end - camera.scorer.t_length : end]))
        cells = as_levels(camera.heat)
        local_db.append(local.see((0, end), cells))
        heats += [cells] if keep_heat else []
        on_frame()
    psnr_db, distances, gates, updated, drifts = (np.array(column) for column in zip(*rows, strict=True))
    rollbacks = camera.rollback.rollbacks - before
    first = camera.scorer.needs.scored
    heat = np.stack(heats) if keep_heat else None
    scores = psnr_db, distances, gates, updated, drifts, np.array(local_db)
    return ClipScores(name, len(clip), first, *scores, rollbacks, heat)
