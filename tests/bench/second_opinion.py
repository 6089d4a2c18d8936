"""Measure whether `memae-table` on the events of a detector tells true events from false ones.

    python -m tests.bench.second_opinion --ped2 ped2/

The detector is the memory of places. An event is the worst region that stands out of a frame; its
row holds size, speed, place and hour. One part of the normal footage fills the memory of places,
events of another part train `memae-table`, and a third part, into which anomalies are made, is
measured: how well each score separates events of abnormal frames from those of normal ones. No
label of a test set is read.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from lookout.models.arrays import Pixels
from lookout.models.data.clips import train_clips, whole_clip
from lookout.models.data.drawn_scene import FPS, DrawnScene, SceneKind
from lookout.models.data.synthetic_anomalies import KINDS, draw, with_anomaly
from lookout.models.media.preprocess import Preprocess
from lookout.models.memae_table import MemAETableConfig
from lookout.models.motion import MotionFeatures, PlacesConfig
from lookout.models.places import PlaceMemory
from lookout.models.scoring.places import STANDS_OUT, PlaceScore
from lookout.models.tables.reading import Table, TableColumn
from lookout.models.tables.training import TableOptions, train_table

SCORES = ("detector", "memae-table", "mean row", "both")
COLUMNS = ("size", "speed", "across", "down", "hour")
LEAST_TO_TRAIN = 1.0
"""Multiple of the usual distance from which a normal event is trained on: few stand out."""

SCENES: tuple[SceneKind, ...] = ("street",)
HOURS = (1, 7, 13, 19)
"""Of the day, at which a piece of drawn footage begins."""

PIECE_FRAMES = 200


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive frames with the truth of each."""

    frames: Pixels  # (N, H, W, 3) uint8 RGB
    abnormal: NDArray[np.bool_]  # (N,)
    hour: float  # of the day, of the first frame


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """The worst region of a frame."""

    distance: float  # multiple of the usual one: the detector's own score
    row: tuple[float, ...]  # by COLUMNS
    abnormal: bool


class Detector:
    """The memory of places, filled with normal footage, and then left as it is."""

    def __init__(self) -> None:
        self.config = PlacesConfig()
        self.memory = PlaceMemory(self.config)

    def learn(self, pieces: Iterable[Piece]) -> None:
        """Take in normal pieces."""
        for piece in pieces:
            motion = MotionFeatures(self.config)
            for number in range(1, len(piece.frames)):
                before, frame = piece.frames[number - 1 : number + 1]
                self.memory.learn(motion.update((0, number), before, frame))

    def events(self, pieces: Iterable[Piece], least: float) -> Iterator[FoundEvent]:
        """Yield the worst region of each frame that has one; least: multiple of the usual."""
        for piece in pieces:
            motion = MotionFeatures(self.config)
            score = PlaceScore(self.config)
            for number in range(1, len(piece.frames)):
                before, frame = piece.frames[number - 1 : number + 1]
                features = motion.update((0, number), before, frame)
                score.update((0, number), self.memory.distances(features))
                for region in score.regions(self.memory, features, least)[:1]:
                    left, top, width, height = region.box_px
                    row = (
                        math.log1p(region.area_px),
                        region.speed.seen,
                        (left + width / 2) / self.config.side_px,
                        (top + height / 2) / self.config.side_px,
                        piece.hour + number / FPS / 3600,
                    )
                    yield FoundEvent(region.distance, row, bool(piece.abnormal[number]))


def table_of(events: list[FoundEvent]) -> Table:
    """Return the rows of events as a table without labels."""
    rows = np.array([event.row for event in events])
    columns = [TableColumn(name, rows[:, at]) for at, name in enumerate(COLUMNS)]
    return Table("events", tuple(columns))


def measure(name: str, learned: list[Piece], rows: list[Piece], tested: list[Piece]) -> str:
    """Return the line of the table for one scene."""
    detector = Detector()
    detector.learn(learned)
    usual = list(detector.events(rows, LEAST_TO_TRAIN))
    events = list(detector.events(tested, STANDS_OUT))
    truth = np.array([event.abnormal for event in events])
    model = train_table(table_of(usual), MemAETableConfig(), TableOptions())
    assert model is not None
    table = table_of(events)
    own = np.array([event.distance for event in events])
    second = model.scores(table)
    both = own.argsort().argsort() + second.argsort().argsort()  # the sum of their ranks
    of_each = (own, second, model.distances_from_mean(table), both)
    cells = ["no AUC"] * len(SCORES)
    if truth.any() and not truth.all():
        cells = [f"{100 * roc_auc_score(truth, one):.2f}" for one in of_each]
    counts = [len(usual), len(events), int(truth.sum())]
    return "| " + " | ".join([name, *map(str, counts), *cells]) + " |"


def drawn_pieces(kind: SceneKind, day: int, anomalies_per_hour: float) -> list[Piece]:
    """Return a piece of a drawn scene for each of HOURS of a day."""
    pieces = []
    for hour in HOURS:
        scene = DrawnScene(
            kind, 1, anomalies_per_hour=anomalies_per_hour, start_hour=24 * day + hour
        )
        frames = np.stack(list(scene.frames(PIECE_FRAMES)))
        truth = np.array([scene.is_abnormal(number) for number in range(PIECE_FRAMES)])
        pieces.append(Piece(frames, truth, hour))
    return pieces


def with_anomalies(clips: list[Pixels]) -> list[Piece]:
    """Return each clip with an anomaly of each kind."""
    pieces = []
    for number, clip in enumerate(clips):
        for at, kind in enumerate(KINDS):
            anomaly = draw(kind, clip, 2, 1, (number, at))
            truth = np.zeros(len(clip), np.bool_)
            truth[anomaly.abnormal.start : anomaly.abnormal.stop] = True
            pieces.append(Piece(with_anomaly(clip, anomaly, range(len(clip))), truth, 12.0))
    return pieces


def as_normal(clips: list[Pixels]) -> list[Piece]:
    """Return clips as pieces without anything abnormal."""
    return [Piece(clip, np.zeros(len(clip), np.bool_), 12.0) for clip in clips]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.second_opinion")
    parser.add_argument("--ped2", type=Path, help="UCSD Ped2; its test clips are not read")
    asked = parser.parse_args()
    print("| scene | normal events | events | abnormal | " + " | ".join(SCORES) + " |")
    print("|" + "---|" * 8, flush=True)
    if asked.ped2 is not None:
        side_px = PlacesConfig().side_px
        paths = train_clips(asked.ped2)
        clips = [whole_clip(path, Preprocess(side_px, side_px), 2) for path in paths]
        parts = (as_normal(clips[:5]), as_normal(clips[5:10]), with_anomalies(clips[10:13]))
        print(measure("Ped2", *parts), flush=True)
    for kind in SCENES:
        drawn = (drawn_pieces(kind, 0, 0), drawn_pieces(kind, 1, 0), drawn_pieces(kind, 2, 120))
        print(measure(f"drawn {kind}", *drawn), flush=True)


if __name__ == "__main__":
    main()
