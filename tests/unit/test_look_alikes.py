"""Looks that repeat what a person answered, and those that do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lookout.models.arrays import HeatMap, Pixels, packed
from lookout.models.scoring.alert_regions import Box, Motion
from lookout.models.scoring.look_alikes import (
    FEATURES,
    MOST_CELLS,
    WINDOW,
    AlertLook,
    are_look_alikes,
    look_at,
    unlike_cells,
)

BOX: Box = (0.25, 0.25, 0.25, 0.25)
MOTION = Motion(BOX, 3.0, 1.0, 2.0, 0.4, 0.1, 0.5, 180.0)
SIDE_PX = 48


def heat(*boxes: tuple[int, int, int]) -> HeatMap:
    """Squares of hot cells: top, left, side."""
    cells = np.zeros((64, 64), np.uint16)
    for top, left, side in boxes:
        cells[top : top + side, left : left + side] = 20_000
    return cells


def scene(step_px: int = 3, light: float = 1.0, turned: bool = False, phase: int = 0) -> Pixels:
    """Stripes of 12 px that move by some pixels a frame, in a square of SIDE_PX at (80, 80)."""
    frames = np.full((WINDOW, 256, 256, 3), 128, np.uint8)
    for number, frame in enumerate(frames):
        at = np.arange(SIDE_PX) + phase - step_px * number
        stripes = np.broadcast_to(light * (110 + 80 * np.sin(at / 12 * 2 * np.pi)), (SIDE_PX,) * 2)
        part = frame[80 : 80 + SIDE_PX, 80 : 80 + SIDE_PX]
        part[:] = (stripes.T if turned else stripes)[..., None].astype(np.uint8)
    return frames


def look(
    frames: Pixels, *boxes: tuple[int, int, int], motions: tuple[Motion, ...] = ()
) -> AlertLook:
    """The look of frames with these hot cells: the stripes' without any."""
    found = look_at(list(frames), [heat(*boxes or [(20, 20, 12)])], motions)
    assert found
    return found


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (look(scene(phase=5)), True),
        (look(scene(light=1.1)), True),
        (look(np.roll(scene(), (4, -4), axis=(1, 2)), (21, 19, 12)), True),  # moved a little
        (look(scene(), (20, 20, 6)), True),  # a part of it
        (look(scene(step_px=0)), False),  # the same stripes, still
        (look(scene(step_px=-3)), False),  # the other way
        (look(scene(turned=True)), False),
        (look(scene(light=0.3)), False),
        (look(scene() // np.array([1, 3, 3], np.uint8)), False),  # in red
        (look(scene(), (20, 20, 12), (40, 20, 6)), False),  # and something beside it
        (look(scene(), (50, 50, 2)), False),  # a small thing elsewhere
        (look(scene(), (20, 20, 12), (40, 20, 2)), True),  # it is little beside it
        (look(scene(), (20, 20, 12), (40, 20, 3)), False),
        (look(scene(), (20, 20, 12), *[(40, at, 2) for at in (3, 13, 23, 33)]), True),  # noise
        (look(scene(), (20, 20, 12), *[(40, at, 2) for at in (3, 13, 23, 33, 43)]), False),
    ],
)
def test_place_appearance_and_motion_decide(other: AlertLook, alike: bool) -> None:
    assert are_look_alikes(other, [look(scene())]) is alike


def test_several_answers_together_explain_a_look() -> None:
    both = look(scene(), (20, 20, 5), (20, 27, 5))
    left, right = look(scene(), (20, 20, 5)), look(scene(), (20, 29, 3))
    assert not are_look_alikes(both, [left])
    assert are_look_alikes(both, [left, right])
    assert unlike_cells(both, []).all()
    assert not are_look_alikes(both, [])


@pytest.mark.parametrize(
    ("changes", "alike"),
    [
        ({"speed": 4.0}, True),
        ({"speed": 9.0}, False),
        ({"direction_deg": -170.0}, True),
        ({"direction_deg": 90.0}, False),
        ({"box": (0.45, 0.25, 0.25, 0.25)}, False),
    ],
)
def test_motion_is_compared_where_it_was_measured(changes: dict[str, Any], alike: bool) -> None:
    known = look(scene(), motions=(MOTION,))
    seen = look(scene(), motions=(replace(MOTION, **changes),))
    assert are_look_alikes(seen, [known]) is alike
    assert are_look_alikes(look(scene()), [known])
    assert not are_look_alikes(seen, [look(scene())])  # what was answered did not move so


def test_what_is_measured_does_not_depend_on_what_else_is_hot() -> None:
    frames = scene()
    alone, more = look(frames), look(frames, (20, 20, 12), (50, 3, 1))
    numbers, vectors = more.read()
    inside = numbers < 50 * 64
    assert numbers[inside].tolist() == alone.read()[0].tolist()
    assert (vectors[inside] == alone.read()[1]).all()


def test_a_look_is_of_two_frames_where_something_stands_out() -> None:
    frames = list(scene())
    assert look_at(frames[:1], [heat((20, 20, 12))]) is None
    assert look_at(frames, []) is None
    assert look_at(frames, [heat()]) is None
    corner = look_at(frames, [heat((0, 0, 1), (63, 63, 1))])
    assert corner
    assert corner.read()[0].tolist() == [0, 4095]
    whole = look_at([frame[:128, :100] for frame in frames], [heat((0, 0, 64))])
    assert whole
    assert whole.read()[1].shape == (MOST_CELLS, FEATURES)


@pytest.mark.parametrize(
    ("cells", "features"),
    [
        (packed(np.array([4096]), "<u2"), packed(np.zeros((1, FEATURES)), "i1")),
        (packed(np.array([1, 2]), "<u2"), packed(np.zeros((1, FEATURES)), "i1")),
        ("", ""),
        ("?", ""),
        (packed(np.array([1]), "<u2"), "AAAA"),
    ],
)
def test_text_that_holds_no_look_is_refused(cells: str, features: str) -> None:
    with pytest.raises(ValueError, match=r"look|base64|Incorrect|reshape|padding"):
        AlertLook(cells, features)
