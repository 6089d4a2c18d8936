"""The best known offline score of one model: the paper's and the local one, fused and smoothed.

Chosen among fifteen by anomalies made into held-out normal clips (ADR 50, `python -m
tests.bench.offline`). It needs no second network, but the whole video: for tables, as the paper's
own.
"""

from __future__ import annotations

import numpy as np

from lookout.models.arrays import Floats
from lookout.models.scoring.metrics import minmax

AROUND = 8
"""Frames before and after the one whose score it is: 0.8 s each way at Ped2's frame rate."""


def value_fused(paper: Floats, local_db: Floats) -> Floats:
    """One video's scores: (N,) in [0, 1].

    paper: (N,), `scoring.value_minmax`. local_db: (N,) in dB, `local.LocalScore`; scaled over the
    video likewise.
    """
    both = (paper + minmax(local_db)) / 2
    return np.array([both[max(0, i - AROUND) : i + 1 + AROUND].mean() for i in range(len(both))])
