"""The first test clip of Ped2, with the authors' checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lookout.models.checkpoint.file import Checkpoint
from lookout.models.checkpoint.import_mnad import import_mnad
from lookout.models.device import Precision
from lookout.models.evaluation.evaluate import Evaluation, evaluate
from lookout.models.registry import make_config
from lookout.models.scorer import Scorer
from lookout.models.scoring.calibration import Bounds
from tests.conftest import SHARED

PED2 = SHARED / "data" / "ped2"
CLIP = "01"  # 180 frames: a cyclist from frame 60 to the end
HALF_GATE = 0.0175  # half of the frames pass, so that the memory's path counts too

# What `lookout calibrate --precision bf16` gives on train/01.mp4; it takes a minute each time.
BOUNDS = Bounds(35.85919, 37.17807, 1.951067e-06, 2.255347e-06, frames=116, gate_error=0.01383737)


def half_gated_checkpoint() -> Checkpoint:
    """Return the authors' checkpoint, calibrated, with HALF_GATE."""
    checkpoint = import_mnad(SHARED / "reference" / "ped2_mnad_pred" / "authors.safetensors")
    return replace(
        checkpoint, config=make_config(checkpoint.name, {"gamma": HALF_GATE}), calibration=BOUNDS
    )


def evaluate_clip(
    checkpoint: Checkpoint,
    precision: Precision,
    folder: Path,
    clip: Path = PED2 / "test" / f"{CLIP}.mp4",
) -> Evaluation:
    (folder / f"{CLIP}.mp4").symlink_to(clip)
    return evaluate(Scorer(checkpoint, precision=precision), folder, carry_memory=False)
