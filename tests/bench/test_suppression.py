"""Check what `python -m tests.bench.suppression` judges by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lookout.models.scoring.alert_regions import alert_regions
from lookout.models.scoring.look_alikes import look_at
from tests.bench.suppression import (
    LASTS,
    OPENS,
    SHOWN,
    CutOut,
    Moment,
    as_alarm,
    is_told,
    kept,
    with_flag,
    with_object,
)

BLACK = np.zeros((256, 256, 3), np.uint8)


def moment(left: int) -> Moment:
    """Something 12 by 12 cells large."""
    heat = np.zeros((64, 64), np.uint16)
    heat[20:32, left : left + 12] = 20_000
    return Moment(alert_regions(heat, []), look_at([BLACK, BLACK], [heat]))


FLAG, OTHER = moment(6), moment(40)
NOTHING = Moment([], None)


@pytest.mark.parametrize(
    ("first", "others", "told"),
    [(OPENS, 1, True), (OPENS + 1, LASTS - 1, False), (OPENS + 1, LASTS, True), (0, OPENS, False)],
)
def test_another_thing_is_told_at_the_opening_or_where_it_lasts(
    first: int, others: int, told: bool
) -> None:
    shown = [FLAG] * SHOWN
    shown[first : first + others] = [OTHER] * others
    assert FLAG.look
    assert is_told(shown, [FLAG.look]) is told


def test_the_flag_waves_and_an_object_crosses_its_place() -> None:
    frames = np.zeros((3, 256, 256, 3), np.uint8)
    flag = with_flag(frames, np.random.default_rng(0))
    assert (flag[0] != flag[1]).any()
    assert not flag[:, :100].any()
    where = np.ones((8, 8), bool)
    object_ = CutOut([np.full((8, 8, 3), 9, np.uint8)] * 3, [where] * 3)
    moved = with_object(frames, object_)
    assert [int(np.nonzero(frame.any((0, 2)))[0][0]) for frame in moved] == [106, 110, 114]


def test_an_alarm_keeps_the_regions_of_its_opening_and_its_peak() -> None:
    shown = [NOTHING] * SHOWN
    shown[OPENS], shown[OPENS + 3] = FLAG, OTHER
    assert as_alarm(shown, is_true=False).regions == FLAG.regions * 2
    (region,) = OTHER.regions
    higher = replace(OTHER, regions=[replace(region, peak=0.9)])
    shown[OPENS + 3] = higher
    assert as_alarm(shown, is_true=False).regions == FLAG.regions + higher.regions
    assert kept(shown) == [FLAG, higher, NOTHING, NOTHING, higher, NOTHING, NOTHING, NOTHING]
