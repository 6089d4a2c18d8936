"""Frame AUC three ways, and every number behind it.

`per_video_minmax` is the paper's protocol: each part scaled over its whole video, which needs the video's future.
`none` normalises nothing. `causal` is the value that the live service would have shown: with the bounds stored in the
checkpoint, or, where it has none, with those learned from the first frames scored, exactly as a camera learns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from models.bounds import Learner
from models.checkpoint import Checkpoint
from models.errors import CheckpointError
from models.guard import MemoryRule
from models.scorer import Scorer
from models.scoring import value_minmax, value_none
from models.training.footage import Labels, evaluation_clips, labels_of, read_labels
from models.training.run import ClipScores, score_clips

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Values:
    """A clip's score three ways, one entry a scored frame; higher is more abnormal."""

    minmax: Floats
    none: Floats
    causal: Floats  # nan while the bounds were being learned


@dataclass(frozen=True, slots=True)
class Evaluation:
    clips: list[ClipScores]
    values: dict[str, Values]
    labels: dict[str, Labels] | None  # of the scored frames
    auc_percent: dict[str, float | None]
    calibration: str  # "model" or "learn"
    lambda_: float


def evaluate(
    scorer: Scorer,
    data: Path,
    *,
    carry_memory: bool = True,
    rule: MemoryRule | None = None,
    lambda_: float | None = None,
    learn_frames: int = 300,
    on_frame: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Score the test clips of `data` and, where it has labels, take the AUC. Raises DataError, VideoError.

    rule: of the memory's update; None: as published.
    learn_frames: how many scored frames set the bounds where the checkpoint has none.
    """
    config = scorer.checkpoint.config
    lambda_ = config.lambda_ if lambda_ is None else lambda_
    paths = evaluation_clips(data)
    entries = read_labels(data, [path.stem for path in paths])
    clips = list(score_clips(scorer, paths, carry_memory=carry_memory, rule=rule, on_frame=on_frame))
    learner = Learner(scorer.checkpoint.calibration, learn_frames)
    calibration = "learn" if scorer.checkpoint.calibration is None else "model"
    values = {clip.name: _values(clip, learner, lambda_) for clip in clips}
    labels = _labels(clips, entries) if entries else None
    return Evaluation(clips, values, labels, _aucs(values, labels), calibration, lambda_)


def guarded_rule(checkpoint: Checkpoint) -> MemoryRule:
    """The guarded update in the measures of the checkpoint's calibration. Raises CheckpointError without them."""
    bounds, needs = checkpoint.calibration, checkpoint.config.needs
    if needs.memory != "adapts":
        raise CheckpointError(f"{checkpoint.name} has no memory that adapts: there is nothing to guard")
    if bounds is None or bounds.gate_error is None:
        raise CheckpointError("a guarded memory needs a calibration with a gate error: run `lookout calibrate` first")
    return MemoryRule.guarded_by(bounds, needs.items[1], needs.gate)


def _labels(clips: list[ClipScores], entries: dict[str, Any]) -> dict[str, Labels]:
    """Labels of the scored frames: the first of a clip have no score, and with some models the last."""
    found = {clip.name: labels_of(clip.name, entries[clip.name], clip.frames) for clip in clips}
    return {clip.name: found[clip.name][clip.first :][: len(clip.psnr_db)] for clip in clips}


def _values(clip: ClipScores, learner: Learner, lambda_: float) -> Values:
    frames = zip(clip.psnr_db, clip.distance, clip.gate_error, strict=True)
    causal = [learner.value(psnr, distance, lambda_, gate) for psnr, distance, gate in frames]
    return Values(
        value_minmax(clip.psnr_db, clip.distance, lambda_),
        value_none(clip.psnr_db, clip.distance, lambda_),
        np.array(causal, np.float64),  # None becomes nan
    )


def _aucs(values: dict[str, Values], labels: dict[str, Labels] | None) -> dict[str, float | None]:
    ways = {"per_video_minmax": "minmax", "none": "none", "causal": "causal"}
    if labels is None:
        return dict.fromkeys(ways)
    truth = np.concatenate([labels[name] for name in values])
    return {way: _auc(truth, np.concatenate([getattr(v, part) for v in values.values()])) for way, part in ways.items()}


def _auc(truth: Labels, values: Floats) -> float | None:
    """Micro AUC over all frames that have a value, in percent; None where only one class is there."""
    known = np.isfinite(values)
    if len(np.unique(truth[known])) < 2:
        return None
    return 100 * float(roc_auc_score(truth[known], values[known]))


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """What `--json` writes about the scores."""
    updated = np.concatenate([clip.memory_updated for clip in evaluation.clips])
    clips = {
        clip.name: {
            "frames": clip.frames,
            "scored": len(clip.psnr_db),
            "psnr_db_mean": float(clip.psnr_db.mean()),
            "memory_updates": int(clip.memory_updated.sum()),
            "memory_drift_max": float(clip.drift.max()),
            "rollbacks": clip.rollbacks,
        }
        for clip in evaluation.clips
    }
    return {
        "auc": evaluation.auc_percent,
        "causal_bounds": evaluation.calibration,
        "scored_frames": len(updated),
        "memory_updated_share": float(updated.mean()),
        "clips": clips,
    }


def columns(evaluation: Evaluation) -> dict[str, npt.NDArray[Any]]:
    """What `--scores` writes: `NN/psnr_db` and so on, one entry a scored frame."""
    found: dict[str, npt.NDArray[Any]] = {}
    for clip in evaluation.clips:
        values = evaluation.values[clip.name]
        found[f"{clip.name}/psnr_db"] = clip.psnr_db
        found[f"{clip.name}/distance"] = clip.distance
        found[f"{clip.name}/gate_error"] = clip.gate_error
        found[f"{clip.name}/memory_updated"] = clip.memory_updated
        found[f"{clip.name}/drift"] = clip.drift
        found[f"{clip.name}/value"] = values.causal
        found[f"{clip.name}/value_minmax"] = values.minmax
        if evaluation.labels is not None:
            found[f"{clip.name}/label"] = evaluation.labels[clip.name]
    return found
