"""Measure how much a memory of places loses where part of what it learns is abnormal.

    python -m tests.bench.poisoned [--minutes 10] [--share 0.05]

Drawn scenes, twice the same traffic: once as it is, and once with anomalies in so large a share of
the frames. Both memories then score the same footage that follows, with labelled anomalies. Printed
for each: recall of events at the camera's default threshold, with false alarms an hour, and frame
AUC.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from lookout.models.arrays import Floats, Pixels
from lookout.models.data.drawn_scene import FPS, KINDS, DrawnScene, SceneKind
from lookout.models.evaluation.benchmark import PlaceScorer, as_values
from lookout.models.evaluation.events import ClipSeries, event_metrics
from lookout.models.motion import PlacesConfig
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.models.scoring.calibration import normal_range

ANOMALIES_PER_HOUR = 240.0
START_HOUR = 9.0


@dataclass(frozen=True, slots=True)
class Learned:
    """Figures of one memory on the test footage."""

    abnormal_percent: float  # of what it learned
    events: int
    recall_percent: float
    false_alarms_per_hour: float
    auc_percent: float

    def line(self) -> str:
        """Return the figures for a person."""
        return (
            f"{self.abnormal_percent:4.1f} % abnormal: recall {self.recall_percent:5.1f} % of "
            f"{self.events} events, {self.false_alarms_per_hour:.1f} false alarms an hour, "
            f"frame AUC {self.auc_percent:.1f} %"
        )


def footage(
    kind: SceneKind, seed: int, frames: int, share: float
) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """Return frames to learn, (N, 256, 256, 3) uint8 RGB, and which of them are abnormal, (N,).

    share: of the frames, the first abnormal ones of the scene with anomalies.
    """
    clean = DrawnScene(kind, seed, start_hour=START_HOUR)
    other = DrawnScene(kind, seed, start_hour=START_HOUR, anomalies_per_hour=ANOMALIES_PER_HOUR)
    abnormal = np.array([other.is_abnormal(index) for index in range(frames)])
    abnormal &= np.cumsum(abnormal) <= share * frames
    scenes = [other if is_abnormal else clean for is_abnormal in abnormal]
    return np.stack([scene.frame(index) for index, scene in enumerate(scenes)]), abnormal


def measure(kind: SceneKind, seed: int, frames: int, share: float) -> Learned:
    """Learn so many frames, of which a share is abnormal, and score as many behind them."""
    learned, abnormal = footage(kind, seed, frames, share)
    places = PlaceScorer(PlacesConfig())
    usual = places.score(learned, learn=True)
    low, high = normal_range(usual[np.isfinite(usual)][frames // 2 :])
    tested = DrawnScene(
        kind,
        seed,
        start_hour=START_HOUR + frames / FPS / 3600,
        anomalies_per_hour=ANOMALIES_PER_HOUR,
    )
    clip = np.stack(list(tested.frames(frames)))
    labels = np.array([tested.is_abnormal(index) for index in range(frames)])
    scores: Floats = places.score(clip, learn=False)
    watched = {"test": ClipSeries(0, 0, FPS, as_values(scores, low, high), labels)}
    found = event_metrics(watched, AlertPolicy())
    known = np.isfinite(scores)
    return Learned(
        100 * float(abnormal.mean()),
        len(found.events),
        found.recall_percent or 0.0,
        found.false_alarms_per_hour or 0.0,
        100 * float(roc_auc_score(labels[known], scores[known])),
    )


def report(minutes: float, share: float, kinds: tuple[SceneKind, ...]) -> Iterator[str]:
    """Yield two lines a scene: learned clean, and poisoned."""
    frames = round(minutes * 60 * FPS)
    for kind in kinds:
        for part in (0.0, share):
            yield f"{kind:9} {measure(kind, 3, frames, part).line()}"


def main() -> None:
    """Print both figures of every scene."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--share", type=float, default=0.05)
    asked = parser.parse_args()
    for line in report(asked.minutes, asked.share, KINDS):
        print(line, flush=True)


if __name__ == "__main__":
    main()
