"""Alarm budgets on drawn scenes and public clips, scored with `places`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC
from math import nan

import numpy as np
import torch

from lookout.models.arrays import Pixels
from lookout.models.data.drawn_nuisances import Nuisances
from lookout.models.data.drawn_scene import FPS, KINDS, DrawnScene, SceneKind
from lookout.models.evaluation.events import ClipValue
from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.models.scoring.local import LASTS, LocalScore
from lookout.models.scoring.normalizer import LEARN_FRAMES, Normalizer, RawScores
from lookout.models.scoring.place_state import PlaceState
from lookout.models.vision.tensors import as_levels, heatmap
from tests.bench.watched_budget import FIRST_MONDAY_S, Watched, table
from tests.conftest import SHARED

FIRST_HOUR = 9  # of drawn scenes
FRAMES_A_MINUTE = 5


class Places:
    """The values that a new camera with `places` shows, frame by frame."""

    def __init__(self) -> None:
        self._places = PlaceState(LEARN_FRAMES // 2)
        self._normalizer = Normalizer(None, LEARN_FRAMES // 2, "places")
        self._former: tuple[tuple[int, int], Pixels] | None = None

    def value(self, frame_id: tuple[int, int], frame: Pixels) -> float | None:
        """Return the value of the next frame; None while learning."""
        former = self._former
        self._former = (frame_id, frame)
        if former is None or former[0] != (frame_id[0], frame_id[1] - 1):
            return None
        motion = self._places.features(frame_id, former[1], frame)
        place_db = self._places.measure(frame_id, motion)
        value = self._normalizer.value(RawScores(0.0, 0.0, nan, 0.0, place_db))
        self._places.learn(motion, value if self._normalizer.settled else None)
        return value


class LocalCopy:
    """The values of a camera with the local score and no network: the last frame is copied."""

    def __init__(self) -> None:
        self._normalizer = Normalizer(None, LEARN_FRAMES, "local")
        self._local = LocalScore()
        self._run: list[Pixels] = []
        self._newest_id: tuple[int, int] | None = None

    def value(self, frame_id: tuple[int, int], frame: Pixels) -> float | None:
        """Return the value of the next frame; None while learning, and for the first of a run."""
        newest = self._newest_id
        if newest is None or frame_id != (newest[0], newest[1] + 1):
            self._run.clear()
        self._newest_id = frame_id
        self._run = [*self._run[-LASTS:], frame]
        if len(self._run) < 2:
            return None
        pair = torch.from_numpy(np.stack(self._run[-2:])).permute(0, 3, 1, 2).float() / 255
        cells = as_levels(heatmap((pair[1:] - pair[:1]).square()))[0]
        local_db = self._local.update(frame_id, cells)
        if len(self._run) <= LASTS:
            return None
        return self._normalizer.value(RawScores(0.0, 0.0, nan, local_db))


def scenes(
    minutes: float,
    budgets: Sequence[float] = (288, 24),
    nuisances: Sequence[Nuisances] = ("usual", "other"),
) -> Iterator[str]:
    """Yield the table of drawn scenes, from 9 o'clock on, with an event about every ten minutes."""
    found = []
    for kind in KINDS:
        for which in nuisances:
            scene = DrawnScene(
                kind, 7, nuisances=which, anomalies_per_hour=6, start_hour=FIRST_HOUR
            )
            places = Places()
            watched = [Watched(f"{kind}, {which}", per_day) for per_day in budgets]
            for number in range(int(minutes * 60 * FPS)):
                value = places.value((0, number), scene.frame(number))
                score = ClipValue(number / FPS, value)
                for one in watched:
                    one.see(score, is_abnormal=value is not None and scene.is_abnormal(number))
            found += watched
            for one in watched:
                print(one.row(), file=sys.stderr, flush=True)  # it takes long
    yield from table(found)


