"""The strangest share of footage, which is left out of training: it may not be normal.

What happens seldom, a model from elsewhere predicts badly, too. Each clip is judged by its worst
window, so that a short anomaly in a long clip counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch

from lookout.models.checkpoint.file import Checkpoint
from lookout.models.data.clips import Reading
from lookout.models.data.footage import Footage
from lookout.models.training.validation import score_clips
from lookout.models.vision.tensors import to_clips

MIN_CLIPS = 8
WINDOWS_PER_CLIP = 3
"""Windows of a clip that are judged, an even selection: judging takes time from training."""


def strangest(
    checkpoint: Checkpoint, clips: list[Path], share: float, on_frame: Callable[[], None]
) -> list[Path]:
    """Return the `share` of the clips, rounded up, whose worst window has the lowest PSNR.

    Of less than MIN_CLIPS, none: nothing says what is usual among so few.

    `on_frame` is called for each decoded frame and each clip: what it raises ends the judgement.
    Raises VideoError, DataError.
    """
    if len(clips) < MIN_CLIPS:
        return []
    count = math.ceil(share * len(clips))
    worst_db = {clip: worst_psnr_db(checkpoint, clip, on_frame) for clip in clips}
    return sorted(clips, key=lambda clip: (worst_db[clip], clip))[:count]


@torch.no_grad()
def worst_psnr_db(checkpoint: Checkpoint, clip: Path, on_frame: Callable[[], None]) -> float:
    """Return the lowest PSNR of some windows of a clip; the memory stays as trained.

    Raises VideoError, DataError.
    """
    spec = checkpoint.config.input_spec
    reading = Reading(None, lambda _: None, on_frame)
    footage = Footage.load([clip], checkpoint.preprocess, spec.frames, reading)
    step = max(1, len(footage.windows) // WINDOWS_PER_CLIP)
    windows = [footage.window(index) for index in range(0, len(footage.windows), step)]
    worst_db = float("inf")
    for window in windows:
        on_frame()
        normalised = to_clips([window], torch.device("cpu"), gray=spec.gray, black=spec.black)
        psnr_db, _ = score_clips(checkpoint.model, normalised, checkpoint.items)
        worst_db = min(worst_db, float(psnr_db))
    return worst_db
