"""Compare ways of making a score from a checkpoint's errors: choose one, then try it on events.

    python -m tests.bench.schemes --checkpoint C --data ped2/ --held-out 03,12

The choice is made on synthetic anomalies in held-out normal clips
(`lookout.models.data.synthetic_anomalies`), each kind `--draws` times a clip, against the normal
frames of those clips; the usual errors come from the other normal clips. `--test` adds, for the
same ways, the frame AUC over the labelled clips, which has no part in the choice.

The error of a frame is its mean (PSNR) or its worst window. Windows are 4 to 12 cells (16 to 48 px
of 256) wide, absolute or relative to the usual error there, at once or where they last. Scores are
those of a frame, or trailing means.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from lookout.models.arrays import PEAK, Floats
from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.data.clips import evaluation_clips, train_clips, whole_clip
from lookout.models.data.labels import read_labels
from lookout.models.data.synthetic_anomalies import KINDS
from lookout.models.evaluation.clip_scores import ClipScorer, ClipScores, score_clips
from lookout.models.scorer import Scorer
from lookout.models.scoring.metrics import minmax, value_minmax

BEFORE = 8
"""The normal frames scored before an anomaly begins, and the frames of it that do not count.

No trailing mean can know at once, and what is to be found lasts for seconds.
"""

FLOOR = 0.1
"""The least usual error of a window, as a share of the mean usual error: in some windows nothing
ever happens.
"""


@dataclass(frozen=True, slots=True)
class Clip:
    """The errors of one clip, frame by frame, and which frames are anomalous."""

    psnr_db: Floats
    distance: Floats
    cells: Floats  # (N, 64, 64): mean squared error
    truth: npt.NDArray[np.uint8] | None = None
    kind: str = ""  # of a made anomaly
    begins: int = 0  # its first frame among those scored

    @classmethod
    def of(cls, scores: ClipScores) -> Clip:
        """Return the errors of scores that kept their heatmaps."""
        assert scores.heat is not None
        return cls(scores.psnr_db, scores.distance, (scores.heat.astype(np.float64) / PEAK) ** 2)


@dataclass(frozen=True, slots=True)
class Way:
    """A way of scoring.

    Windows of `cells` (0: the frame's mean), relative or not, over frames, smoothed.
    """

    cells: int
    lasts: int = 1  # a window counts with its least error over so many frames
    trailing: int = 1
    against_usual: bool = False

    def __str__(self) -> str:
        parts = [f"window of {self.cells * 4} px" if self.cells else "PSNR"]
        parts += ["against the usual there"] if self.against_usual else []
        parts += [f"lasts {self.lasts}"] if self.lasts > 1 else []
        parts += [f"mean of the last {self.trailing}"] if self.trailing > 1 else []
        return ", ".join(parts)

    def scores(self, clip: Clip, usual: Floats) -> Floats:
        """dB, one entry a frame; usual: (64, 64)."""
        if self.cells == 0:
            return _trailing(-clip.psnr_db, self.trailing)
        errors = _windows(clip.cells, self.cells)
        if self.against_usual:
            errors /= _windows(usual[None], self.cells) + FLOOR * usual.mean()
        errors = np.stack(
            [errors[max(0, i + 1 - self.lasts) : i + 1].min(axis=0) for i in range(len(errors))]
        )
        return _trailing(10 * np.log10(errors.reshape(len(errors), -1).max(axis=1)), self.trailing)


WAYS = [
    *(Way(0, trailing=trailing) for trailing in (1, 8)),
    *(
        Way(cells, lasts, trailing)
        for cells in (4, 6, 8, 12)
        for lasts in (1, 3, 5, 7, 9)
        for trailing in (1, 8)
    ),
    *(Way(cells, lasts, 8, against_usual=True) for cells in (6, 12) for lasts in (1, 3)),
]


def _windows(cells: Floats, side: int) -> Floats:
    """Mean of every window: (N, 64, 64) → (N, 65 - side, 65 - side)."""
    total = np.pad(cells.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    sums = (
        total[:, side:, side:]
        - total[:, :-side, side:]
        - total[:, side:, :-side]
        + total[:, :-side, :-side]
    )
    errors: Floats = np.maximum(sums, 0) / side**2 + 1e-10
    return errors


def _trailing(scores: Floats, frames: int) -> Floats:
    """Return the mean of the last `frames` scores at each frame, (N,)."""
    return np.array([scores[max(0, i + 1 - frames) : i + 1].mean() for i in range(len(scores))])


def _made(scorer: Scorer, path: Path, draws: int) -> Iterator[Clip]:
    """Return the clip's frames with one anomaly of each kind, `draws` times.

    From a little before the anomaly to its end.
    """
    clip = whole_clip(path, scorer.checkpoint.preprocess, scorer.t_length)
    first = scorer.input_spec.scored
    for draw in range(draws):
        for number, (kind, make) in enumerate(KINDS.items()):
            rng = np.random.default_rng((draw, number, len(clip)))
            anomaly = make(clip, range(first, len(clip) - (scorer.t_length - 1 - first)), rng)
            start = max(0, anomaly.abnormal.start - BEFORE - first)
            frames = range(
                start, min(len(clip), anomaly.abnormal.stop + scorer.t_length - 1 - first)
            )
            pixels = np.stack([anomaly.frame(clip, index) for index in frames])
            found = Clip.of(ClipScorer(scorer).score(path.stem, pixels, keep_heat=True))
            begins = anomaly.abnormal.start - start - first
            yield Clip(found.psnr_db, found.distance, found.cells, kind=kind, begins=begins)


def _normal(scorer: Scorer, paths: list[Path]) -> list[Clip]:
    """Return the errors of normal clips."""
    size, frames = scorer.checkpoint.preprocess, scorer.t_length
    clips = ((path.stem, whole_clip(path, size, frames)) for path in paths)
    return [Clip.of(ClipScorer(scorer).score(*clip, keep_heat=True)) for clip in clips]


def _auc(normal: Floats, abnormal: Floats) -> float:
    """Return the AUC of normal against abnormal scores, in percent."""
    truth = np.repeat([0, 1], [len(normal), len(abnormal)])
    return 100 * float(roc_auc_score(truth, np.concatenate([normal, abnormal])))


def _of_kinds(
    score: Callable[[Clip], Floats], normal: list[Clip], made: list[Clip]
) -> dict[str, float]:
    """Return the AUC for each kind of made anomaly, and their mean."""
    none = np.concatenate([score(clip) for clip in normal])
    found = {
        kind: _auc(
            none,
            np.concatenate(
                [score(clip)[clip.begins + BEFORE :] for clip in made if clip.kind == kind]
            ),
        )
        for kind in KINDS
    }
    return {"mean": float(np.mean(list(found.values()))), **found}


def _test_clips(scorer: Scorer, data: Path) -> dict[str, Clip]:
    """Return the labelled clips by name; the memory is carried from clip to clip, as published."""
    paths = evaluation_clips(data)
    truths = read_labels(data, paths, None)
    assert truths is not None, "the labelled clips have no labels"
    found = {}
    for scores in score_clips(scorer, paths, carry_memory=True, keep_heat=True):
        clip = Clip.of(scores)
        truth = truths[scores.name].of(scores.frames)[scores.first :][: len(clip.psnr_db)]
        found[scores.name] = Clip(clip.psnr_db, clip.distance, clip.cells, truth)
    return found


def _paper(clip: Clip, fusion_weight: float) -> Floats:
    """Return the paper's offline score of a clip."""
    return value_minmax(clip.psnr_db, clip.distance, fusion_weight)


def _on_test(score: Callable[[Clip], Floats], clips: Mapping[str, Clip]) -> float:
    """Return the AUC over the frames of labelled clips."""
    truth = np.concatenate([clip.truth for clip in clips.values() if clip.truth is not None])
    values = np.concatenate([score(clip) for clip in clips.values()])
    return _auc(values[truth == 0], values[truth == 1])


def main() -> None:
    """Print a table of all schemes for the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.schemes", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", required=True, help="names of normal clips, with commas")
    parser.add_argument(
        "--usual", help="names of normal clips that say what is usual; else all others"
    )
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument(
        "--test", action="store_true", help="the frame AUC over the labelled clips as well"
    )
    given = parser.parse_args()
    scorer = Scorer(load_checkpoint(given.checkpoint), "cpu", given.precision)
    paths = {path.stem: path for path in train_clips(given.data)}
    held = given.held_out.split(",")
    others = given.usual.split(",") if given.usual else [name for name in paths if name not in held]
    usual = np.concatenate(
        [clip.cells for clip in _normal(scorer, [paths[name] for name in others])]
    ).mean(axis=0)
    normal = _normal(scorer, [paths[name] for name in held])
    made = [clip for name in held for clip in _made(scorer, paths[name], given.draws)]
    test = _test_clips(scorer, given.data) if given.test else None
    words = [*("mean", *KINDS), *(["labelled clips"] if test else [])]
    print("| score | " + " | ".join(words) + " |\n|---|" + "---|" * len(words))
    if test:
        fusion_weight = scorer.checkpoint.config.fusion_weight
        offline = {
            "PSNR, per-video min-max (offline)": lambda clip: 1 - minmax(clip.psnr_db),
            "the paper's, per-video min-max (offline)": lambda clip: _paper(clip, fusion_weight),
            "the same, mean of the last 8": lambda clip: _trailing(_paper(clip, fusion_weight), 8),
        }
        for name, score in offline.items():
            print(f"| {name} |" + " |" * (len(words) - 1) + f" {_on_test(score, test):.2f} |")
    for way in WAYS:
        of_kinds = _of_kinds(lambda clip, way=way: way.scores(clip, usual), normal, made)  # type: ignore[misc]
        found = list(of_kinds.values())
        if test:
            found.append(_on_test(lambda clip, way=way: way.scores(clip, usual), test))  # type: ignore[misc]
        print(f"| {way} | " + " | ".join(f"{number:.2f}" for number in found) + " |", flush=True)


if __name__ == "__main__":
    main()
