"""Frame AUC and AP five ways, events and alarms, regions, and every number behind them.

`per_video_minmax` is the paper's protocol: each part scaled over its whole video, which needs the
video's future. `none` normalises nothing. `causal` and `local` are what the live service would have
shown, of the paper's parts and of the local score: with the bounds stored in the checkpoint, or,
where it has none, with those learned from the first frames scored, exactly as a camera learns.
`fused` is offline again: the best that we know of the same network. `places` and `fused_causal` are
what a camera with a memory of places would have shown, which is learned from normal footage, or
from the first frames; they are there where that memory was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lookout.models.arrays import Floats
from lookout.models.checkpoint.file import Checkpoint
from lookout.models.data.clips import clip_info, evaluation_clips
from lookout.models.data.labels import FrameLabels, Truth, read_labels
from lookout.models.data.masks import Masked, read_masks
from lookout.models.errors import CheckpointError
from lookout.models.evaluation.budget_course import BudgetCourse
from lookout.models.evaluation.clip_scores import ClipScores
from lookout.models.evaluation.copy_last import copy_last_metrics
from lookout.models.evaluation.events import (
    ClipSeries,
    EventMetrics,
    alarm_spans,
    at_thresholds,
    event_metrics,
)
from lookout.models.evaluation.frames import FrameMetrics, frame_metrics
from lookout.models.evaluation.live_scoring import Conditions, LiveScoring
from lookout.models.evaluation.regions import Pictured, RegionMetrics, region_metrics
from lookout.models.memory_update import UpdateRule
from lookout.models.scorer import Scorer
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.models.scoring.metrics import value_fused, value_minmax, value_none
from lookout.models.scoring.normalizer import (
    LEARN_FRAMES,
    PLACE_SCHEMES,
    Scheme,
)
from lookout.models.vision.zones import ZoneMask

WAYS = {
    "per_video_minmax": "minmax",
    "none": "none",
    "causal": "causal",
    "local": "local",
    "fused": "fused",
}
"""Public name of a way to normalize → the field of `Values`."""

PLACE_WAYS = {"places": "places", "fused_causal": "fused_causal"}
"""The same of the ways that need a memory of places."""

CAUSAL = ("causal", "local")
"""The ways that a camera can show: they need no future frames."""


@dataclass(frozen=True, slots=True)
class Values:
    """A clip's score five ways, one entry a scored frame; higher is more abnormal."""

    minmax: Floats
    none: Floats
    causal: Floats  # of the paper's parts; nan while the bounds were being learned
    local: Floats  # of the local score, causal too; nan likewise
    fused: Floats  # of the paper's and the local one, offline
    places: Floats | None = None  # of the memory of places, causal; None: not asked for
    fused_causal: Floats | None = None  # of that memory and the local score, causal

    def live(self, scheme: Scheme) -> Floats:
        """Return what a camera of this scheme would have shown."""
        shown = {
            "paper": self.causal,
            "local": self.local,
            "places": self.places,
            "fused": self.fused_causal,
        }[scheme]
        if shown is None:
            raise ValueError(f"the {scheme} score was not asked for")
        return shown


COLUMNS: dict[str, Callable[[ClipScores, Values], npt.NDArray[Any]]] = {
    "psnr_db": lambda clip, _: clip.psnr_db,
    "distance": lambda clip, _: clip.distance,
    "gate_error": lambda clip, _: clip.gate_error,
    "memory_updated": lambda clip, _: clip.memory_updated,
    "reused": lambda clip, _: clip.reused,
    "drift": lambda clip, _: clip.drift,
    "local_db": lambda clip, _: clip.local_db,
    "value": lambda _, values: values.causal,
    "value_local": lambda _, values: values.local,
    "value_minmax": lambda _, values: values.minmax,
    "value_fused": lambda _, values: values.fused,
}
"""The columns of `--scores`, one entry a scored frame; with labels there is "label" too."""

