"""Compare parts of an offline score, fused and smoothed, chosen without a label.

    python -m tests.bench.offline --checkpoint C [--checkpoint D]
        --data ped2/ --held-out 03,12 [--test]

Each part (the paper's score and the local one of each checkpoint) is scaled over its own video, as
published scores are; no live camera can do this. The choice is made on whole held-out normal clips
with a synthetic anomaly of one of four kinds; `--test` adds the frame AUC over the labelled clips,
which has no part in the choice.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from lookout.models.arrays import Floats, Pixels
from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.data.clips import evaluation_clips, train_clips, whole_clip
from lookout.models.data.labels import read_labels
from lookout.models.data.synthetic_anomalies import KINDS, draw, with_anomaly
from lookout.models.evaluation.clip_scores import ClipScorer, ClipScores, score_clips
from lookout.models.memory_update import UpdateRule
from lookout.models.scorer import Scorer
from lookout.models.scoring.metrics import minmax, value_minmax


@dataclass(frozen=True, slots=True)
class Video:
    """One entry a frame that every checkpoint scores."""

    kind: str  # of the anomaly made into it; empty: it has real ones
    parts: dict[str, Floats]  # by name, each 0 to 1 over the video
    truth: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Smoothing:
    """The mean of a frame, frames before it and frames after; the latter are a delay."""

    before: int = 0
    after: int = 0

    def __str__(self) -> str:
        if not self.before:
            return ""
        return f", mean of {self.before + 1 + self.after}" + (
            f", {self.after} of them ahead" if self.after else ""
        )

    def of(self, values: Floats) -> Floats:
        """Return the mean over the window around each frame; values: (N,)."""
        frames = range(len(values))
        return np.array(
            [values[max(0, i - self.before) : i + 1 + self.after].mean() for i in frames]
        )


SMOOTHINGS = Smoothing(), Smoothing(7), Smoothing(15), Smoothing(4, 4), Smoothing(8, 8)


@dataclass(frozen=True, slots=True)
class Way:
    """Parts that are added, and how their sum is smoothed."""

    names: tuple[str, ...]
    smoothing: Smoothing

    def __str__(self) -> str:
        return " + ".join(self.names) + str(self.smoothing)

    def auc_percent(self, videos: list[Video]) -> float:
        """Return the AUC over the frames of all videos together (micro), in percent."""
        values = [
            self.smoothing.of(sum((video.parts[name] for name in self.names), np.zeros(1)))
            for video in videos
        ]
        truth = np.concatenate([video.truth for video in videos])
        return 100 * float(roc_auc_score(truth, np.concatenate(values)))


def ways(names: list[str]) -> list[Way]:
    """Return every part, and every two of them with equal weights, each smoothed or not."""
    chosen = [*((name,) for name in names), *combinations(names, 2)]
    return [Way(part, smoothing) for part in chosen for smoothing in SMOOTHINGS]


def of_kinds(way: Way, made: list[Video]) -> float:
    """Return the mean over the kinds of anomaly."""
    return float(
        np.mean(
            [way.auc_percent([video for video in made if video.kind == kind]) for kind in KINDS]
        )
    )


class Ensemble:
    """Checkpoints whose scores belong to the same frames, each with its rule of the memory's
    update.
    """

    def __init__(
        self, scorers: dict[str, Scorer], rules: dict[str, UpdateRule] | None = None
    ) -> None:
        self.scorers, self.rules = scorers, rules or {}  # without a rule: as published
        (self.t_length,) = {scorer.t_length for scorer in scorers.values()}
        (self.scored,) = {scorer.input_spec.scored for scorer in scorers.values()}

    def made(self, path: Path, draws: int) -> Iterator[Video]:
        """Yield a normal clip with each kind of anomaly, `draws` times."""
        size = next(iter(self.scorers.values())).checkpoint.preprocess
        clip = whole_clip(path, size, self.t_length)
        for number in range(draws):
            for place, kind in enumerate(KINDS):
                anomaly = draw(kind, clip, self.t_length, self.scored, (number, place, len(clip)))
                pixels = with_anomaly(clip, anomaly, range(len(clip)))
                scores = {name: self._of_clip(name, path.stem, pixels) for name in self.scorers}
                abnormal = np.array(
                    [frame in anomaly.abnormal for frame in range(len(clip))], np.uint8
                )
                yield self._video(scores, abnormal, kind)

    def labelled(self, data: Path) -> Iterator[Video]:
        """Yield the labelled clips; the memory is carried from clip to clip, as published."""
        paths = evaluation_clips(data)
        truths = read_labels(data, paths, None)
        assert truths is not None, "the labelled clips have no labels"
        every = [
            list(score_clips(scorer, paths, carry_memory=True, rule=self.rules.get(name)))
            for name, scorer in self.scorers.items()
        ]
        for clips in zip(*every, strict=True):
            truth = truths[clips[0].name].of(clips[0].frames)
            yield self._video(dict(zip(self.scorers, clips, strict=True)), truth, "")

    def _of_clip(self, name: str, clip: str, pixels: Pixels) -> ClipScores:
        """Return the scores of one clip by the scorer of this name."""
        return ClipScorer(self.scorers[name], rule=self.rules.get(name)).score(clip, pixels)

    def _video(
        self, scores: dict[str, ClipScores], truth: npt.NDArray[np.uint8], kind: str
    ) -> Video:
        """Return the parts of one clip by every scorer, with its labels."""
        parts = {}
        for name, found in scores.items():
            fusion_weight = self.scorers[name].checkpoint.config.fusion_weight
            parts[f"{name} paper"] = value_minmax(found.psnr_db, found.distance, fusion_weight)
            parts[f"{name} local"] = minmax(found.local_db)
        frames = len(next(iter(parts.values())))
        return Video(kind, parts, truth[self.scored :][:frames])


def main() -> None:
    """Print a table of all ways for the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.offline")
    parser.add_argument("--checkpoint", type=Path, action="append", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", required=True, help="names of normal clips, with commas")
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument(
        "--test", action="store_true", help="the frame AUC over the labelled clips as well"
    )
    given = parser.parse_args()
    names = {path: path.stem.split(".")[0] for path in given.checkpoint}
    if len(set(names.values())) < len(given.checkpoint):
        parser.error("two checkpoints of one name: a row could not say which is meant")
    group = Ensemble(
        {
            name: Scorer(load_checkpoint(path), "cpu", given.precision)
            for path, name in names.items()
        }
    )
    paths = {path.stem: path for path in train_clips(given.data)}
    made = [
        video
        for name in given.held_out.split(",")
        for video in group.made(paths[name], given.draws)
    ]
    test = list(group.labelled(given.data)) if given.test else None
    found = {way: of_kinds(way, made) for way in ways(list(made[0].parts))}
    print(
        "| score | made anomalies |"
        + (" labelled clips |" if test else "")
        + "\n|---|---|"
        + "---|" * bool(test)
    )
    for way, auc in sorted(found.items(), key=lambda one: -one[1]):
        print(f"| {way} | {auc:.2f} |" + (f" {way.auc_percent(test):.2f} |" if test else ""))


if __name__ == "__main__":
    main()
