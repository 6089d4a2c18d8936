"""Frame AUC and AP five ways, events and alarms, regions, and every number behind them.

`per_video_minmax` is the paper's protocol: each part scaled over its whole video, which needs the video's future.
`none` normalises nothing. `causal` and `local` are what the live service would have shown, of the paper's parts and of
the local score: with the bounds stored in the checkpoint, or, where it has none, with those learned from the first
frames scored, exactly as a camera learns. `fused` is offline again: the best that we know of the same network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lookout.models.checkpoint.file import Checkpoint
from lookout.models.data.clips import clip_info, evaluation_clips
from lookout.models.data.labels import Labels, Truth, read_labels
from lookout.models.data.masks import Masked, read_masks
from lookout.models.errors import CheckpointError
from lookout.models.evaluation.clip_scores import ClipScores, score_clips
from lookout.models.evaluation.events import (
    ClipSeries,
    EventMetrics,
    at_thresholds,
    event_metrics,
)
from lookout.models.evaluation.frames import FrameMetrics, frame_metrics
from lookout.models.evaluation.fused import value_fused
from lookout.models.evaluation.regions import Pictured, RegionMetrics, region_metrics
from lookout.models.memory_update import UpdateRule
from lookout.models.scorer import Scorer
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.models.scoring.metrics import value_minmax, value_none
from lookout.models.scoring.normalizer import LEARN_FRAMES, Normalizer, RawScores, Scheme

Floats = npt.NDArray[np.float64]

WAYS = {
    "per_video_minmax": "minmax",
    "none": "none",
    "causal": "causal",
    "local": "local",
    "fused": "fused",
}
"""How a way to normalise is called outside → the field of `Values`."""

CAUSAL = ("causal", "local")
"""Those that a camera can show: they see no future."""


@dataclass(frozen=True, slots=True)
class Values:
    """A clip's score five ways, one entry a scored frame; higher is more abnormal."""

    minmax: Floats
    none: Floats
    causal: Floats  # of the paper's parts; nan while the bounds were being learned
    local: Floats  # of the local score, causal too; nan likewise
    fused: Floats  # of the paper's and the local one, offline

    def live(self, scheme: Scheme) -> Floats:
        """What a camera of this scheme would have shown."""
        return self.local if scheme == "local" else self.causal


@dataclass(frozen=True, slots=True)
class Evaluation:
    clips: list[ClipScores]
    values: dict[str, Values]
    labels: dict[str, Labels] | None  # of the scored frames
    calibration: str  # "model" or "learn"
    local_calibration: str  # the same, of the local score
    scheme: Scheme  # whose values the alarms are of
    fusion_weight: float
    frames: dict[str, FrameMetrics] | None  # by the names of WAYS; None without labels
    watched: (
        dict[str, ClipSeries] | None
    )  # what an alert rule sees; None without labels, or where a clip has no frame rate
    events: EventMetrics | None  # None where `watched` is, or without a rule
    masks: dict[str, Masked] | None  # pixel ground truth of the clips; None where they have none
    regions: RegionMetrics | None  # None without masks

    @property
    def auc_percent(self) -> dict[str, float | None]:
        """Micro AUC by the names of WAYS."""
        return {way: self.frames[way].auc_micro if self.frames else None for way in WAYS}

    @property
    def gaps_percent(self) -> dict[str, float | None] | None:
        """What is lost by not looking ahead: micro AUC minus that of the paper's protocol, by the names in CAUSAL.

        None without labels; a way's is None where it, or the protocol, has no AUC.
        """
        if self.frames is None:
            return None
        offline, aucs = (
            self.frames["per_video_minmax"].auc_micro,
            {way: self.frames[way].auc_micro for way in CAUSAL},
        )
        return {
            way: None if auc is None or offline is None else auc - offline
            for way, auc in aucs.items()
        }


