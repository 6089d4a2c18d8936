"""Regions of an alert: where the heatmap stands out, and what was measured there."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.arrays import PEAK, SIDE, HeatMap
from lookout.models.scoring.alert_regions import (
    BOUND_SHARE,
    LEAST,
    MOST_REGIONS,
    Motion,
    alert_regions,
    motion_of,
    traits_of,
)
from lookout.models.scoring.places import StrangeRegion, UsualRange
from lookout.service.core.messages import FrameId, Heat
from lookout.service.storage.redis import codec

MOTION = Motion((0.5, 0.5, 0.25, 0.25), 3.0, 1.0, 2.0, 0.4, 0.1, 0.5, 180.0)


def heat(*blobs: tuple[int, int, int, int, float]) -> HeatMap:
    """A map with blobs: left, top, width, height in cells, and RMSE."""
    cells = np.zeros((SIDE, SIDE), np.uint16)
    for left, top, width, height, rmse in blobs:
        cells[top : top + height, left : left + width] = round(rmse * PEAK)
    return cells


def test_each_connected_part_is_a_region_and_the_highest_comes_first() -> None:
    first, second = alert_regions(heat((8, 16, 4, 8, 0.2), (32, 32, 16, 2, 0.3)), [])
    assert first.box == (0.5, 0.5, 0.25, 2 / SIDE)
    assert first.peak == pytest.approx(0.3, abs=1e-4)
    assert first.area == 32 / SIDE**2
    assert second.box == (8 / SIDE, 0.25, 4 / SIDE, 8 / SIDE)


def test_a_map_that_is_calm_has_none() -> None:
    assert alert_regions(heat(), []) == []
    assert alert_regions(heat((0, 0, 9, 9, LEAST / 2)), []) == []
    assert alert_regions(heat((5, 5, 1, 1, 0.5)), []) == []  # a single cell is noise


def test_a_motion_is_told_where_it_was_measured() -> None:
    there, elsewhere = alert_regions(heat((34, 34, 8, 8, 0.3), (2, 2, 6, 6, 0.2)), [MOTION])
    assert (there.traits, there.motion) == (["faster than usual here"], MOTION)
    assert (elsewhere.traits, elsewhere.motion) == (["unusual appearance"], None)


@pytest.mark.parametrize(
    ("speed", "size", "traits"),
    [
        (3.0, 0.3, ["faster than usual here"]),
        (0.5, 0.3, ["slower than usual here"]),
        (1.5, 0.9, ["larger than usual here"]),
        (1.5, 0.05, ["smaller than usual here"]),
        (3.0, 0.9, ["faster than usual here", "larger than usual here"]),
        (1.5, 0.3, ["unusual motion"]),
    ],
)
def test_what_is_outside_its_range_is_said(speed: float, size: float, traits: list[str]) -> None:
    assert traits_of(Motion(MOTION.box, speed, 1.0, 2.0, size, 0.1, 0.5, 0.0)) == traits


def test_where_nothing_ever_moved_it_is_a_new_place() -> None:
    assert traits_of(Motion(MOTION.box, 3.0, None, None, 0.4, None, None, 0.0)) == ["new place"]


def test_a_region_of_the_memory_of_places_is_a_share_of_the_picture() -> None:
    strange = StrangeRegion(
        box_px=(64, 128, 32, 16),
        distance=9.0,
        speed=UsualRange("speed", 3.0, 1.0, 2.0),
        share=UsualRange("share", 0.4, None, None),
        direction_deg=90.0,
        area_px=100,
    )
    assert motion_of(strange, 256) == Motion(
        (0.25, 0.5, 0.125, 0.0625), 3.0, 1.0, 2.0, 0.4, None, None, 90.0
    )


def test_motions_travel_with_the_heatmap() -> None:
    sent = Heat("gate", 1000, 5, heat((1, 1, 2, 2, 0.5)), codec.dump([MOTION]))
    row = {
        name.encode(): value.encode() if isinstance(value, str) else value
        for name, value in codec.heat_fields(sent).items()
    }
    read = codec.read_heat("gate", FrameId(1000, 5), row)
    assert codec.load(list[Motion], read.motions) == [MOTION]
    del row[b"motions"]
    assert codec.read_heat("gate", FrameId(1000, 5), row).motions == ""


@given(
    st.lists(
        st.tuples(
            st.integers(0, 63),
            st.integers(0, 63),
            st.integers(1, 20),
            st.integers(1, 20),
            st.floats(0, 1),
        ),
        max_size=20,
    )
)
def test_regions_lie_in_the_picture_and_reach_the_bound(
    blobs: list[tuple[int, int, int, int, float]],
) -> None:
    cells = heat(*blobs)
    found = alert_regions(cells, [MOTION])
    assert len(found) <= MOST_REGIONS
    assert [region.peak for region in found] == sorted(
        (region.peak for region in found), reverse=True
    )
    for region in found:
        left, top, width, height = region.box
        assert 0 <= left < left + width <= 1
        assert 0 <= top < top + height <= 1
        assert region.peak >= max(LEAST, BOUND_SHARE * int(cells.max()) / PEAK) - 1e-9
        assert 0 < region.area <= width * height + 1e-9
        assert region.traits
    json.loads(codec.dump(found))