def days_of_pictures(
    days: float,
    kinds: Sequence[SceneKind] = KINDS,
    budgets: Sequence[float] = (24, 4),
    nuisances: Sequence[Nuisances] = ("usual", "other"),
) -> Iterator[str]:
    """Yield the table of drawn scenes from midnight on, without events, and the CPU minutes.

    Of each minute five frames are scored, and the highest value of them is its score: a day of a
    scene is 2 minutes of CPU instead of 110. "other" nuisances judge: nothing is tuned on them.
    """
    policy = AlertPolicy(min_duration_s=0.0, clear_after_s=180.0, quiet_after_s=90.0)
    began_s = time.process_time()
    found = []
    for which in nuisances:
        for kind in kinds:
            scene = DrawnScene(kind, 7, nuisances=which)
            places = Places()
            watched = [Watched(f"{kind}, {which}", each, policy, UTC) for each in budgets]
            for minute in range(round(days * 24 * 60)):
                first = minute * 60 * FPS
                values = [
                    places.value((0, number), scene.frame(number))
                    for number in range(first, first + FRAMES_A_MINUTE + 1)
                ]
                known = [value for value in values if value is not None]
                score = ClipValue(FIRST_MONDAY_S + minute * 60.0, max(known, default=None))
                for one in watched:
                    one.see(score, is_abnormal=False)
            found += watched
            for one in watched:
                print(one.row(), file=sys.stderr, flush=True)  # it takes long
    yield from table(found)
    yield f"{(time.process_time() - began_s) / 60:.1f} minutes of CPU"


def hours_of_pictures(
    kinds: Sequence[SceneKind] = KINDS,
    scores: Sequence[str] = ("local",),
    learn_days: int = 7,
    days: int = 14,
    per_day: float = 4,
    seed: int = 7,
) -> Iterator[str]:
    """Yield what one threshold and one by the hour notice in pictures, and the CPU minutes.

    From a Monday on, something passes six times an hour on workdays from 13 to 16 h, and once in
    each night, which is the event. Of each minute six frames are scored: while it passes, or else
    the first. The first days are to learn from and are not counted.
    """
    policy = AlertPolicy(min_duration_s=0.0, clear_after_s=180.0, quiet_after_s=90.0)
    began_s = time.process_time()
    for score in scores:
        for kind in kinds:
            scene = DrawnScene(kind, seed, is_hourly=True)
            scorer = Places() if score == "places" else LocalCopy()
            both = [Watched("one threshold", per_day, policy)]
            both.append(Watched("by the hour", per_day, policy, UTC))
            before: list[tuple[int, int, int]] = []
            for minute in range(FIRST_HOUR * 60, (learn_days + days) * 24 * 60):
                if minute == learn_days * 24 * 60:
                    before = [(one.events, len(one.delays_s), one.false) for one in both]
                passing = [
                    one for one in scene.passages_of_minute(minute) if one.flow == scene.plan.hourly
                ]
                at_s = minute * 60.0
                if passing:
                    at_s = passing[0].start_s + (passing[0].end_s - passing[0].start_s) / 3
                first = round(at_s * FPS)
                values = [
                    scorer.value((0, number), scene.frame(number))
                    for number in range(first, first + LASTS + 1)
                ]
                known = [value for value in values if value is not None]
                value = ClipValue(FIRST_MONDAY_S + minute * 60.0, max(known, default=None))
                is_abnormal = any(one.is_anomaly for one in passing)
                for one in both:
                    one.see(value, is_abnormal=is_abnormal)
            for one, (events, noticed, false) in zip(both, before, strict=True):
                yield (
                    f"{score:6} {kind:9} {one.name:13} {per_day:g} a day, {days} days: "
                    f"{len(one.delays_s) - noticed} of {one.events - events} events at a wrong "
                    f"hour noticed; {(one.false - false) / days:.2f} false alarms a day"
                )
    yield f"{(time.process_time() - began_s) / 60:.1f} minutes of CPU"


def clips(budgets: Sequence[float] = (288, 24)) -> Iterator[str]:
    """Yield the table of the public normal clips, each scene's in a random order."""
    found = []
    for name in ("ped1", "ped2"):
        paths = sorted((SHARED / "data" / name / "train").iterdir())
        np.random.default_rng(0).shuffle(paths)
        places = Places()
        watched = [Watched(f"{name}, random order", per_day) for per_day in budgets]
        for session, path in enumerate(paths):
            for number, frame in enumerate(read_clip(path, Preprocess())):
                value = places.value((session, number), frame)
                for one in watched:
                    one.see(ClipValue(number / 10, value, session), is_abnormal=False)
        found += watched
    yield from table(found)
