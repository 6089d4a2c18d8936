"""RBDC, TBDC and the pixel AUC against a count in pixels; the edges of the definitions."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import label

from lookout.models.arrays import PEAK, SIDE, HeatMap
from lookout.models.data.masks import Mask, Masked, read_masks
from lookout.models.errors import DataError
from lookout.models.evaluation.regions import Pictured, RegionMetrics, region_metrics
from tests.clips import write_clip
from tests.conftest import SHARED, examples

HEIGHT_PX, WIDTH_PX = 72, 100
EIGHT = np.ones((3, 3))
Bools = npt.NDArray[np.bool_]


def metrics(mask: Mask, heat: HeatMap, first: int = 0) -> RegionMetrics:
    return region_metrics({"01": Pictured.of("01", Masked.of(mask), heat, first, len(mask))})


def blank(frames: int) -> tuple[Mask, HeatMap]:
    """No anomaly, no heat."""
    return np.zeros((frames, HEIGHT_PX, WIDTH_PX), np.uint8), np.zeros(
        (frames, SIDE, SIDE), np.uint16
    )


def enlarged(cells: HeatMap) -> HeatMap:
    """(64, 64) → (H, W): each pixel takes the cell that its centre lies in."""
    rows = [int((y + 0.5) / HEIGHT_PX * SIDE) for y in range(HEIGHT_PX)]
    columns = [int((x + 0.5) / WIDTH_PX * SIDE) for x in range(WIDTH_PX)]
    return cells[rows][:, columns]


def parts(picture: Bools) -> list[Bools]:
    """The connected components, diagonals included."""
    numbered, count = label(picture, EIGHT)
    return [numbered == number for number in range(1, count + 1)]


def overlap(one: Bools, other: Bools) -> float:
    return float((one & other).sum() / (one | other).sum())


def slow_tracks(mask: Mask) -> list[list[tuple[int, int]]]:
    """Return tracks as lists of (frame, number of the region in it).

    Regions that share a pixel from a frame to the next belong to one track.
    """
    tracks: list[list[tuple[int, int]]] = []
    regions = [parts(frame > 0) for frame in mask]
    for frame, here in enumerate(regions):
        for number, region in enumerate(here):
            before = regions[frame - 1] if frame else []
            touched = [(frame - 1, i) for i, other in enumerate(before) if (other & region).any()]
            joined = [track for track in tracks if any(one in track for one in touched)]
            tracks = [track for track in tracks if track not in joined]
            tracks.append([*(one for track in joined for one in track), (frame, number)])
    return tracks


def slow_point(mask: Mask, heat: HeatMap, level: int) -> tuple[float, float, float]:
    """False regions a frame, share of regions found, share of tracks found."""
    found, false = set(), 0
    for frame, (truth, cells) in enumerate(zip(mask, heat, strict=True)):
        true, detected = parts(truth > 0), parts(enlarged(cells) >= level)
        found |= {
            (frame, i)
            for i, one in enumerate(true)
            if any(overlap(one, other) >= 0.1 for other in detected)
        }
        false += sum(all(overlap(one, other) < 0.1 for one in true) for other in detected)
    tracks = slow_tracks(mask)
    shares = [sum(one in found for one in track) / len(track) for track in tracks]
    return (
        false / len(mask),
        len(found) / sum(map(len, tracks)),
        sum(share >= 0.1 for share in shares) / len(tracks),
    )


def slow_area(points: list[tuple[float, float]]) -> float:
    """Steps of a thousandth of a false region; at each the best that has no more of them."""
    rates = (np.arange(1000) + 0.5) / 1000
    return float(
        np.mean([max((found for rate, found in points if rate <= at), default=0.0) for at in rates])
    )


BOX = st.tuples(st.integers(0, 50), st.integers(0, 80), st.integers(1, 22), st.integers(1, 20))


@examples(25)
@given(
    st.lists(
        st.tuples(st.lists(BOX, max_size=2), st.lists(BOX, max_size=3)), min_size=1, max_size=4
    )
)
def test_every_number_equals_its_count_in_pixels(
    frames: list[tuple[list[tuple[int, ...]], list[tuple[int, ...]]]],
) -> None:
    mask, heat = blank(len(frames))
    for i, (true, hot) in enumerate(frames):
        for top, left, height, width in true:
            mask[i, top : top + height, left : left + width] = 1
        for number, (top, left, height, width) in enumerate(hot, 1):
            heat[i, top : top + height, left * 3 // 4 : (left + width) * 3 // 4] += 1000 * number
    found = metrics(mask, heat)
    if not mask.any():
        assert (found.rbdc, found.tbdc, found.pixel_auc, found.curve) == (None, None, None, [])
        return
    slow = [slow_point(mask, heat, round(point.threshold * PEAK)) for point in found.curve]
    assert [point.false_regions_per_frame for point in found.curve] == pytest.approx(
        [false for false, _, _ in slow]
    )
    assert [point.regions_found_percent for point in found.curve] == pytest.approx(
        [100 * one for _, one, _ in slow]
    )
    assert [point.tracks_found_percent for point in found.curve] == pytest.approx(
        [100 * one for _, _, one in slow]
    )
    assert found.rbdc == pytest.approx(
        100 * slow_area([(false, one) for false, one, _ in slow]), abs=0.2
    )
    assert found.tbdc == pytest.approx(
        100 * slow_area([(false, one) for false, _, one in slow]), abs=0.2
    )
    levels = [round(point.threshold * PEAK) for point in found.curve]
    assert levels[0] == heat.max()
    assert levels[-1] == heat.min()
    assert set(levels) <= set(heat.ravel().tolist())
    assert found.pixel_auc == pytest.approx(
        slow_pixel_auc(mask, np.stack([enlarged(cells) for cells in heat]))
    )


def slow_pixel_auc(mask: Mask, values: HeatMap) -> float | None:
    """Return how often an anomalous pixel is hotter than a normal one, level by level.

    A tie counts half.
    """
    high, low = values[mask > 0], values[mask == 0]
    if not low.size:
        return None
    wins = sum(
        float((high == level).sum() * ((low < level).sum() + (low == level).sum() / 2))
        for level in set(high)
    )
    return float(100 * wins / (high.size * low.size))


def test_what_is_found_exactly_has_100_percent() -> None:
    mask, heat = blank(4)
    mask[1:3, 9:27, 25:50] = 1  # cells 8 to 24 and 16 to 32
    heat[1:3, 8:24, 16:32] = 5000
    found = metrics(mask, heat)
    assert (found.rbdc, found.tbdc, found.regions, found.tracks) == (100.0, 100.0, 2, 1)
    assert found.pixel_auc == pytest.approx(100.0, abs=0.5)  # pixels at the edge share a cell


def test_a_detection_beside_the_anomaly_is_false_however_hot() -> None:
    mask, heat = blank(2)
    mask[:, :20, :20] = 1
    heat[:, 40:50, 40:50] = 9000
    found = metrics(mask, heat)
    assert found.curve[0].false_regions_per_frame == 1.0
    assert (found.rbdc, found.tbdc) == (0.0, 0.0)


def test_a_tenth_of_a_track_is_enough_and_less_is_not() -> None:
    mask, heat = blank(20)
    mask[:, 9:27, 25:50] = 1
    heat[:2, 8:24, 16:32] = 5000
    found = metrics(mask, heat).curve[0]
    assert (found.regions_found_percent, found.tracks_found_percent) == (10.0, 100.0)
    heat[1] = 0
    found = metrics(mask, heat).curve[0]
    assert (found.regions_found_percent, found.tracks_found_percent) == (5.0, 0.0)


def test_a_region_that_leaves_its_place_for_a_frame_is_two_tracks() -> None:
    mask, heat = blank(3)
    mask[0, 10:20, 10:20] = mask[2, 10:20, 10:20] = 1
    assert metrics(mask, heat).tracks == 2
    mask[1, 19:30, 19:30] = 1  # one pixel of each
    assert metrics(mask, heat).tracks == 1


def test_only_scored_frames_count() -> None:
    mask, heat = blank(5)
    mask[0, :10, :10] = 1
    found = metrics(mask, heat[3:], first=3)
    assert (found.regions, found.tracks, found.frames, found.rbdc, found.pixel_auc) == (
        0,
        0,
        2,
        None,
        None,
    )


def test_a_mask_of_another_length_than_the_decoded_clip_is_refused() -> None:
    mask, heat = blank(5)
    with pytest.raises(DataError, match=r"01_mask\.npz has 5 frames; the clip has 6"):
        Pictured.of("01", Masked.of(mask), heat, 0, 6)


def write_mask(clip: Path, truth: Mask, **other: object) -> None:
    stored: dict[str, object] = {
        "mask": np.packbits(truth, axis=-1),
        "shape": np.array(truth.shape),
    } | other
    np.savez(clip.with_name(f"{clip.stem}_mask.npz"), **stored)  # type: ignore[arg-type]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "01.mp4", range(4), size_px=(WIDTH_PX, HEIGHT_PX))


def test_a_mask_is_read_beside_its_clip(clip: Path) -> None:
    assert read_masks(clip.parent, [clip]) is None
    mask, _ = blank(4)
    mask[2, 10:20, 30:45] = 1
    write_mask(clip, mask)
    masks = read_masks(clip.parent, [clip])
    assert masks is not None
    assert [len(regions) for regions in masks["01"].regions] == [0, 0, 1, 0]
    assert masks["01"].regions[2][0].pixels == 150
    assert masks["01"].cell_pixels.sum() == HEIGHT_PX * WIDTH_PX


@pytest.mark.parametrize(
    ("mask", "other", "reason"),
    [
        (blank(5)[0], {}, "(5, 72, 100); the clip is (4, 72, 100)"),
        (blank(4)[0][:, :, :99], {}, "(4, 72, 99); the clip is"),
        (blank(4)[0], {"mask": blank(4)[0]}, "uint8 (4, 72, 100) are not the bits of (4, 72, 100)"),
        (blank(4)[0], {"mask": np.zeros((4, 72, 13))}, "float64"),
        (blank(4)[0], {"shape": np.array(7)}, "01_mask.npz is no mask"),
        (blank(4)[0], {"shape": np.array(["a", "b", "c"])}, "01_mask.npz is no mask"),
        (blank(4)[0], {"mask": np.array([{}])}, "01_mask.npz is no mask"),
    ],
)
def test_a_mask_that_does_not_fit_is_one_line(
    clip: Path, mask: Mask, other: dict[str, object], reason: str
) -> None:
    write_mask(clip, mask, **other)
    with pytest.raises(DataError, match=re.escape(reason)) as raised:
        read_masks(clip.parent, [clip])
    assert "\n" not in str(raised.value)


def test_a_damaged_mask_and_one_that_is_missing_are_one_line(clip: Path, tmp_path: Path) -> None:
    write_mask(clip, blank(4)[0])
    stored = clip.with_name("01_mask.npz")
    other = write_clip(tmp_path / "02.mp4", range(4), size_px=(WIDTH_PX, HEIGHT_PX))
    with pytest.raises(DataError, match=r"no 02_mask\.npz"):
        read_masks(clip.parent, [clip, other])
    for damaged in (stored.read_bytes()[:-40], b"no archive", b""):
        stored.write_bytes(damaged)
        with pytest.raises(DataError, match=r"01_mask\.npz is no mask"):
            read_masks(clip.parent, [clip])
    np.savez(stored, mask=np.zeros(3))
    with pytest.raises(DataError, match="shape"):
        read_masks(clip.parent, [clip])


@pytest.mark.footage
def test_ped2s_masks_agree_with_its_labels() -> None:
    test = SHARED / "data" / "ped2" / "test"
    masks = read_masks(test.parent, [test / "12.mp4"])
    assert masks is not None
    assert [bool(regions) for regions in masks["12"].regions] == [False] * 87 + [True] * 93
    assert {region.track for regions in masks["12"].regions for region in regions} == {0}
