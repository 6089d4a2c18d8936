"""The scores of a file at full pace without faults: the clip in one process, without a service."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch

from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.evaluation.clip_scores import score_clips
from lookout.models.scorer import Scorer
from lookout.models.scoring.calibration import causal_value
from tests.chaos.footage import BOUNDS
from tests.chaos.seen import Numbers


def undisturbed(checkpoint: Path, clip: Path) -> tuple[int, list[Numbers]]:
    """Return the first scored frame, and the numbers of each frame from there on."""
    scorer = Scorer(load_checkpoint(checkpoint))
    with _one_thread():  # as the workers have it: the number of threads decides the last bits
        (scores,) = score_clips(scorer, [clip], carry_memory=True)
    fusion_weight = scorer.checkpoint.config.fusion_weight
    columns = zip(
        scores.psnr_db, scores.distance, scores.gate_error, scores.memory_updated, strict=True
    )
    rows = [tuple(float(number) for number in row) for row in columns]
    return scorer.t_length - 1, [
        (psnr, distance, gate, updated, float(causal_value(psnr, distance, BOUNDS, fusion_weight)))
        for psnr, distance, gate, updated in rows
    ]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
