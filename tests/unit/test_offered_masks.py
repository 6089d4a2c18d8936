"""Masks that are offered: where alarms are frequent and alone, and what a mask would have done."""

from __future__ import annotations

import random

import pytest
import shapely

from lookout.models.arrays import SIDE
from lookout.models.scoring.alert_regions import AlertRegion, Box
from lookout.models.scoring.offered_masks import (
    LEAST_ALARMS,
    PastAlarm,
    corners,
    offered_masks,
)


def region(left: int, top: int, width: int = 6, height: int = 8) -> AlertRegion:
    """A region whose sides are cells of the heatmap."""
    box = (left / SIDE, top / SIDE, width / SIDE, height / SIDE)
    return AlertRegion(box, 0.1, width * height / SIDE**2)


def alarm(*regions: AlertRegion, is_true: bool = False) -> PastAlarm:
    return PastAlarm(regions, is_true)


def covers(box: Box, one: AlertRegion) -> bool:
    return bool(shapely.box(*corners(box)).covers(shapely.box(*corners(one.box))))


def flag(number: int) -> AlertRegion:
    """A flag, which is at a slightly different place each time."""
    return region(20 + number % 2, 10 + number % 3)


def somewhere(number: int) -> AlertRegion:
    """One of many places along the lower half of the picture."""
    return region(random.Random(number).randrange(0, 58), 34 + number % 20)


FLAGS = [alarm(flag(number)) for number in range(8)]


def test_a_flag_is_offered_with_what_it_spares_and_its_price() -> None:
    events = [
        alarm(flag(1), is_true=True),
        alarm(region(40, 50), is_true=True),
        alarm(flag(2), region(40, 50), is_true=True),  # it shows itself elsewhere, too
    ]
    (mask,) = offered_masks([*FLAGS, *events])
    assert mask.spared == list(range(8))
    assert mask.hidden == [8]
    assert mask.touching == 8
    assert all(covers(mask.box, one) for each in FLAGS for one in each.regions)
    assert mask.box[2] * mask.box[3] < 2 * 7 * 10 / SIDE**2


def test_alarms_all_over_the_picture_do_not_widen_it() -> None:
    (mask,) = offered_masks([*FLAGS, *(alarm(somewhere(number)) for number in range(30))])
    assert mask.spared == list(range(8))


@pytest.mark.parametrize(
    "alarms",
    [
        FLAGS[: LEAST_ALARMS - 1],
        [alarm(*each.regions, region(40, 50)) for each in FLAGS],
        [*FLAGS, *(alarm(flag(number), somewhere(number)) for number in range(3))],
        [alarm(*each.regions, is_true=True) for each in FLAGS],
        [alarm(region(0, 0, 30, 30)) for _ in FLAGS],
        [alarm() for _ in FLAGS],
        [],
    ],
    ids=["seldom", "never alone", "not alone enough", "true", "too large", "no regions", "none"],
)
def test_nothing_is_offered(alarms: list[PastAlarm]) -> None:
    assert offered_masks(alarms) == []


def test_two_places_are_two_masks_the_noisier_first() -> None:
    screens = [alarm(region(44, 40)) for _ in range(12)]
    masks = offered_masks([*FLAGS, *screens])
    assert [len(mask.spared) for mask in masks] == [12, 8]
    assert not shapely.box(*corners(masks[0].box)).intersects(shapely.box(*corners(masks[1].box)))


def test_an_ignored_place_is_not_offered_again() -> None:
    (mask,) = offered_masks(FLAGS)
    assert offered_masks(FLAGS, [shapely.box(*corners(mask.box))]) == []