def evaluate(
    scorer: Scorer,
    data: Path,
    *,
    carry_memory: bool = True,
    rule: UpdateRule | None = None,
    fusion_weight: float | None = None,
    learn_frames: int = LEARN_FRAMES,
    scheme: Scheme = "paper",
    alarm: AlertPolicy | None = None,
    keep_heat: bool = False,
    fps: float | None = None,
    regions: bool = True,
    on_frame: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Score the test clips of `data` and, where it has labels, take the metrics.

    Raises DataError, VideoError, and CheckpointError where a score is no finite number.

    rule: of the memory's update; None: as published.
    learn_frames: how many scored frames set the bounds where the checkpoint has none.
    scheme: whose live values the alarms are of; the others are taken all the same.
    alarm: what counts as noticed; None: events are not looked at.
    keep_heat: the heatmaps, 8 KB a frame; they are kept anyway where there are masks.
    fps: of clips that do not say theirs; None: with such clips events are not looked at.
    regions: where the anomalies are, too, if there are masks: a minute or two more.
    """
    config = scorer.checkpoint.config
    fusion_weight = config.fusion_weight if fusion_weight is None else fusion_weight
    paths = evaluation_clips(data)
    masks = read_masks(data, paths)
    truths, rates = (
        read_labels(data, paths, masks),
        {path.stem: clip_info(path).fps or fps for path in paths},
    )
    pictured = masks if regions else None
    keep_heat = keep_heat or pictured is not None
    bounds = scorer.checkpoint.calibration
    has_local_bounds = bounds is not None and bounds.local_db is not None
    normalizers: dict[Scheme, Normalizer] = {
        "paper": Normalizer(bounds, learn_frames, "paper", fusion_weight),
        "local": Normalizer(
            bounds if has_local_bounds else None, learn_frames, "local", fusion_weight
        ),
    }
    clips = list(
        score_clips(
            scorer,
            paths,
            carry_memory=carry_memory,
            rule=rule,
            normalizer=normalizers[scheme],
            keep_heat=keep_heat,
            on_frame=on_frame,
        )
    )
    other: Scheme = "local" if scheme == "paper" else "paper"
    live = {
        scheme: {clip.name: clip.value for clip in clips},
        other: live_values(clips, normalizers[other]),
    }
    values = {}
    for clip in clips:
        minmax = value_minmax(clip.psnr_db, clip.distance, fusion_weight)
        values[clip.name] = Values(
            minmax=minmax,
            none=value_none(clip.psnr_db, clip.distance, fusion_weight),
            causal=live["paper"][clip.name],
            local=live["local"][clip.name],
            fused=value_fused(minmax, clip.local_db),
        )
    labels = _labels(clips, truths) if truths else None
    ahead = scorer.input_spec.frames - 1 - scorer.input_spec.scored
    watched = _watched(clips, values, scheme, labels, rates, ahead) if labels else None
    return Evaluation(
        clips=clips,
        values=values,
        labels=labels,
        calibration="learn" if bounds is None else "model",
        local_calibration="model" if has_local_bounds else "learn",
        scheme=scheme,
        fusion_weight=fusion_weight,
        frames=_frames(values, labels) if labels else None,
        watched=watched,
        events=event_metrics(watched, alarm) if watched and alarm else None,
        masks=masks,
        regions=region_metrics(_pictured(clips, pictured)) if pictured else None,
    )


def require_clips(data: Path) -> None:
    """What can be known before a frame is scored: there are clips that open, with labels of their lengths, or without.

    Raises DataError, VideoError.
    """
    paths = evaluation_clips(data)
    for path in paths:
        clip_info(path)
    read_labels(data, paths, read_masks(data, paths))


def guarded_rule(checkpoint: Checkpoint) -> UpdateRule:
    """The guarded update in the measures of the checkpoint's calibration. Raises CheckpointError without them."""
    bounds, spec = checkpoint.calibration, checkpoint.config.input_spec
    if spec.memory != "adapts":
        raise CheckpointError(
            f"{checkpoint.name} has no memory that adapts: there is nothing to guard"
        )
    if bounds is None or bounds.gate_error is None:
        raise CheckpointError(
            "a guarded memory needs a calibration with a gate error: run `lookout calibrate` first"
        )
    return UpdateRule.guarded_by(bounds.gate_error, bounds.distance_high, spec.items[1], spec.gate)


def _labels(clips: list[ClipScores], truths: dict[str, Truth]) -> dict[str, Labels]:
    """Labels of the scored frames: the first of a clip have no score, and with some models the last."""
    found = {clip.name: truths[clip.name].of(clip.frames) for clip in clips}
    return {clip.name: found[clip.name][clip.first :][: len(clip.psnr_db)] for clip in clips}


def live_values(clips: list[ClipScores], normalizer: Normalizer) -> dict[str, Floats]:
    """Return the values that a camera with another normalizer shows; nan while it learns."""
    values = {}
    for clip in clips:
        frames = zip(clip.psnr_db, clip.distance, clip.gate_error, clip.local_db, strict=True)
        found = [normalizer.value(RawScores(*scores)) for scores in frames]
        values[clip.name] = np.array(found, np.float64)  # None becomes nan
    return values


def _frames(values: dict[str, Values], labels: dict[str, Labels]) -> dict[str, FrameMetrics]:
    return {
        way: frame_metrics(
            labels, {name: getattr(of_clip, field) for name, of_clip in values.items()}
        )
        for way, field in WAYS.items()
    }


def _watched(
    clips: list[ClipScores],
    values: dict[str, Values],
    scheme: Scheme,
    labels: dict[str, Labels],
    fps: dict[str, float | None],
    ahead: int,
) -> dict[str, ClipSeries] | None:
    """None where a clip does not say how long a frame lasts."""
    found = {}
    for clip in clips:
        rate = fps[clip.name]
        if rate is None:
            return None
        found[clip.name] = ClipSeries(
            clip.first, ahead, rate, values[clip.name].live(scheme), labels[clip.name]
        )
    return found


def _pictured(clips: list[ClipScores], masks: dict[str, Masked]) -> dict[str, Pictured]:
    return {
        clip.name: Pictured.of(clip.name, masks[clip.name], clip.heat, clip.first, clip.frames)
        for clip in clips
        if clip.heat is not None
    }


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """What `--json` writes about the scores. A metric that cannot be taken is null."""
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
    events = None
    if evaluation.events is not None and evaluation.watched is not None:
        at = at_thresholds(evaluation.watched, evaluation.events.policy)
        events = evaluation.events.as_json() | {"at_thresholds": at}
    return {
        "auc": evaluation.auc_percent,
        "auc_against_per_video_minmax": evaluation.gaps_percent,
        "frame_metrics": {way: found.as_json() for way, found in (evaluation.frames or {}).items()}
        or None,
        "event_metrics": events,
        "region_metrics": evaluation.regions.as_json() if evaluation.regions else None,
        "causal_bounds": evaluation.calibration,
        "local_bounds": evaluation.local_calibration,
        "alarms_by": evaluation.scheme,
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
        found[f"{clip.name}/local_db"] = clip.local_db
        found[f"{clip.name}/value"] = values.causal
        found[f"{clip.name}/value_local"] = values.local
        found[f"{clip.name}/value_minmax"] = values.minmax
        found[f"{clip.name}/value_fused"] = values.fused
        if evaluation.labels is not None:
            found[f"{clip.name}/label"] = evaluation.labels[clip.name]
    return found