PLACE_COLUMNS: dict[str, Callable[[ClipScores, Values], npt.NDArray[Any]]] = {
    "place_db": lambda clip, _: clip.place_db,
    "value_places": lambda _, values: values.live("places"),
    "value_fused_causal": lambda _, values: values.live("fused"),
}
"""Further ones where a memory of places was asked for."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a data set's test clips, by clip name, and the metrics over them."""

    clips: list[ClipScores]
    values: dict[str, Values]
    labels: dict[str, FrameLabels] | None  # of the scored frames
    calibration: str  # "model" or "learn"
    local_calibration: str  # the same, of the local score
    scheme: Scheme  # whose values the alarms are of
    fusion_weight: float
    frames: dict[str, FrameMetrics] | None  # by the names of WAYS; None without labels
    watched: dict[str, ClipSeries] | None  # what a policy sees; None without labels or frame rates
    events: EventMetrics | None  # None where `watched` is, or without a rule
    masks: dict[str, Masked] | None  # pixel ground truth of the clips; None where they have none
    regions: RegionMetrics | None  # None without masks
    # Of the copy of the last frame, by "psnr" and "local": causal, nothing normalised.
    copy_last: dict[str, FrameMetrics] | None = None  # None without labels

    @property
    def auc_percent(self) -> dict[str, float | None]:
        """Micro AUC by the names of WAYS."""
        if self.frames is None:
            return dict.fromkeys(ways_of(self.scheme))
        return {way: found.auc_micro for way, found in self.frames.items()}

    @property
    def gaps_percent(self) -> dict[str, float | None] | None:
        """Micro AUC minus that of the paper's protocol, by the names in CAUSAL.

        None without labels; a way's is None where it, or the protocol, has no AUC.
        """
        if self.frames is None:
            return None
        offline = self.frames["per_video_minmax"].auc_micro
        gaps: dict[str, float | None] = dict.fromkeys(CAUSAL)
        for way in CAUSAL:
            auc = self.frames[way].auc_micro
            if auc is not None and offline is not None:
                gaps[way] = auc - offline
        return gaps


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
    alarms_per_day: float | None = None,
    began: datetime | None = None,
    keep_heat: bool = False,
    fps: float | None = None,
    exact: bool = False,
    regions: bool = True,
    normal: Sequence[Path] = (),
    zones: ZoneMask | None = None,
    still_frames: int = 1,
    on_frame: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Score the test clips of `data` and, where it has labels, compute the metrics.

    rule: of the memory's update; None: as published.
    fusion_weight: share of PSNR in a value; None: the checkpoint's.
    learn_frames: number of scored frames that set the bounds where the checkpoint has none.
    scheme: source of the live values that alarms are raised on; the others are computed too.
    alarm: policy of the alarms; None: no event metrics.
    alarms_per_day: budget that sets the policy's threshold, clip after clip, the normal ones first.
    began: when the first of these clips began, with its time zone, if each follows on the last: the
        budget then knows the hour. None: nobody knows.
    keep_heat: keep the heatmaps, 8 KB a frame; they are kept anyway where there are masks.
    fps: frame rate of clips that do not say theirs; None: no event metrics with such clips.
    exact: take all parts of a score in each frame, where a camera has them in turns. The bounds of
        a calibration are those of turns, so they are learned instead.
    regions: compute region metrics where there are masks: a minute or two more.
    normal: clips of normal footage that a scheme with a memory of places learns from first, as a
        camera would: one half fills the memory, the other sets the bounds; none: the first
        `learn_frames` of the test clips.
    zones: of the picture; ignored ones are left out, as a camera leaves them out; None: none.
    still_frames: of a picture that does not change, one frame in so many is scored, as a camera's.

    Raises DataError, VideoError, and CheckpointError where a score is not finite.
    """
    if fusion_weight is None:
        fusion_weight = scorer.checkpoint.config.fusion_weight
    paths = evaluation_clips(data)
    masks = read_masks(data, paths)
    truths = read_labels(data, paths, masks)
    rates = {path.stem: clip_info(path).fps or fps for path in paths}
    conditions = Conditions(
        carry_memory=carry_memory,
        rule=rule,
        exact=exact,
        zones=zones,
        still_frames=still_frames,
        on_frame=on_frame,
    )
    scoring = LiveScoring(scorer, scheme, fusion_weight, learn_frames, conditions)
    learned = scoring.learn(normal)
    clips = scoring.score(paths, keep_heat=keep_heat or (regions and masks is not None))
    values = clip_values(clips, scoring.values(clips), fusion_weight)
    labels = None
    frames = None
    watched = None
    events = None
    region_result = None
    copied = None
    if truths:
        labels = scored_labels(clips, truths)
        frames = {
            way: frame_metrics(labels, {name: getattr(one, field) for name, one in values.items()})
            for way, field in ways_of(scheme).items()
        }
        scored = {clip.name: range(clip.first, clip.first + len(clip.psnr_db)) for clip in clips}
        copied = copy_last_metrics(paths, scorer.checkpoint.preprocess, scored, labels, zones)
        ahead = scorer.input_spec.frames - 1 - scorer.input_spec.scored
        watched = clip_series(clips, values, scheme, labels, rates, ahead)
    if watched and alarm:
        budget = None
        began_s = 0.0
        if alarms_per_day is not None:
            budget = BudgetCourse(alarms_per_day, alarm, began.tzinfo if began else None)
            began_s = began.timestamp() if began else 0.0
            began_s = watch_normal(budget, alarm, learned, normal, fps, began_s)
        events = event_metrics(watched, alarm, budget, began_s)
    if masks and regions:
        region_result = region_metrics(pictured(clips, masks))
    return Evaluation(
        clips=clips,
        values=values,
        labels=labels,
        calibration="learn" if scoring.bounds is None else "model",
        local_calibration="learn" if scoring.local_bounds is None else "model",
        scheme=scheme,
        fusion_weight=fusion_weight,
        frames=frames,
        watched=watched,
        events=events,
        masks=masks,
        regions=region_result,
        copy_last=copied,
    )


def ways_of(scheme: Scheme) -> dict[str, str]:
    """Return WAYS, with those of the memory of places where the scheme takes it."""
    return WAYS | PLACE_WAYS if scheme in PLACE_SCHEMES else WAYS


def require_clips(data: Path) -> bool:
    """Check that there are clips that open, and that labels, if any, are of their lengths.

    Returns whether there are labels. Raises DataError, VideoError.
    """
    paths = evaluation_clips(data)
    for path in paths:
        clip_info(path)
    return read_labels(data, paths, read_masks(data, paths)) is not None


def guarded_rule(checkpoint: Checkpoint) -> UpdateRule:
    """Return the guarded update by the checkpoint's calibration.

    Raises CheckpointError without a calibration that holds a gate error.
    """
    bounds = checkpoint.calibration
    spec = checkpoint.config.input_spec
    if spec.memory != "adapts":
        raise CheckpointError(
            f"{checkpoint.name} has no memory that adapts: there is nothing to guard"
        )
    if bounds is None or bounds.gate_error is None:
        raise CheckpointError(
            "a guarded memory needs a calibration with a gate error: run `lookout calibrate` first"
        )
    return UpdateRule.guarded_by(bounds.gate_error, bounds.distance_high, spec.items[1], spec.gate)


def scored_labels(clips: list[ClipScores], truths: dict[str, Truth]) -> dict[str, FrameLabels]:
    """Return the labels of the scored frames; a clip's first, and maybe last, have no score."""
    labels = {}
    for clip in clips:
        whole = truths[clip.name].of(clip.frames)
        labels[clip.name] = whole[clip.first :][: len(clip.psnr_db)]
    return labels


