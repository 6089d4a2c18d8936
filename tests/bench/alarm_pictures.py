"""Alarm budgets on drawn scenes and public clips, scored with `places`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC
from math import nan

import numpy as np

from lookout.models.arrays import Pixels
from lookout.models.data.drawn_nuisances import Nuisances
from lookout.models.data.drawn_scene import FPS, KINDS, DrawnScene, SceneKind
from lookout.models.evaluation.events import ClipValue
from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.models.scoring.normalizer import LEARN_FRAMES, Normalizer, RawScores
from lookout.models.scoring.place_state import PlaceState
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
