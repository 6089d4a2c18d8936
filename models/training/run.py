"""Scoring whole clips, frame by frame, exactly as the live line does: what calibrate and evaluate share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from models.errors import DataError
from models.scorer import Scorer
from models.video import Pixels, read_clip

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClipScores:
    """One entry a scored frame: frames T - 1 to N - 1 of a clip."""

    name: str
    frames: int  # N, of the clip
    psnr_db: Floats
    distance: Floats
    gate_error: Floats
    memory_updated: npt.NDArray[np.bool_]


def score_clips(
    scorer: Scorer, paths: list[Path], *, carry_memory: bool, on_frame: Callable[[], None] = lambda: None
) -> Iterator[ClipScores]:
    """Score clip after clip; the memory is carried from each to the next, as the authors do, or starts anew.

    Raises VideoError for an unreadable clip, DataError for one shorter than T frames.
    """
    items = scorer.fresh_items()
    for path in paths:
        clip = read_clip(path, scorer.checkpoint.preprocess)
        if len(clip) < scorer.t_length:
            raise DataError(f"{path.name} has {len(clip)} frames; the model needs {scorer.t_length}")
        if not carry_memory:
            items = scorer.fresh_items()
        scores, items = _score(scorer, path.stem, clip, items, on_frame)
        yield scores


def _score(
    scorer: Scorer, name: str, clip: Pixels, items: Tensor, on_frame: Callable[[], None]
) -> tuple[ClipScores, Tensor]:
    """One clip, one frame at a time: each frame's update decides what the next one reads."""
    rows: list[tuple[float, float, float, bool]] = []
    for end in range(scorer.t_length, len(clip) + 1):
        scored = scorer.step([clip[end - scorer.t_length : end]], items[None])
        items = scored.items[0]
        numbers = (scored.psnr_db, scored.distance, scored.gate_error)
        psnr, distance, gate = (number.item() for number in numbers)
        rows.append((psnr, distance, gate, bool(scored.memory_updated.item())))
        on_frame()
    psnr_db, distances, gates, updated = (np.array(column) for column in zip(*rows, strict=True))
    return ClipScores(name, len(clip), psnr_db, distances, gates, updated), items