def clip_values(
    clips: list[ClipScores], live: dict[Scheme, dict[str, Floats]], fusion_weight: float
) -> dict[str, Values]:
    """Return every clip's values; live: those that a camera shows, by scheme and name."""
    values = {}
    for clip in clips:
        minmax = value_minmax(clip.psnr_db, clip.distance, fusion_weight)
        values[clip.name] = Values(
            minmax=minmax,
            none=value_none(clip.psnr_db, clip.distance, fusion_weight),
            causal=live["paper"][clip.name],
            local=live["local"][clip.name],
            fused=value_fused(minmax, clip.local_db),
            places=live["places"][clip.name] if "places" in live else None,
            fused_causal=live["fused"][clip.name] if "fused" in live else None,
        )
    return values


def watch_normal(
    budget: BudgetCourse,
    alarm: AlertPolicy,
    learned: list[ClipScores],
    normal: Sequence[Path],
    fps: float | None,
    began_s: float,
) -> float:
    """Let a budget see the normal clips that were scored, each as a session of its own.

    fps: frame rate of clips that do not say theirs; None: they are left out. began_s: of the first.
    Returns the time at which the last one ends.
    """
    for session, (clip, path) in enumerate(zip(learned, normal, strict=False), 1):
        rate = clip_info(path).fps or fps
        if rate is not None:
            alarm_spans(clip.value, rate, alarm, budget, -session, began_s)
            began_s += len(clip.value) / rate
    return began_s


