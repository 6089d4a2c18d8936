"""Frame AUC and AP of one way to normalise: over all frames at once, and video by video."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from lookout.models.arrays import Floats
from lookout.models.data.labels import FrameLabels
from lookout.models.errors import DataError


@dataclass(frozen=True, slots=True)
class FrameMetrics:
    """In percent; None where only one class is there."""

    auc_micro: float | None  # over all frames of all videos
    auc_macro: float | None  # the mean of `auc_of_video`, over the videos that have one
    ap_micro: float | None  # over all frames; anomalous is positive
    auc_of_video: dict[str, float | None]

    @property
    def left_out(self) -> list[str]:
        """The videos that `auc_macro` leaves out.

        All their frames are of one class, or none has a value.
        """
        return [name for name, auc in self.auc_of_video.items() if auc is None]

    def as_json(self) -> dict[str, Any]:
        """Return the metrics as plain values."""
        return {
            "auc_micro_percent": self.auc_micro,
            "auc_macro_percent": self.auc_macro,
            "auc_macro_left_out": self.left_out,
            "auc_of_video_percent": self.auc_of_video,
            "ap_micro_percent": self.ap_micro,
        }


def frame_metrics(labels: dict[str, FrameLabels], values: dict[str, Floats]) -> FrameMetrics:
    """Return the frame metrics of all videos.

    labels: (N,) 0/1, and values: (N,), of each video's scored frames. A frame without a value (nan)
    is left out.

    Raises DataError where a video has not as many labels as values.
    """
    for name, truth in labels.items():
        if len(truth) != len(values[name]):
            raise DataError(
                f"clip {name} has {len(truth)} labels for {len(values[name])} scored frames"
            )
    all_labels = np.concatenate(list(labels.values()))
    all_values = np.concatenate([values[name] for name in labels])
    of_video = {name: percent_of(roc_auc_score, labels[name], values[name]) for name in labels}
    known = [auc for auc in of_video.values() if auc is not None]
    auc_macro = None
    if known:
        auc_macro = float(np.mean(known))
    return FrameMetrics(
        auc_micro=percent_of(roc_auc_score, all_labels, all_values),
        auc_macro=auc_macro,
        ap_micro=percent_of(average_precision_score, all_labels, all_values),
        auc_of_video=of_video,
    )


def percent_of(
    score: Callable[[FrameLabels, Floats], float], truth: FrameLabels, values: Floats
) -> float | None:
    """Return a metric of finite values in percent; None where only one class is there."""
    known = np.isfinite(values)
    if len(np.unique(truth[known])) < 2:
        return None
    return 100 * float(score(truth[known], values[known]))


def roc(truth: FrameLabels, values: Floats) -> tuple[Floats, Floats]:
    """False and true positive rate, from the highest threshold down; nan values are left out."""
    known = np.isfinite(values)
    false, true, _ = roc_curve(truth[known], values[known])
    return false, true


def precision_recall(truth: FrameLabels, values: Floats) -> tuple[Floats, Floats]:
    """Recall and the precision there, from the highest threshold down; nan values are left out."""
    known = np.isfinite(values)
    precision, recall, _ = precision_recall_curve(truth[known], values[known])
    return recall[::-1], precision[::-1]
