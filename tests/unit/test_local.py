"""The local score beside its slow, obvious version."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from lookout.models.arrays import PEAK, SIDE, HeatMap
from lookout.models.scoring.local import LASTS, WINDOW, LocalScore, window_sums


def some_cells(seed: int) -> HeatMap:
    return (
        np.random.default_rng(seed).integers(0, PEAK, (SIDE, SIDE), endpoint=True).astype(np.uint16)
    )


def with_a_spot(level: int, row: int = 20, column: int = 30) -> HeatMap:
    cells = np.zeros((SIDE, SIDE), np.uint16)
    cells[row : row + WINDOW, column : column + WINDOW] = level
    return cells


def test_a_window_holds_the_sum_of_the_squares_of_its_cells() -> None:
    cells = some_cells(0)
    sums = window_sums(cells)
    assert sums.shape == (SIDE - WINDOW + 1, SIDE - WINDOW + 1)
    for row, column in ((0, 0), (58, 58), (0, 58), (17, 3)):
        there = cells[row : row + WINDOW, column : column + WINDOW].tolist()
        assert sums[row, column] == sum(level**2 for line in there for level in line)


def test_all_wrong_is_0_db_and_all_right_100_below() -> None:
    assert LocalScore().update((1, 0), np.full((SIDE, SIDE), PEAK, np.uint16)) == 0.0
    assert LocalScore().update((1, 0), np.zeros((SIDE, SIDE), np.uint16)) == pytest.approx(-100.0)


def test_the_score_is_that_of_the_worst_window() -> None:
    score = LocalScore().update((1, 0), with_a_spot(PEAK // 10) + with_a_spot(PEAK // 100, 2, 2))
    assert score == pytest.approx(-20.0, abs=0.01)


def test_a_window_counts_with_its_least_error_over_the_last_frames() -> None:
    frames = [some_cells(seed) for seed in range(8)]
    local = LocalScore()
    for number, cells in enumerate(frames):
        lasting = np.min(
            [window_sums(one) for one in frames[max(0, number - LASTS + 1) : number + 1]], axis=0
        )
        slow = 10 * math.log10(lasting.max() / (PEAK * WINDOW) ** 2)
        assert local.update((5, number), cells) == pytest.approx(slow)


def test_a_flicker_does_not_count() -> None:
    local = LocalScore()
    seen = [
        local.update((1, number), with_a_spot(PEAK if number == 5 else 100)) for number in range(10)
    ]
    assert len(set(seen)) == 1


@pytest.mark.parametrize("after", [(5, 3), (5, 1), (6, 2), (6, 0)])
def test_a_frame_that_does_not_follow_begins_anew(after: tuple[int, int]) -> None:
    local = LocalScore()
    local.update((5, 0), with_a_spot(100))
    local.update((5, 1), with_a_spot(100))
    assert local.update(after, with_a_spot(PEAK)) == 0.0
    assert local.update((after[0], after[1] + 1), with_a_spot(PEAK)) == 0.0


@pytest.mark.parametrize("cut", range(6))
def test_a_local_score_goes_on_from_its_snapshot_bit_for_bit(cut: int) -> None:
    frames = [
        ((1, number + (number > 3)), some_cells(number)) for number in range(6)
    ]  # number 4 is missing
    whole, first = LocalScore(), LocalScore()
    scores = [whole.update(*frame) for frame in frames]
    before = [first.update(*frame) for frame in frames[:cut]]
    second = LocalScore.from_json(json.loads(json.dumps(first.to_json())))
    assert before + [second.update(*frame) for frame in frames[cut:]] == scores


@pytest.mark.parametrize(
    "data", [{}, {"at": None, "cells": ["AAAA"]}, {"at": [1], "cells": []}, {"at": 3, "cells": []}]
)
def test_what_is_no_snapshot_is_refused(data: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        LocalScore.from_json(data)
