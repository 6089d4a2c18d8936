"""The comparison of schemes: the chosen one is what `lookout.models.scoring.local` computes."""

from __future__ import annotations

import numpy as np
import pytest

from lookout.models.arrays import PEAK, SIDE
from lookout.models.scoring.local import LASTS, WINDOW, LocalScore
from tests.bench.schemes import Clip, Way


def some_clip(levels: np.ndarray[tuple[int, ...], np.dtype[np.uint16]]) -> Clip:
    nothing = np.zeros(len(levels))
    return Clip(nothing, nothing, (levels.astype(np.float64) / PEAK) ** 2)


def test_the_chosen_way_is_the_local_score() -> None:
    levels = np.random.default_rng(0).integers(0, PEAK, (9, SIDE, SIDE)).astype(np.uint16)
    local = LocalScore()
    expected = [local.update((0, number), cells) for number, cells in enumerate(levels)]
    found = Way(WINDOW, LASTS).scores(some_clip(levels), usual=np.ones((SIDE, SIDE)))
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_trailing_mean_and_the_usual_do_what_they_say() -> None:
    levels = np.full((12, SIDE, SIDE), PEAK // 10, np.uint16)
    levels[6:] = PEAK // 5
    clip, usual = some_clip(levels), np.full((SIDE, SIDE), 0.01)
    plain = Way(6).scores(clip, usual)
    assert Way(6, trailing=4).scores(clip, usual)[7] == pytest.approx(plain[4:8].mean())
    against = Way(6, against_usual=True).scores(clip, usual)
    assert np.diff(against - plain) == pytest.approx(
        0, abs=1e-9
    )  # the same everywhere: only the level differs
