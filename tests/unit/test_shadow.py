"""Two checkpoints are scored side by side on the same footage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lookout.models.evaluation.shadow import SideBySide
from lookout.models.scoring.calibration import Bounds
from tests.tiny import EASY_BOUNDS, street, tiny_checkpoint

CALM = replace(EASY_BOUNDS, local_db=(-1.0, 0.0))
"""Bounds by which a random model's frames lie above normal."""

NERVOUS = replace(EASY_BOUNDS, local_db=(-90.0, -80.0))


def clip(first: int) -> np.ndarray:
    return np.stack([street(first + seq) for seq in range(20)])


def side_by_side(old: Bounds, new: Bounds, clips: int = 4) -> SideBySide:
    made = SideBySide(
        tiny_checkpoint(calibration=old), tiny_checkpoint(calibration=new), "local", 0.5, 1
    )
    for number in range(clips):
        made.add(str(number), clip(20 * number))
    return made


def test_the_same_checkpoint_twice_agrees_on_everything() -> None:
    figures = side_by_side(NERVOUS, NERVOUS).figures()
    assert figures is not None
    assert (figures.frames, figures.made) == (4 * 16, 4)
    assert figures.agreement_percent == 100
    assert figures.rank_correlation == pytest.approx(1)
    assert figures.old_above_percent == figures.new_above_percent == 100
    assert figures.old_recall_percent == figures.new_recall_percent == 100


@pytest.mark.wide
def test_a_deaf_checkpoint_is_seen_by_its_recall() -> None:
    deaf = replace(EASY_BOUNDS, local_db=(50.0, 60.0))
    figures = side_by_side(NERVOUS, deaf).figures()
    assert figures is not None
    assert (figures.agreement_percent, figures.new_above_percent) == (0, 0)
    assert (figures.old_recall_percent, figures.new_recall_percent) == (100, 0)


def test_before_the_first_clip_there_are_no_figures() -> None:
    assert side_by_side(CALM, CALM, clips=0).figures() is None


def test_a_checkpoint_without_bounds_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="not calibrated"):
        SideBySide(tiny_checkpoint(), tiny_checkpoint(calibration=CALM), "local", 0.5, 1)
