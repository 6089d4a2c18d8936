"""One scene of `lookout benchmark`: learn its normal clips, score its labelled ones, measure.

The memory of places learns each normal clip in one pass; nothing else is trained. Its score stands
beside the copy of the last frame, on the same frames. All scores are causal and not normalised; the
bounds that make alarms of them come from the second half of the normal footage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from lookout.models.arrays import Floats, Pixels
from lookout.models.data.clips import clip_info, evaluation_clips, train_clips, whole_clip
from lookout.models.data.labels import FrameLabels, read_labels
from lookout.models.data.masks import read_masks
from lookout.models.errors import DataError
from lookout.models.evaluation.budget_course import BudgetCourse
from lookout.models.evaluation.copy_last import copy_scores
from lookout.models.evaluation.events import (
    ClipSeries,
    EventMetrics,
    alarm_spans,
    event_metrics,
)
from lookout.models.evaluation.frames import FrameMetrics, frame_metrics
from lookout.models.media.preprocess import Preprocess
from lookout.models.motion import MotionFeatures, PlacesConfig
from lookout.models.places import PlaceMemory
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.models.scoring.calibration import normal_range, scale, squash
from lookout.models.scoring.places import PlaceScore

SCORES = {
    "places": "memory of places",
    "copy_psnr": "copy of the last frame, PSNR",
    "copy_local": "copy of the last frame, local score",
}
"""Name of a score → what it is; higher is more abnormal."""

THRESHOLDS = 40
"""Thresholds that are tried for the recall at a rate of false alarms."""


@dataclass(frozen=True, slots=True)
class SceneScore:
    """The metrics of one score on one scene."""

    frames: FrameMetrics
    events: int | None  # None: the clips do not say their frame rate
    recall_percent: float | None  # of events, with at most the asked false alarms an hour
    budgeted: EventMetrics | None = None  # under a budget; None: not asked for, or no events


@dataclass(frozen=True, slots=True)
class SceneResult:
    """The result of one scene."""

    name: str
    normal_minutes: float | None  # of footage learned; None where it does not say its rate
    normal_frames: int
    learn_cpu_s: float
    score_cpu_ms: float  # a frame, of the memory of places
    scores: dict[str, SceneScore]  # by the names of SCORES

    def as_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "scene": self.name,
            "normal_minutes": self.normal_minutes,
            "normal_frames": self.normal_frames,
            "learn_cpu_s": self.learn_cpu_s,
            "score_cpu_ms_a_frame": self.score_cpu_ms,
            "scores": {
                name: score.frames.as_json()
                | {
                    "events": score.events,
                    "recall_percent": score.recall_percent,
                    "budgeted": score.budgeted.as_json() if score.budgeted else None,
                }
                for name, score in self.scores.items()
            },
        }


class PlaceScorer:
    """Scores clips as sessions of one camera, and learns those that are normal."""

    def __init__(self, config: PlacesConfig) -> None:
        self._config = config
        self._memory = PlaceMemory(config)

    def score(
        self, clip: Pixels, *, learn: bool, on_frame: Callable[[], None] = lambda: None
    ) -> Floats:
        """Return the score of each frame in dB, (N,); nan for the first.

        clip: (N, side_px, side_px, 3) uint8 RGB. A frame is learned after it is scored.
        """
        motion = MotionFeatures(self._config)
        score = PlaceScore(self._config)
        found = np.full(len(clip), np.nan)
        for number in range(1, len(clip)):
            features = motion.update((0, number), clip[number - 1], clip[number])
            found[number] = score.update((0, number), self._memory.distances(features))
            if learn:
                self._memory.learn(features)
            on_frame()
        return found


def every_score(
    places: PlaceScorer, clip: Pixels, *, learn: bool, on_frame: Callable[[], None]
) -> tuple[dict[str, Floats], float]:
    """Return the scores of a clip by the names of SCORES, and the CPU seconds of `places`."""
    began_s = time.process_time()
    of_places = places.score(clip, learn=learn, on_frame=on_frame)
    cpu_s = time.process_time() - began_s
    copied = copy_scores(clip)
    scores = {"places": of_places, "copy_psnr": -copied.psnr_db, "copy_local": copied.local_db}
    return scores, cpu_s


def run_scene(
    data: Path,
    policy: AlertPolicy,
    *,
    normal_minutes: float | None = None,
    false_alarms_per_hour: float = 1.0,
    alarms_per_day: float | None = None,
    began: datetime | None = None,
    fps: float | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> SceneResult:
    """Learn and score one scene: a folder of train/, test/ and labels.

    policy: of the alarms; its threshold is replaced. normal_minutes: of footage to learn; None: all
    there is. alarms_per_day: budget that is tried as well, on the footage behind the bounds and
    then on the test clips. began: when the normal footage began, with its time zone, if the test
    clips follow on it: the budget then knows the hour. None: nobody knows. fps: frame rate of clips
    that do not say theirs. on_frame: called for each frame.
    Raises DataError where labels or normal clips are missing, VideoError for an unreadable clip.
    """
    config = PlacesConfig()
    preprocess = Preprocess(config.side_px, config.side_px)
    tests = evaluation_clips(data)
    truths = read_labels(data, tests, read_masks(data, tests))
    if truths is None:
        raise DataError(f"{data.name} has no labels: there is nothing to measure")
    normal = train_clips(data)
    if normal == tests:
        raise DataError(f"{data.name} has no folder of normal clips, such as train/")
    places = PlaceScorer(config)
    rate = clip_info(normal[0]).fps or fps
    wanted = None
    if normal_minutes is not None:
        if rate is None:
            raise DataError(f"{normal[0].name} does not say its frame rate (--fps)")
        wanted = round(normal_minutes * 60 * rate)
    learned: list[dict[str, Floats]] = []
    learned_frames = 0
    learn_cpu_s = 0.0
    for clip in normal_footage(normal, preprocess, wanted):
        scores, cpu_s = every_score(places, clip, learn=True, on_frame=on_frame)
        learned.append(scores)
        learned_frames += len(clip)
        learn_cpu_s += cpu_s
    found: dict[str, dict[str, Floats]] = {name: {} for name in SCORES}
    labels: dict[str, FrameLabels] = {}
    score_cpu_s = 0.0
    for path in tests:
        clip = whole_clip(path, preprocess, 2)
        scores, cpu_s = every_score(places, clip, learn=False, on_frame=on_frame)
        score_cpu_s += cpu_s
        labels[path.stem] = truths[path.stem].of(len(clip))
        for name, values in scores.items():
            found[name][path.stem] = values
    rates = {path.stem: clip_info(path).fps or fps for path in tests}
    measured = {}
    for name, values_of in found.items():
        usual = np.concatenate([scores[name] for scores in learned])
        measured[name] = measure_score(
            values_of,
            usual,
            labels,
            rates,
            policy,
            false_alarms_per_hour=false_alarms_per_hour,
            alarms_per_day=alarms_per_day,
            began=began,
            normal_rate=rate,
        )
    return SceneResult(
        name=data.name,
        normal_minutes=learned_frames / rate / 60 if rate else None,
        normal_frames=learned_frames,
        learn_cpu_s=learn_cpu_s,
        score_cpu_ms=1000 * score_cpu_s / sum(map(len, labels.values())),
        scores=measured,
    )


def measure_score(
    values_of: dict[str, Floats],
    usual: Floats,
    labels: dict[str, FrameLabels],
    rates: dict[str, float | None],
    policy: AlertPolicy,
    *,
    false_alarms_per_hour: float,
    alarms_per_day: float | None,
    began: datetime | None,
    normal_rate: float | None,
) -> SceneScore:
    """Return the metrics of one score; the second half of the normal footage sets its bounds.

    values_of: (N,) of the frames of each test clip, not normalised, higher is more abnormal. usual:
    (M,) of the normal footage. rates: frames a second of each test clip; normal_rate: of the normal
    footage; None: not known. The others are as for `run_scene`.
    """
    settled = len(usual) // 2
    low, high = normal_range(usual[np.isfinite(usual)][settled:])
    watched = series(values_of, labels, rates, low, high)
    events = None
    recall = None
    budgeted = None
    if watched:
        events, recall = recall_at(watched, policy, false_alarms_per_hour)
    if watched and alarms_per_day is not None and normal_rate is not None:
        budget = BudgetCourse(alarms_per_day, policy, began.tzinfo if began else None)
        began_s = began.timestamp() if began else 0.0
        behind = as_values(usual[settled:], low, high)
        settled_s = began_s + settled / normal_rate
        alarm_spans(behind, normal_rate, policy, budget, -1, settled_s)
        tested_s = settled_s + len(behind) / normal_rate
        budgeted = event_metrics(watched, policy, budget, tested_s)
    return SceneScore(frame_metrics(labels, values_of), events, recall, budgeted)


def normal_footage(
    paths: list[Path], preprocess: Preprocess, frames: int | None
) -> Iterator[Pixels]:
    """Yield normal clips, one in memory at a time, until there are so many frames; None: all."""
    left = frames
    for path in paths:
        clip = whole_clip(path, preprocess, 2)[:left]
        if len(clip) < 2:
            return
        yield clip
        if left is not None:
            left -= len(clip)


def series(
    scores: dict[str, Floats],
    labels: dict[str, FrameLabels],
    rates: dict[str, float | None],
    low: float,
    high: float,
) -> dict[str, ClipSeries]:
    """Return scores as live values by the bounds of normal footage; empty without a frame rate."""
    found = {}
    for name, numbers in scores.items():
        rate = rates[name]
        if rate is None:
            return {}
        found[name] = ClipSeries(0, 0, rate, as_values(numbers, low, high), labels[name])
    return found


def as_values(scores: Floats, low: float, high: float) -> Floats:
    """Return scores (N,) as live values by the bounds of normal footage; nan stays nan."""
    return np.array([squash(scale(number - low, high - low)) for number in scores.tolist()])


def recall_at(
    watched: dict[str, ClipSeries], policy: AlertPolicy, false_alarms_per_hour: float
) -> tuple[int, float | None]:
    """Return the number of events, and the best recall in percent at that rate of false alarms.

    Thresholds are quantiles of the values, so that every score is tried at as many of its own.
    """
    values = np.concatenate([clip.values for clip in watched.values()])
    known = np.sort(values[np.isfinite(values)])
    best = 0.0
    events = 0
    for threshold in np.unique(np.quantile(known, np.linspace(0.2, 1, THRESHOLDS))):
        if threshold <= policy.hysteresis:
            continue
        metrics = event_metrics(watched, replace(policy, threshold=float(threshold)))
        events = len(metrics.events)
        rate = metrics.false_alarms_per_hour
        if rate is None or rate <= false_alarms_per_hour:
            best = max(best, metrics.recall_percent or 0.0)
    return events, best if events else None
