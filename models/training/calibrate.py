"""What is normal, in numbers: bounds of PSNR, distance and gate error from normal clips, stored in the checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from models.bounds import Bounds
from models.checkpoint import Checkpoint
from models.device import Precision
from models.scorer import Scorer
from models.training.run import score_clips


def calibrate(
    checkpoint: Checkpoint,
    clips: list[Path],
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    on_frame: Callable[[], None] = lambda: None,
) -> Checkpoint:
    """The same checkpoint with bounds taken from normal clips, the published update at work.

    Better on clips that were not trained on: on those the model is too good. Raises DataError, VideoError,
    and CheckpointError where a score is no finite number.
    """
    scorer = Scorer(checkpoint, device, precision)
    scored = list(score_clips(scorer, clips, carry_memory=False, on_frame=on_frame))
    bounds = Bounds.of(
        np.concatenate([clip.psnr_db for clip in scored]),
        np.concatenate([clip.distance for clip in scored]),
        np.concatenate([clip.gate_error for clip in scored]),
        np.concatenate([clip.local_db for clip in scored]),
    )
    checkpoint.model.cpu()
    note = {"clips": len(clips), "frames": bounds.frames, "precision": precision}
    return dataclasses.replace(
        checkpoint, calibration=bounds, provenance={**checkpoint.provenance, "calibration": note}
    )
