"""Regions that repeat what a person answered, and those that do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lookout.models.scoring.alert_regions import AlertRegion, Box, Motion
from lookout.models.scoring.look_alikes import are_look_alikes, is_look_alike, with_colors

BOX: Box = (0.25, 0.25, 0.25, 0.25)
MOTION = Motion(BOX, 3.0, 1.0, 2.0, 0.4, 0.1, 0.5, 180.0)


def region(box: Box = BOX, rgb: tuple[int, int, int] = (200, 40, 40)) -> AlertRegion:
    """A region of one colour that fills its box."""
    pixels = np.full((64, 64, 3), rgb, np.uint8)
    (made,) = with_colors([AlertRegion(box, 0.4, box[2] * box[3])], pixels)
    return made


def test_colors_are_shares_of_the_box_alone() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[16:32, 16:24] = 255
    (found,) = with_colors([AlertRegion(BOX, 0.4, 0.06)], pixels)
    assert (found.colors[0], found.colors[63], sum(found.colors)) == (0.5, 0.5, 1.0)


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (region((0.3, 0.25, 0.25, 0.25)), True),
        (region((0.45, 0.25, 0.25, 0.25)), False),  # beside it
        (region((0.2, 0.1, 0.5, 0.5)), False),  # a larger one at the same place
        (region(rgb=(40, 40, 200)), False),  # of another colour
        (replace(region(), motion=MOTION), False),  # it moves, as the other did not
        (replace(region(), colors=[]), False),  # its frame was gone: it cannot be compared
    ],
)
def test_place_size_motion_and_colours_decide(other: AlertRegion, alike: bool) -> None:
    assert is_look_alike(other, region()) is alike
    assert is_look_alike(region(), other) is alike


@pytest.mark.parametrize(
    ("changes", "alike"),
    [
        ({"speed": 4.0}, True),
        ({"speed": 9.0}, False),
        ({"direction_deg": -170.0}, True),
        ({"direction_deg": 90.0}, False),
    ],
)
def test_motion_is_compared_where_it_was_measured(changes: dict[str, Any], alike: bool) -> None:
    known = replace(region(), motion=MOTION)
    seen = replace(region(), motion=replace(MOTION, **changes))
    assert is_look_alike(seen, known) is alike


def test_one_region_that_is_new_makes_an_alert_a_new_one() -> None:
    elsewhere = region((0.7, 0.7, 0.2, 0.2))
    assert are_look_alikes([region()], [elsewhere, region()])
    assert not are_look_alikes([region(), elsewhere], [region()])
    assert not are_look_alikes([], [region()])
