"""Measure how well scores find the abnormal rows, by the measures of the papers on tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from lookout.models.errors import DataError


class Flagged(NamedTuple):
    """Rows above a threshold against their labels; each share lies in [0, 1]."""

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def precision(self) -> float:
        """Share of the flagged rows that are abnormal; 0 where none is flagged."""
        return self.true_positives / max(1, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the abnormal rows that are flagged."""
        return self.true_positives / max(1, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        wrong = self.false_positives + self.false_negatives
        return 2 * self.true_positives / max(1, 2 * self.true_positives + wrong)

    @property
    def accuracy(self) -> float:
        """Share of the rows that are on their side of the threshold."""
        right = self.true_positives + self.true_negatives
        return right / (right + self.false_positives + self.false_negatives)


class TableMeasures(NamedTuple):
    """Measures of a table of R rows."""

    at_known_share: Flagged  # as many rows are flagged as are abnormal
    auc: float  # in [0, 1]
    average_precision: float  # in [0, 1]


def flagged(scores: NDArray[np.float64], abnormal: NDArray[np.bool_], percentile: float) -> Flagged:
    """Return the rows whose score lies above a percentile, in [0, 100], of all scores (R,)."""
    threshold = float(np.percentile(scores, percentile))
    above = scores > threshold
    return Flagged(
        threshold,
        true_positives=int((above & abnormal).sum()),
        false_positives=int((above & ~abnormal).sum()),
        false_negatives=int((~above & abnormal).sum()),
        true_negatives=int((~above & ~abnormal).sum()),
    )


def measure_rows(scores: NDArray[np.float64], abnormal: NDArray[np.bool_]) -> TableMeasures:
    """Return the measures of scores (R,) with labels (R,).

    The threshold is the papers': the percentile above which lies the known share of abnormal rows.
    It takes that share from the labels, and no score of a row by itself. Raises DataError unless
    there are rows of both kinds.
    """
    if abnormal.all() or not abnormal.any():
        raise DataError("precision and recall need normal and abnormal rows: label 0 and 1")
    return TableMeasures(
        flagged(scores, abnormal, 100 * float(1 - abnormal.mean())),
        float(roc_auc_score(abnormal, scores)),
        float(average_precision_score(abnormal, scores)),
    )
