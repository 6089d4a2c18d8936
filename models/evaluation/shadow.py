"""Two checkpoints of one camera, the present and a new one, side by side on the same footage.

Each clip is scored as it is, and again with a made anomaly in it. Nothing is known of what the
footage shows: the figures say how far the two agree, and what each notices of what was made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from lookout.models.arrays import Floats, Pixels
from lookout.models.checkpoint.file import Checkpoint
from lookout.models.data.synthetic_anomalies import KINDS, draw, with_anomaly
from lookout.models.evaluation.clip_scores import ClipScorer
from lookout.models.scorer import Scorer
from lookout.models.scoring.normalizer import Normalizer, Scheme


@dataclass(frozen=True, slots=True)
class ShadowFigures:
    """Figures of two checkpoints on the same clips. Shares are in percent."""

    frames: int  # scored by both
    agreement_percent: float  # frames that both or neither put at the threshold or above
    rank_correlation: float | None  # Spearman's, of the values; None where one is constant
    old_above_percent: float  # frames at the threshold or above
    new_above_percent: float
    made: int  # made anomalies
    old_recall_percent: float  # of them, with a frame at the threshold or above
    new_recall_percent: float


class SideBySide:
    """Scores clips with two calibrated checkpoints."""

    def __init__(
        self, old: Checkpoint, new: Checkpoint, scheme: Scheme, threshold: float, seed: int
    ) -> None:
        """threshold: of a value, at which an alert opens; seed: decides the made anomalies.

        Raises ValueError where a checkpoint holds no bounds for the scheme.
        """
        self._scorers = [scorer_of(checkpoint, scheme) for checkpoint in (old, new)]
        self._spec = old.config.input_spec
        self._threshold = threshold
        self._seed = seed
        self._values: list[tuple[Floats, Floats]] = []  # of each clip, by old and new
        self._noticed: list[tuple[bool, bool]] = []  # each made anomaly

    def add(self, name: str, clip: Pixels) -> None:
        """Score a clip, (N, H, W, 3) uint8 RGB with N >= T, as it is and with an anomaly.

        Raises CheckpointError where a score is not finite.
        """
        old, new = self._scorers
        self._values.append((old.score(name, clip).value, new.score(name, clip).value))
        number = len(self._noticed)
        kind = list(KINDS)[number % len(KINDS)]
        scored = self._spec.scored
        anomaly = draw(kind, clip, self._spec.frames, scored, (self._seed, number))
        changed = with_anomaly(clip, anomaly, range(len(clip)))
        first = max(0, anomaly.abnormal.start - scored)
        within = slice(first, anomaly.abnormal.stop - scored)
        noticed = [
            bool((one.score(name, changed).value[within] >= self._threshold).any())
            for one in self._scorers
        ]
        self._noticed.append((noticed[0], noticed[1]))

    def figures(self) -> ShadowFigures | None:
        """Return the figures of all clips so far; None before the first."""
        if not self._values:
            return None
        old, new = (np.concatenate(values) for values in zip(*self._values, strict=True))
        old_above = old >= self._threshold
        new_above = new >= self._threshold
        old_recall, new_recall = np.mean(self._noticed, axis=0)
        rank_correlation = None
        if np.ptp(old) > 0 and np.ptp(new) > 0:
            rank_correlation = float(stats.spearmanr(old, new).statistic)
        return ShadowFigures(
            frames=len(old),
            agreement_percent=100 * float((old_above == new_above).mean()),
            rank_correlation=rank_correlation,
            old_above_percent=100 * float(old_above.mean()),
            new_above_percent=100 * float(new_above.mean()),
            made=len(self._noticed),
            old_recall_percent=100 * float(old_recall),
            new_recall_percent=100 * float(new_recall),
        )


def scorer_of(checkpoint: Checkpoint, scheme: Scheme) -> ClipScorer:
    """Return what scores clips with a checkpoint's own bounds, from its trained memory each time.

    Raises ValueError where it holds none for the scheme.
    """
    if checkpoint.calibration is None:
        raise ValueError("the checkpoint is not calibrated")
    weight = checkpoint.config.fusion_weight
    normalizer = Normalizer(checkpoint.calibration, scheme=scheme, fusion_weight=weight)
    return ClipScorer(Scorer(checkpoint, "cpu", "fp32"), normalizer=normalizer)