def clip_series(
    clips: list[ClipScores],
    values: dict[str, Values],
    scheme: Scheme,
    labels: dict[str, FrameLabels],
    rates: dict[str, float | None],
    ahead: int,
) -> dict[str, ClipSeries] | None:
    """Return what a policy sees of each clip; None where a clip has no frame rate.

    ahead: frames that a score needs after its own.
    """
    series = {}
    for clip in clips:
        rate = rates[clip.name]
        if rate is None:
            return None
        series[clip.name] = ClipSeries(
            clip.first, ahead, rate, values[clip.name].live(scheme), labels[clip.name]
        )
    return series


def pictured(clips: list[ClipScores], masks: dict[str, Masked]) -> dict[str, Pictured]:
    """Return the heatmaps of the clips beside their masks."""
    return {
        clip.name: Pictured.of(clip.name, masks[clip.name], clip.heat, clip.first, clip.frames)
        for clip in clips
        if clip.heat is not None
    }


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Return what `--json` writes about the scores; a metric that cannot be taken is null."""
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
    frames = {way: found.as_json() for way, found in (evaluation.frames or {}).items()}
    copied = {part: found.as_json() for part, found in (evaluation.copy_last or {}).items()}
    events = None
    if evaluation.events is not None and evaluation.watched is not None:
        at = at_thresholds(evaluation.watched, evaluation.events.policy)
        events = evaluation.events.as_json() | {"at_thresholds": at}
    regions = None
    if evaluation.regions is not None:
        regions = evaluation.regions.as_json()
    return {
        "auc": evaluation.auc_percent,
        "auc_against_per_video_minmax": evaluation.gaps_percent,
        "frame_metrics": frames or None,
        "copy_last": copied or None,
        "event_metrics": events,
        "region_metrics": regions,
        "causal_bounds": evaluation.calibration,
        "local_bounds": evaluation.local_calibration,
        "alarms_by": evaluation.scheme,
        "scored_frames": len(updated),
        "memory_updated_share": float(updated.mean()),
        "reused_share": float(np.concatenate([clip.reused for clip in evaluation.clips]).mean()),
        "clips": clips,
    }


def columns(evaluation: Evaluation) -> dict[str, npt.NDArray[Any]]:
    """Return what `--scores` writes: `NN/psnr_db` and so on for each clip NN; see COLUMNS."""
    written: dict[str, npt.NDArray[Any]] = {}
    for clip in evaluation.clips:
        values = evaluation.values[clip.name]
        asked_for = COLUMNS
        if evaluation.scheme in PLACE_SCHEMES:
            asked_for = COLUMNS | PLACE_COLUMNS
        for name, column in asked_for.items():
            written[f"{clip.name}/{name}"] = column(clip, values)
        if evaluation.labels is not None:
            written[f"{clip.name}/label"] = evaluation.labels[clip.name]
    return written
