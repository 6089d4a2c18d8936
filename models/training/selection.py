"""The checkpoint to start from and the clips to train on, both measured on the footage itself.

The checkpoint to start from is the one that predicts held-out footage best. The strangest share of
the footage is left out of training, since it may not be normal. What happens seldom, a model from
elsewhere predicts badly, too. Each clip is judged by its worst window, so that a short anomaly in a
long clip counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lookout.models.arrays import Pixels
from lookout.models.checkpoint.file import Checkpoint, load_checkpoint
from lookout.models.data.clips import Reading
from lookout.models.data.footage import Footage
from lookout.models.errors import CheckpointError
from lookout.models.training.validation import score_clips
from lookout.models.vision.tensors import to_clips

MIN_CLIPS = 8
WINDOWS_PER_CLIP = 3
"""Windows of a clip that are judged, an even selection: judging takes time from training."""


@dataclass(frozen=True, slots=True)
class StrangeClip:
    """A clip and its worst window."""

    path: Path
    psnr_db: float  # of that window
    frame: Pixels  # its last one, (H, W, 3) uint8 RGB


def strangest(
    checkpoint: Checkpoint, clips: list[Path], share: float, on_frame: Callable[[], None]
) -> list[StrangeClip]:
    """Return the `share` of the clips, rounded up, whose worst window has the lowest PSNR.

    Of less than MIN_CLIPS, none: nothing says what is usual among so few.

    `on_frame` is called for each decoded frame and each clip: what it raises ends the judgement.
    Raises VideoError, DataError.
    """
    if len(clips) < MIN_CLIPS:
        return []
    count = math.ceil(share * len(clips))
    found = [worst_window(checkpoint, clip, on_frame) for clip in clips]
    return sorted(found, key=lambda clip: (clip.psnr_db, clip.path))[:count]


def best_start(paths: Sequence[Path], clips: list[Path], on_frame: Callable[[], None]) -> Path:
    """Return the checkpoint with the highest mean PSNR of some windows of the clips.

    paths: of the same model and sizes. The first is preferred where two are equal; one that cannot
    be loaded, or whose PSNR is no number, is passed over. `on_frame` as in `strangest`.
    Raises CheckpointError where none is left, VideoError, DataError.
    """
    mean_db: dict[Path, float] = {}
    reason = "no checkpoint to start from gives a number"
    for path in paths:
        try:
            checkpoint = load_checkpoint(path)
        except CheckpointError as error:
            reason = str(error)
            continue
        values = torch.cat(
            [psnr_db(checkpoint, windows_of(checkpoint, clip, on_frame)) for clip in clips]
        )
        if torch.isfinite(values).all():
            mean_db[path] = float(values.mean())
    if not mean_db:
        raise CheckpointError(reason)
    return max(mean_db, key=lambda path: mean_db[path])


def worst_window(checkpoint: Checkpoint, clip: Path, on_frame: Callable[[], None]) -> StrangeClip:
    """Return the window of a clip that is predicted worst. Raises VideoError, DataError."""
    windows = windows_of(checkpoint, clip, on_frame)
    values = psnr_db(checkpoint, windows)
    worst = int(values.argmin())
    return StrangeClip(clip, float(values[worst]), windows[worst][-1])


def windows_of(checkpoint: Checkpoint, clip: Path, on_frame: Callable[[], None]) -> list[Pixels]:
    """Return some windows of a clip, an even selection, (T, H, W, 3) uint8 RGB each.

    `on_frame` as in `strangest`, for each window too. Raises VideoError, DataError.
    """
    reading = Reading(None, lambda _: None, on_frame)
    t_length = checkpoint.config.input_spec.frames
    footage = Footage.load([clip], checkpoint.preprocess, t_length, reading)
    step = max(1, len(footage.windows) // WINDOWS_PER_CLIP)
    windows = []
    for index in range(0, len(footage.windows), step):
        on_frame()
        windows.append(footage.window(index))
    return windows


@torch.no_grad()
def psnr_db(checkpoint: Checkpoint, windows: list[Pixels]) -> Tensor:
    """Return the PSNR in dB of windows, (N,); the memory stays as trained."""
    spec = checkpoint.config.input_spec
    values = []
    for window in windows:
        normalised = to_clips([window], torch.device("cpu"), gray=spec.gray, black=spec.black)
        values.append(score_clips(checkpoint.model, normalised, checkpoint.items)[0])
    return torch.cat(values)
